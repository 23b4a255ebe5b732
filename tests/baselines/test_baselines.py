"""What every baseline must do, whatever its method."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.baselines.biased_mf import BiasedMF, BiasedMFConfig
from recsys_tfrs.baselines.ease import EASE, EASEConfig
from recsys_tfrs.baselines.ials import IALS, IALSConfig
from recsys_tfrs.baselines.item_knn import ItemKNN, ItemKNNConfig
from recsys_tfrs.baselines.markov_chain import MarkovChain
from recsys_tfrs.baselines.matrix import LOWEST, user_item_matrix
from recsys_tfrs.baselines.popularity import Popularity
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.evaluation.ranking import rank

ALL = {
    "popularity": Popularity,
    "item_knn": lambda: ItemKNN(ItemKNNConfig(k=10, num_threads=1)),
    "ease": lambda: EASE(EASEConfig(l2=1.0)),
    "ials": lambda: IALS(IALSConfig(factors=2, regularization=0.1, num_threads=1)),
    "biased_mf": lambda: BiasedMF(BiasedMFConfig(factors=2)),
    "markov_chain": MarkovChain,
}
PERSONAL = ["item_knn", "ease", "ials"]


def histories(lists, num_items):
    """Histories of users 0, 1, ... from lists of items, rated 1, 2, 3, 4, 5, 1, 2, ..."""
    offsets = np.concatenate(([0], np.cumsum([len(items) for items in lists]))).astype(np.int64)
    items = np.array([item for items in lists for item in items], dtype=np.int32)
    ratings = (1 + np.arange(len(items)) % 5).astype(np.float32)
    return Histories(offsets, items, ratings, None, np.arange(len(items)), num_items)


def checkerboard(num_users=20, num_items=12):
    """Odd users take odd items and even users even ones, all but the one withheld from each."""
    withheld = np.array([0] + [(u * 2 + u % 2) % num_items or num_items for u in range(1, num_users + 1)])
    assert (withheld[1:] % 2 == np.arange(1, num_users + 1) % 2).all()
    taken = [[i for i in range(1, num_items + 1) if i % 2 == u % 2 and i != withheld[u]] for u in range(num_users + 1)]
    return histories([[], *taken[1:]], num_items), withheld


@pytest.fixture(params=ALL)
def baseline(request):
    return ALL[request.param]()


def test_scores_are_finite_and_of_the_catalogues_width(baseline):
    train = histories([[], [1, 2], [2, 3, 2], []], 5)
    baseline.fit(train)
    scores = baseline.score(np.array([3, 1], dtype=np.int32))
    assert scores.shape == (2, 6)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_users_without_history_get_the_popularity_list(baseline):
    train = histories([[], [1, 2, 3], [2, 3], [3], []], 4)
    baseline.fit(train)
    for row in baseline.score(np.array([0, 4], dtype=np.int32)):
        assert np.argsort(-row[1:], kind="stable").tolist() == [2, 1, 0, 3]


def test_items_nobody_took_come_last_for_everybody(baseline):
    train, _ = checkerboard()
    wider = Histories(train.offsets, train.items, train.ratings, None, train.rows, train.num_items + 2)
    baseline.fit(wider)
    scores = baseline.score(np.arange(20, dtype=np.int32))
    assert (scores[:, 13:].max(axis=1) < scores[:, 1:13].min(axis=1)).all()


def test_scoring_some_users_equals_scoring_all(baseline):
    train, _ = checkerboard()
    baseline.fit(train)
    everyone = baseline.score(np.arange(21, dtype=np.int32))
    some = np.array([7, 2, 2, 19], dtype=np.int32)
    np.testing.assert_allclose(baseline.score(some), everyone[some], rtol=1e-5, atol=1e-6)


def test_two_fits_give_the_same_scores(baseline):
    train, _ = checkerboard()
    users = np.arange(21, dtype=np.int32)
    baseline.fit(train)
    first = np.array(baseline.score(users))
    baseline.fit(train)
    np.testing.assert_array_equal(baseline.score(users), first)


@pytest.mark.parametrize("name", PERSONAL)
def test_the_withheld_square_of_a_checkerboard_is_first(name):
    train, withheld = checkerboard()
    baseline = ALL[name]()
    baseline.fit(train)
    users = np.arange(1, 21)
    ranking = rank(baseline, users, withheld[users], seen=train, num_items=12)
    assert (ranking.greater == 0).all()
    assert (ranking.ties == 1).all()
    popularity = Popularity()
    popularity.fit(train)
    assert (rank(popularity, users, withheld[users], seen=train, num_items=12).greater > 0).any()


def test_repeated_interactions_count_once_in_the_matrix():
    matrix = user_item_matrix(histories([[], [3, 3, 1], [2]], 3))
    assert matrix.toarray().tolist() == [[0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]]


def test_lowest_is_finite():
    assert np.isfinite(LOWEST)
