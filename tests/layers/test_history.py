"""The bag of a history, against sums written out."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from recsys_tfrs.layers.history import HistoryBag


def bag(rows: list[list[int]], weights: list[float], layer: HistoryBag) -> np.ndarray:
    items = tf.ragged.constant(rows, dtype=tf.int32, ragged_rank=1)
    return layer(items, tf.constant(weights, tf.float32)).numpy()


def test_items_add_up_by_weight_whatever_their_order() -> None:
    layer = HistoryBag(5, 3, seed=1, scale=0.1)
    table = layer.table.numpy()
    expected = [0.5 * table[2] + 2 * table[4], np.zeros(3), table[1] + table[1] + 3 * table[3]]
    np.testing.assert_allclose(bag([[2, 4], [], [1, 3, 1]], [0.5, 2, 1, 3, 1], layer), expected, rtol=1e-6)
    np.testing.assert_allclose(bag([[4, 2], [], [1, 1, 3]], [2, 0.5, 1, 1, 3], layer), expected, rtol=1e-6)


def test_unknown_items_contribute_nothing_whatever_their_weight() -> None:
    layer = HistoryBag(5, 3, seed=1, scale=0.1)
    assert np.abs(layer.table.numpy()[0]).min() > 0
    np.testing.assert_array_equal(bag([[0, 0], [0, 2]], [1, 9, 9, 1], layer), [np.zeros(3), layer.table.numpy()[2]])


def test_empty_histories_are_the_zero_vector() -> None:
    layer = HistoryBag(5, 3, seed=1, scale=0.1)
    np.testing.assert_array_equal(bag([[], []], [], layer), np.zeros((2, 3)))
    assert bag([], [], layer).shape == (0, 3)
