"""Item2vec: the contract of every family, and what is its own."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from contracts.model_contract import ModelContract, Way
from contracts.tiny_data import all_rows, interactions_of, random_interactions
from pydantic import ValidationError

from recsys_tfrs.config import build as build_config
from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.errors import ConfigError, UsageError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.models import item2vec
from recsys_tfrs.models.item2vec import Config, Item2Vec
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.training.pairs import PairBatches, pair_batches


class TestContract(ModelContract):
    family: ClassVar[str] = "item2vec"
    small: ClassVar[Way] = {"dim": 8}
    ways: ClassVar[list[Way]] = [
        {"mode": "cbow", "context": "list"},
        {"mode": "skip-gram", "context": "window", "shared_negatives": 8},
    ]
    everything: ClassVar[Way] = {"item_columns": True, "dynamic_window": False}
    capable: ClassVar[Way] = {"dim": 64, "normalize": False, "window": 50, "initial_scale": 0.3}
    remember: ClassVar[Way] = {"normalize": False, "dim": 32, "initial_scale": 0.3, "negatives": 1}
    least_loss: ClassVar[float] = 0.0  # an item that stands by one other only leaves nothing to guess
    describes_items: ClassVar[bool] = False  # but see `test_columns_place_an_item_without_training_rows`

    def batches(self, histories: Histories, batch_size: int, seed: int = 1) -> PairBatches:
        """Pairs."""
        return pair_batches(histories, batch_size=batch_size, seed=seed, **self.config().pairs())


def built(**settings: object) -> Item2Vec:
    data = random_interactions(12, 9, 60)
    config = Config(**{"dim": 4, "context": "list", **settings})
    return item2vec.build(config, FeaturesConfig(min_frequency=1), data, all_rows(data), seed=1)


def vectors_of(model: Item2Vec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``[10, dim]`` input and output vectors and ``[10]`` biases by internal id, in float64; all ids are known."""
    ids = model.data.item_table["item_id"].numpy()
    inputs = model.inputs.bag.table.numpy()[ids].astype(np.float64)
    outputs = model.outputs._vectors.table.numpy()[ids].astype(np.float64)
    return inputs, outputs, model.outputs._bias.numpy()[ids].astype(np.float64)


def ragged(*rows: list[int]) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_row_lengths(
        tf.constant([i for row in rows for i in row], tf.int32), [len(row) for row in rows]
    )


def softplus(x: float) -> float:
    return float(np.log1p(np.exp(x)))


def noise(model: Item2Vec, alpha: float = 0.75) -> np.ndarray:
    powered = np.maximum(model.data.item_counts, 1).astype(np.float64) ** alpha
    powered[0] = 0
    return powered / powered.sum()


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("mode", ["skip-gram", "cbow"])
def test_the_loss_is_that_of_the_papers(mode: str, normalize: bool) -> None:
    """Two centers, one with a context of two items, by hand; the catalogue is so small that nothing is drawn."""
    model = built(mode=mode, normalize=normalize, negatives=3, temperature=0.5, initial_scale=0.5)
    model.outputs._bias.assign(np.linspace(-1, 1, 10, dtype=np.float32))
    v, u, b = vectors_of(model)
    if normalize:
        v, u = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (v, u))
        v /= 0.5
    asked = [(v[1], 2), (v[1], 3), (v[4], 5)] if mode == "skip-gram" else [((v[2] + v[3]) / 2, 1), (v[5], 4)]
    weights = [0.2, 0.3, 0.5] if mode == "skip-gram" else [0.1, 0.4]  # each positive counts as its interaction does
    q = noise(model)
    losses = [
        softplus(-(query @ u[p] + b[p])) + 3 * sum(q[j] * softplus(query @ u[j] + b[j]) for j in range(1, 10) if j != p)
        for query, p in asked
    ]
    batch = {
        "center": tf.constant([1, 4], tf.int32),
        "context": ragged([2, 3], [5]),
        "center_weight": tf.constant([0.1, 0.4]),
        "context_weight": tf.RaggedTensor.from_row_lengths([0.2, 0.3, 0.5], [2, 1]),
        "seed": tf.constant([1, 2]),
    }
    np.testing.assert_allclose(model.compute_loss(batch), np.average(losses, weights=weights), rtol=1e-4)
    bare = {name: batch[name] for name in ("center", "context", "seed")}
    np.testing.assert_allclose(model.compute_loss(bare), np.mean(losses), rtol=1e-4)


