"""Sequential retrieval with GRUs: the contract of every family, and what is its own."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow as tf
from contracts.model_contract import Way
from contracts.sequence_contract import SequenceContract
from contracts.tiny_data import all_rows, random_interactions
from rich.console import Console

from recsys_tfrs.data.gaps import gap_buckets
from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.index.chooser import build_index
from recsys_tfrs.index.config import IndexConfig
from recsys_tfrs.models import gru
from recsys_tfrs.models.gru import Config, GRUModel
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.serving.export import export_retrieval
from recsys_tfrs.serving.queries import Queries
from recsys_tfrs.training.config import TrainingConfig
from recsys_tfrs.training.fit import Phase, fit, make_optimizer
from recsys_tfrs.training.sequences import NextItemBatches, next_item_batches


class TestContract(SequenceContract):
    family: ClassVar[str] = "gru"
    small: ClassVar[Way] = {"dim": 16, "units": [24], "dropout": 0.0, "input_dropout": 0.0, "unknown_rate": 0.1}
    ways: ClassVar[list[Way]] = [
        {"examples": "sequences"},
        {"examples": "session-parallel", "rows": 5, "input": "embedding"},
        {"examples": "windows", "window": 4, "objective": "cross-entropy", "input": "one-hot"},
    ]
    everything: ClassVar[Way] = {
        "units": [24, 16],
        "dropout": 0.2,
        "input_dropout": 0.2,
        "unknown_rate": 0.2,
        "item_bias": True,
        "gap_input": True,
    }
    capable: ClassVar[Way] = {"dim": 64, "units": [128]}
    general: ClassVar[Way] = {"dim": 8, "units": [8], "temperature": 0.3, "dropout": 0.3}
    remember: ClassVar[Way] = {"normalize": False, "temperature": 1.0, "unknown_rate": 0.0}
    leak_training: ClassVar[dict[str, Any]] = {"epochs": 10, "batch_size": 500, "learning_rate": 0.004}

    def made(
        self,
        interactions: Interactions,
        histories: Histories | None = None,
        way: Way | None = None,
        *,
        features: FeaturesConfig | None = None,
        seed: int = 1,
        learning_rate: float | None = None,
    ) -> tf.keras.Model:
        """As the contract's; remembers how the model's batches are laid out."""
        self._layout = self.config(way).sequences()
        return super().made(interactions, histories, way, features=features, seed=seed, learning_rate=learning_rate)

    def batches(self, histories: Histories, batch_size: int, seed: int = 1) -> NextItemBatches:
        """Sequences, laid out as the model made last takes them."""
        layout = getattr(self, "_layout", None) or self.config().sequences()
        return next_item_batches(histories, batch_size=batch_size, seed=seed, **layout)


def built(data: Interactions | None = None, histories: Histories | None = None, **settings: object) -> GRUModel:
    data = data or random_interactions(12, 9, 60)
    config = Config(**{"dim": 4, "units": [6], **settings})
    return gru.build(config, FeaturesConfig(min_frequency=1), data, histories or all_rows(data), seed=1)


def ragged(*rows: list[int]) -> tf.RaggedTensor:
    flat = [item for row in rows for item in row]
    return tf.RaggedTensor.from_row_lengths(tf.constant(flat, tf.int32), [len(row) for row in rows])


def batch_of(inputs: list[list[int]], targets: list[list[int]], **more: object) -> dict[str, tf.Tensor]:
    """Rows as they are read, laid out times first."""
    made = {"inputs": tf.transpose(inputs), "targets": tf.transpose(targets), "seed": tf.constant([1, 2])}
    return made | {name: tf.transpose(values) for name, values in more.items()}


def test_the_loss_is_the_cross_entropy_of_what_came_next() -> None:
    """Two sequences, 3 5 1 and 4 2, by the queries of what had come before each target."""
    model = built(features_free(), rating_input=False)
    loss = model.compute_loss(batch_of([[3, 5], [4, 0]], [[5, 1], [2, 0]], weights=[[1.0, 3.0], [0.5, 9.0]]))
    queries = model.query_vectors(tf.zeros([3], tf.int32), ragged([3], [3, 5], [4])).numpy().astype(np.float64)
    scores = queries @ model.candidate_vectors().numpy()[1:].T / model._config.temperature
    losses = np.log(np.exp(scores).sum(1)) - scores[range(3), [4, 0, 1]]
    np.testing.assert_allclose(loss, np.average(losses, weights=[1.0, 3.0, 0.5]), rtol=1e-4)


def features_free() -> Interactions:
    return random_interactions(12, 9, 60, features=False)


@pytest.mark.parametrize("settings", [{}, {"input": "embedding", "units": [6, 5]}, {"input": "one-hot"}])
def test_a_live_session_is_the_history_item_by_item(settings: dict[str, object]) -> None:
    """Item 7 is unknown to training and says nothing, unless its columns speak for it."""
    for data in (features_free(), *([] if settings else [random_interactions(12, 9, 60)])):
        histories = build_histories(data, np.flatnonzero(data.items != 7))
        model = built(data, histories, rating_input=False, **settings)
        state = tf.zeros([2, model.state_size])
        rows = [[3, 1, 7, 2], [7, 7, 4, 4]]
        for time in range(4):
            state, queries = model.step(tf.constant([row[time] for row in rows]), state)
            whole = model.query_vectors(tf.zeros([2], tf.int32), ragged(*[row[: time + 1] for row in rows]))
            # A session that began with the unknown item goes on from there; a history with others leaves it out.
            same = slice(None) if time < 2 or (model.candidate_tower.has_columns and not settings) else slice(1)
            np.testing.assert_allclose(queries[same], whole[same], atol=1e-6)


def test_no_graph_transposes_whole_numbers_or_booleans() -> None:
    """TensorFlow would print an error of oneDNN's for each on a processor without AVX-512."""
    model = built(gap_input=True)
    spec = tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1)
    query = tf.function(lambda history, gaps: model.encoded_query_vectors({}, history, gaps=gaps))
    graph = query.get_concrete_function(spec, spec).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    moved = {tf.as_dtype(node.attr["T"].type) for node in nodes if node.op == "Transpose"}
    assert moved == {tf.float32}


