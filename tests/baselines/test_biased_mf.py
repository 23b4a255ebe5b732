from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from recsys_tfrs.baselines import biased_mf
from recsys_tfrs.baselines.biased_mf import BiasedMF, BiasedMFConfig
from recsys_tfrs.baselines.matrix import LOWEST
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DataError


def rated(num_users=9, num_items=7, seed=0):
    """Ratings of a made-up world of rank one with biases; user 0 and the last item have none."""
    rng = np.random.default_rng(seed)
    taken = rng.random((num_users + 1, num_items + 1)) < 0.7
    taken[0] = taken[:, 0] = taken[:, -1] = False
    users, items = np.nonzero(taken)
    tastes, kinds, generous, good = (rng.normal(size=n) for n in (num_users + 1, num_items + 1) * 2)
    ratings = 3 + tastes[users] * kinds[items] + 0.5 * generous[users] + 0.5 * good[items]
    offsets = np.concatenate(([0], np.cumsum(taken.sum(axis=1)))).astype(np.int64)
    return Histories(
        offsets, items.astype(np.int32), ratings.astype(np.float32), None, np.arange(len(items)), num_items
    ), users


def predictions_of_equation_15(histories, users, config):
    """All predictions where a general optimiser finds the least penalised error, the parameters being Koren's."""
    items, ratings = histories.items, histories.ratings.astype(np.float64)
    mean, deviation, k = ratings.mean(), ratings.std(), config.factors
    target = (ratings - mean) / deviation
    num_users, num_items = histories.num_users + 1, histories.num_items + 1
    rated_by = np.zeros((num_users, num_items))
    rated_by[users, items] = 1.0
    of_users, of_items = rated_by.sum(axis=1), rated_by.sum(axis=0)
    share = rated_by / np.sqrt(np.maximum(of_users, 1))[:, None]
    sizes = [num_users, num_items, num_users * k, num_items * k, num_items * k]
    penalty = config.regularization

    def split(vector):
        b, c, p, q, y = np.split(vector, np.cumsum(sizes)[:-1])
        return b, c, p.reshape(-1, k), q.reshape(-1, k), y.reshape(-1, k)

    def loss(vector):
        b, c, p, q, y = split(vector)
        x = p + share @ y
        error = b[users] + c[items] + (x[users] * q[items]).sum(axis=1) - target
        of_user, of_item = penalty * np.sqrt(of_users), penalty * np.sqrt(of_items)
        value = (error**2).sum() + of_user @ (b**2 + (p**2).sum(axis=1)) + of_item @ (c**2 + (q**2).sum(axis=1))
        value += penalty * config.implicit_penalty * (y**2).sum()
        dense = np.zeros((num_users, num_items))
        dense[users, items] = error
        to_x = dense @ q
        gradient = (
            dense.sum(axis=1) + of_user * b,
            dense.sum(axis=0) + of_item * c,
            to_x + of_user[:, None] * p,
            dense.T @ x + of_item[:, None] * q,
            share.T @ to_x + penalty * config.implicit_penalty * y,
        )
        return value, 2 * np.concatenate([part.ravel() for part in gradient])

    tries = [
        minimize(
            loss,
            np.random.default_rng(seed).normal(scale=0.5, size=sum(sizes)),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 1_000, "ftol": 1e-10},
        )
        for seed in range(2)
    ]
    b, c, p, q, y = split(min(tries, key=lambda result: result.fun).x)
    return mean + deviation * (b[:, None] + c + (p + share @ y) @ q.T)


def test_it_finds_what_a_general_optimiser_finds_of_equation_15():
    histories, users = rated()
    config = BiasedMFConfig(factors=2, regularization=0.1, implicit_penalty=3.0, iterations=300)
    expected = predictions_of_equation_15(histories, users, config)
    model = BiasedMF(config)
    model.fit(histories)
    everyone = np.arange(1, 10)
    np.testing.assert_allclose(model.score(everyone)[:, 1:-1], expected[1:, 1:-1], atol=0.01)
    plain = BiasedMF(replace(config, implicit_penalty=None))
    plain.fit(histories)
    assert np.abs(plain.score(everyone) - model.score(everyone))[:, 1:-1].max() > 0.05


