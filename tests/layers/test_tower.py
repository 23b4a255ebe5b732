"""Hidden layers: what they compute, and what training drops and normalises."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from recsys_tfrs.layers.dropout import hashed_keep_mask
from recsys_tfrs.layers.tower import Tower

SEED = tf.constant([3, 7])
INPUTS = tf.constant(np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32))


def test_two_layers_are_relu_of_products() -> None:
    tower = Tower([5, 4], seed=1, salt=9)
    got = tower(INPUTS).numpy()
    first, bias, second, other = (weight.numpy() for weight in tower.trainable_variables)
    hidden = np.maximum(INPUTS.numpy() @ first + bias, 0)
    np.testing.assert_allclose(got, np.maximum(hidden @ second + other, 0), rtol=1e-5, atol=1e-6)


def test_dropout_is_relu_times_mask_and_so_is_its_gradient() -> None:
    tower = Tower([5], dropout=0.4, seed=1, salt=9)
    with tf.GradientTape() as tape:
        tape.watch(INPUTS)
        got = tower(INPUTS, SEED, training=True)
        total = tf.reduce_sum(got)
    weights, bias = tower.trainable_variables
    mask = tf.cast(hashed_keep_mask(tf.constant([50, 5]), 0.4, SEED, 9), tf.float32) / 0.6
    with tf.GradientTape() as other:
        other.watch(INPUTS)
        wanted = tf.nn.relu(INPUTS @ weights + bias) * mask
        wanted_total = tf.reduce_sum(wanted)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(total, INPUTS), other.gradient(wanted_total, INPUTS), rtol=1e-5)
    assert 0 < np.mean(got.numpy() == 0) < 1


def test_nothing_is_dropped_outside_training() -> None:
    tower = Tower([5], dropout=0.4, seed=1, salt=9)
    weights, bias = Tower([5], seed=1, salt=9)(INPUTS), tower(INPUTS)
    np.testing.assert_array_equal(weights, bias)


def test_normalised_by_the_batch_in_training_and_by_the_moving_mean_after_it() -> None:
    tower = Tower([5], batch_norm=True, seed=1, salt=9)
    got = tower(INPUTS, SEED, training=True).numpy()
    product = INPUTS.numpy() @ tower.trainable_variables[0].numpy()
    standard = (product - product.mean(axis=0)) / np.sqrt(product.var(axis=0) + 1e-3)
    np.testing.assert_allclose(got, np.maximum(standard, 0), atol=1e-4)
    # One step of momentum .99 from mean 0 and variance 1; the moving variance is the unbiased one.
    mean, variance = 0.01 * product.mean(axis=0), 0.99 + 0.01 * product.var(axis=0, ddof=1)
    later = np.maximum((product - mean) / np.sqrt(variance + 1e-3), 0)
    np.testing.assert_allclose(tower(INPUTS).numpy(), later, atol=1e-4)
