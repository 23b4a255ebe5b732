"""Windows of clicks, and 3-D convolutions over them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.layers.blocks import (
    ConvolutionTower,
    GatedConvolution,
    RecurrentWindow,
    SessionTower,
    TowerSettings,
    Window,
    newest,
)
from recsys_tfrs.layers.described_items import Items

SETTINGS = TowerSettings(
    size=4, dim=5, units=6, heads=("click", "cart"), dropout=0.0, input_dropout=0.0, empty_rate=0.0, seed=1
)
NORMAL = np.random.default_rng(0).normal


def window(clicks: list[list[int]], planes: bool = True) -> Window:
    """Of a catalogue of nine items."""
    vectors = tf.constant(np.random.default_rng(1).normal(size=(10, 5)), tf.float32)
    seen = tf.constant(np.random.default_rng(2).normal(size=(10, 8, 3)), tf.float32) if planes else None
    return Window(tf.constant(clicks), Items(vectors, seen), tf.constant(clicks))


def tower(kind: str = "convolution", **changes: object) -> SessionTower:
    settings = SETTINGS._replace(**changes)
    return RecurrentWindow(settings) if kind == "gru" else ConvolutionTower(settings, 3, (6, 7), 4)


def test_the_newest_clicks_are_padded_in_front() -> None:
    history = tf.ragged.constant([[1, 2, 3, 4, 5, 6], [7], [], [8, 9]], dtype=tf.int32)
    assert newest(history, 4).numpy().tolist() == [[3, 4, 5, 6], [0, 0, 0, 7], [0, 0, 0, 0], [0, 0, 8, 9]]
    nobody = tf.ragged.constant([[], []], dtype=tf.int32, ragged_rank=1)
    assert newest(nobody, 2).numpy().tolist() == [[0, 0], [0, 0]]


def test_a_kernel_over_the_whole_third_axis_is_a_kernel_with_channels() -> None:
    """TensorFlow's own convolution over three axes, each with its padding, gives the same."""
    made = tower()
    block = tf.constant(NORMAL(size=(2, 4, 8, 3)), tf.float32)
    padded = tf.pad(block, [[0, 0], [1, 1], [1, 1], [0, 0]])[..., None]
    over_three = tf.nn.conv3d(padded, made.first[:, :, :, None, :], [1] * 5, "VALID")[:, :, :, 0]
    np.testing.assert_allclose(tf.nn.conv2d(block, made.first, 1, "SAME"), over_three, atol=1e-5)