def test_items_that_say_nothing_are_left_out_of_a_history() -> None:
    data = features_free()
    model = built(data, build_histories(data, np.flatnonzero(data.items != 7)))
    found = model.query_vectors(tf.zeros([4], tf.int32), ragged([3, 7, 7, 1], [3, 1], [7], [])).numpy()
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    np.testing.assert_allclose(found[2], found[3], atol=1e-6)
    assert np.abs(found[0] - found[2]).max() > 1e-3


def test_order_and_repetition_matter() -> None:
    found = built().query_vectors(tf.zeros([3], tf.int32), ragged([1, 2, 3], [3, 2, 1], [1, 2, 3, 3])).numpy()
    assert np.abs(found[0] - found[1]).max() > 1e-3
    assert np.abs(found[0] - found[2]).max() > 1e-3


def test_ten_thousand_clicks_are_read_by_their_newest() -> None:
    model = built(max_length=20)
    many = np.random.default_rng(0).integers(1, 10, 10_000).tolist()
    found = model.query_vectors(tf.zeros([2], tf.int32), ragged(many, many[-20:])).numpy()
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_ratings_are_read() -> None:
    model = built()
    model.query_tower.rating.assign(tf.ones([4]))
    asked = (tf.zeros([2], tf.int32), ragged([1, 2], [1, 2]))
    rated = tf.RaggedTensor.from_row_lengths(tf.constant([5.0, 1.0, 1.0, 5.0]), [2, 2])
    found = model.query_vectors(*asked, rated).numpy()
    assert np.abs(found[0] - found[1]).max() > 1e-3
    mean = rated.with_flat_values(tf.fill([4], model.data.rating_mean))
    np.testing.assert_allclose(model.query_vectors(*asked), model.query_vectors(*asked, mean), atol=1e-6)


