"""The folding scores of a run: which groups, which lists, which vectors, what is printed."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from recsys_tfrs.config import build
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.simulated import SIZES, simulate
from recsys_tfrs.errors import DataError, UsageError
from recsys_tfrs.evaluation.folding import multi_hot
from recsys_tfrs.evaluation.ranking import Ranking
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.folding import TRUE_GROUPS, item_groups, measure_folding, print_folding
from recsys_tfrs.runs.prepared import Prepared, prepare
from recsys_tfrs.schema import MOVIE_GENRES

# Items 1 to 4 are of the first of two groups, 5 to 8 of the second.
GROUPS = np.array([[False, False]] + 4 * [[True, False]] + 4 * [[False, True]])


def prepared(**data: Any) -> Prepared:
    return prepare(
        build(family_config("softmax"), [{"family": "softmax", "data": {"dataset": "simulated-tiny", **data}}])
    )


def histories(*rows: list[int]) -> Histories:
    items = np.array([item for row in rows for item in row], np.int32)
    offsets = np.concatenate([[0, 0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Histories(offsets, items, None, None, np.arange(len(items)), num_items=8)


def ranking_of(lists: list[list[int]]) -> Ranking:
    users = np.arange(1, len(lists) + 1, dtype=np.int32)
    zeros = np.zeros(len(users), np.int64)
    return Ranking(users, users, zeros, zeros + 1, zeros + 8, users, np.array(lists, np.int32), num_items=8)


def test_true_groups_are_those_the_data_was_made_of() -> None:
    groups = item_groups(prepared(seed=3), TRUE_GROUPS)
    expected = simulate(SIZES["tiny"], seed=3).world.item_group
    assert groups.shape == (121, 8)
    assert not groups[0].any()
    np.testing.assert_array_equal(groups[1:].sum(axis=1), np.ones(120))
    np.testing.assert_array_equal(np.argmax(groups[1:], axis=1), expected[1:])
    # A k-core leaves items out, and those that stay keep their groups.
    whole, small = prepared(seed=3).interactions, prepared(seed=3, core=20)
    assert small.interactions.num_items < 120
    place = {item: row for row, item in enumerate(whole.item_ids)}
    stay = [place[item] for item in small.interactions.item_ids]
    np.testing.assert_array_equal(item_groups(small, TRUE_GROUPS), groups[stay])
    scaled = item_groups(prepared(num_rows=8_000), TRUE_GROUPS)
    wider = prepared(num_rows=8_000).interactions.item_features[MOVIE_GENRES]
    # An item's main genre is one of its genres, so no item of a group lacks the group's genre.
    genres = multi_hot(wider)[1]
    for group in scaled.T:
        assert genres[group].all(axis=0).any()


def test_groups_of_a_column() -> None:
    data = prepared()
    expected = multi_hot(data.interactions.item_features[MOVIE_GENRES])[1]
    np.testing.assert_array_equal(item_groups(data, MOVIE_GENRES), expected)


def test_what_has_no_groups_is_refused() -> None:
    with pytest.raises(UsageError, match=r"simulated-tiny has no 'colour'; its columns of categories: movie_genres\."):
        item_groups(prepared(), "colour")
    with pytest.raises(UsageError, match="simulated-tiny-unlearnable has no 'true-groups'"):
        item_groups(prepared(dataset="simulated-tiny-unlearnable"), TRUE_GROUPS)
    with pytest.raises(DataError, match="'movie_year' is numeric"):
        item_groups(prepared(), "movie_year")


def test_lists_are_cut_at_ten_and_both_sides_are_measured() -> None:
    """User 1 touched both groups, user 2 the first alone: once, which may be luck; user 3 it alone six times."""
    seen = histories([1, 5], [1], [1, 2, 3, 4, 1, 2])
    ten = [1, 2, 3, 4, 1, 2, 3, 4]
    lists = ranking_of([[*ten, 5, 6, 7], [*ten, 5, 6, 7], [*ten[:-1], 5, 6, 7, 8]])
    angle = np.radians([0, 0, 1, 2, 3, 90, 91, 92, 93])
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    found = measure_folding(lists, vectors, seen, GROUPS)
    assert found.never_touched.share == pytest.approx((0 + 2 / 10 + 3 / 10) / 3)
    assert found.never_touched.chance == pytest.approx((0 + 1 / 2 + 1 / 2) / 3)
    # The second group has 1 of 9 rows: (8/9)^6 = .49 is no evidence.
    assert found.avoided.share == 0
    # Seven neighbours each, all there are: four of them are of the other group.
    assert found.overlap.neighbour_share == pytest.approx(4 / 7)
    assert found.overlap.centroid_cosine == pytest.approx(0, abs=1e-9)
    assert found.num_groups == 2
    # With three of the second group among four rows each, a user of six items would have been expected to have some.
    seen = histories([1, 5, 6, 7, 8, 5, 6, 7], [1], [1, 2, 3, 4, 1, 2])
    found = measure_folding(lists, vectors, seen, GROUPS)
    # 7 of 15 rows: missed by luck in (8/15)^6 = .023 by user 3, in 8/15 by user 2.
    assert found.avoided.share == pytest.approx((0 + 0 + 3 / 10) / 3)
    assert found.avoided.chance == pytest.approx((0 + 0 + 1 / 2) / 3)


def test_what_is_printed() -> None:
    console = Console(file=io.StringIO(), width=120)
    lists = ranking_of([[5, 6, 1]])
    vectors = np.eye(9, 2)
    print_folding(console, "genres", measure_folding(lists, vectors, histories([1, 2]), GROUPS))
    shown = console.file.getvalue()
    assert "folding over the 2 groups of genres, lists of 10 of 1 test users" in shown
    assert re.search(r"never touched +│ 0\.6667 +│ +0\.5000 +│ +1\.33", shown)
    assert re.search(r"avoided \(by luck: 5%\) +│ 0\.0000 +│ +0\.0000 +│ +-", shown)
    assert "centroids of 1 pairs of unrelated groups" in shown
