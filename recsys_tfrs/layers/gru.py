"""Gated recurrent units, laid out for speed on a CPU.

With x the input, h the state before, and U the recurrent weights of all three gates side by side::

    z = sigmoid(W_z x + U_z h + b_z)                   how much of the state is kept
    r = sigmoid(W_r x + U_r h + b_r)                   how much of it the candidate sees
    n = tanh(W_n x + b_n + r * (U_n h + c_n))          the candidate
    h' = z * h + (1 - z) * n

Reference: Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP 2014
(https://arxiv.org/abs/1406.1078). The reset gate comes after the product with the state, as in cuDNN, so that a step
needs one matrix product.

What does not depend on the state is computed for all times at once: the products of the inputs before the steps, the
gradients of all weights after them. A step of the forward pass holds one product with U and a step of the backward pass
one with its transpose; differentiating the loop as it stands would need two more in each backward step. What the
forward pass computes on the way is kept, step by step, and read again: its pieces fit the processor's cache, and
computing the gates once more for all times at once would cost a further product and many passes over memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class GRU(tf.keras.layers.Layer):
    """One layer of gated recurrent units; times come first in all shapes.

    Args:
      units: size of the state.
      seed: of the initial weights.
      name: of the layer.
    """

    def __init__(self, units: int, *, seed: int, name: str) -> None:
        super().__init__(name=name)
        self.units = units
        self._seed = seed

    def build(self, input_shape: tf.TensorShape) -> None:
        """Make the weights: inputs Glorot uniform, recurrent ones orthogonal per gate."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(int(input_shape[-1]), 3 * self.units),
            initializer=tf.keras.initializers.GlorotUniform(seed=self._seed),
        )
        self._build_recurrent()
        super().build(input_shape)

    def _build_recurrent(self) -> None:
        orthogonal = [
            tf.keras.initializers.Orthogonal(seed=self._seed + gate + 1)([self.units, self.units]) for gate in range(3)
        ]
        initial = tf.keras.initializers.Constant(np.concatenate(orthogonal, axis=1))
        self.recurrent = self.add_weight(name="recurrent", shape=(self.units, 3 * self.units), initializer=initial)
        self.bias = self.add_weight(name="bias", shape=(3 * self.units,), initializer="zeros")
        self.candidate_bias = self.add_weight(name="candidate_bias", shape=(self.units,), initializer="zeros")

    def call(
        self,
        inputs: tf.Tensor,
        state: tf.Tensor | None = None,
        kept: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Return the states after every step, ``[times, rows, units]``.

        Args:
          inputs: ``[times, rows, dim]``.
          state: ``[rows, units]`` state before the first step; None: empty.
          kept: ``[times, rows]`` 1 where the state goes on, 0 where it is emptied before the step; None: it goes on.
          training: whether gradients are wanted.
        """
        products = tf.tensordot(inputs, tf.cast(self.kernel, inputs.dtype), 1)
        return self.of_products(products, state, kept, training)

    def of_products(
        self, products: tf.Tensor, state: tf.Tensor | None, kept: tf.Tensor | None, training: bool
    ) -> tf.Tensor:
        """As `call`, from ``[times, rows, 3 units]`` products of the inputs with the kernel."""
        dtype = products.dtype
        products += tf.cast(self.bias, dtype)
        if state is None:
            state = tf.zeros([tf.shape(products)[1], self.units], dtype)
        weights = tf.cast(self.recurrent, dtype), tf.cast(self.candidate_bias, dtype)
        factors = None if kept is None else tf.cast(kept, dtype)[:, :, None]
        if not training:
            return _forward(products, tf.cast(state, dtype), *weights, factors)
        return recurrence(products, tf.cast(state, dtype), *weights, factors)

    def step(self, products: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        """``[rows, units]`` state after one step, from ``[rows, 3 units]`` products of its input with the kernel."""
        return _step(products + self.bias, state, self.recurrent, self.candidate_bias)


class OneHotGRU(GRU):
    """The same for inputs that are ids: a true 1-of-N input, whose row of the kernel is its embedding.

    Args:
      units: size of the state.
      vocabulary_size: ids lie below this.
      seed: of the initial weights.
      name: of the layer.
    """

    def __init__(self, units: int, vocabulary_size: int, *, seed: int, name: str) -> None:
        super().__init__(units, seed=seed, name=name)
        limit = 1.0 / np.sqrt(units)  # of the size of the state, as a single row is what enters
        self.kernel = self.add_weight(
            name="kernel",
            shape=(vocabulary_size, 3 * units),
            initializer=tf.keras.initializers.RandomUniform(-limit, limit, seed=seed),
        )
        self._build_recurrent()

    def build(self, input_shape: tf.TensorShape) -> None:
        """Nothing is left to be made."""
        self.built = True

    def products(self, ids: tf.Tensor) -> tf.Tensor:
        """``[..., 3 units]`` rows of the kernel."""
        return tf.cast(tf.gather(self.kernel, ids), self.compute_dtype)


def recurrence(
    products: tf.Tensor,
    state: tf.Tensor,
    recurrent: tf.Tensor,
    candidate_bias: tf.Tensor,
    factors: tf.Tensor | None,
) -> tf.Tensor:
    """States after every step, with the gradient written out.

    Args:
      products: ``[times, rows, 3 units]`` ``W x + b`` of the gates z, r, n.
      state: ``[rows, units]`` before the first step; gradients do not flow back into it.
      recurrent: ``[units, 3 units]`` U.
      candidate_bias: ``[units]`` c_n.
      factors: ``[times, rows, 1]`` by which the state is multiplied before each step; None: 1.

    Returns:
      ``[times, rows, units]``.
    """

    @tf.custom_gradient
    def differentiable(
        products: tf.Tensor, recurrent: tf.Tensor, candidate_bias: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]]:
        walked = _walk(products, state, recurrent, candidate_bias, factors)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            return _walk_back(upstream, walked, recurrent, factors)

        return walked.after.stack(), gradient

    states: tf.Tensor = differentiable(products, recurrent, candidate_bias)
    return states


class _Walked(NamedTuple):
    """What every step of the forward pass leaves for the backward pass, each ``[rows, units]`` by time.

    Attributes:
      before: state the step started from, emptied where a sequence starts.
      after: state it ended with.
      gates: ``[rows, 2 units]`` z and r.
      seen: ``U_n h + c_n``.
      candidate: n.
    """

    before: tf.TensorArray
    after: tf.TensorArray
    gates: tf.TensorArray
    seen: tf.TensorArray
    candidate: tf.TensorArray


def _gates(
    products: tf.Tensor, state: tf.Tensor, recurrent: tf.Tensor, candidate_bias: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """The state after a step, z beside r, what r gates, and n."""
    units = state.shape[-1]
    of_state = tf.matmul(state, recurrent)
    gates = tf.sigmoid(products[:, : 2 * units] + of_state[:, : 2 * units])
    keep, reset = gates[:, :units], gates[:, units:]
    seen = of_state[:, 2 * units :] + candidate_bias
    candidate = tf.tanh(products[:, 2 * units :] + reset * seen)
    return candidate + keep * (state - candidate), gates, seen, candidate


def _step(products: tf.Tensor, state: tf.Tensor, recurrent: tf.Tensor, candidate_bias: tf.Tensor) -> tf.Tensor:
    return _gates(products, state, recurrent, candidate_bias)[0]


def _forward(
    products: tf.Tensor,
    state: tf.Tensor,
    recurrent: tf.Tensor,
    candidate_bias: tf.Tensor,
    factors: tf.Tensor | None,
) -> tf.Tensor:
    """``[times, rows, units]`` states, nothing kept but them."""
    times = tf.shape(products)[0]
    states = tf.TensorArray(products.dtype, size=times, element_shape=state.shape)

    def body(time: tf.Tensor, state: tf.Tensor, states: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        if factors is not None:
            state *= factors[time]
        state = _step(products[time], state, recurrent, candidate_bias)
        return time + 1, state, states.write(time, state)

    _, _, states = tf.while_loop(lambda time, *_: time < times, body, (0, state, states), parallel_iterations=1)
    return states.stack()


def _array(like: tf.Tensor, rows: int | None, width: int) -> tf.TensorArray:
    """A ``[rows, width]`` for every time of `like`. What it holds may be read twice, as gradients may be taken."""
    return tf.TensorArray(like.dtype, tf.shape(like)[0], clear_after_read=False, element_shape=[rows, width])


def _walk(
    products: tf.Tensor,
    state: tf.Tensor,
    recurrent: tf.Tensor,
    candidate_bias: tf.Tensor,
    factors: tf.Tensor | None,
) -> _Walked:
    times = tf.shape(products)[0]
    rows, units = state.shape
    arrays = _Walked(*(_array(products, rows, width * units) for width in (1, 1, 2, 1, 1)))

    def body(time: tf.Tensor, state: tf.Tensor, walked: _Walked) -> tuple[tf.Tensor, tf.Tensor, _Walked]:
        if factors is not None:
            state *= factors[time]
        after, *kept = _gates(products[time], state, recurrent, candidate_bias)
        written = (array.write(time, value) for array, value in zip(walked, (state, after, *kept), strict=True))
        return time + 1, after, _Walked(*written)

    walked: _Walked
    _, _, walked = tf.while_loop(lambda time, *_: time < times, body, (0, state, arrays), parallel_iterations=1)
    return walked


def _walk_back(
    upstream: tf.Tensor, walked: _Walked, recurrent: tf.Tensor, factors: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Gradients of products, recurrent weights and candidate bias."""
    times, units = tf.shape(upstream)[0], recurrent.shape[0]
    transposed = tf.transpose(recurrent)
    of_products, flowed = (_array(upstream, upstream.shape[1], 3 * units) for _ in range(2))

    def body(
        time: tf.Tensor, later: tf.Tensor, of_products: tf.TensorArray, flowed: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.TensorArray]:
        before, gates = walked.before.read(time), walked.gates.read(time)
        seen, candidate = walked.seen.read(time), walked.candidate.read(time)
        keep, reset = gates[:, :units], gates[:, units:]
        total = upstream[time] + later  # gradient of the state after the step
        kept = total * keep
        by_candidate = (total - kept) * (1 - candidate * candidate)
        by_reset = by_candidate * seen * (reset * (1 - reset))
        by_keep = kept * (1 - keep) * (before - candidate)
        # Into the product with U: z and r as they are, n through the reset gate.
        flowing = tf.concat([by_keep, by_reset, by_candidate * reset], axis=1)
        earlier = kept + tf.matmul(flowing, transposed)
        if factors is not None:
            earlier *= factors[time]
        products = tf.concat([by_keep, by_reset, by_candidate], axis=1)
        return time - 1, earlier, of_products.write(time, products), flowed.write(time, flowing)

    start = (times - 1, tf.zeros_like(upstream[0]), of_products, flowed)
    _, _, of_products, flowed = tf.while_loop(lambda time, *_: time >= 0, body, start, parallel_iterations=1)
    flat = tf.reshape(flowed.stack(), [-1, 3 * units])
    of_recurrent = tf.matmul(tf.reshape(walked.before.stack(), [-1, units]), flat, transpose_a=True)
    return of_products.stack(), of_recurrent, tf.reduce_sum(flat[:, 2 * units :], axis=0)