def test_ratings_of_items_that_say_nothing_are_left_out_with_them() -> None:
    data = features_free()
    model = built(data, build_histories(data, np.flatnonzero(data.items != 7)))
    model.query_tower.rating.assign(tf.ones([4]))
    rated = tf.RaggedTensor.from_row_lengths(tf.constant([1.0, 3.0, 5.0, 1.0, 5.0]), [3, 2])
    found = model.query_vectors(tf.zeros([2], tf.int32), ragged([3, 7, 1], [3, 1]), rated).numpy()
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_a_rating_is_read_as_its_deviation_in_standard_deviations_and_not_of_the_unknown_item() -> None:
    data = features_free()
    model = built(data)
    mean, deviation = float(data.ratings.mean()), float(data.ratings.std())
    found = model._deviation(tf.constant([mean, mean + 2 * deviation, mean - deviation])).numpy()
    np.testing.assert_allclose(found, [0, 2, -1], atol=1e-5)
    tower = model.query_tower
    tower.rating.assign(tf.ones([4]))
    vectors = tf.concat([tf.zeros([1, 2, 4]), tf.ones([1, 2, 4])], axis=1)  # two unknown items, two known ones
    states = tower.states(tf.zeros([1, 4], tf.int32), vectors, tf.constant([[2.0, -1.0, 2.0, -1.0]])).last.numpy()[0]
    np.testing.assert_array_equal(states[0], states[1])
    assert np.abs(states[2] - states[3]).max() > 1e-3


def test_drawn_items_alone_are_the_full_softmax_where_all_are_drawn() -> None:
    """And the batch's targets are not among them otherwise."""
    batch = batch_of([[3, 5], [4, 0]], [[5, 1], [2, 0]])
    drawn = {"objective": "cross-entropy", "batch_negatives": False}
    data = features_free()
    full, all_drawn, few = (
        float(built(data, **way).compute_loss(batch))
        for way in ({"objective": "full-softmax"}, {**drawn, "num_samples": 9}, {**drawn, "num_samples": 1})
    )
    assert all_drawn == pytest.approx(full, rel=1e-5)
    assert abs(few - full) > 1e-3


def test_the_times_between_items_are_read_and_unknown_where_they_are_not_told() -> None:
    data = features_free()
    model = built(data, gap_input=True, rating_input=False)
    model.query_tower.gap.assign(np.random.default_rng(0).normal(size=model.query_tower.gap.shape))
    users, history = tf.zeros([2], tf.int32), ragged([1, 2, 3], [1, 2, 3])
    found = model.query_vectors(users, history, gaps=ragged([0, 5, 9], [0, 9, 5])).numpy()
    assert np.abs(found[0] - found[1]).max() > 1e-3
    unknown = model.query_vectors(users, history, gaps=ragged([0, 0, 0], [0, 0, 0]))
    np.testing.assert_array_equal(model.query_vectors(users, history), unknown)
    state = tf.zeros([1, model.state_size])
    for item in (1, 2, 3):
        state, query = model.step(tf.constant([item]), state)
    np.testing.assert_allclose(query[0], unknown[0], atol=1e-6)
    # A scorer tells them, and so does an export to whom it knows.
    histories = all_rows(data)
    asked = np.arange(13, dtype=np.int32)
    scorer = RetrievalScorer(model, histories)
    told = ragged(*(gap_buckets(histories)[histories.offsets[u] : histories.offsets[u + 1]].tolist() for u in asked))
    expected = model.query_vectors(tf.constant(asked), ragged(*(histories.of(u).tolist() for u in asked)), gaps=told)
    np.testing.assert_allclose(scorer.queries(asked), expected, atol=1e-6)
    queries = Queries(model, data, histories, True)
    np.testing.assert_allclose(
        queries.known(tf.constant(data.user_ids[asked], tf.string))[1][1:], expected[1:], atol=1e-6
    )
    width = int(histories.lengths.max())
    whole = tf.constant(
        [[*(f"i{item}" for item in histories.of(u)), *[""] * (width - len(histories.of(u)))] for u in asked]
    )
    request = queries.look_up(tf.fill([13], ""), whole, tf.fill([13, 1], math.nan), {}, {})
    alone = model.query_vectors(tf.constant(asked), ragged(*(histories.of(u).tolist() for u in asked)))
    np.testing.assert_allclose(queries.query_vectors(request), alone, atol=1e-6)
    assert np.abs(alone - expected).max() > 1e-3


