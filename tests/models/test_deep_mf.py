"""Deep matrix factorization: the contract of every family, and what is its own."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow as tf
from contracts.model_contract import ModelContract, Way, without
from contracts.tiny_data import all_rows, interactions_of, random_interactions

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.models import deep_mf, mf
from recsys_tfrs.models.deep_mf import Config, DeepFactorization
from recsys_tfrs.schema import ITEM_ID, USER_ID
from recsys_tfrs.training.pipeline import InteractionBatches


class TestContract(ModelContract):
    family: ClassVar[str] = "deep-mf"
    small: ClassVar[Way] = {
        "dim": 8,
        "networks": 1,
        "embedding": 4,
        "hidden": [8],
        "initial_scale": 0.5,
        "penalty": 0.02,
        "embedding_penalty": 0.005,
        "hidden_dropout": 0.0,
    }
    ways: ClassVar[list[Way]] = [{"objective": "implicit"}]
    capable: ClassVar[Way] = {"dim": 64, "penalty": 0.001}
    remember: ClassVar[Way] = {
        "penalty": 0.0,
        "embedding_penalty": 0.0,
        "kernel_penalty": 0.0,
        "dropout": 0.0,
        "embedding_dropout": 0.0,
    }
    least_loss: ClassVar[float] = 0.0


def built(data: Interactions | None = None, **settings: Any) -> DeepFactorization:
    data = data or random_interactions(12, 9, 40)
    small = {"dim": 3, "networks": 2, "embedding": 2, "hidden": [4, 3], "initial_scale": 1.0}
    return deep_mf.build(Config(**{**small, **settings}), FeaturesConfig(min_frequency=1), data, all_rows(data), seed=1)


def batch_of(data: Interactions) -> dict[str, tf.Tensor]:
    return next(iter(InteractionBatches(all_rows(data), 100, seed=1).dataset()))


def by_hand(model: DeepFactorization, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """``[num_pairs, networks]`` outputs: the product, the biases, and a network over the concatenation, in numpy."""
    sides = {
        USER_ID: (model.query_tower.side, model.data.users, model.data.user_table, users),
        ITEM_ID: (model.candidate_tower.side, model.data.items, model.data.item_table, items),
    }
    networks, factors, embeddings, columns, biases = 2, {}, {}, {}, {}
    for name, (side, _, table, internal) in sides.items():
        ids = table[name].numpy()[internal]
        known = (ids > 0)[:, None]
        factors[name] = (side.factors.table.numpy()[ids] * known).reshape(len(ids), networks, -1)
        biases[name] = side.factors.biases.numpy()[ids] * known
        embeddings[name] = (side.embeddings.table.numpy()[ids] * known).reshape(len(ids), networks, -1)
        described = {column: tf.gather(values, internal) for column, values in table.items()}
        columns[name] = np.zeros((len(ids), networks, 4))
        if len(table) > 1:
            columns[name] += side._columns(described).numpy().reshape(-1, networks, 4)
    outputs = []
    for m in range(networks):
        kernel = np.concatenate([model.mlp.user_kernel.numpy()[m], model.mlp.item_kernel.numpy()[m]])
        x = np.concatenate([embeddings[USER_ID][:, m], embeddings[ITEM_ID][:, m]], axis=1) @ kernel
        x += columns[USER_ID][:, m] + columns[ITEM_ID][:, m]
        for next_kernel, offset in zip(model.mlp.kernels, model.mlp.offsets, strict=True):
            x = np.maximum(x + offset.numpy()[m], 0) @ next_kernel.numpy()[m]
        product = np.sum(factors[USER_ID][:, m] * factors[ITEM_ID][:, m], axis=1)
        outputs.append(product + biases[USER_ID][:, m] + biases[ITEM_ID][:, m] + x[:, 0])
    return np.stack(outputs, axis=1)


def moved(model: DeepFactorization) -> DeepFactorization:
    """Offsets and last kernels start at, or close to, nothing."""
    for k, offset in enumerate(model.mlp.offsets):
        offset.assign(tf.random.stateless_normal(offset.shape, [k, 5]))
    model.mlp.kernels[-1].assign(tf.random.stateless_normal(model.mlp.kernels[-1].shape, [7, 5]))
    return model


@pytest.mark.parametrize("features", [True, False])
def test_the_network_is_a_product_beside_hidden_layers_over_the_concatenation(features: bool) -> None:
    data = random_interactions(12, 9, 40, features=features)
    model = moved(built(data))
    users, items = (x.ravel().astype(np.int32) for x in np.meshgrid(np.arange(13), np.arange(10), indexing="ij"))
    outputs = by_hand(model, users, items)
    np.testing.assert_allclose(model._pairs(tf.constant(users), tf.constant(items), None)[0], outputs, atol=1e-4)
    ratings = data.ratings.astype(np.float64)
    expected = np.clip(ratings.mean() + ratings.std() * outputs.mean(axis=1), 1, 5)
    np.testing.assert_allclose(model.predicted_ratings(users, items), expected, rtol=1e-4)
    assert np.ptp(expected) > 1


def test_retrieval_orders_as_the_whole_network_does() -> None:
    """Nine items are fewer than the landmarks, so the regression has nothing to leave out but its ridge."""
    model = moved(built())
    users, items = (x.ravel().astype(np.int32) for x in np.meshgrid(np.arange(1, 13), np.arange(1, 10), indexing="ij"))
    deviation = random_interactions(12, 9, 40).ratings.std()
    expected = deviation * by_hand(model, users, items).mean(axis=1).reshape(12, 9)
    scores = model.query_tower(model.data.user_table).numpy()[1:] @ model.candidate_vectors().numpy()[1:].T
    # What is the same for all items of a user orders nothing, and is left out.
    around = [table - table.mean(axis=1, keepdims=True) for table in (scores, expected)]
    assert np.abs(around[0] - around[1]).max() < 0.05 * around[1].std()


def test_of_many_items_a_few_stand_for_the_others() -> None:
    model = moved(built(random_interactions(150, 200, 2_000, features=False)))
    users, items = (
        x.ravel().astype(np.int32) for x in np.meshgrid(np.arange(1, 151), np.arange(1, 201), indexing="ij")
    )
    whole = by_hand(model, users, items).mean(axis=1).reshape(150, 200)
    p, b = (x.numpy() for x in model.query_tower.side.product(model.data.user_table))
    q, c = (x.numpy() for x in model.candidate_tower.side.product(model.data.item_table))
    network = whole - p[1:] @ q[1:].T / 2 - b.mean(axis=1)[1:, None] - c.mean(axis=1)[1:]
    queries, candidates = model.query_tower(model.data.user_table).numpy(), model.candidate_vectors().numpy()
    assert queries.shape == (151, 2 * 3 + 1 + 32)
    deviation = model.data.rating_deviation
    found = queries[1:, 6:] @ candidates[1:, 6:].T / deviation - c.mean(axis=1)[1:]
    assert np.square(found - network).mean() < 0.05 * network.var()


def test_explicit_loss_is_squared_error_and_penalties() -> None:
    model, data = moved(built(penalty=0.7, embedding_penalty=0.3, kernel_penalty=0.01)), random_interactions(12, 9, 40)
    batch = batch_of(data)
    users, items = batch["user"].numpy(), batch["item"].numpy()
    ratings = data.ratings.astype(np.float64)
    target = (batch["rating"].numpy() - ratings.mean()) / ratings.std()
    expected = np.sum((target[:, None] - by_hand(model, users, items)) ** 2)
    for side, table, internal, name in (
        (model.query_tower.side, model.data.user_table, users, USER_ID),
        (model.candidate_tower.side, model.data.item_table, items, ITEM_ID),
    ):
        ids = table[name].numpy()[internal]
        counts = np.bincount(ids)[ids] ** 0.5
        weights = (side.factors.table.numpy()[ids] ** 2).sum(1) + (side.factors.biases.numpy()[ids] ** 2).sum(1)
        expected += np.sum((0.7 * weights + 0.3 * (side.embeddings.table.numpy()[ids] ** 2).sum(1)) / counts)
    kernels = (model.mlp.user_kernel, model.mlp.item_kernel, *model.mlp.kernels)
    expected = expected / len(data) + 0.01 * sum(np.sum(kernel.numpy() ** 2) for kernel in kernels)
    assert float(model.compute_loss(batch)) == pytest.approx(expected, rel=1e-4)


def test_implicit_loss_is_cross_entropy_with_drawn_items_that_the_user_has_not_chosen() -> None:
    nothing = {"penalty": 0.0, "embedding_penalty": 0.0, "kernel_penalty": 0.0}
    model, data = moved(built(objective="implicit", negatives=5, **nothing)), random_interactions(12, 9, 40)
    batch = batch_of(data)
    users = batch["user"].numpy()
    drawn = tf.random.stateless_uniform([200], batch["seed"], minval=1, maxval=10, dtype=tf.int32).numpy()
    asked = np.repeat(users, 5)
    chosen = set(zip(data.users.tolist(), data.items.tolist(), strict=True))
    counts = np.array([pair not in chosen for pair in zip(asked.tolist(), drawn.tolist(), strict=True)])
    assert 0 < counts.mean() < 1
    positives = np.log1p(np.exp(-by_hand(model, users, batch["item"].numpy())))
    negatives = np.log1p(np.exp(by_hand(model, asked, drawn)))[counts]
    expected = (positives.sum() + negatives.sum()) / len(data)
    assert float(model.compute_loss(batch)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("objective", ["explicit", "implicit"])
def test_an_interaction_of_more_weight_pulls_more(objective: str) -> None:
    nothing = {"penalty": 0.0, "embedding_penalty": 0.0, "kernel_penalty": 0.0}
    model, batch = built(objective=objective, **nothing), batch_of(random_interactions(12, 9, 40))
    first = tf.one_hot(0, 40)
    one, alike, heavy = (
        float(model.compute_loss({**batch, "weight": weight})) for weight in (first, tf.ones([40]), 1 + 9 * first)
    )
    assert float(model.compute_loss(batch)) == pytest.approx(alike, rel=1e-6)
    assert heavy == pytest.approx(alike + 9 * one, rel=1e-5)
    assert one > 1e-4


def test_dropout_speaks_in_training_alone() -> None:
    batch = batch_of(random_interactions(12, 9, 40))
    for name in ("dropout", "embedding_dropout", "hidden_dropout"):
        rates = {"dropout": 0.0, "embedding_dropout": 0.0, "hidden_dropout": 0.0, name: 0.5}
        model, without_any = moved(built(**rates)), moved(built(**dict.fromkeys(rates, 0.0)))
        assert float(model.compute_loss(batch)) == pytest.approx(float(without_any.compute_loss(batch)), rel=1e-6)
        assert abs(float(model.compute_loss(batch, training=True)) - float(model.compute_loss(batch))) > 1e-4


def test_hidden_layers_find_what_a_product_of_one_factor_cannot() -> None:
    """Ratings are high where two columns agree: an exclusive or, without any effect of either side alone."""
    rng = np.random.default_rng(0)
    users, items = (x.ravel() for x in np.meshgrid(np.arange(40), np.arange(30), indexing="ij"))
    kind_of_user, kind_of_item = rng.integers(0, 3, 40), rng.integers(0, 3, 30)
    truth = np.where(kind_of_user[users] == kind_of_item[items], 5.0, 1.0)
    data = interactions_of(users + 1, items + 1, 40, 30, ratings=truth)
    withheld = rng.permutation(len(truth))[:240]
    rows = np.setdiff1d(np.arange(len(truth)), withheld)
    histories = build_histories(data, rows)
    errors = {}
    plain = {"penalty": 0.0, "dropout": 0.0, "initial_scale": 0.3}
    for module, settings in (
        (deep_mf, {"networks": 1, "dim": 1, "embedding": 8, "hidden": [16], "embedding_dropout": 0.0}),
        (mf, {"blocks": 1, "dim": 1, "bias_penalty": 0.0}),
    ):
        model = module.build(module.Config(**plain, **settings), FeaturesConfig(), data, histories, 1)
        model.compile(optimizer=tf.keras.optimizers.Adam(0.02))
        batches = InteractionBatches(histories, 240, seed=1)
        model.fit(batches.dataset(), steps_per_epoch=batches.steps_per_epoch, epochs=50, verbose=0)
        error = model.predicted_ratings(data.users[withheld], data.items[withheld]) - data.ratings[withheld]
        errors[module] = np.sqrt(np.mean(error**2))
    assert errors[deep_mf] < 0.5
    assert errors[mf] > 1.0


class TestObjectiveAndData:
    ratings: ClassVar[np.ndarray] = np.array([1, 5], np.float32)

    def test_auto_goes_by_ratings(self) -> None:
        assert Config().settled(self.ratings).objective == "explicit"
        assert Config().settled(None).objective == "implicit"
        assert Config().settled(np.ones(5, np.float32)).objective == "implicit"
        assert Config().settled(self.ratings).validation_metric == "rmse"
        assert Config().settled(None).validation_metric == "ndcg@100"

    def test_explicit_needs_ratings_that_differ(self) -> None:
        for ratings in (None, np.ones(5, np.float32), np.zeros(0, np.float32)):
            with pytest.raises(ConfigError, match="none that differ: use 'implicit'"):
                Config(objective="explicit").settled(ratings)
        data = random_interactions(12, 9, 40)
        with pytest.raises(ConfigError, match="none that differ"):
            deep_mf.build(
                Config(objective="explicit"), FeaturesConfig(), data, without(all_rows(data), "ratings"), seed=1
            )

    def test_only_a_model_of_ratings_predicts_them(self) -> None:
        assert hasattr(built(), "predicted_ratings")
        assert not hasattr(built(objective="implicit"), "predicted_ratings")

    def test_predictions_stay_within_the_ratings(self) -> None:
        data = random_interactions(12, 9, 40)
        for shift, end in ((100.0, 5), (-100.0, 1)):
            model = built()
            biases = model.candidate_tower.side.factors.biases
            biases.assign_add(tf.fill(biases.shape, shift))
            np.testing.assert_allclose(model.predicted_ratings(data.users, data.items), end)
        assert model.predicted_ratings(data.users[:0], data.items[:0]).shape == (0,)
