"""The split by sessions and the test cases it makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contracts.tiny_data import interactions_of
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data import sessions
from recsys_tfrs.data.archives import disk_folder
from recsys_tfrs.data.assemble import Policy
from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.data.session_files import load_prepared
from recsys_tfrs.data.sessions import sessions_by_gap, split_interactions
from recsys_tfrs.data.splits import Split, make_split, split_hash
from recsys_tfrs.errors import SplitError
from recsys_tfrs.schema import Kind


def log(lengths: list[int], *, features: bool = False) -> Interactions:
    """Sessions one after the other; the n-th click of session s is item 10 s + n."""
    users = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    items = np.concatenate([10 * s + np.arange(1, n + 1) for s, n in enumerate(lengths)])
    return interactions_of(
        users, items, len(lengths), 10 * len(lengths), timestamps=10**9 + np.arange(len(users)), features=features
    )


def cases(data: Interactions, split: Split, targets: np.ndarray) -> dict[str, tuple[list[int], int]]:
    """Name of the case -> what it is asked with, and the target."""
    known = build_histories(data, split.given)
    return {
        data.user_ids[user]: (known.of(user).tolist(), item)
        for user, item in zip(data.users[targets].tolist(), data.items[targets].tolist(), strict=True)
    }


def test_the_newest_sessions_test_and_every_item_but_their_first_is_a_case() -> None:
    data, split = split_interactions(
        log([2, 2, 2, 2, 1, 3, 1, 3], features=True), "sessions", test_fraction=0.25, validation_fraction=1 / 3
    )
    assert data.users[split.train].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 6, 6]
    assert data.users[split.selection_train].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert cases(data, split, split.validation) == {"u6@2": ([51], 52), "u6@3": ([51, 52], 53)}
    assert cases(data, split, split.test) == {"u8@2": ([71], 72), "u8@3": ([71, 72], 73)}
    assert not set(split.given) & set(split.train)
    # The cases of both parts are two each, of two and three rows.
    assert (split.num_added_users, split.num_added_rows) == (4, 10)
    assert data.user_features["user_gender"].values[-4:].tolist() == ["F", "F", "F", "F"]  # of users 6 and 8
    assert split.known.tolist() == sorted([*split.train, *split.given])
    assert split.selection_known.tolist() == sorted([*split.selection_train, *split.given])


def test_sessions_are_ordered_by_their_last_click() -> None:
    users, times = np.array([1, 2, 2, 3, 3, 1, 4, 4]), np.array([0, 1, 2, 3, 4, 99, 5, 6])
    data = interactions_of(users, np.arange(1, 9), 4, 8, timestamps=times + 10**9)
    data, split = split_interactions(data, "sessions", test_fraction=0.25, validation_fraction=0.4)
    assert cases(data, split, split.test) == {"u1@2": ([1], 6)}
    assert cases(data, split, split.validation) == {"u4@2": ([7], 8)}


def test_given_cases_test_and_the_last_sessions_validate(tmp_path: Path) -> None:
    (tmp_path / "train_sessions.txt").write_text("a b\nb c\nc a\nx a b\n")
    (tmp_path / "test_cases.txt").write_text("a b\tc\n\tz\n")
    source = load_prepared(disk_folder(tmp_path), "tiny", Policy())
    data, split = split_interactions(source, "temporal", validation_fraction=0.25)
    assert split.name == "sessions"
    assert data.item_ids[data.items[split.test]].tolist() == ["c", "z"]
    assert data.user_ids[data.users[split.validation]].tolist() == ["4@2", "4@3"]
    assert data.item_ids[data.items[split.selection_train]].tolist() == list("abbcca")
    assert data.item_ids[data.items[split.train]].tolist() == list("abbccaxab")
    known = build_histories(data, split.known)
    assert data.item_ids[known.of(data.users[split.test[0]])].tolist() == ["a", "b"]
    assert len(known.of(data.users[split.test[1]])) == 0
    with pytest.raises(SplitError, match="comes with test cases"):
        split_interactions(source, "random")


def test_what_a_case_is_asked_with_and_how_many_validate_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_GIVEN", 3)
    monkeypatch.setattr(sessions, "MAX_VALIDATION_CASES", 2)
    data, split = split_interactions(log([2, 9, 6]), "sessions", test_fraction=0.34, validation_fraction=0.5)
    assert len(split.validation) == 2
    found = cases(data, split, split.test)
    assert found["u3@6"] == ([23, 24, 25], 26)
    assert found["u3@2"] == ([21], 22)
    assert len(found) == 5


@given(st.lists(st.integers(1, 6), min_size=4, max_size=12), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_no_target_is_known_to_the_case_that_asks_for_it(lengths: list[int], seed: int) -> None:
    source = log(lengths)
    try:
        data, split = split_interactions(source, "sessions", test_fraction=0.3, validation_fraction=0.3, seed=seed)
    except SplitError:
        return
    parts = [split.train, split.validation, split.test, split.given]
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
    for targets in (split.validation, split.test):
        for name, (before, target) in cases(data, split, targets).items():
            session, place = name.split("@")
            first = 10 * (int(session[1:]) - 1)
            assert before == list(range(first + 1, first + int(place)))
            assert target == first + int(place)


def test_a_session_that_is_called_like_a_case_is_refused() -> None:
    source = log([2, 2, 3, 3])
    source.user_ids[1] = "u4@2"
    with pytest.raises(SplitError, match=r"is called 'u4@2'.* do not end in @"):
        split_interactions(source, "sessions", test_fraction=0.25, validation_fraction=1 / 3)


def test_other_splits_are_left_as_they_were() -> None:
    source = log([3, 3, 3, 3])
    data, split = split_interactions(source, "leave-last-out")
    assert data is source
    assert split.hash == make_split(source, "leave-last-out").hash
    assert split.known is split.train
    with pytest.raises(SplitError, match="adds test cases"):
        make_split(source, "sessions")


@pytest.mark.parametrize("method", ["random", "temporal"])
def test_what_was_asked_for_reaches_the_other_splits(method: str) -> None:
    source = log([5] * 20)
    asked = {"test_fraction": 0.3, "validation_fraction": 0.25, "seed": 7}
    assert split_interactions(source, method, **asked)[1].hash == make_split(source, method, **asked).hash
    assert split_interactions(source, method)[1].hash == make_split(source, method).hash
    assert len({split_interactions(source, "random", seed=seed)[1].hash for seed in (7, 8)}) == 2


def test_a_draw_of_cases_is_decided_by_the_seed_and_repeats_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_VALIDATION_CASES", 6)
    source = log([10, 10, 10, 10])
    chosen = []
    for seed in (7, 7, 8, 42, None):
        data, split = split_interactions(
            source,
            "sessions",
            test_fraction=0.25,
            validation_fraction=1 / 3,
            **({} if seed is None else {"seed": seed}),
        )
        chosen.append(sorted(cases(data, split, split.validation)))
        assert len(chosen[-1]) == 6
    assert chosen[0] == chosen[1] != chosen[2]
    assert chosen[3] == chosen[4]


def test_the_hash_covers_what_cases_are_asked_with() -> None:
    data, split = split_interactions(log([3] * 8), "sessions", test_fraction=0.25, validation_fraction=1 / 3)
    asked_to_validate = np.isin(data.users[split.given], data.users[split.validation])
    assert split.hash == split_hash(
        data, split.train, split.validation, split.test, split.given[asked_to_validate], split.given[~asked_to_validate]
    )


def test_cases_that_came_with_the_data_stay_marked(tmp_path: Path) -> None:
    (tmp_path / "train_sessions.txt").write_text("a b\nb c\nc a\nx a b\n")
    (tmp_path / "test_cases.txt").write_text("a b\tc\n")
    source = load_prepared(disk_folder(tmp_path), "tiny", Policy())
    data, _ = split_interactions(source, validation_fraction=0.25)
    assert len(data) > len(source)
    assert data.test_cases is not None
    assert data.test_cases.tolist() == source.test_cases.tolist()


def test_data_without_order_or_with_too_few_sessions_is_refused() -> None:
    unordered = interactions_of(np.array([1, 1, 2]), np.array([1, 2, 1]), 2, 2)
    with pytest.raises(SplitError, match="nobody's next item is known"):
        split_interactions(unordered, "sessions")
    with pytest.raises(SplitError, match="leaves no train rows"):
        split_interactions(log([3, 3, 3, 3]), "sessions", test_fraction=0.5, validation_fraction=0.9)
    with pytest.raises(SplitError, match="leaves no test rows"):
        split_interactions(log([3, 3, 3, 3, 1]), "sessions", validation_fraction=0.25)


def test_a_gap_keeps_user_columns_and_numbers_sessions_per_user() -> None:
    users, times = np.array([2, 1, 2, 2, 1, 2]), np.array([0, 0, 60, 181, 500, 301])  # pauses of 60, 121 and 120 s
    data = interactions_of(users, np.array([1, 2, 1, 1, 2, 2]), 2, 2, timestamps=times + 10**9, features=True)
    cut = sessions_by_gap(data, 2)
    assert cut.notes[-1] == "2 users cut into 4 sessions at pauses of more than 2 minutes."
    assert cut.user_ids.tolist() == ["", "u1/1", "u1/2", "u2/1", "u2/2"]
    assert cut.users.tolist() == [1, 2, 3, 3, 4, 4]
    assert cut.user_features["user_gender"].values.tolist() == ["", "M", "M", "F", "F"]


def test_what_is_known_of_rows_goes_with_them_into_the_cases() -> None:
    data = log([2, 2, 2, 2, 1, 3, 1, 3])
    numbers = np.arange(len(data), dtype=np.float32)
    place = FeatureColumn("place", Kind.NUMERIC, numbers + 200)
    by_item = dict(zip(data.items.tolist(), numbers.tolist(), strict=True))
    known = replace(
        data,
        ratings=numbers,
        weights=numbers + 100,
        context_features={"place": place},
        oracle=lambda users: np.zeros((len(users), data.num_items + 1), np.float32),  # knows the users of before only
        official_folds={"u1": np.array([0])},
    )
    made, split = split_interactions(known, "sessions", test_fraction=0.25, validation_fraction=1 / 3)
    expected = np.array([by_item[item] for item in made.items.tolist()])
    assert made.ratings is not None
    assert made.weights is not None
    np.testing.assert_array_equal(made.ratings, expected)
    np.testing.assert_array_equal(made.weights, expected + 100)
    np.testing.assert_array_equal(made.context_features["place"].values, expected + 200)
    assert made.ratings[split.test].tolist() == [14, 15]
    assert (made.oracle, made.official_folds) == (None, {})