def test_gated_convolutions_are_a_product_of_two_summed_over_the_clicks() -> None:
    """Written out, with gates that are not half open."""
    gated = GatedConvolution(5, 4, seed=1, name="gated")
    gated.gate_bias.assign([0.5, -0.5, 1.0, 0.0])
    vectors = (0.1 * NORMAL(size=(2, 4, 5))).astype(np.float32)
    there = np.array([[False, True, True, True], [True] * 4])
    kernel, gate = gated.kernel.numpy(), gated.gate.numpy()
    found = np.zeros((2, 4, 4))
    for row, place in zip(*np.nonzero(there), strict=True):
        around = [p for p in (place - 1, place, place + 1) if 0 <= p < 4 and there[row, p]]
        linear = sum(vectors[row, p] @ kernel[p - place + 1] for p in around)
        opened = 20.0 * sum(vectors[row, p] @ gate[p - place + 1] for p in around) + gated.gate_bias.numpy()
        found[row, place] = linear / (1 + np.exp(-opened))
    summed, at_newest = gated(tf.constant(vectors), tf.constant(there))
    np.testing.assert_allclose(summed, 0.5 * found.sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(at_newest, found[:, -1], atol=1e-5)
    assert np.abs(found).max() > 0.1


@pytest.mark.parametrize("kind", ["convolution", "gru"])
def test_what_was_clicked_and_in_which_order_matters_to_each_query(kind: str) -> None:
    found = tower(kind)(window([[1, 2, 3, 4], [2, 1, 3, 4], [1, 2, 3, 5], [0, 0, 3, 4], [0, 0, 0, 0]]))
    for head, queries in found.items():
        assert queries.shape == (5, 5), head
        np.testing.assert_allclose(tf.norm(queries, axis=1), 1, rtol=1e-5)
        assert min(np.abs(queries[0] - other).max() for other in queries[1:]) > 1e-3
    assert np.abs(found["click"] - found["cart"]).max() > 1e-3


@pytest.mark.parametrize("kind", ["convolution", "gru"])
def test_a_query_starts_as_a_sum_of_clicked_items(kind: str) -> None:
    """Half as much for each click back; items are small at the start, and what is seen of texts is not."""
    asked = window([[1, 2, 3, 4]])
    vectors = asked.items.vectors * 0.05
    found = tower(kind)(asked._replace(items=asked.items._replace(vectors=vectors)))
    expected = 0.125 * vectors[1] + 0.25 * vectors[2] + 0.5 * vectors[3] + vectors[4]
    for queries in found.values():
        assert float(tf.tensordot(queries[0], expected / tf.norm(expected), 1)) > 0.95


def test_convolutions_read_jointly_over_clicks_and_characters() -> None:
    """Two planes meet in one filter: what a pair of them gives is not the sum of what each gives alone."""
    made = tower()
    one, two, none = (np.zeros((1, 4, 8, 3), dtype=np.float32) for _ in range(3))
    one[0, 1, 3], two[0, 2, 4] = 1.0, 1.0
    seen = {name: made.seen(tf.constant(b)).numpy() for name, b in {"1": one, "2": two, "12": one + two}.items()}
    assert np.abs(seen["12"] - seen["1"] - seen["2"] + made.seen(tf.constant(none)).numpy()).max() > 1e-3


def test_nothing_is_seen_of_the_texts_where_nobody_clicked() -> None:
    made = tower()
    there = tf.constant([[False, False, True, True]])
    block = made.block(window([[0, 0, 3, 4]]), tf.zeros([1, 4, 5]), there).numpy()
    assert not block[0, :2].any()
    np.testing.assert_allclose(block[0, 2], window([[3]]).items.planes[3], atol=1e-6)
    assert made.block(window([[1, 2, 3, 4]], planes=False), tf.ones([1, 4, 5]), there | True).shape == (1, 4, 1, 3)


def test_padding_in_front_does_not_reach_the_state_of_the_gru() -> None:
    made = tower("gru")
    vectors = tf.constant(NORMAL(size=(1, 4, 5)), tf.float32)
    there = tf.constant([[False, False, True, True]])
    found = made.hidden(window([[0, 0, 3, 4]]), vectors, there, training=False)
    alone = made.gru(tf.transpose(vectors[:, 2:], [1, 0, 2]))[-1]
    np.testing.assert_allclose(found, alone, atol=1e-6)


def test_dropout_is_of_training_alone_and_follows_the_seed() -> None:
    made = tower(dropout=0.5, input_dropout=0.5, empty_rate=0.3)
    asked = window([[1, 2, 3, 4]] * 20)
    quiet, again, first, same, other = (
        made(asked, tf.constant(seed), training=training)["click"].numpy()
        for seed, training in (([1, 2], False), ([3, 4], False), ([1, 2], True), ([1, 2], True), ([3, 4], True))
    )
    np.testing.assert_array_equal(quiet, again)
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - quiet).max() > 1e-3
    assert np.abs(first - other).max() > 1e-3
    emptied = tower(empty_rate=0.99)(asked, tf.constant([1, 2]), training=True)["click"].numpy()
    empty = tower()(window([[0, 0, 0, 0]]))["click"].numpy()
    assert (np.abs(emptied - empty).max(axis=1) < 1e-6).mean() > 0.8
