from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.baselines import item_knn
from recsys_tfrs.baselines.item_knn import ItemKNN, ItemKNNConfig
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DataError


def random_histories(num_users=30, num_items=10, seed=0):
    taken = np.random.default_rng(seed).random((num_users, num_items)) < 0.4
    taken[np.arange(num_users), np.arange(num_users) % 10] = True  # nobody has nothing
    _, item = np.nonzero(taken)
    offsets = np.concatenate(([0, 0], np.cumsum(taken.sum(axis=1)))).astype(np.int64)
    return Histories(offsets, (item + 1).astype(np.int32), None, None, np.arange(len(item)), num_items), taken


def test_cosine_with_all_neighbours_is_the_sum_of_cosines():
    histories, taken = random_histories()
    x = taken.astype(np.float64)
    unit = x / np.linalg.norm(x, axis=0)
    cosine = unit.T @ unit
    np.fill_diagonal(cosine, 0)
    model = ItemKNN(ItemKNNConfig(k=10, weighting="cosine", num_threads=1))
    model.fit(histories)
    np.testing.assert_allclose(model.score(np.arange(1, 31))[:, 1:], x @ cosine, atol=1e-6)


def test_tfidf_lets_users_of_many_items_count_less():
    histories, taken = random_histories()
    x = taken.astype(np.float64)
    # Items are the documents and users the terms; item 0 is a document too.
    weighted = (np.log(11) - np.log1p(x.sum(axis=1)))[:, None] * x
    unit = weighted / np.linalg.norm(weighted, axis=0)
    similarity = unit.T @ unit
    np.fill_diagonal(similarity, 0)
    model = ItemKNN(ItemKNNConfig(k=10, weighting="tfidf", num_threads=1))
    model.fit(histories)
    np.testing.assert_allclose(model.score(np.arange(1, 31))[:, 1:], x @ similarity, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_only_the_k_nearest_of_each_history_item_count(k):
    histories, taken = random_histories(num_users=300)
    x = taken.astype(np.float64)
    unit = x / np.linalg.norm(x, axis=0)
    cosine = unit.T @ unit
    np.fill_diagonal(cosine, 0)
    kept = np.where(cosine >= np.sort(cosine, axis=1)[:, -k][:, None], cosine, 0)
    model = ItemKNN(ItemKNNConfig(k=k, weighting="cosine", num_threads=1))
    model.fit(histories)
    np.testing.assert_allclose(model.score(np.arange(1, 301))[:, 1:], x @ kept, atol=1e-6)


def test_bm25_differs_and_a_wrong_weighting_is_refused():
    histories, _ = random_histories()
    users = np.arange(1, 31)
    scores = {}
    for weighting in ("bm25", "cosine"):
        model = ItemKNN(ItemKNNConfig(weighting=weighting, num_threads=1))
        model.fit(histories)
        scores[weighting] = model.score(users)
    assert not np.allclose(scores["bm25"], scores["cosine"], atol=0.1)
    with pytest.raises(ValueError, match="cosine, tfidf or bm25"):
        ItemKNN(ItemKNNConfig(weighting="euclid")).fit(histories)


def test_items_similar_to_nothing_follow_by_popularity():
    # User 1 has item 1, which shares users with item 2 only; items 3 and 4 differ in popularity alone.
    lists = [[], [1], [1, 2], [3], [4], [4], [2]]
    offsets = np.concatenate(([0], np.cumsum([len(items) for items in lists])))
    items = np.array([1, 1, 2, 3, 4, 4, 2], dtype=np.int32)
    model = ItemKNN(ItemKNNConfig(weighting="cosine", num_threads=1))
    model.fit(Histories(offsets, items, None, None, np.arange(len(items)), 4))
    scores = model.score(np.array([1]))[0]
    assert scores[2] == pytest.approx(1 / 2)
    assert scores[2] > scores[4] > scores[3] > 0
    assert scores[4] < 1e-8


def test_a_user_who_has_everything_weighs_nothing_and_breaks_nothing():
    # log(4) - log(1 + 3) = 0: the vectors of items 2 and 3 have no length to divide by.
    model = ItemKNN(ItemKNNConfig(weighting="tfidf", num_threads=1))
    items = np.array([1, 2, 3, 1], dtype=np.int32)
    model.fit(Histories(np.array([0, 0, 3, 4]), items, None, None, np.arange(4), 3))
    scores = model.score(np.array([0, 1, 2]))
    assert np.isfinite(scores).all()
    assert scores[2, 2] == scores[2, 3]


def test_histories_too_long_are_refused(monkeypatch):
    histories, taken = random_histories()
    pairs = int((taken.sum(axis=1) ** 2).sum())
    monkeypatch.setattr(item_knn, "MAX_ITEM_PAIRS", pairs)
    assert ItemKNN().refusal(histories) is None
    monkeypatch.setattr(item_knn, "MAX_ITEM_PAIRS", pairs - 1)
    with pytest.raises(DataError, match=f"{pairs:,} pairs of items"):
        ItemKNN().fit(histories)