def test_a_batch_without_pairs_costs_nothing() -> None:
    batch = {"center": tf.zeros([0], tf.int32), "context": ragged(), "seed": tf.constant([1, 2])}
    for mode in ("cbow", "skip-gram"):
        assert float(built(mode=mode).compute_loss(batch)) == 0


def test_a_query_is_the_mean_of_a_list_and_a_candidate_knows_how_popular_it_is() -> None:
    model = built(normalize=False, popularity=0.5)
    v, u, b = vectors_of(model)
    queries = model.query_vectors(tf.constant([0, 0]), ragged([3, 7, 7], [])).numpy()
    np.testing.assert_allclose(queries, [[*((v[3] + 2 * v[7]) / 3), 1], [0, 0, 0, 0, 1]], atol=1e-6)
    log_q = np.log(noise(model)[1:])
    np.testing.assert_allclose(model.candidate_vectors()[1:, :4], u[1:], atol=1e-6)
    np.testing.assert_allclose(model.candidate_vectors()[1:, 4], b[1:] + 0.5 * log_q, rtol=1e-5)


def test_what_is_recent_weighs_more_in_a_window_and_not_in_a_list() -> None:
    """Ages of 2, 1 and 0 items, a third of the weight after 2: e^-1, e^-0.5 and 1."""
    model = built(normalize=False, context="window", recency_items=2.0)
    v, _, _ = vectors_of(model)
    weights = np.exp([-1, -0.5, 0])
    query = model.query_vectors(tf.constant([0]), ragged([3, 7, 5])).numpy()[0, :4]
    np.testing.assert_allclose(query, weights @ v[[3, 7, 5]] / weights.sum(), rtol=1e-4)
    plain = built(normalize=False, context="list", recency_items=2.0)
    np.testing.assert_allclose(
        plain.query_vectors(tf.constant([0]), ragged([3, 7, 5])).numpy()[0, :4], v[[3, 7, 5]].mean(axis=0), rtol=1e-4
    )


def test_candidates_may_be_input_vectors() -> None:
    model = built(candidates="input", popularity=0)
    v, _, _ = vectors_of(model)
    directions = v[1:] / np.linalg.norm(v[1:], axis=1, keepdims=True)
    np.testing.assert_allclose(model.candidate_vectors()[1:, :4], directions, atol=1e-6)
    np.testing.assert_allclose(model.candidate_vectors()[1:, 4], 0, atol=1e-6)
    batch = next(
        iter(pair_batches(all_rows(random_interactions(12, 9, 60)), batch_size=60, seed=1, window=2).dataset())
    )
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    assert all(gradient is not None for gradient in tape.gradient(loss, model.trainable_variables))


def test_nobody_in_particular_gets_what_is_popular() -> None:
    """Item i stands in i lists; after training an empty list is answered in the order of popularity."""
    users = np.concatenate([np.arange(1, i + 1) for i in range(2, 10)])
    items = np.repeat(np.arange(2, 10), np.arange(2, 10))
    data = interactions_of(users, items, 9, 10)  # nobody has items 1 and 10
    histories = all_rows(data)
    model = item2vec.build(Config(dim=4, context="list", popularity=4.0), FeaturesConfig(), data, histories, 1)
    scores = RetrievalScorer(model, histories).score(np.array([0], np.int32))[0]
    assert np.argsort(-scores[2:10]).tolist() == list(range(7, -1, -1))
    assert max(scores[1], scores[10]) < scores[2]


def groups() -> tuple[Item2Vec, Histories]:
    """Items 1-10 and 11-20 occur in the lists of one group each; item 21 in none."""
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.permutation(10)[:5] + 1 + 10 * (u % 2) for u in range(100)])
    data = interactions_of(np.repeat(np.arange(1, 101), 5), items, 100, 21)
    histories = all_rows(data)
    config = Config(dim=8, context="list", mode="skip-gram")
    model = item2vec.build(config, FeaturesConfig(), data, histories, 1)
    model.compile(optimizer=tf.keras.optimizers.Adam(0.03))
    batches = pair_batches(histories, batch_size=250, seed=1, **config.pairs())
    model.fit(batches.dataset(), steps_per_epoch=batches.steps_per_epoch, epochs=30, verbose=0)
    return model, histories


