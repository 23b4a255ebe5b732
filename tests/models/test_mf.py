"""Matrix factorization: the contract of every family, and what is its own."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from contracts.model_contract import ModelContract, Way, without
from contracts.tiny_data import all_rows, interactions_of, random_interactions

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.models import mf
from recsys_tfrs.models.mf import Config, MatrixFactorization
from recsys_tfrs.schema import ITEM_ID, USER_ID
from recsys_tfrs.training.pipeline import InteractionBatches


class TestContract(ModelContract):
    family: ClassVar[str] = "mf"
    small: ClassVar[Way] = {"dim": 8, "blocks": 1, "initial_scale": 0.5, "negatives": 8, "penalty": 0.02}
    ways: ClassVar[list[Way]] = [{"objective": "implicit"}, {"objective": "bpr"}]
    capable: ClassVar[Way] = {"dim": 64, "penalty": 0.001}
    remember: ClassVar[Way] = {"penalty": 0.0, "bias_penalty": 0.0, "dropout": 0.0}
    least_loss: ClassVar[float] = 0.0
    describes_items: ClassVar[bool] = False


def built(**settings: object) -> MatrixFactorization:
    data = random_interactions(12, 9, 40)
    config = Config(**{"dim": 4, "blocks": 2, "initial_scale": 1.0, **settings})
    return mf.build(config, FeaturesConfig(), data, all_rows(data), seed=1)


def weights(model: MatrixFactorization) -> tuple[np.ndarray, ...]:
    """P, b, Q, c in the vocabulary's order, of two blocks."""
    users, items = model.query_tower.factors, model.candidate_tower.factors
    return tuple(w.numpy().astype(np.float64) for w in (users.table, users.biases, items.table, items.biases))


def standardised(ratings: np.ndarray) -> tuple[np.ndarray, float, float]:
    return (ratings - ratings.mean()) / ratings.std(), float(ratings.mean()), float(ratings.std())


def test_the_network_is_p_times_q_plus_biases() -> None:
    """Two blocks of two factors are one factorization of four: mu + b_u + c_i + p_u . q_i for every pair."""
    model, data = built(), random_interactions(12, 9, 40)
    _, mean, deviation = standardised(data.ratings.astype(np.float64))
    users, items = model.data.user_table[USER_ID].numpy(), model.data.item_table[ITEM_ID].numpy()
    p, b, q, c = weights(model)
    p[0], b[0], q[0], c[0] = 0, 0, 0, 0
    first, second = p[:, :2] @ q[:, :2].T, p[:, 2:] @ q[:, 2:].T
    blocks = [first + b[:, :1] + c[:, 0], second + b[:, 1:] + c[:, 1]]
    expected = np.clip(mean + deviation * (blocks[0] + blocks[1]) / 2, 1, 5)[users][:, items]
    u, i = (x.ravel().astype(np.int32) for x in np.meshgrid(np.arange(13), np.arange(10), indexing="ij"))
    np.testing.assert_allclose(model.predicted_ratings(u, i).reshape(13, 10), expected, rtol=1e-5)
    assert np.ptp(expected) > 1
    assert expected[0, 0] == pytest.approx(mean)  # of nobody and nothing

    # What the index searches differs from it by what is the same for all of a user's items.
    scores = model.query_tower(model.data.user_table).numpy() @ model.candidate_vectors().numpy().T
    unclipped = (mean + deviation * (blocks[0] + blocks[1]) / 2)[users][:, items]
    np.testing.assert_allclose(scores - scores[:, :1], unclipped - unclipped[:, :1], atol=1e-4)


