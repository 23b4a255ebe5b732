"""Hidden layers on top of a vector, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys_tfrs.layers.dropout import hashed_keep_mask


class Tower(tf.keras.layers.Layer):
    """``f(W_n ... f(W_1 x + b_1) ... + b_n)``, with batch normalisation before and dropout after each f if asked for.

    Args:
      hidden: sizes of the layers.
      activation: Keras name of f.
      dropout: share of outputs of each layer dropped in training.
      batch_norm: normalise what goes into each f (Ioffe and Szegedy, ICML 2015).
      seed: of the initial weights.
      salt: tells apart the random numbers drawn in one step, see `hashed_keep_mask`.
    """

    def __init__(
        self,
        hidden: Sequence[int],
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        seed: int,
        salt: int,
    ) -> None:
        super().__init__(name="tower")
        glorot = tf.keras.initializers.GlorotUniform
        self._layers = [
            tf.keras.layers.Dense(size, use_bias=not batch_norm, kernel_initializer=glorot(seed + i))
            for i, size in enumerate(hidden)
        ]
        self._norms = [tf.keras.layers.BatchNormalization() for _ in hidden] if batch_norm else []
        self._activation = tf.keras.activations.get(activation)
        self._dropout, self._salt = dropout, salt

    def call(self, vectors: tf.Tensor, seed: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        """Map ``[batch, dim]`` to ``[batch, size of the last layer]``.

        Args:
          vectors: what goes in.
          seed: ``[2]`` int32 seed of the step, in training.
          training: drop outputs, and normalise by the batch.
        """
        for place, layer in enumerate(self._layers):
            vectors = layer(vectors)
            if self._norms:
                vectors = self._norms[place](vectors, training=training)
            vectors = self._activation(vectors)
            if training and self._dropout:
                kept = hashed_keep_mask(tf.shape(vectors), self._dropout, seed, self._salt + place)
                # A product, whose gradient is another one: selecting costs more of both.
                vectors *= tf.cast(kept, vectors.dtype) * (1 / (1 - self._dropout))
        return vectors
