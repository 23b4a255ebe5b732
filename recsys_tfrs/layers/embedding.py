"""Encoded features -> vectors of one size."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from recsys_tfrs.features.encoders import Encoder


def _initializer(seed: int, scale: float) -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.RandomNormal(stddev=scale, seed=seed)


class FeatureEmbedding(tf.keras.layers.Layer):
    """One encoded column -> ``[batch, dim]``.

    Ids are looked up and averaged over the values a row has; id 0 (missing, padding) contributes nothing, so a row
    without any value becomes the zero vector. Dense columns pass through a linear map without bias.

    Args:
      encoder: the adapted encoder whose output this layer reads.
      dim: size of the vector.
      seed: of the initial weights.
      scale: standard deviation of the initial embeddings.
    """

    def __init__(self, encoder: Encoder, dim: int, *, seed: int, scale: float) -> None:
        super().__init__(name=f"{encoder.name}_embedding")
        self._is_ids = encoder.vocabulary_size > 0
        rows = encoder.vocabulary_size if self._is_ids else encoder.width
        self.table = self.add_weight(name="table", shape=(rows, dim), initializer=_initializer(seed, scale))

    def call(self, encoded: tf.Tensor) -> tf.Tensor:
        """Embed ``[batch]`` or ``[batch, values]`` ids, or ``[batch, width]`` numbers."""
        if not self._is_ids:
            return tf.matmul(tf.cast(encoded, self.compute_dtype), tf.cast(self.table, self.compute_dtype))
        known = tf.cast(encoded > 0, self.compute_dtype)[..., None]
        vectors = tf.cast(tf.gather(self.table, encoded), self.compute_dtype) * known
        if encoded.shape.rank == 1:
            return vectors
        return tf.math.divide_no_nan(tf.reduce_sum(vectors, axis=1), tf.reduce_sum(known, axis=1))


class SummedFeatures(tf.keras.layers.Layer):
    """All encoded columns of an entity -> ``[batch, dim]``, the sum of their embeddings.

    Summing rather than concatenating keeps the size free of the number of columns, lets an absent column contribute
    nothing, and is a linear layer over the concatenation.

    Args:
      encoders: adapted encoders by column name.
      dim: size of the vector.
      seed: of the initial weights.
      scale: standard deviation of the initial embeddings.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        dim: int,
        *,
        seed: int,
        scale: float,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.embeddings = {
            column: FeatureEmbedding(encoder, dim, seed=seed + i, scale=scale)
            for i, (column, encoder) in enumerate(encoders.items())
        }

    def call(self, encoded: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Embed and add up the columns; without any column, the sum is 0."""
        vectors = [layer(encoded[column]) for column, layer in self.embeddings.items()]
        return tf.add_n(vectors) if vectors else tf.zeros([], self.compute_dtype)
