from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_tfrs.data.core import core, core_rows
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.data.sessions import split_interactions
from recsys_tfrs.data.sources import DataRequest, load
from recsys_tfrs.data.splits import make_split
from recsys_tfrs.errors import DataError, UsageError
from recsys_tfrs.schema import Kind

Edges = list[tuple[int, int]]
EDGES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=40)


def peeled_one_by_one(edges: Edges, k: int) -> list[int]:
    """The k-core by its textbook definition: take out one entity that has too few rows, look again."""
    left = set(range(len(edges)))
    while True:
        for side in (0, 1):
            for entity in range(7):
                own = {row for row in left if edges[row][side] == entity}
                if 0 < len(own) < k:
                    left -= own
                    break
            else:
                continue
            break
        else:
            return sorted(left)


@given(EDGES, st.integers(1, 5))
def test_it_is_the_largest_part_in_which_everybody_has_k(edges: Edges, k: int) -> None:
    users, items = np.array(edges, dtype=np.int32).reshape(-1, 2).T
    rows = core_rows(users, items, k)
    assert rows.tolist() == peeled_one_by_one(edges, k)
    for ids in (users[rows], items[rows]):
        assert (np.unique(ids, return_counts=True)[1] >= k).all()


def data() -> Interactions:
    """Users a, b, c share the items x and y; d has x and z, so z falls, then d, and w was never touched."""
    names = np.array(["", "a", "b", "c", "d"], dtype=object)
    items = np.array(["", "x", "z", "y", "w"], dtype=object)
    return Interactions(
        "small",
        np.array([1, 4, 2, 4, 1, 2, 3, 3], dtype=np.int32),
        np.array([1, 1, 1, 2, 3, 3, 3, 1], dtype=np.int32),
        np.arange(8, dtype=np.float32),
        np.arange(100, 108, dtype=np.int64),
        names,
        items,
        {"age": FeatureColumn("age", Kind.NUMERIC, np.array([np.nan, 10, 20, 30, 40], dtype=np.float32))},
        {"title": FeatureColumn("title", Kind.TEXT, np.array(["", "X", "Z", "Y", "W"], dtype=object))},
        {"place": FeatureColumn("place", Kind.CATEGORICAL, np.array(list("ABCDEFGH"), dtype=object))},
        weights=np.arange(8, dtype=np.float32),
        title_column="title",
        official_folds={"u1": np.array([1, 2, 7], dtype=np.int64)},
        oracle=lambda users: users[:, None] * 10.0 + np.arange(5, dtype=np.float32),
    )


def test_ids_features_rows_folds_and_truth_stay_together() -> None:
    got = core(data(), 2)
    assert got.user_ids.tolist() == ["", "a", "b", "c"]
    assert got.item_ids.tolist() == ["", "x", "y"]
    assert got.titles.tolist() == ["", "X", "Y"]
    pairs = [(got.user_ids[u], got.item_ids[i]) for u, i in zip(got.users, got.items, strict=True)]
    assert pairs == [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y"), ("c", "y"), ("c", "x")]
    assert got.ratings is not None
    assert got.timestamps is not None
    assert got.weights is not None
    assert got.ratings.tolist() == got.weights.tolist() == [0, 2, 4, 5, 6, 7]
    assert got.timestamps.tolist() == [100, 102, 104, 105, 106, 107]
    assert got.user_features["age"].values[1:].tolist() == [10, 20, 30]
    assert got.context_features["place"].values.tolist() == list("ACEFGH")
    assert got.official_folds["u1"].tolist() == [1, 5]  # rows 2 and 7 of before
    assert got.oracle is not None
    # Item y was number 3, user c still is.
    assert got.oracle(np.array([3, 1], dtype=np.int32)).tolist() == [[30, 31, 33], [10, 11, 13]]
    assert got.notes[-1] == (
        "2-core: every user and item has at least 2 interactions. Left are 6 of 8 interactions, 3 of 4 users and 2 of "
        "4 items."
    )


def test_a_core_of_one_leaves_out_what_nobody_touched() -> None:
    got = core(data(), 1)
    assert len(got) == 8
    assert got.item_ids.tolist() == ["", "x", "z", "y"]


def test_cases_of_the_source_that_are_left_out_are_no_cases_any_more() -> None:
    got = core(replace(data(), test_cases=np.array([3, 4], dtype=np.int64)), 2)
    assert got.test_cases is not None
    assert got.test_cases.tolist() == [2]


def test_nothing_left_is_an_error_with_the_bound() -> None:
    with pytest.raises(DataError, match=r"4-core of small holds 0 users and 0 items.*smaller data.core \(above 2"):
        core(data(), 4)
    with pytest.raises(UsageError, match=r"data\.core is 0"):
        core(data(), 0)


def test_every_source_takes_it(tmp_path: Path) -> None:
    whole = load(DataRequest("simulated-tiny"))
    small = load(DataRequest("simulated-tiny", core=20))
    assert small.num_items < whole.num_items
    assert min(np.bincount(small.users)[1:].min(), np.bincount(small.items)[1:].min()) >= 20
    assert "20-core" in small.notes[-1]
    make_split(small)

    table = tmp_path / "own.csv"
    table.write_text("user,item\n" + "".join(f"u{n % 3},i{n // 3}\n" for n in range(9)) + "u0,i9\n")
    assert load(DataRequest(str(table))).num_items == 4
    assert load(DataRequest(str(table), core=3)).item_ids.tolist() == ["", "i0", "i1", "i2"]

    baskets = tmp_path / "baskets.txt"
    baskets.write_text("bread milk\nmilk bread\nbread milk salt\n")
    got = load(DataRequest(f"lists:{baskets}", core=2))
    assert got.item_ids.tolist() == ["", "bread", "milk"]
    assert got.in_order


def test_test_cases_count_for_nothing_and_are_never_trained_on(tmp_path: Path) -> None:
    (tmp_path / "train_sessions.txt").write_text("a b c a b c\n" * 6)
    (tmp_path / "test_cases.txt").write_text("a b c\trare\na rare b\tb\nb c a\tc\n")
    got = load(DataRequest(str(tmp_path), core=3))
    assert got.item_ids.tolist() == ["", "a", "b", "c"]
    assert got.test_cases is not None
    asked = [got.item_ids[got.items[got.users == user]].tolist() for user in got.users[got.test_cases]]
    assert asked == [["a", "b", "b"], ["b", "c", "a", "c"]]
    # The case whose target fell out is gone with all its rows: seven sessions would be left otherwise.
    _, split = split_interactions(got, validation_fraction=0.2)
    assert len(np.unique(got.users[split.train])) == 6
    assert "Test cases do not count; 2 of 3 are left" in got.notes[-1]


def test_rows_of_test_cases_do_not_keep_an_item_in_the_core(tmp_path: Path) -> None:
    (tmp_path / "train_sessions.txt").write_text("a b a b\n" * 4 + "a b z\n")
    (tmp_path / "test_cases.txt").write_text("z z z\ta\n")
    got = load(DataRequest(str(tmp_path), core=3))
    assert got.item_ids.tolist() == ["", "a", "b"]