@pytest.mark.parametrize("block_numbers", [1, 1 << 22])
def test_one_factor_at_a_time_is_the_ridge_regression_written_out(monkeypatch, block_numbers):
    """Users with 1, 2 and 2 ratings against given items, however they are put into blocks."""
    monkeypatch.setattr(biased_mf, "_BLOCK_NUMBERS", block_numbers)
    ratings = biased_mf.csr_matrix(np.array([[0, 0, 0], [0, 2.0, 0], [0, 1.0, 3.0], [0, -1.0, 4.0]]))
    others = np.array([[0.0, 0.0], [0.5, 1.0], [-0.5, 2.0]])  # biases and vectors
    prior = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    got = biased_mf._Side(ratings).solve(others, prior, 0.5)
    for user, features, target, pulled in (
        # 2 - 0.5 - 1 x 1 = 0.5 is left of user 1's rating once the prior has spoken.
        (1, [[1.0, 1.0]], [0.5], [0.0, 1.0]),
        (2, [[1.0, 1.0], [1.0, 2.0]], [0.5, 3.5], [0.0, 0.0]),
        (3, [[1.0, 1.0], [1.0, 2.0]], [-1.5, 4.5], [0.0, 0.0]),
    ):
        f = np.array(features)
        expected = np.linalg.inv(f.T @ f + 0.5 * len(f) ** 0.5 * np.eye(2)) @ f.T @ np.array(target) + pulled
        np.testing.assert_allclose(got[user], expected)
    np.testing.assert_array_equal(got[0], 0.0)


def test_lists_of_like_length_share_a_block():
    lengths = np.array([0, 100, 3, 1, 120, 0, 1, 130])
    got = [(sorted(entities.tolist()), length) for entities, length in biased_mf._blocks(lengths)]
    assert got == [([3, 6], 1), ([2], 3), ([1, 4], 120), ([7], 130)]


def test_predictions_are_scores_within_the_range_of_the_ratings():
    histories, _ = rated(num_users=30, num_items=21)
    model = BiasedMF(BiasedMFConfig(factors=2, regularization=0.05))
    model.fit(histories)
    users, items = np.repeat(np.arange(1, 31), 20), np.tile(np.arange(1, 21), 30)
    scores = model.score(np.arange(1, 31))[:, 1:21].ravel()
    low, high = histories.ratings.min(), histories.ratings.max()
    assert (scores < low).any() or (scores > high).any()
    np.testing.assert_allclose(model.predicted_ratings(users, items), np.clip(scores, low, high), rtol=1e-6)


def test_of_strangers_the_mean_is_predicted_and_an_unrated_item_is_never_first():
    histories, _ = rated()
    model = BiasedMF(BiasedMFConfig(factors=2))
    model.fit(histories)
    mean = histories.ratings.mean()
    assert model.predicted_ratings(np.array([0]), np.array([7]))[0] == pytest.approx(mean, rel=1e-5)
    assert (model.score(np.array([1]))[0, [0, 7]] == LOWEST).all()


def test_ratings_on_another_scale_give_the_same_answers_on_it():
    histories, _ = rated()
    users, items = np.arange(1, 8), np.arange(1, 8)
    models = [BiasedMF(BiasedMFConfig(factors=2)) for _ in range(2)]
    models[0].fit(histories)
    models[1].fit(replace(histories, ratings=10 * histories.ratings - 7))
    one, other = (model.predicted_ratings(users, items) for model in models)
    np.testing.assert_allclose(other, 10 * one - 7, rtol=1e-4)


def test_what_has_no_ratings_to_learn_is_refused(monkeypatch):
    histories, _ = rated()
    without = replace(histories, ratings=None)
    assert BiasedMF().refusal(without) == "it predicts ratings, and the data has none"
    same = replace(histories, ratings=np.full_like(histories.ratings, 4))
    with pytest.raises(DataError, match=r"every one in the data is 4\. Leave this baseline out"):
        BiasedMF().fit(same)
    monkeypatch.setattr(biased_mf, "MAX_ROWS", 5)
    assert "would take too long on" in BiasedMF().refusal(histories)
    with pytest.raises(ValueError, match="regularization is 0"):
        BiasedMF(BiasedMFConfig(regularization=0.0))