def test_the_state_of_parallel_sessions_is_carried_and_emptied() -> None:
    """Two batches of one step each are one batch of two steps; a start forgets."""
    settings = {
        "examples": "session-parallel",
        "rows": 2,
        "dropout": 0.0,
        "input_dropout": 0.0,
        "unknown_rate": 0.0,
        "rating_input": False,
    }
    model = built(features_free(), **settings)
    inputs, targets = [[3, 5], [4, 2]], [[5, 1], [2, 8]]
    starts = [[True, False], [True, True]]
    model.compute_loss(batch_of([[3], [4]], [[5], [2]], starts=[[True], [True]]), training=True)
    second = model.compute_loss(batch_of([[5], [2]], [[1], [8]], starts=[[False], [True]]), training=True)
    carried = model._carried[0].numpy()
    queries = model.query_vectors(tf.zeros([2], tf.int32), ragged([3, 5], [2])).numpy().astype(np.float64)
    scores = queries @ model.candidate_vectors().numpy()[1:].T / model._config.temperature
    expected = np.log(np.exp(scores).sum(1)) - scores[range(2), [0, 7]]
    np.testing.assert_allclose(second, expected.mean(), rtol=1e-4)
    model.compute_loss(batch_of(inputs, targets, starts=starts), training=True)
    np.testing.assert_allclose(model._carried[0], carried, atol=1e-6)


def test_an_interrupted_fit_of_parallel_sessions_goes_on_exactly(tmp_path: Path) -> None:
    data = features_free()
    histories = all_rows(data)
    layout = {"examples": "session-parallel", "rows": 4, "dropout": 0.3}

    def fitted(folder: Path, epochs: int) -> list[np.ndarray]:
        model = built(data, histories, **layout)
        config = TrainingConfig(epochs=epochs, checkpoint_seconds=0, average_decay=0.9)
        model.compile(optimizer=make_optimizer(config))
        batches = next_item_batches(histories, batch_size=16, seed=1, **model._config.sequences())
        fit(model, batches, Phase("refit", epochs, None), config, folder, Console(file=io.StringIO()))
        # A fit of fewer epochs is one that was killed: it had not finished.
        for state in (folder / "checkpoints" / "refit").glob("*.json"):
            state.write_text(state.read_text().replace('"finished": true', '"finished": false'))
        return [weight.numpy() for weight in model.trainable_variables]

    whole = fitted(tmp_path / "whole", 3)
    killed = fitted(tmp_path / "killed", 1)
    resumed = fitted(tmp_path / "killed", 3)
    for a, b, c in zip(whole, resumed, killed, strict=True):
        assert a.tobytes() == b.tobytes()
        assert a.tobytes() != c.tobytes()


def test_a_full_softmax_that_does_not_fit_becomes_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    assert built().scores_catalogue
    monkeypatch.setattr(gru, "LARGEST_FULL_SOFTMAX", 8)
    assert not built().scores_catalogue
    assert built(objective="full-softmax").scores_catalogue


@pytest.mark.parametrize("objective", ["cross-entropy", "top1-max"])
def test_a_sampled_objective_falls(objective: str) -> None:
    data = features_free()
    ranks = {"normalize": False, "temperature": 1.0} if objective != "cross-entropy" else {}
    model = built(
        data,
        objective=objective,
        dropout=0.0,
        input_dropout=0.0,
        unknown_rate=0.0,
        num_samples=4,
        score_penalty=0.1,
        **ranks,
    )
    model.compile(optimizer=tf.keras.optimizers.Adam(0.02))
    batch = next(iter(next_item_batches(all_rows(data), batch_size=500, seed=1, **model._config.sequences()).dataset()))
    losses = [float(model.train_step(batch)["loss"]) for _ in range(12)]
    assert losses[-1] < losses[0] - 0.005


def test_an_export_steps_through_a_session(tmp_path: Path) -> None:
    data = features_free()
    model = built(data, rating_input=False)
    index = build_index(model.candidate_vectors().numpy(), IndexConfig(), kind="exact")
    bare = Histories(**{**all_rows(data).__dict__, "ratings": None})
    folder = export_retrieval(model, data, bare, index, tmp_path, max_k=9, default_k=9)
    signatures = tf.saved_model.load(str(folder)).signatures
    history = ["i3", "i1", "i3"]
    state = tf.constant([[0.0]])
    for item in history:
        found = signatures["recommend_step"](item_id=tf.constant([item]), state=state)
        state = found["state"]
    asked = {"history": tf.constant([history]), "user_id": tf.constant([""]), "exclude": tf.constant([[""]])}
    expected = signatures["serving_default"](**asked, k=tf.constant(9), exclude_history=tf.constant(False))
    assert found["item_id"].numpy().tolist() == expected["item_id"].numpy().tolist()
    np.testing.assert_allclose(found["score"], expected["score"], atol=1e-5)
    assert found["state"].shape == (1, model.state_size)
