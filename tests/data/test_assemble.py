from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data import assemble as assemble_module
from recsys_tfrs.data.assemble import (
    Duplicates,
    FeatureTable,
    Policy,
    RawInteractions,
    assemble,
    is_member,
)
from recsys_tfrs.errors import DataError, UsageError
from recsys_tfrs.schema import Kind


def objects(*values: object) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def raw(
    rows: list[tuple[str, str]], ratings: list[float] | None = None, times: list[int] | None = None
) -> RawInteractions:
    users, items = (list(dict.fromkeys(row[side] for row in rows)) for side in (0, 1))
    return RawInteractions(
        users=np.array([users.index(user) for user, _ in rows], np.int32),
        items=np.array([items.index(item) for _, item in rows], np.int32),
        ratings=None if ratings is None else np.array(ratings, np.float32),
        times=None if times is None else np.array(times, np.int64),
        user_ids=objects(*users),
        item_ids=objects(*items),
    )


ROWS = [("u", "a"), ("v", "b"), ("u", "b"), ("u", "a")]


def test_internal_ids_start_at_one() -> None:
    data = assemble("d", raw(ROWS[:3]), Policy())
    assert data.user_ids.tolist() == ["", "u", "v"]
    assert data.users.tolist() == [1, 2, 1]
    assert data.items.tolist() == [1, 2, 2]
    assert data.users.dtype == np.int32
    assert (data.ratings, data.timestamps, data.notes) == (None, None, ())


@pytest.mark.parametrize(
    ("policy", "times", "ratings"),
    [
        ("keep-last", None, [2, 3, 4]),  # the last in file order
        ("keep-last", [9, 1, 1, 5], [1, 2, 3]),  # the newest, though it comes first in the file
        ("keep-last", [9, 1, 1, 9], [2, 3, 4]),  # of the same time, the last in file order
        ("keep-first", [9, 1, 1, 5], [2, 3, 4]),
        ("keep-first", None, [1, 2, 3]),
        ("keep-all", None, [1, 2, 3, 4]),
    ],
)
def test_repeated_pairs_follow_the_policy(policy: str, times: list[int] | None, ratings: list[int]) -> None:
    data = assemble("d", raw(ROWS, [1, 2, 3, 4], times), Policy(duplicates=cast(Duplicates, policy)))
    assert data.ratings is not None
    assert data.ratings.tolist() == ratings
    assert bool(data.notes) == (policy != "keep-all")
    if data.notes:
        assert "pair: 1;" in data.notes[0]


def test_repeated_pairs_can_be_an_error_that_names_both_rows() -> None:
    with pytest.raises(DataError, match=r"row 4 repeats the pair of row 1 \(user 'u', item 'a'\)"):
        assemble("d", raw(ROWS), Policy(duplicates="error"))
    assert len(assemble("d", raw(ROWS[:3]), Policy(duplicates="error"))) == 3


def test_pairs_that_share_a_bucket_are_not_taken_for_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble_module, "_BUCKETS_PER_PAIR", 0)
    with pytest.raises(DataError, match="row 4 repeats the pair of row 3"):
        assemble("d", raw([("v", "b"), ("u", "b"), ("u", "a"), ("u", "a")]), Policy(duplicates="error"))


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UsageError, match="keep-last, keep-first, keep-all, error"):
        Policy(duplicates=cast(Duplicates, "drop"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("uv"), st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=20))
def test_the_last_row_in_time_stays(rows: list[tuple[str, str, int]]) -> None:
    rows = [("u", "a", 0), ("v", "b", 0), *rows]
    newest: dict[tuple[str, str], int] = {}
    for number, (user, item, time) in enumerate(rows):
        best = newest.get((user, item))
        if best is None or time >= rows[best][2]:
            newest[user, item] = number
    source = raw([row[:2] for row in rows], [float(number) for number in range(len(rows))], [row[2] for row in rows])
    data = assemble("d", source, Policy())
    assert data.ratings is not None
    assert data.ratings.tolist() == sorted(newest.values())


def test_features_stand_at_their_internal_id_and_items_without_rows_join_the_catalogue() -> None:
    table = FeatureTable(
        ids=objects("cold", "b", "b"),
        columns={
            "title": (Kind.TEXT, objects("Cold", "Bee", "again")),
            "genres": (Kind.MULTI_CATEGORICAL, objects(("x", "y"), ("z",), ())),
            "year": (Kind.NUMERIC, np.array([1990, 2000, 2010], np.float32)),
        },
        title_column="title",
    )
    data = assemble("d", raw(ROWS[:3]), Policy(), item_table=table)
    assert data.item_ids.tolist() == ["", "a", "b", "cold"]
    assert data.item_features["title"].values.tolist() == ["", "", "Bee", "Cold"]
    assert data.item_features["genres"].values.tolist() == [(), (), ("z",), ("x", "y")]
    np.testing.assert_array_equal(data.item_features["year"].values, np.array([np.nan, np.nan, 2000, 1990], np.float32))
    assert data.titles.tolist() == ["", "a", "Bee", "Cold"]
    assert data.notes == ("Rows of the item table that repeat an id: 1; the first of each was used.",)


def test_a_table_about_other_ids_is_refused() -> None:
    table = FeatureTable(ids=objects("7"), columns={})
    with pytest.raises(DataError, match=r"No id of the user table occurs .* 'u', the table such as '7'"):
        assemble("d", raw(ROWS), Policy(), user_table=table)


def test_times_are_brought_to_seconds() -> None:
    data = assemble("d", raw(ROWS[:2], times=[1_577_836_800_000, 1_577_836_801_999]), Policy())
    assert data.timestamps is not None
    assert data.timestamps.tolist() == [1_577_836_800, 1_577_836_801]
    assert data.notes == ("Timestamps counted milliseconds and were converted to seconds.",)


@pytest.mark.parametrize(
    ("rows", "ratings", "times", "message"),
    [
        ([], None, None, "holds no interactions"),
        ([("u", "a"), ("u", "b")], None, None, r"single user \('u'\)"),
        ([("u", "a"), ("v", "a")], None, None, r"single item \('a'\)"),
        (ROWS, [1, np.nan, 2, 3], None, "rating of row 2 is nan"),
        (ROWS, [1, 2, 3, np.inf], None, "rating of row 4 is inf"),
        (ROWS, None, [1, 2, -3, 4], "timestamp of row 3 is negative"),
        (ROWS, None, [10**9, 10**12, 10**9, 10**9], "d: the timestamps mix units"),
    ],
)
def test_what_no_model_can_use_is_refused(
    rows: list[tuple[str, str]], ratings: list[float] | None, times: list[int] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        assemble("d", raw(rows, ratings, times), Policy())


def test_one_item_is_enough_where_the_table_holds_more() -> None:
    table = FeatureTable(ids=objects("a", "b"), columns={})
    assert assemble("d", raw([("u", "a"), ("v", "a")]), Policy(), item_table=table).num_items == 2


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5)), st.lists(st.integers(-5, 5), min_size=1))
def test_membership(values: list[int], pool: list[int]) -> None:
    found = is_member(np.array(values, np.int64), np.sort(np.array(pool, np.int64)))
    assert found.tolist() == [value in pool for value in values]