def test_explicit_loss_is_the_squared_error_and_the_penalties_of_every_row() -> None:
    model, data = built(penalty=0.7, bias_penalty=0.3, penalty_power=0.5), random_interactions(12, 9, 40)
    rows = all_rows(data)
    batch = next(iter(InteractionBatches(rows, 100, seed=1).dataset()))
    target, _, _ = standardised(data.ratings.astype(np.float64))
    u = model.data.user_table[USER_ID].numpy()[data.users]
    i = model.data.item_table[ITEM_ID].numpy()[data.items]
    p, b, q, c = weights(model)
    expected = 0.0
    for row in range(len(data)):
        a, z = u[row], i[row]
        for m in (0, 1):
            product = p[a, 2 * m : 2 * m + 2] @ q[z, 2 * m : 2 * m + 2]
            expected += (target[row] - b[a, m] - c[z, m] - product) ** 2
        n_u, n_i = np.sum(u == a), np.sum(i == z)
        expected += 0.7 * (np.sum(p[a] ** 2) / n_u**0.5 + np.sum(q[z] ** 2) / n_i**0.5)
        expected += 0.3 * (np.sum(b[a] ** 2) / n_u**0.5 + np.sum(c[z] ** 2) / n_i**0.5)
    assert float(model.compute_loss(batch)) == pytest.approx(expected / len(data), rel=1e-5)


def test_implicit_loss_is_the_sum_over_all_pairs_without_enumerating_them() -> None:
    model = built(objective="implicit", unobserved_weight=0.3, penalty=0.0, bias_penalty=0.0)
    data = random_interactions(12, 9, 40)
    scores = model.query_tower(model.data.user_table).numpy() @ model.candidate_vectors().numpy().T
    chosen = np.zeros((13, 10), bool)
    chosen[data.users, data.items] = True
    pairs = np.where(chosen, (1 - scores) ** 2, 0.3 * scores**2)[1:, 1:]
    batch = next(iter(InteractionBatches(all_rows(data), 100, seed=1).dataset()))
    assert float(model.compute_loss(batch)) == pytest.approx(pairs.sum() / 40, rel=1e-4)


def test_bpr_loss_compares_with_every_item_not_chosen() -> None:
    """All nine items are drawn, so that the loss is Rendle's over all triples."""
    model = built(objective="bpr", negatives=9, penalty=0.0, bias_penalty=0.0)
    data = random_interactions(12, 9, 40)
    scores = model.query_tower(model.data.user_table).numpy() @ model.candidate_vectors().numpy().T
    losses = []
    for user, item in zip(data.users, data.items, strict=True):
        others = np.setdiff1d(np.arange(1, 10), data.items[data.users == user])
        losses.append(np.log1p(np.exp(scores[user, others] - scores[user, item])).mean())
    batch = next(iter(InteractionBatches(all_rows(data), 100, seed=1).dataset()))
    assert float(model.compute_loss(batch)) == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("objective", ["explicit", "implicit", "bpr"])
def test_an_interaction_of_more_weight_pulls_more(objective: str) -> None:
    model = built(objective=objective, penalty=0.0, bias_penalty=0.0, negatives=9)
    batch = next(iter(InteractionBatches(all_rows(random_interactions(12, 9, 40)), 100, seed=1).dataset()))
    first = tf.one_hot(0, 40)
    one, all_alike, heavy = (
        float(model.compute_loss({**batch, "weight": w})) for w in (first, tf.ones([40]), tf.ones([40]) + 9 * first)
    )
    assert float(model.compute_loss(batch)) == pytest.approx(all_alike, rel=1e-6)
    if objective == "explicit":
        assert heavy == pytest.approx(all_alike + 9 * one, rel=1e-5)
    assert abs(heavy - all_alike) > 1e-3


def test_dropout_leaves_out_factors_in_training_alone_and_keeps_the_mean() -> None:
    model = built(dropout=0.5)
    p = tf.ones([1_000, 4])
    kept = model._without_dropped(p, tf.constant([1, 2]), training=True).numpy()
    assert set(np.unique(kept)) == {0.0, 2.0}
    assert 0.45 < (kept > 0).mean() < 0.55
    assert model._without_dropped(p, tf.constant([1, 2]), training=False) is p


