"""A user's item history -> one vector."""

from __future__ import annotations

import tensorflow as tf


class HistoryBag(tf.keras.layers.Layer):
    """Bag of the items of a history: their embeddings added up and divided by ``count ** exponent``.

    Exponent 1 is the mean, 0.5 keeps the length of a sum of independent vectors the same for long and short
    histories. Item 0 (unknown, padding) contributes nothing and is not counted; an empty history is the zero vector.

    Args:
      vocabulary_size: item ids lie in ``[0, vocabulary_size)``.
      dim: size of the vector.
      seed: of the initial weights.
      scale: standard deviation of the initial embeddings.
      exponent: of the count, in ``[0, 1]``.
    """

    def __init__(
        self, vocabulary_size: int, dim: int, *, seed: int, scale: float = 0.05, exponent: float = 0.5
    ) -> None:
        super().__init__(name="history_bag")
        self._exponent = exponent
        self.table = self.add_weight(
            name="table",
            shape=(vocabulary_size, dim),
            initializer=tf.keras.initializers.RandomNormal(stddev=scale, seed=seed),
        )

    def call(self, items: tf.RaggedTensor) -> tf.Tensor:
        """Add up ``[batch, None]`` ragged int32 ids to ``[batch, dim]``."""
        known = tf.cast(items.flat_values > 0, self.compute_dtype)
        vectors = tf.cast(tf.gather(self.table, items.flat_values), self.compute_dtype) * known[:, None]
        rows = items.value_rowids()
        count = tf.math.unsorted_segment_sum(known, rows, items.nrows())
        total = tf.math.unsorted_segment_sum(vectors, rows, items.nrows())
        return tf.math.divide_no_nan(total, tf.pow(count, self._exponent)[:, None])
