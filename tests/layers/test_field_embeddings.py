"""Fields -> vectors and first-order weights, against lookups written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.features.fields import IDS, VALUES, FieldLayout
from recsys_tfrs.layers.field_embeddings import FieldEmbeddings

LAYOUT = FieldLayout(single={"a": 3, "b": 4}, several={"words": 5}, dense={"size": 1, "when": 2})


@pytest.fixture
def layer() -> FieldEmbeddings:
    made = FieldEmbeddings(LAYOUT, 2, scale=0.1, seed=1)
    rows = np.arange(15 * 3, dtype=np.float32).reshape(15, 3)  # 3 + 4 + 5 + 1 + 2 rows: two numbers and a weight
    made.table.assign(rows)
    return made


def test_each_field_has_the_rows_of_its_own(layer: FieldEmbeddings) -> None:
    encoded = {
        IDS: tf.constant([[2, 1]]),
        "words": tf.constant([[4, 1, 0, 0]]),
        VALUES: tf.constant([[2.0, 1.0, -1.0]]),
    }
    fields = layer(encoded)
    table = np.arange(45.0).reshape(15, 3)
    expected = np.stack(
        [
            table[2],  # a = 2
            table[3 + 1],  # b = 1
            (table[7 + 4] + table[7 + 1]) / 2,  # the mean of two words, padding left out
            2.0 * table[12],
            1.0 * table[13] - 1.0 * table[14],
        ]
    )
    np.testing.assert_allclose(fields.vectors[0], expected[:, :2])
    np.testing.assert_allclose(fields.weights[0], expected[:, 2])


def test_a_field_without_any_value_says_nothing(layer: FieldEmbeddings) -> None:
    encoded = {IDS: tf.constant([[1, 1]]), "words": tf.zeros([1, 4], tf.int32), VALUES: tf.zeros([1, 3])}
    fields = layer(encoded)
    np.testing.assert_array_equal(fields.vectors[0, 2:], np.zeros((3, 2)))
    np.testing.assert_array_equal(fields.weights[0, 2:], np.zeros(3))


def test_one_field_alone_is_what_it_is_among_all(layer: FieldEmbeddings) -> None:
    alone = {
        "a": tf.constant([2, 0]),
        "b": tf.constant([1, 3]),
        "words": tf.constant([[4, 1, 0], [0, 0, 0]]),
        "size": tf.constant([2.0, -1.0]),
        "when": tf.constant([[1.0, -1.0], [0.5, 0.0]]),
    }
    numbers = tf.concat([alone["size"][:, None], alone["when"]], axis=1)
    together = layer({IDS: tf.stack([alone["a"], alone["b"]], 1), "words": alone["words"], VALUES: numbers})
    for place, name in enumerate(LAYOUT.names):
        row = layer.of_field(name, alone[name]).numpy()
        np.testing.assert_allclose(row[:, :2], together.vectors[:, place])
        np.testing.assert_allclose(row[:, 2], together.weights[:, place])


def test_what_is_missing_starts_at_nothing_and_weights_do_too() -> None:
    made = FieldEmbeddings(LAYOUT, 2, scale=0.1, seed=1).table.numpy()
    assert not made[[0, 3, 7]].any()
    assert not made[:, 2].any()
    assert made[[1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14], :2].all()


def test_first_order_alone_has_no_vectors() -> None:
    layer = FieldEmbeddings(LAYOUT, 0, scale=0.1, seed=1)
    encoded = {IDS: tf.constant([[1, 1]]), "words": tf.ones([1, 2], tf.int32), VALUES: tf.ones([1, 3])}
    assert layer(encoded).vectors.shape == (1, 5, 0)
    assert layer.table.shape == (15, 1)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_mean_of_several_ids_and_its_gradient_are_those_written_out(
    monkeypatch: pytest.MonkeyPatch, sparse: bool
) -> None:
    """In every way of computing it: what XLA compiles, with a gradient of all rows, with one of those looked up."""
    monkeypatch.setattr("recsys_tfrs.layers.field_embeddings._SPARSE_ROWS", 0 if sparse else 100)
    layer = FieldEmbeddings(FieldLayout(single={}, several={"words": 5}, dense={}), 2, scale=0.1, seed=1)
    rows = np.arange(15, dtype=np.float32).reshape(5, 3)
    layer.table.assign(rows)
    words = tf.constant([[4, 1, 0], [0, 2, 4], [0, 0, 0], [3, 3, 1]])
    means = np.stack([(rows[4] + rows[1]) / 2, (rows[2] + rows[4]) / 2, 0 * rows[0], (2 * rows[3] + rows[1]) / 3])
    # Of the sum of squares: twice the mean of each example, by the share of each row in it.
    gradient = np.zeros((5, 3), np.float32)
    shares = [(0, 4, 1 / 2), (0, 1, 1 / 2), (1, 2, 1 / 2), (1, 4, 1 / 2), (3, 3, 2 / 3), (3, 1, 1 / 3)]
    for example, row, share in shares:
        gradient[row] += 2 * share * means[example]
    for compiled in (False, True):
        layer.compiled = compiled
        with tf.GradientTape() as tape:
            found = layer({"words": words})
            loss = tf.reduce_sum(found.vectors**2) + tf.reduce_sum(found.weights**2)
        np.testing.assert_allclose(found.vectors[:, 0], means[:, :2], rtol=1e-6)
        np.testing.assert_allclose(found.weights[:, 0], means[:, 2], rtol=1e-6)
        made = tape.gradient(loss, layer.table)
        assert isinstance(made, tf.IndexedSlices) == (sparse or compiled)
        np.testing.assert_allclose(tf.convert_to_tensor(made), gradient, rtol=1e-5)
