"""Session-based recommendation with 3-D convolutions: the contract of every family, and what is its own."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow as tf
from contracts.model_contract import Way
from contracts.sequence_contract import SequenceContract
from contracts.tiny_data import all_rows, interactions_of

from recsys_tfrs.config import build
from recsys_tfrs.data.carts import carted_rows, next_carted
from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.data.sessions import split_interactions
from recsys_tfrs.data.simulated_shop import shop_config, simulate_shop
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.evaluation.ranking import rank
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.index.chooser import build_index
from recsys_tfrs.index.config import IndexConfig
from recsys_tfrs.models import session_cnn
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.models.session_cnn import Config, SessionCNN
from recsys_tfrs.schema import ADDED_TO_CART, Kind
from recsys_tfrs.serving.export import export_retrieval
from recsys_tfrs.training.clicks import ClickBatches, click_batches

TINY: Way = {
    "dim": 16,
    "units": 24,
    "character_dim": 4,
    "channels": 6,
    "text_filters": 8,
    "filters": [8, 8],
    "gated_filters": 8,
    "subword_buckets": 500,
    "characters": 16,
    "window": 4,
    "dropout": 0.0,
    "input_dropout": 0.0,
    "id_dropout": 0.0,
    "empty_rate": 0.1,
}


class TestContract(SequenceContract):
    family: ClassVar[str] = "session-cnn"
    small: ClassVar[Way] = TINY
    ways: ClassVar[list[Way]] = [
        {"over_time": "convolution"},
        {"over_time": "gru", "objective": "cross-entropy", "num_samples": 8},
    ]
    everything: ClassVar[Way] = {"dropout": 0.2, "input_dropout": 0.2, "id_dropout": 0.2, "empty_rate": 0.2}
    capable: ClassVar[Way] = {"dim": 64, "units": 512, "temperature": 0.2, "empty_rate": 0.0}
    general: ClassVar[Way] = {"dim": 8, "units": 4, "temperature": 0.3, "dropout": 0.3, "input_dropout": 0.3}
    remember: ClassVar[Way] = {"empty_rate": 0.0}

    #: Rectified layers that are to learn much by heart want small steps.
    leak_training: ClassVar[dict[str, Any]] = {"epochs": 20, "batch_size": 500, "learning_rate": 0.003}

    def batches(self, histories: Histories, batch_size: int, seed: int = 1) -> ClickBatches:
        """Windows of more clicks than most models here read, which take the newest."""
        return click_batches(histories, batch_size=batch_size, size=8, seed=seed)


def ragged(*rows: list[int]) -> tf.RaggedTensor:
    flat = [item for row in rows for item in row]
    return tf.RaggedTensor.from_row_lengths(tf.constant(flat, tf.int32), [len(row) for row in rows])


def named(names: list[str], carts: list[float] | None = None) -> Interactions:
    """Two sessions over six items with names: 1 2 3 4 and 2 5."""
    data = interactions_of(np.array([1, 1, 1, 1, 2, 2]), np.array([1, 2, 3, 4, 2, 5]), 2, 6)
    values = np.array(["", *names], dtype=object)
    context = {}
    if carts is not None:
        context = {ADDED_TO_CART: FeatureColumn(ADDED_TO_CART, Kind.NUMERIC, np.array(carts, dtype=np.float32))}
    return replace(data, item_features={"name": FeatureColumn("name", Kind.TEXT, values)}, context_features=context)


NAMES = ["oak desk", "", "x" * 10_000, "\U0001f600 mug", "\ud55c\uae00", "new"]


def built(data: Interactions, histories: Histories | None = None, **settings: object) -> SessionCNN:
    config = Config(**{**TINY, **settings})
    return session_cnn.build(config, FeaturesConfig(min_frequency=1), data, histories or all_rows(data), seed=1)


def test_names_that_are_empty_long_emoji_or_hangul_are_read() -> None:
    model = built(named(NAMES))
    codes = model.candidate_tower.codes.numpy()
    assert codes.dtype == np.uint8
    assert (codes > 0).sum(axis=1).tolist() == [0, 8, 0, 16, 5, 6, 3]
    candidates = model.candidate_vectors().numpy()
    assert np.isfinite(candidates).all()
    # An item without an id, new, stands apart by its name, and one without a name by its id.
    assert np.abs(candidates[6]).max() > 0
    assert np.abs(candidates[2]).max() > 0


def test_an_item_neither_trained_nor_named_is_left_out_of_a_history() -> None:
    names = [*NAMES[:5], ""]
    model = built(named(names))
    found = model.query_vectors(tf.zeros([4], tf.int32), ragged([1, 6, 3], [1, 3], [6], [])).numpy()
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    np.testing.assert_allclose(found[2], found[3], atol=1e-6)
    assert np.abs(found[0] - found[2]).max() > 1e-3


@pytest.mark.parametrize("over_time", ["convolution", "gru"])
def test_of_a_session_the_newest_clicks_count_and_their_order(over_time: str) -> None:
    model = built(named(NAMES), over_time=over_time)
    many = np.random.default_rng(0).integers(1, 7, 10_000).tolist()
    found = model.query_vectors(tf.zeros([5], tf.int32), ragged(many, many[-4:], [5], [1, 5], [5, 1])).numpy()
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert np.abs(found[2] - found[3]).max() > 1e-3
    assert np.abs(found[3] - found[4]).max() > 1e-3


def test_the_loss_is_the_cross_entropy_of_the_click_and_of_the_cart() -> None:
    """Against trained items alone, by the queries of what had come before; item 6 is not trained on."""
    data = named(NAMES, [0, 0, 1, 0, 0, 1])
    model = built(data, cart_weight=0.25)
    batch = {
        "clicks": tf.constant([[0, 0, 0, 1], [0, 0, 0, 2]]),
        "targets": tf.constant([2, 5]),
        "carts": tf.constant([3, 0]),
        "seed": tf.constant([1, 2]),
    }
    history = ragged([1], [2])
    candidates = model.candidate_vectors().numpy().astype(np.float64)[1:6]

    def losses(queries: tf.Tensor, targets: list[int]) -> np.ndarray:
        scores = queries.numpy().astype(np.float64) @ candidates.T / 0.08
        return np.log(np.exp(scores).sum(axis=1)) - scores[range(len(targets)), [target - 1 for target in targets]]

    clicks = losses(model.query_vectors(tf.zeros([2], tf.int32), history), [2, 5])
    carts = losses(model.cart_vectors(history)[:1], [3])
    np.testing.assert_allclose(model.compute_loss(batch), clicks.mean() + 0.25 * carts.mean(), rtol=1e-4)
    sampled = built(data, cart_weight=0.25, objective="cross-entropy", num_samples=500)
    # Nearly everything is among five hundred draws.
    np.testing.assert_allclose(sampled.compute_loss(batch), clicks.mean() + 0.25 * carts.mean(), rtol=1e-2)


def test_without_carts_there_is_no_query_of_their_own() -> None:
    for data, settings in (
        (named(NAMES), {}),
        (named(NAMES, [0.0] * 6), {}),
        (named(NAMES, [1.0] * 6), {"cart_weight": 0}),
    ):
        model = built(data, **settings)
        assert not model.has_carts
        history = ragged([1, 2])
        np.testing.assert_array_equal(
            model.cart_vectors(history), model.query_vectors(tf.zeros([1], tf.int32), history)
        )


def test_an_item_loses_its_id_in_training_and_its_text_speaks_for_it() -> None:
    tower = built(named(NAMES), id_dropout=0.9).candidate_tower
    items = tf.constant([1, 1, 3, 4, 5])
    kept, dropped = (
        tower.read(items, tf.constant([1, 2]), training=training).vectors.numpy() for training in (False, True)
    )
    np.testing.assert_array_equal(dropped[0], dropped[1])  # the same item in both of its places
    ids = tf.gather(tower.table, tf.gather(tower._data.item_table["item_id"], items)).numpy()
    gone = np.abs(dropped - (kept - ids)).max(axis=1) < 1e-6
    assert gone.sum() >= 3
    np.testing.assert_array_equal(dropped[~gone], kept[~gone])


def test_subwords_are_a_summand_of_an_items_vector() -> None:
    """An item without an id or a column, new: what convolutions see, and what subwords say, of its name."""
    model = built(named(NAMES))
    tower = model.candidate_tower
    codes = tower.codes[6:7]
    found = tower.read(tf.constant([6])).vectors
    np.testing.assert_allclose(found, tower.text(tower.convolution(codes)) + tower.subwords(codes), atol=1e-6)
    assert np.abs(tower.subwords(codes)).max() > 1e-3
    assert built(named(NAMES), subword_width=0).candidate_tower.subwords is None


def test_a_subword_of_one_character_is_refused() -> None:
    with pytest.raises(ConfigError, match="subword_width = 1 is not possible: a subword has 2 characters or more"):
        build(Config, [{"subword_width": 1}])


def test_without_content_an_item_is_its_id() -> None:
    model = built(named(NAMES), content=False)
    assert model.candidate_tower.codes is None
    assert not Config(content=False).ranks_new_items
    assert not model.candidate_vectors().numpy()[6].any()


def trained_on_shop(noise: float, steps: int) -> tuple[dict[str, float], SessionCNN]:
    """hit@20 of the next click on the small shop, of all targets and of those training has not seen, and chance."""
    shop = simulate_shop(shop_config("simulated-shop-small", noise=noise)).interactions
    data, split = split_interactions(shop, "sessions")
    histories = build_histories(data, split.train)
    settings = {"dim": 48, "units": 48, "channels": 16, "text_filters": 32, "filters": [16, 16], "character_dim": 8}
    model = built(data, histories, **{**settings, "characters": 48, "id_dropout": 0.3})
    model.compile(optimizer=tf.keras.optimizers.Adam(0.006))
    carts = next_carted(histories, carted_rows(data))
    batches = click_batches(histories, batch_size=256, size=4, seed=1, carts=carts)
    model.optimizer.build(model.trainable_variables)
    model.fit(batches.dataset(), steps_per_epoch=steps, epochs=1, verbose=0)
    scorer = RetrievalScorer(model, build_histories(data, split.known))
    users, items = data.users[split.test], data.items[split.test]
    ranking = rank(scorer, users, items, seen=None, num_items=data.num_items)
    hit = np.clip((20 - ranking.greater) / ranking.ties, 0, 1)
    cold = np.bincount(data.items[split.train], minlength=301)[items] == 0
    error = math.sqrt(1 / 15 * 14 / 15 / len(hit))
    return {"all": hit.mean(), "cold": hit[cold].mean(), "chance": 20 / 300, "error": error}, model


def test_names_place_items_that_training_has_never_seen() -> None:
    found, _ = trained_on_shop(noise=0.0, steps=40)
    assert found["all"] > 4 * found["chance"]
    assert found["cold"] > 3 * found["chance"]


@pytest.mark.slow
def test_at_full_noise_nothing_is_found() -> None:
    found, _ = trained_on_shop(noise=1.0, steps=40)
    assert abs(found["all"] - found["chance"]) < 5 * found["error"]


def test_an_export_knows_new_items_by_their_names_and_reads_them_from_requests(tmp_path: Path) -> None:
    data = named(NAMES, [0, 0, 1, 0, 0, 1])
    model = built(data)
    index = build_index(model.candidate_vectors().numpy(), IndexConfig(), kind="exact")
    folder = export_retrieval(model, data, all_rows(data), index, tmp_path, max_k=6, default_k=6)
    signatures = tf.saved_model.load(str(folder)).signatures
    history = tf.constant([["i1", "i6", "i5"]])
    found = signatures["recommend_history"](history=history)
    queries = model.query_vectors(tf.zeros([1], tf.int32), ragged([1, 6, 5])).numpy()
    scores = queries @ model.candidate_vectors().numpy()[1:].T
    seen = {"i1", "i6", "i5"}
    names = [f"i{place + 1}" for place in np.argsort(-scores[0]).tolist()]
    told = [name.decode() for name in found["item_id"].numpy()[0] if name]
    assert told == [name for name in names if name not in seen]
    # Of the cart nothing is left out.
    carted = signatures["recommend_cart"](history=history)
    queries = model.cart_vectors(ragged([1, 6, 5])).numpy()
    scores = queries @ model.candidate_vectors().numpy()[1:].T
    assert [name.decode() for name in carted["item_id"].numpy()[0]] == [f"i{i + 1}" for i in np.argsort(-scores[0])]
    np.testing.assert_allclose(carted["score"][0], -np.sort(-scores[0]), atol=1e-5)
    # A name that comes with a request is read as the one in the table is.
    embedded = signatures["embed_candidate"](item_id=tf.constant(["", "i6"]), name=tf.constant([NAMES[5], ""]))
    np.testing.assert_allclose(embedded["embedding"], np.tile(model.candidate_vectors()[6], (2, 1)), atol=1e-5)
