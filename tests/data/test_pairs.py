"""Interactions as pairs with what came of them."""

from __future__ import annotations

import numpy as np
import pytest
from contracts.tiny_data import all_rows, interactions_of

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.pairs import (
    UntouchedItems,
    all_clicked,
    check_targets,
    clicked_pairs,
    default_target,
    like_threshold,
    rated_pairs,
)
from recsys_tfrs.errors import ConfigError, DataError


def rated(ratings: list[float]) -> Interactions:
    count = len(ratings)
    return interactions_of(np.ones(count, int), np.arange(1, count + 1), 1, count, ratings=np.array(ratings))


@pytest.mark.parametrize(
    ("ratings", "expected"),
    [([1, 2, 3, 4, 5], 4.0), (list(range(1, 11)), 8.0), ([0.5, 1, 2, 3, 3.5, 4, 4.5, 5], 4.0), ([0, 1], 1.0)],
)
def test_likes_begin_three_quarters_up_the_scale(ratings: list[float], expected: float) -> None:
    assert like_threshold(rated(ratings)) == expected


def test_ratings_and_likes_stand_in_the_order_asked_for() -> None:
    made = rated_pairs(rated([1, 4, 5, 3]), np.array([0, 1, 3]), ["like", "rating"], 4.0)
    assert made.targets.tolist() == [[0, 1], [1, 4], [0, 3]]
    assert made.items.tolist() == [1, 2, 4]
    assert made.rows.tolist() == [0, 1, 3]


def test_likes_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(DataError, match=r"None of 3 ratings are 9 or more.*data\.like_from"):
        rated_pairs(rated([1, 4, 5]), np.arange(3), ["like"], 9.0)


def test_the_target_goes_by_the_ratings() -> None:
    assert default_target(rated([1, 4])) == "like"
    assert default_target(rated([1, 1])) == "click"
    assert default_target(interactions_of(np.array([1]), np.array([1]), 1, 1)) == "click"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["stars"], "target = 'stars' is not possible: of interactions there are like, rating, click"),
        (["click", "like"], "click stands alone"),
    ],
)
def test_targets_that_interactions_cannot_tell_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_targets(names, rated([1, 4]))


def test_ratings_need_ratings() -> None:
    with pytest.raises(ConfigError, match="target rating needs ratings that differ, and tiny has none"):
        check_targets(["rating"], rated([3, 3]))


class TestClicks:
    def test_items_drawn_are_none_that_the_user_touched(self) -> None:
        rng = np.random.default_rng(0)
        chosen = np.unique(rng.integers(0, 20 * 30, 300))
        data = interactions_of(chosen // 30 + 1, chosen % 30 + 1, 20, 30)
        train, test = np.arange(0, len(data), 2), np.arange(1, len(data), 2)
        made = clicked_pairs(data, test, build_histories(data, train), 3, seed=1)
        positives = made.targets[:, 0] == 1
        assert positives.sum() == len(test)
        assert (~positives).sum() == 3 * len(test)
        touched = set(zip(data.users.tolist(), data.items.tolist(), strict=True))
        drawn = zip(made.users[~positives].tolist(), made.items[~positives].tolist(), strict=True)
        assert not touched & set(drawn)
        # Each stands in the circumstances of the interaction it was drawn beside.
        np.testing.assert_array_equal(data.users[made.rows], made.users)
        np.testing.assert_array_equal(np.bincount(made.rows)[test], np.full(len(test), 4))

    def test_who_has_everything_gets_none(self) -> None:
        data = interactions_of(np.array([1, 1, 1, 2]), np.array([1, 2, 3, 1]), 2, 3)
        made = clicked_pairs(data, np.arange(4), all_rows(data), 2, seed=1)
        assert made.users[made.targets[:, 0] == 0].tolist() == [2, 2]

    def test_those_alone_are_pairs_of_target_1(self) -> None:
        data = interactions_of(np.array([1, 1, 2]), np.array([1, 2, 3]), 2, 3)
        made = all_clicked(data, np.array([0, 2]))
        assert (made.users.tolist(), made.items.tolist(), made.rows.tolist()) == ([1, 2], [1, 3], [0, 2])
        assert made.targets.tolist() == [[1], [1]]


class TestUntouchedItems:
    @pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
    def test_popular_items_are_drawn_as_much_more_often_as_is_asked(self, alpha: float) -> None:
        """Items 1 to 4 were touched 16, 4, 1 and 0 times by somebody else; none counts as one."""
        items = np.repeat([1, 2, 3], [16, 4, 1])
        data = interactions_of(np.ones(21, int), items, 2, 4)
        nothing = np.zeros(0, np.int32)
        untouched = UntouchedItems(all_rows(data), nothing, nothing, alpha)
        drawn = untouched.draw(np.full(40_000, 2, np.int32), np.random.default_rng(3))
        expected = np.array([16.0, 4.0, 1.0, 1.0]) ** alpha
        shares = np.bincount(drawn, minlength=5)[1:] / len(drawn)
        np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.01)

    def test_what_was_touched_is_not_drawn(self) -> None:
        data = interactions_of(np.array([1, 1, 2]), np.array([1, 2, 3]), 2, 4)
        untouched = UntouchedItems(all_rows(data), np.array([1], np.int32), np.array([4], np.int32))
        drawn = untouched.draw(np.repeat(np.array([1, 2], np.int32), 100), np.random.default_rng(1))
        assert set(drawn[:100].tolist()) == {3}
        assert set(drawn[100:].tolist()) == {1, 2, 4}
