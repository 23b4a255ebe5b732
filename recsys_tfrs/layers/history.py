"""A user's item history -> one vector."""

from __future__ import annotations

import tensorflow as tf


class HistoryBag(tf.keras.layers.Layer):
    """Bag of the items of a history: the weighted sum of their embeddings.

    Item 0 (unknown, padding) contributes nothing; an empty history is the zero vector.

    Args:
      vocabulary_size: item ids lie in ``[0, vocabulary_size)``.
      dim: size of the vector.
      seed: of the initial weights.
      scale: standard deviation of the initial embeddings.
    """

    def __init__(self, vocabulary_size: int, dim: int, *, seed: int, scale: float) -> None:
        super().__init__(name="history_bag")
        self.table = self.add_weight(
            name="table",
            shape=(vocabulary_size, dim),
            initializer=tf.keras.initializers.RandomNormal(stddev=scale, seed=seed),
        )

    def call(self, items: tf.RaggedTensor, weights: tf.Tensor) -> tf.Tensor:
        """Add up ``[batch, None]`` ids, with a weight for each of their flat values, to ``[batch, dim]``."""
        weights = tf.where(items.flat_values > 0, tf.cast(weights, self.compute_dtype), 0)
        vectors = tf.cast(tf.gather(self.table, items.flat_values), self.compute_dtype)
        return tf.math.unsorted_segment_sum(vectors * weights[:, None], items.value_rowids(), items.nrows())
