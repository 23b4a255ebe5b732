"""Hidden layers on top of a vector, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys_tfrs.layers.dropout import hashed_keep_mask


class Tower(tf.keras.layers.Layer):
    """``relu(W_n ... relu(W_1 x + b_1) ... + b_n)``; batch normalisation before and dropout after each if asked for.

    Args:
      hidden: sizes of the layers.
      dropout: share of outputs of each layer dropped in training.
      batch_norm: normalise what goes into each relu (Ioffe and Szegedy, ICML 2015).
      seed: of the initial weights.
      salt: tells apart the random numbers drawn in one step, see `hashed_keep_mask`.
    """

    def __init__(
        self,
        hidden: Sequence[int],
        *,
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
                vectors = _normalised(self._norms[place], vectors, training)
            if training and self._dropout:
                # What is dropped and what is below nothing are left out by one product, whose gradient is another one;
                # a relu and a dropout one after the other pass over everything twice as often.
                kept = hashed_keep_mask(tf.shape(vectors), self._dropout, seed, self._salt + place) & (vectors > 0)
                vectors *= tf.cast(kept, vectors.dtype) * (1 / (1 - self._dropout))
            else:
                vectors = tf.nn.relu(vectors)
        return vectors


def _normalised(norm: tf.keras.layers.BatchNormalization, vectors: tf.Tensor, training: bool) -> tf.Tensor:
    """Batch normalisation of ``[batch, dim]`` as of pictures of one point, for which there is one fused operation."""
    size = vectors.shape[1]
    normed = norm(tf.reshape(vectors, [-1, 1, 1, size]), training=training)
    return tf.reshape(normed, [-1, size])