def test_ratings_are_recovered() -> None:
    """Ratings of rank one plus biases, a fifth of them withheld: predicted to within a tenth of a star."""
    rng = np.random.default_rng(0)
    user, item = (x.ravel() for x in np.meshgrid(np.arange(40), np.arange(30), indexing="ij"))
    truth = 3 + 0.5 * rng.normal(size=40)[user] + 0.5 * rng.normal(size=30)[item]
    truth += rng.normal(size=40)[user] * rng.normal(size=30)[item]
    data = interactions_of(user + 1, item + 1, 40, 30, ratings=truth)
    withheld = rng.permutation(len(truth))[:240]
    histories = build_histories(data, np.setdiff1d(np.arange(len(truth)), withheld))
    config = Config(dim=2, blocks=1, penalty=0.0, bias_penalty=0.0, dropout=0.0, initial_scale=0.3)
    model = mf.build(config, FeaturesConfig(), data, histories, 1)
    model.compile(optimizer=tf.keras.optimizers.Adam(0.05))
    batches = InteractionBatches(histories, 240, seed=1)
    model.fit(batches.dataset(), steps_per_epoch=batches.steps_per_epoch, epochs=60, verbose=0)
    error = model.predicted_ratings(data.users[withheld], data.items[withheld]) - data.ratings[withheld]
    assert np.sqrt(np.mean(error**2)) < 0.1
    low, high = histories.ratings.min(), histories.ratings.max()
    model.candidate_tower.factors.biases.assign_add(tf.fill([31, 1], 100.0))
    assert model.predicted_ratings(data.users, data.items).max() <= high  # held within the range
    model.candidate_tower.factors.biases.assign_sub(tf.fill([31, 1], 200.0))
    assert model.predicted_ratings(data.users, data.items).min() >= low


class TestObjectiveAndData:
    ratings: ClassVar[np.ndarray] = np.array([1, 5], np.float32)

    def test_auto_goes_by_ratings(self) -> None:
        assert Config().settled(self.ratings).objective == "explicit"
        assert Config().settled(None).objective == "implicit"
        assert Config().settled(np.ones(5, np.float32)).objective == "implicit"
        assert Config(objective="bpr").settled(self.ratings).objective == "bpr"

    def test_explicit_needs_ratings_that_differ(self) -> None:
        with pytest.raises(ConfigError, match=r"has none: use 'implicit' or 'bpr'"):
            Config(objective="explicit").settled(None)
        with pytest.raises(ConfigError, match=r"gives 1 in every row: use 'implicit'"):
            Config(objective="explicit").settled(np.ones(5, np.float32))
        data = random_interactions(12, 9, 40)
        with pytest.raises(ConfigError, match="has none"):
            mf.build(Config(objective="explicit"), FeaturesConfig(), data, without(all_rows(data), "ratings"), seed=1)

    def test_blocks_share_the_factors_equally(self) -> None:
        with pytest.raises(ConfigError, match=r"dim = 10 does not split into model.blocks = 4"):
            Config(dim=10, blocks=4).settled(self.ratings)

    def test_selection_goes_by_what_is_predicted(self) -> None:
        assert Config().settled(self.ratings).validation_metric == "rmse"
        assert Config().settled(None).validation_metric == "ndcg@100"

    def test_only_a_model_of_ratings_predicts_them(self) -> None:
        assert hasattr(built(), "predicted_ratings")
        assert not hasattr(built(objective="implicit"), "predicted_ratings")

    def test_ratings_are_of_no_matter_to_implicit_feedback(self) -> None:
        """A rule, not an accident: with ratings or without, every interaction is one that was chosen."""
        data = random_interactions(12, 9, 40)
        with_ratings, bare = all_rows(data), without(all_rows(data), "ratings")
        losses = [
            float(
                mf.build(Config(objective="implicit"), FeaturesConfig(), data, rows, 1).compute_loss(
                    next(iter(InteractionBatches(rows, 40, seed=1).dataset()))
                )
            )
            for rows in (with_ratings, bare)
        ]
        assert losses[0] == losses[1]