class TestSimilarItems:
    @pytest.fixture(scope="class")
    def model(self) -> Item2Vec:
        return groups()[0]

    def test_similar_items_occur_in_the_same_lists(self, model: Item2Vec) -> None:
        near = model.similar_items("i2", 5)
        assert {item for item, _ in near} < {f"i{i}" for i in range(1, 11)} - {"i2"}
        cosines = [cosine for _, cosine in near]
        assert cosines == sorted(cosines, reverse=True)
        v = model.inputs(model.data.item_table["item_id"]).numpy().astype(np.float64)
        position = int(near[0][0][1:])
        assert cosines[0] == pytest.approx(
            v[2] @ v[position] / np.linalg.norm(v[2]) / np.linalg.norm(v[position]), abs=1e-5
        )

    def test_all_trained_items_but_the_one_asked_about_are_to_be_had(self, model: Item2Vec) -> None:
        assert len(model.similar_items("i2", 100)) == 19
        assert len(model.analogy("i1", "i2", "i3", 100)) == 17

    def test_an_analogy_is_a_sum_of_directions(self, model: Item2Vec) -> None:
        v = tf.math.l2_normalize(model.inputs(model.data.item_table["item_id"]), axis=1).numpy().astype(np.float64)
        target = v[18] - v[1] + v[2]
        cosines = v @ target / np.linalg.norm(target)
        cosines[[0, 1, 2, 18, 21]] = -9
        best = int(np.argmax(cosines))
        item, cosine = model.analogy("i1", "i18", "i2", 3)[0]
        assert (item, cosine) == (f"i{best}", pytest.approx(cosines[best], abs=1e-5))
        assert item in {f"i{i}" for i in range(11, 21)}  # as i18 lies beyond i1, so does this one beyond i2

    def test_items_nobody_knows_are_refused(self, model: Item2Vec) -> None:
        with pytest.raises(UsageError, match="There is no item 'i99' in the catalogue, which holds ids such as 'i1'"):
            model.similar_items("i99")
        for items in (("i99", "i1", "i2"), ("i1", "i99", "i2"), ("i1", "i2", "i99")):
            with pytest.raises(UsageError, match="There is no item 'i99'"):
                model.analogy(*items)
        with pytest.raises(UsageError, match="'i21' does not occur in the training rows, so it has no vector"):
            model.similar_items("i21")
        with pytest.raises(UsageError, match="There is no item ''"):
            model.similar_items("")
        with pytest.raises(UsageError, match="k must be at least 1, not 0"):
            model.similar_items("i1", 0)


def test_columns_place_an_item_without_training_rows() -> None:
    data = random_interactions(12, 9, 60, features=True)
    histories = build_histories(data, np.flatnonzero(data.items != 4))
    features = FeaturesConfig(min_frequency=1)
    for described in (False, True):
        config = Config(dim=4, context="list", item_columns=described)
        model = item2vec.build(config, features, data, histories, 1)
        scores = RetrievalScorer(model, all_rows(data)).score(np.arange(1, 13, dtype=np.int32))[:, 4]
        assert (np.ptp(scores) > 0) == described


def test_both_kinds_of_context_are_tried_where_order_is_known() -> None:
    assert list(Config().variants(has_times=True)) == ["window", "list"]
    assert list(Config().variants(has_times=False)) == ["list"]
    assert list(Config(context="window").variants(has_times=False)) == ["window"]
    shuffled = {name: way.pairs()["shuffle"] for name, way in Config().variants(has_times=True).items()}
    assert shuffled == {"window": False, "list": True}


def test_more_negatives_than_items_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"10 negatives per positive are to be drawn .* the catalogue has 9 items"):
        built(negatives=10)
    assert built(negatives=9).name == "item2vec"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("window", 0), ("negatives", 0), ("subsample", 1.0), ("alpha", -0.1), ("shared_negatives", 0)],
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ValidationError, match=setting):
        Config(**{setting: value})
    with pytest.raises(ConfigError, match=setting):
        build_config(Config, [{setting: value}])
