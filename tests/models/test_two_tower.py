"""The two-tower model: the contract of every family, and what is its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from contracts.model_contract import ModelContract, Way
from contracts.tiny_data import all_rows, interactions_of, random_interactions

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.models import history_model, two_tower
from recsys_tfrs.models.history_model import HistoryModel
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.models.two_tower import Config
from recsys_tfrs.objectives.negative_sampling import NegativeSampling
from recsys_tfrs.objectives.softmax import FullSoftmax
from recsys_tfrs.schema import ITEM_ID, MOVIE_YEAR, USER_ID, Kind
from recsys_tfrs.training.pipeline import user_batches


class TestContract(ModelContract):
    family: ClassVar[str] = "two-tower"
    small: ClassVar[Way] = {"dim": 8}
    ways: ClassVar[list[Way]] = [
        {"hide": "any", "objective": "full-softmax"},
        {"hide": "newest", "objective": "in-batch"},
    ]
    everything: ClassVar[Way] = {"hidden": [8], "user_id": True, "empty_history": 0.4}
    capable: ClassVar[Way] = {"dim": 32}
    remember: ClassVar[Way] = {"hide": "any", "hide_rate": 0.0, "empty_history": 0.0}


@pytest.mark.parametrize(
    ("hide", "has_times", "expected"),
    [
        ("auto", True, {"any": "any", "newest": "newest"}),
        ("auto", False, {"any": "any"}),
        ("newest", True, {"newest": "newest"}),
        ("any", True, {"any": "any"}),
    ],
)
def test_what_to_hide_is_left_to_validation_unless_it_is_given(
    hide: str, has_times: bool, expected: dict[str, str]
) -> None:
    config = Config(hide=hide, dim=7)
    variants = config.variants(has_times=has_times)
    assert {name: variant.hide for name, variant in variants.items()} == expected
    assert {variant.dim for variant in variants.values()} == {7}


def test_vocabularies_hold_what_occurs_in_training_rows() -> None:
    data = random_interactions(12, 9, 60)
    histories = build_histories(data, np.flatnonzero((data.items > 3) & (data.users != 5)))
    model = two_tower.build(Config(dim=4), FeaturesConfig(min_frequency=1), data, histories, seed=1)
    known = model.items({ITEM_ID: tf.constant(data.item_ids[1:].astype(str))})[ITEM_ID].numpy()
    assert known.tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6]
    known = model.users({USER_ID: tf.constant(data.user_ids[1:].astype(str))})[USER_ID].numpy()
    assert (known == 0).tolist() == [user == 5 for user in range(1, 13)]
    # Item i is of 1980 + i, so training begins in 1984, and what is older shares its lowest bucket.
    buckets = model.items.encoders[MOVIE_YEAR](tf.constant([1981.0, 1982.0, 1983.0, 1989.0])).numpy()
    assert buckets[:3].tolist() == [1, 1, 1]
    assert buckets[3] > 1


def built(**settings: object) -> HistoryModel:
    data = random_interactions(12, 9, 40, features=False)
    config = Config(**{"dim": 4, "hide": "any", **settings})
    return two_tower.build(config, FeaturesConfig(), data, all_rows(data), seed=1)


def query(model: HistoryModel, items: list[int], ratings: list[float] | None = None) -> np.ndarray:
    """The query of an unknown user with this history."""
    history = tf.RaggedTensor.from_row_lengths(tf.constant(items, tf.int32), [len(items)])
    given = None if ratings is None else history.with_flat_values(tf.constant(ratings, tf.float32))
    return model.query_vectors(tf.constant([0]), history, given).numpy()[0].astype(np.float64)


@pytest.fixture(scope="module")
def linear() -> HistoryModel:
    return built(normalize=False, rating_weight=0.5)


def embeddings(model: HistoryModel) -> tuple[np.ndarray, np.ndarray]:
    """Of the items of a history (by internal id: all occur in training), and of anyone."""
    tower = model.query_tower.towers[0]
    return tower.history.bag.table.numpy().astype(np.float64), tower.anyone.numpy().astype(np.float64)


def test_a_history_is_a_sum_over_the_root_of_its_length(linear: HistoryModel) -> None:
    items, _ = embeddings(linear)
    np.testing.assert_allclose(query(linear, [3, 7]), (items[3] + items[7]) / np.sqrt(2), rtol=1e-4)


def test_nobody_in_particular_is_asked_for_where_there_is_no_history(linear: HistoryModel) -> None:
    _, anyone = embeddings(linear)
    np.testing.assert_allclose(query(linear, []), anyone, rtol=1e-5)


def test_unknown_items_of_a_history_do_not_count(linear: HistoryModel) -> None:
    np.testing.assert_allclose(query(linear, [0, 0]), query(linear, []), rtol=1e-5)
    np.testing.assert_allclose(query(linear, [3, 0, 7]), query(linear, [3, 7]), rtol=1e-5)


def test_items_rated_above_the_users_mean_weigh_more(linear: HistoryModel) -> None:
    """Ratings 5 and 3: a deviation of +1 and -1, so weights e^(0.5 / s) and e^(-0.5 / s)."""
    items, _ = embeddings(linear)
    data = random_interactions(12, 9, 40, features=False)
    up = np.exp(0.5 / data.ratings.std())
    expected = (up * items[3] + items[7] / up) / np.sqrt(2)
    np.testing.assert_allclose(query(linear, [3, 7], [5.0, 3.0]), expected, rtol=1e-4)


def test_under_newest_recent_items_weigh_more() -> None:
    model = built(normalize=False, hide="newest", recency_boost=4.0, recency_items=2.0)
    items, _ = embeddings(model)
    weights = 1 + 4 * np.exp(-np.array([2, 1, 0]) / 2)
    expected = weights @ items[[3, 7, 2]] / np.sqrt(3)
    np.testing.assert_allclose(query(model, [3, 7, 2]), expected, rtol=1e-4)


def test_normalized_vectors_have_length_1() -> None:
    model = built()
    assert np.linalg.norm(query(model, [1, 2])) == pytest.approx(1)
    np.testing.assert_allclose(np.linalg.norm(model.candidate_vectors().numpy()[1:], axis=1), 1, rtol=1e-5)


def test_the_catalogues_vectors_are_those_of_the_candidate_tower() -> None:
    """Training embeds the catalogue by a sparse product, the export calls the tower on encoded columns."""
    data = random_interactions(12, 9, 40)
    model = two_tower.build(Config(dim=4), FeaturesConfig(min_frequency=1), data, all_rows(data), seed=1)
    called = model.candidate_tower(model.items.table(data.item_ids, data.item_features)).numpy()
    np.testing.assert_allclose(model.candidate_vectors().numpy(), called, atol=1e-6)


def test_the_loss_is_chosen_by_the_size_of_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    for largest, expected in ((9, FullSoftmax), (8, NegativeSampling)):  # the catalogue has 9 items
        monkeypatch.setattr(history_model, "LARGEST_FULL_SOFTMAX", largest)
        assert isinstance(built()._tasks[0], expected)


def test_scores_are_divided_by_the_temperature() -> None:
    """At a high one, all nine items are equally likely."""
    data = random_interactions(12, 9, 40, features=False)
    batch = next(iter(user_batches(all_rows(data), batch_size=40, seed=1).dataset()))
    losses = [float(built(temperature=t).compute_loss(batch)) for t in (1e6, 0.1)]
    assert losses[0] == pytest.approx(np.log(9), rel=1e-4)
    assert abs(losses[1] - np.log(9)) > 0.1


@pytest.fixture
def mixed_precision() -> Iterator[None]:
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    tf.keras.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("mixed_precision")
@pytest.mark.parametrize("objective", ["full-softmax", "in-batch"])
def test_trains_in_mixed_precision(objective: str) -> None:
    data = random_interactions(12, 9, 40)
    histories = all_rows(data)
    config = Config(dim=4, hidden=[4], hide="newest", objective=objective)
    model = two_tower.build(config, FeaturesConfig(min_frequency=1), data, histories, seed=1)
    model.compile(optimizer=tf.keras.optimizers.Adam(0.03))
    for batch in user_batches(histories, batch_size=40, seed=1).dataset().take(2):
        loss = float(model.train_step(batch)["loss"])
    assert np.isfinite(loss)
    assert {variable.dtype for variable in model.trainable_variables} == {tf.float32}


def shoppers(num_users: int = 40, half: int = 4) -> Interactions:
    """On the phone everybody buys one of the first half of the items, on the tablet one of the second."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(1, num_users + 1), 6)
    on_phone = np.tile([True, False], len(users) // 2)
    items = rng.integers(1, half + 1, len(users)) + np.where(on_phone, 0, half)
    data = interactions_of(users, items, num_users, 2 * half, timestamps=np.arange(len(users)))
    device = FeatureColumn("device", Kind.CATEGORICAL, np.where(on_phone, "phone", "tablet").astype(object))
    return replace(data, context_features={"device": device})


class TestContext:
    @pytest.mark.parametrize("objective", ["full-softmax", "in-batch"])
    def test_what_is_bought_where_is_learnt(self, objective: str) -> None:
        data = shoppers(200, half=20)
        histories = all_rows(data)
        model = two_tower.build(Config(dim=8, objective=objective), FeaturesConfig(), data, histories, seed=1)
        model.compile(optimizer=tf.keras.optimizers.Adam(0.03))
        batches = user_batches(histories, batch_size=240, seed=1, with_rows=True)
        model.fit(batches.dataset(), steps_per_epoch=batches.steps_per_epoch, epochs=20, verbose=0)
        for row, expected in ((0, 0), (1, 1)):  # row 0 was on the phone, row 1 on the tablet
            asking = np.full(data.num_users + 1, row)
            scores = RetrievalScorer(model, histories, asking).score(np.arange(1, 201, dtype=np.int32))
            scores[data.users - 1, data.items] = -np.inf  # what somebody has bought already is not asked for
            best = np.argsort(-scores[:, 1:], axis=1)[:, :10]
            assert (best // 20 == expected).mean() > 0.9  # by chance: 0.5

    def test_the_time_of_asking_is_used_where_it_is_named(self) -> None:
        data = shoppers()
        features = FeaturesConfig(context_columns=["timestamp"])
        model = two_tower.build(Config(dim=8), features, data, all_rows(data), seed=1)
        assert list(model.context.encoders) == ["timestamp"]
        early, late, never = (
            RetrievalScorer(model, all_rows(data), np.full(41, row)).queries(np.array([3], np.int32))[0]
            for row in (0, 200, -1)
        )
        assert np.abs(early - late).max() > 1e-3
        assert np.abs(early - never).max() > 1e-3

    def test_a_column_that_is_not_there_is_named(self) -> None:
        features = FeaturesConfig(context_columns=["weather"])
        with pytest.raises(ConfigError, match=r"features.context_columns names weather.*it has device, timestamp"):
            two_tower.build(Config(dim=4), features, shoppers(), all_rows(shoppers()), seed=1)

    def test_statistics_come_from_training_rows_only(self) -> None:
        data = shoppers()
        on_phone = build_histories(data, np.arange(0, len(data), 2))
        model = two_tower.build(Config(dim=4), FeaturesConfig(), data, on_phone, seed=1)
        known = model.context.encoders["device"](tf.constant(["phone", "tablet", ""])).numpy()
        assert known.tolist() == [2, 1, 0]

    def test_one_query_per_interaction_wants_a_smaller_catalogue_for_the_full_softmax(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for largest, expected in ((8, FullSoftmax), (7, NegativeSampling)):
            monkeypatch.setattr(history_model, "LARGEST_FULL_SOFTMAX_IN_CONTEXT", largest)
            model = two_tower.build(Config(dim=4), FeaturesConfig(), shoppers(), all_rows(shoppers()), seed=1)
            assert isinstance(model._tasks[0], expected)

    def test_with_all_contexts_alike_every_interaction_asks_as_its_user_does(self) -> None:
        """The loss per interaction is then the loss per user."""
        alike = replace(shoppers(), context_features={})
        alike = replace(
            alike, context_features={"place": FeatureColumn("place", Kind.CATEGORICAL, np.full(len(alike), "", object))}
        )
        losses = []
        for columns in (None, []):
            config = Config(dim=4, hide="any", objective="in-batch")
            features = FeaturesConfig(context_columns=columns)
            model = two_tower.build(config, features, alike, all_rows(alike), seed=1)
            batches = user_batches(all_rows(alike), batch_size=120, seed=1, with_rows=columns is None)
            losses.append(float(model.compute_loss(next(iter(batches.dataset())))))
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_rows_of_weight_0_are_not_predicted() -> None:
    """Of two items each, one has all the weight; the other stays in the history and teaches nothing."""
    data = interactions_of(np.repeat([1, 2, 3, 4], 2), np.arange(1, 9), 4, 8)
    data = replace(data, weights=np.tile([2.0, 0.0], 4).astype(np.float32))
    histories = all_rows(data)
    config = Config(dim=16, hide="any", hide_rate=0.0, empty_history=0.0)
    model = two_tower.build(config, FeaturesConfig(), data, histories, seed=1)
    model.compile(optimizer=tf.keras.optimizers.Adam(0.03))
    batches = user_batches(histories, batch_size=8, seed=1)
    model.fit(batches.dataset(), steps_per_epoch=1, epochs=60, verbose=0)
    best = RetrievalScorer(model, histories).score(np.array([1, 2, 3, 4], np.int32))[:, 1:].argmax(axis=1) + 1
    assert best.tolist() == [1, 3, 5, 7]
    assert float(model.compute_loss(next(iter(batches.dataset())))) < 0.1  # without weights it could not be below log 2
