"""Hidden layers on top of a vector."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


class ResidualMLP(tf.keras.layers.Layer):
    """Hidden layers whose output is added to their input: ``x + W_n f(... f(W_1 x + b_1))``.

    The last map starts at zero, so that an untrained network is the identity and depth has to earn its place.

    Args:
      hidden: sizes of the hidden layers; empty: the identity.
      dim: size of input and output.
      activation: Keras name of f.
      seed: of the initial weights.
    """

    def __init__(self, hidden: Sequence[int], dim: int, *, activation: str = "gelu", seed: int) -> None:
        super().__init__()
        glorot = tf.keras.initializers.GlorotUniform
        self._layers = [
            tf.keras.layers.Dense(size, activation=activation, kernel_initializer=glorot(seed + i))
            for i, size in enumerate(hidden)
        ]
        if hidden:
            self._layers.append(tf.keras.layers.Dense(dim, kernel_initializer="zeros"))

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """Map ``[batch, dim]`` to ``[batch, dim]``."""
        hidden = vectors
        for layer in self._layers:
            hidden = layer(hidden)
        return vectors + hidden if self._layers else vectors
