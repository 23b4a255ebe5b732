from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import Interactions

Events = list[tuple[int, int, int]]  # user, item, second


def make(events: Events, *, timed: bool = True) -> Interactions:
    users, items, times = (np.array(column) for column in zip(*events, strict=True))
    return Interactions(
        name="d",
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        ratings=np.arange(len(events), dtype=np.float32),
        timestamps=times.astype(np.int64) if timed else None,
        user_ids=np.array(["", "u", "v", "w"], object),
        item_ids=np.array(["", "a", "b", "c", "d"], object),
    )


EVENTS = [(2, 4, 50), (1, 1, 30), (2, 3, 10), (1, 2, 20), (1, 3, 30)]


def test_items_of_a_user_stand_oldest_first_and_ties_in_file_order() -> None:
    histories = build_histories(make(EVENTS), np.arange(5))
    assert histories.offsets.tolist() == [0, 0, 3, 5, 5]  # user 0 and user 3 have none
    assert histories.items.tolist() == [2, 1, 3, 3, 4]
    assert histories.rows.tolist() == [3, 1, 4, 2, 0]
    assert histories.ratings is not None
    assert histories.ratings.tolist() == [3, 1, 4, 2, 0]
    assert histories.timestamps is not None
    assert histories.timestamps.tolist() == [20, 30, 30, 10, 50]
    assert histories.lengths.tolist() == [0, 3, 2, 0]
    assert (histories.num_users, histories.num_items) == (3, 4)
    assert histories.of(2).tolist() == [3, 4]
    assert histories.of(3).tolist() == []


def test_only_the_chosen_rows_count_in_whatever_order_they_come() -> None:
    histories = build_histories(make(EVENTS), np.array([4, 1, 0]))
    assert [histories.of(user).tolist() for user in (1, 2, 3)] == [[1, 3], [4], []]


def test_without_times_the_file_order_holds() -> None:
    histories = build_histories(make(EVENTS, timed=False), np.arange(5))
    assert histories.of(1).tolist() == [1, 2, 3]
    assert histories.timestamps is None


def test_positions_of_several_users() -> None:
    histories = build_histories(make(EVENTS), np.arange(5))
    owner, position = histories.positions(np.array([2, 3, 1, 0]))
    assert owner.tolist() == [0, 0, 2, 2, 2]
    assert position.tolist() == [3, 4, 0, 1, 2]
    owner, position = histories.positions(np.array([], np.int64))
    assert (len(owner), len(position)) == (0, 0)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_every_chosen_row_stands_once_in_its_users_time_order(events: Events, random: object) -> None:
    chosen = np.array([number for number in range(len(events)) if random.random() < 0.7], np.int64)  # type: ignore[attr-defined]
    histories = build_histories(make(events), chosen)
    for user in range(4):
        expected = sorted(
            (row for row in chosen.tolist() if events[row][0] == user), key=lambda row: (events[row][2], row)
        )
        here = slice(histories.offsets[user], histories.offsets[user + 1])
        assert histories.rows[here].tolist() == expected
        assert histories.of(user).tolist() == [events[row][1] for row in expected]
