"""The GRU against its equations, against Keras's own, and against automatic differentiation."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.layers.gru import GRU, OneHotGRU, _forward, recurrence

TIMES, ROWS, DIM, UNITS = 5, 3, 4, 6


def layer_and_inputs() -> tuple[GRU, tf.Tensor]:
    rng = np.random.default_rng(0)
    layer = GRU(UNITS, seed=1, name="gru")
    inputs = tf.constant(rng.normal(size=(TIMES, ROWS, DIM)), tf.float32)
    layer(inputs)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.5)
    return layer, inputs


def test_a_step_follows_the_equations() -> None:
    layer, inputs = layer_and_inputs()
    state = np.random.default_rng(1).normal(size=(ROWS, UNITS)).astype(np.float32)
    w, u = layer.kernel.numpy(), layer.recurrent.numpy()
    b, c = layer.bias.numpy(), layer.candidate_bias.numpy()
    wx, uh = inputs[0].numpy() @ w + b, state @ u
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    z = sigmoid(wx[:, :6] + uh[:, :6])
    r = sigmoid(wx[:, 6:12] + uh[:, 6:12])
    n = np.tanh(wx[:, 12:] + r * (uh[:, 12:] + c))
    expected = z * state + (1 - z) * n
    np.testing.assert_allclose(layer(inputs[:1], state)[0], expected, atol=1e-6)
    np.testing.assert_allclose(layer.step(inputs[0] @ layer.kernel, state), expected, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_states_are_those_of_keras(training: bool) -> None:
    layer, inputs = layer_and_inputs()
    keras = tf.keras.layers.GRU(UNITS, time_major=True, return_sequences=True)
    keras(inputs)
    recurrent_bias = np.concatenate([np.zeros(2 * UNITS), layer.candidate_bias.numpy()])
    keras.set_weights([layer.kernel.numpy(), layer.recurrent.numpy(), np.stack([layer.bias.numpy(), recurrent_bias])])
    state = tf.constant(np.random.default_rng(2).normal(size=(ROWS, UNITS)), tf.float32)
    np.testing.assert_allclose(layer(inputs, state, training=training), keras(inputs, initial_state=state), atol=1e-5)


@pytest.mark.parametrize("emptied", [False, True])
def test_gradients_are_those_of_automatic_differentiation(emptied: bool) -> None:
    rng = np.random.default_rng(3)
    products, recurrent, bias, state = (
        tf.constant(rng.normal(size=shape) * 0.7, tf.float64)
        for shape in [(TIMES, ROWS, 3 * UNITS), (UNITS, 3 * UNITS), (UNITS,), (ROWS, UNITS)]
    )
    factors = tf.constant(rng.integers(0, 2, (TIMES, ROWS, 1)), tf.float64) if emptied else None
    weights = tf.constant(rng.normal(size=(TIMES, ROWS, UNITS)), tf.float64)
    found = []
    for function in (recurrence, _forward):
        with tf.GradientTape() as tape:
            tape.watch([products, recurrent, bias])
            states = function(products, state, recurrent, bias, factors)
            value = tf.reduce_sum(weights * states)
        found.append([states, *tape.gradient(value, [products, recurrent, bias])])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)
        assert np.abs(theirs).max() > 0.1


def test_gradients_inside_a_graph() -> None:
    layer, inputs = layer_and_inputs()

    @tf.function
    def gradients() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(layer(inputs, training=True) ** 2)
        return tape.gradient(value, layer.trainable_variables)

    with tf.GradientTape() as tape:
        value = tf.reduce_sum(layer(inputs, training=False) ** 2)
    expected = tape.gradient(value, layer.trainable_variables)
    for ours, theirs in zip(gradients(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_an_emptied_state_forgets_what_came_before() -> None:
    layer, inputs = layer_and_inputs()
    kept = np.ones((TIMES, ROWS), np.float32)
    kept[2, 1] = 0
    states = layer(inputs, tf.ones([ROWS, UNITS]), kept, training=True)
    np.testing.assert_allclose(states[2:, 1], layer(inputs[2:, 1:2])[:, 0], atol=1e-6)
    plain = layer(inputs, tf.ones([ROWS, UNITS]))
    np.testing.assert_allclose(states[:, 0], plain[:, 0], atol=1e-6)
    assert np.abs(states[2, 1] - plain[2, 1]).max() > 1e-2


def test_a_state_carried_over_is_as_if_nothing_had_been_cut() -> None:
    layer, inputs = layer_and_inputs()
    whole = layer(inputs)
    first = layer(inputs[:2])
    np.testing.assert_allclose(layer(inputs[2:], first[-1]), whole[2:], atol=1e-6)


def test_one_of_n_input_is_the_product_with_a_one_hot_vector() -> None:
    layer = OneHotGRU(UNITS, 7, seed=1, name="gru")
    ids = tf.constant([[0, 6], [3, 3]])
    plain = GRU(UNITS, seed=1, name="plain")
    one_hot = tf.one_hot(ids, 7)
    plain(one_hot)
    plain.kernel.assign(layer.kernel)
    np.testing.assert_array_equal(plain.recurrent, layer.recurrent)
    np.testing.assert_allclose(layer.of_products(layer.products(ids), None, None, False), plain(one_hot), atol=1e-6)


def test_initial_recurrent_weights_are_orthogonal_gate_by_gate() -> None:
    layer, _ = layer_and_inputs()
    fresh = GRU(UNITS, seed=1, name="fresh")
    fresh(tf.zeros([1, 1, DIM]))
    gates = fresh.recurrent.numpy().reshape(UNITS, 3, UNITS)
    for gate in range(3):
        np.testing.assert_allclose(gates[:, gate].T @ gates[:, gate], np.eye(UNITS), atol=1e-5)
    assert np.abs(gates[:, 0] - gates[:, 1]).max() > 0.1
    assert len(layer.trainable_variables) == 4
