"""What the unlearnable variant keeps, what it destroys, and the bound that holds on it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.simulated import load_simulated, popularity_bound
from recsys_tfrs.data.splits import Split, make_split


@cache
def data(name: str) -> Interactions:
    return load_simulated(name)


def test_marginals_are_kept_exactly() -> None:
    before, after = data("simulated-tiny"), data("simulated-tiny-unlearnable")
    np.testing.assert_array_equal(after.users, before.users)
    np.testing.assert_array_equal(after.timestamps, before.timestamps)
    np.testing.assert_array_equal(np.bincount(after.items), np.bincount(before.items))
    np.testing.assert_array_equal(np.sort(after.ratings), np.sort(before.ratings))
    assert (after.items == before.items).mean() < 0.1
    for side in ("user_features", "item_features"):
        for name, column in getattr(before, side).items():
            shuffled = getattr(after, side)[name]
            assert sorted(map(str, shuffled.values)) == sorted(map(str, column.values))
            assert [str(v) for v in shuffled.values] != [str(v) for v in column.values]
            assert str(shuffled.values[0]) == str(column.values[0])


def test_no_pair_twice_even_where_the_table_is_dense() -> None:
    after = data("simulated-tiny-unlearnable")
    assert len(set(zip(after.users.tolist(), after.items.tolist(), strict=True))) == len(after)


def test_oracle_is_popularity_for_everybody() -> None:
    after = data("simulated-tiny-unlearnable")
    scores = after.oracle(np.array([1, 5], dtype=np.int32))
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0, 1:], np.bincount(after.items)[1:])
    assert np.isneginf(scores[:, 0]).all()


def test_popularity_bound_against_arithmetic() -> None:
    """Events: items 1, 2 and 3 thrice each, item 4 once.

    User 1 has seen item 1; the test item 3 ties with item 2: hit@1 = 1/2. User 2 has seen 2; the test item 1 ties with
    3: 1/2. User 3 has seen 1 and 3; the test item 4 is behind 2: 0. User 4 has seen 2; the test item 3 ties with 1:
    1/2. All four stand among the first two.
    """
    rows = [(1, 1), (1, 3), (2, 2), (2, 1), (3, 1), (3, 3), (3, 4), (4, 2), (4, 3), (5, 2)]
    users, items = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    tiny = Interactions(
        name="by hand",
        users=users,
        items=items,
        ratings=None,
        timestamps=None,
        user_ids=np.array(["", "a", "b", "c", "d", "e"], dtype=object),
        item_ids=np.array(["", "p", "q", "r", "s"], dtype=object),
    )
    test = np.array([1, 3, 6, 8])
    train = np.setdiff1d(np.arange(10), test)
    split = Split(name="by hand", train=train, validation=train[:1], test=test, hash="")
    assert popularity_bound(tiny, split, k=1) == pytest.approx((0.5 + 0.5 + 0 + 0.5) / 4)
    assert popularity_bound(tiny, split, k=2) == pytest.approx(1.0)
    assert popularity_bound(tiny, split, k=1, rows=test[2:]) == pytest.approx((0 + 0.5) / 2)


def ease_scores(matrix: np.ndarray, regularisation: float) -> np.ndarray:
    """EASE (Steck 2019, equation 8): the strongest linear item-to-item model, with no diagonal."""
    inverse = np.linalg.inv(matrix.T @ matrix + regularisation * np.eye(matrix.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return matrix @ weights


def hit_rate(interactions: Interactions, split: Split, scores: np.ndarray, matrix: np.ndarray, k: int = 10) -> float:
    """Hit@k of test rows, seen items filtered, ties in random order: a cold user's scores are all alike."""
    ranked = np.where(matrix > 0, -np.inf, scores)
    ranked[:, 0] = -np.inf
    users, items = interactions.users[split.test], interactions.items[split.test]
    target = ranked[users, items][:, None]
    ahead, tied = (ranked[users] > target).sum(1), (ranked[users] == target).sum(1)
    return float(np.clip((k - ahead) / tied, 0.0, 1.0).mean())


def train_matrix(interactions: Interactions, split: Split) -> np.ndarray:
    matrix = np.zeros((interactions.num_users + 1, interactions.num_items + 1))
    matrix[interactions.users[split.train], interactions.items[split.train]] = 1
    return matrix


@pytest.mark.parametrize("method", ["temporal", "random", "leave-last-out"])
def test_nothing_beyond_popularity_can_be_learnt(method: str) -> None:
    interactions = data("simulated-tiny-unlearnable")
    split = make_split(interactions, method)
    matrix = train_matrix(interactions, split)
    bound = popularity_bound(interactions, split)
    error = np.sqrt(bound * (1 - bound) / len(split.test))
    for regularisation in (10.0, 100.0):
        assert hit_rate(interactions, split, ease_scores(matrix, regularisation), matrix) < bound + 3 * error


def test_the_learnable_twin_lies_far_above_that_bound() -> None:
    interactions = data("simulated-tiny")
    split = make_split(interactions, "random")
    matrix = train_matrix(interactions, split)
    bound = popularity_bound(interactions, split)
    error = np.sqrt(bound * (1 - bound) / len(split.test))
    assert hit_rate(interactions, split, ease_scores(matrix, 100.0), matrix) > bound + 5 * error


@pytest.mark.parametrize("method", ["temporal", "random"])
def test_oracle_beats_ease_beats_popularity(method: str) -> None:
    interactions = data("simulated-tiny")
    split = make_split(interactions, method)
    matrix = train_matrix(interactions, split)
    popularity = np.tile(matrix.sum(0), (len(matrix), 1))
    oracle = interactions.oracle(np.arange(interactions.num_users + 1, dtype=np.int32))
    figures = [
        hit_rate(interactions, split, scores, matrix) for scores in (popularity, ease_scores(matrix, 100.0), oracle)
    ]
    assert figures[0] + 0.03 < figures[1]
    if method == "temporal":  # a random split hides rows of all times, which the oracle of the test period is not for
        assert figures[1] + 0.02 < figures[2]
