"""Residual layers: the identity until they have learnt something."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from recsys_tfrs.layers.mlp import ResidualMLP

VECTORS = tf.constant([[1.0, -2.0], [0.5, 3.0]])


def test_an_untrained_network_is_the_identity() -> None:
    layer = ResidualMLP([8, 4], 2, seed=1)
    np.testing.assert_array_equal(layer(VECTORS).numpy(), VECTORS.numpy())
    assert [tuple(w.shape) for w in layer.weights] == [(2, 8), (8,), (8, 4), (4,), (4, 2), (2,)]


def test_without_hidden_layers_there_is_nothing_to_learn() -> None:
    layer = ResidualMLP([], 2, seed=1)
    np.testing.assert_array_equal(layer(VECTORS).numpy(), VECTORS.numpy())
    assert layer.weights == []


def test_the_output_is_added_to_the_input() -> None:
    layer = ResidualMLP([2], 2, activation="relu", seed=1)
    layer(VECTORS)
    layer.set_weights([np.eye(2), np.zeros(2), np.array([[10.0, 0.0], [0.0, 100.0]]), np.array([0.25, 0.5])])
    # relu: [1, 0] and [0.5, 3]; times 10 and 100; plus bias; plus input.
    np.testing.assert_allclose(layer(VECTORS).numpy(), [[11.25, -1.5], [5.75, 303.5]])


def test_every_layer_of_an_untrained_network_can_start_to_learn() -> None:
    layer = ResidualMLP([8], 2, seed=1)
    layer(VECTORS)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(VECTORS) ** 2)
    last_kernel_gradient = tape.gradient(loss, layer.weights[2]).numpy()
    assert (last_kernel_gradient != 0).all()


def test_initial_weights_depend_on_the_seed() -> None:
    layers = [ResidualMLP([8, 8], 2, seed=seed) for seed in (1, 1, 2)]
    for layer in layers:
        layer(VECTORS)
    first, same, other = (layer.weights[0].numpy() for layer in layers)
    np.testing.assert_array_equal(first, same)
    assert (first != other).all()
