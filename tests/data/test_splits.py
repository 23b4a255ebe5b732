from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.splits import Split, make_split, parse_method, split_hash, time_order
from recsys_tfrs.errors import SplitError
from recsys_tfrs.schema import SplitMethod


def make(users: list[int], times: list[int] | None) -> Interactions:
    count = len(users)
    return Interactions(
        name="d",
        users=np.array(users, np.int32),
        items=np.arange(1, count + 1, dtype=np.int32),
        ratings=None,
        timestamps=None if times is None else np.array(times, np.int64),
        user_ids=np.array(["", *(f"u{n}" for n in range(1, max(users) + 1))], object),
        item_ids=np.array(["", *(f"i{n}" for n in range(1, count + 1))], object),
    )


def check_parts(split: Split, count: int) -> None:
    """Test and train share nothing and miss nothing; validation is a part of train; all are sorted."""
    assert np.sort(np.concatenate([split.train, split.test])).tolist() == list(range(count))
    assert set(split.validation) <= set(split.train)
    assert sorted([*split.selection_train, *split.validation]) == split.train.tolist()
    for part in (split.train, split.validation, split.test):
        assert part.tolist() == sorted(part.tolist())


def test_temporal() -> None:
    # Rows by time: 9 (0 s), 1, 2, ..., 8, 0 (100 s). The newest 20% of ten are two: rows 8 and 0. Of the eight that
    # are left the newest quarter are two: rows 6 and 7.
    data = make([1] * 10, [100, 1, 2, 3, 4, 5, 6, 7, 8, 0])
    split = make_split(data, "temporal", test_fraction=0.2, validation_fraction=0.25)
    assert split.test.tolist() == [0, 8]
    assert split.validation.tolist() == [6, 7]
    assert split.train.tolist() == [1, 2, 3, 4, 5, 6, 7, 9]
    assert split.selection_train.tolist() == [1, 2, 3, 4, 5, 9]


def test_equal_times_keep_the_file_order() -> None:
    data = make([1] * 6, [5, 5, 1, 5, 5, 1])
    assert time_order(data, np.array([4, 0, 1, 2, 3, 5])).tolist() == [2, 5, 0, 1, 3, 4]
    split = make_split(data, "temporal", test_fraction=1 / 3, validation_fraction=0.25)
    assert split.test.tolist() == [3, 4]
    assert split.validation.tolist() == [1]


def test_leave_last_out() -> None:
    # User 1: rows 0 (30 s), 2 (10 s), 4 (20 s). User 2: row 1 alone stays in training. User 3: rows 3 and 5.
    data = make([1, 2, 1, 3, 1, 3], [30, 99, 10, 5, 20, 5])
    split = make_split(data, "leave-last-out")
    assert split.test.tolist() == [0, 5]
    assert split.validation.tolist() == [4]  # user 3 has one row left, which stays
    assert split.train.tolist() == [1, 2, 3, 4]


def test_leave_last_out_of_lists_goes_by_their_order() -> None:
    lists = replace(make([1, 2, 1, 2, 1, 2], None), in_order=True)
    split = make_split(lists, "leave-last-out")
    assert (split.test.tolist(), split.validation.tolist()) == ([4, 5], [2, 3])
    # Where there are times as well, they say what came last.
    timed = replace(lists, timestamps=np.array([9, 9, 1, 1, 2, 2]))
    split = make_split(timed, "leave-last-out")
    assert (split.test.tolist(), split.validation.tolist()) == ([0, 1], [4, 5])
    with pytest.raises(SplitError, match="has no timestamps"):
        make_split(replace(lists, in_order=False), "leave-last-out")


def test_the_usual_random_split() -> None:
    """A fifth tests, a tenth of the others validates, the seed is 42: what figures are published with."""
    data = make([1] * 200, None)
    usual = make_split(data, "random")
    assert usual.hash == make_split(data, "random", test_fraction=0.2, validation_fraction=0.1, seed=42).hash
    assert (len(usual.test), len(usual.validation)) == (40, 16)


def test_random_is_numpys_permutation_with_the_first_part_for_training() -> None:
    data = make([1] * 1_000, None)
    split = make_split(data, "random", seed=42)
    order = np.random.default_rng(42).permutation(1_000)
    assert split.train.tolist() == sorted(order[:800].tolist())
    assert split.test.tolist() == sorted(order[800:].tolist())
    assert len(split.validation) == 80
    again = np.random.default_rng(43).permutation(800)
    assert split.validation.tolist() == sorted(split.train[again[720:]].tolist())


