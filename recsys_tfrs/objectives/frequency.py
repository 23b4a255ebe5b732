"""How often items are drawn, counted while training streams by."""

from __future__ import annotations

import tensorflow as tf


class StreamedFrequency(tf.keras.layers.Layer):
    """Probability that an item is among a batch's items, estimated from the batches seen so far.

    In-batch negatives are drawn with the items' frequency, which the logQ correction needs. Counts are exact for
    what has been streamed, where Yi et al. estimate them with hashed gaps because their vocabulary is unbounded.

    Reference: Yi et al., Sampling-bias-corrected neural modeling for large corpus item recommendations, RecSys 2019,
    section 3 (https://doi.org/10.1145/3298689.3346996).

    Args:
      num_items: size of the catalogue; ids lie in ``1..num_items``.
    """

    def __init__(self, num_items: int) -> None:
        super().__init__(dtype=tf.float32)  # bfloat16 counts to 256
        self._counts = self.add_weight(
            name="counts", shape=(num_items + 1,), dtype=tf.float32, initializer="zeros", trainable=False
        )

    def observe(self, item_ids: tf.Tensor) -> None:
        """Count the ``[num_drawn]`` items of a batch."""
        self._counts.scatter_add(tf.IndexedSlices(tf.ones_like(item_ids, tf.float32), item_ids))

    def call(self, item_ids: tf.Tensor, num_drawn: tf.Tensor) -> tf.Tensor:
        """Log probability that each of ``[num_items_asked]`` items is among `num_drawn` draws at least once.

        With q the item's share of what has streamed by (one count added to every item), that is
        ``log(1 - (1 - q)^num_drawn)``: the expected count of a sampler of distinct candidates.
        """
        total = tf.reduce_sum(self._counts) + tf.cast(tf.size(self._counts) - 1, tf.float32)
        share = (tf.gather(self._counts, item_ids) + 1.0) / total
        return tf.math.log(-tf.math.expm1(tf.cast(num_drawn, tf.float32) * tf.math.log1p(-share)))