def test_official_folds() -> None:
    data = replace(make([1] * 20, None), official_folds={"u1": np.array([7, 3, 19])})
    split = make_split(data, "official:u1")
    assert split.test.tolist() == [3, 7, 19]
    assert split.name == "official:u1"
    check_parts(split, 20)
    with pytest.raises(SplitError, match=r"no official fold 'u2' \(it has: u1\)"):
        make_split(data, "official:u2")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5)), min_size=12, max_size=40),
    st.sampled_from(["temporal", "leave-last-out", "random"]),
    st.integers(0, 3),
)
def test_parts_never_overlap_and_nothing_is_lost(rows: list[tuple[int, int]], method: str, seed: int) -> None:
    users, times = [1, 1, 1, *(row[0] for row in rows)], [0, 0, 0, *(row[1] for row in rows)]
    data = make(users, times)
    split = make_split(data, method, seed=seed)
    check_parts(split, len(users))
    if method == "temporal":
        key = [(times[row], row) for row in range(len(users))]
        assert max(key[row] for row in split.train) < min(key[row] for row in split.test)
        assert max(key[row] for row in split.selection_train) < min(key[row] for row in split.validation)
    if method == "leave-last-out":
        for row in split.test:
            older = [r for r in range(len(users)) if users[r] == users[row] and r != row]
            assert all((times[r], r) < (times[row], row) for r in older)


@settings(deadline=None)
@given(st.permutations(range(1, 5)), st.permutations(range(1, 31)))
def test_the_hash_does_not_depend_on_internal_numbers(user_order: list[int], item_order: list[int]) -> None:
    data = make([1, 2, 3, 4, 1, 2] * 5, list(range(30)))
    renumbered_users = np.array([0, *user_order], np.int32)
    renumbered_items = np.array([0, *item_order], np.int32)
    user_ids, item_ids = data.user_ids.copy(), data.item_ids.copy()
    user_ids[renumbered_users] = data.user_ids
    item_ids[renumbered_items] = data.item_ids
    other = replace(
        data,
        users=renumbered_users[data.users],
        items=renumbered_items[data.items],
        user_ids=user_ids,
        item_ids=item_ids,
    )
    assert make_split(other).hash == make_split(data).hash


def test_the_hash_tells_splits_and_data_apart() -> None:
    data = make([1, 2] * 10, list(range(20)))
    hashes = {make_split(data, method, seed=seed).hash for method in ("temporal", "random") for seed in (1, 2)}
    assert len(hashes) == 3  # the seed has no effect on the temporal split
    assert make_split(replace(data, user_ids=np.array(["", "u1", "x"], object))).hash not in hashes
    one, two, three = np.array([0]), np.array([1]), np.array([0, 1])
    assert split_hash(data, one, two) != split_hash(data, three)  # where a part ends counts


def test_the_hash_is_that_of_all_three_parts() -> None:
    data = make([1] * 20, list(range(20)))
    split = make_split(data, "temporal")
    assert split.hash == split_hash(data, split.train, split.validation, split.test)
    assert len({split_hash(data, *parts) for parts in ([[0]], [[0], [1]], [[0], [1], [2]], [[0], [1], [3]])}) == 4


def test_the_hash_is_the_same_on_every_machine() -> None:
    data = make([1, 2], [0, 1])

    # sha256 over, per part: its length as eight little-endian bytes, then 64-bit blake2b of the user ids, then of the
    # item ids; computed once with hashlib alone.
    def short(text: str) -> bytes:
        return hashlib.blake2b(text.encode(), digest_size=8).digest()

    expected = hashlib.sha256(
        (2).to_bytes(8, "little") + short("u1") + short("u2") + short("i1") + short("i2") + (0).to_bytes(8, "little")
    ).hexdigest()
    assert split_hash(data, np.array([0, 1]), np.array([], np.int64)) == expected


@pytest.mark.parametrize("text", ["chronological", "official", "temporal:u1", ""])
def test_unknown_methods(text: str) -> None:
    with pytest.raises(SplitError, match="use temporal, leave-last-out, random, sessions or official:FOLD"):
        parse_method(text)
    assert parse_method("official:ua") == (SplitMethod.OFFICIAL, "ua")
    assert parse_method("random") == (SplitMethod.RANDOM, None)


def test_splits_that_leave_a_part_empty() -> None:
    with pytest.raises(SplitError, match="no timestamps, which this split needs"):
        make_split(make([1] * 10, None), "temporal")
    with pytest.raises(SplitError, match="leaves no validation rows"):
        make_split(make([1, 1, 2], [1, 2, 3]), "leave-last-out")
    with pytest.raises(SplitError, match="leaves no test rows"):
        make_split(make([1, 2, 3] * 10, None), "random", test_fraction=0.0)
    with pytest.raises(SplitError, match="leaves no train rows"):
        make_split(make([1] * 10, None), "random", test_fraction=1.0)
