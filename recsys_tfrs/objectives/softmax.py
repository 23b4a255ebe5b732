"""The softmax over the whole catalogue.

A mean over weighted interactions, so that the learning rate does not depend on the batch size (the retrieval task of
TFRS sums). What stands in for it where the catalogue is too large is in `recsys_tfrs.objectives.negative_sampling`.
"""

from __future__ import annotations

import tensorflow as tf
from tensorflow_recommenders.tasks import base


class FullSoftmax(tf.keras.layers.Layer, base.Task):
    """Cross-entropy of each positive against the whole catalogue.

    For query u with positives P_u, weights w and scores s: ``- sum_{i in P_u} w_ui log softmax(s_u)_i``, divided by
    the sum of all weights. This is the multinomial likelihood of Liang et al., Variational autoencoders for
    collaborative filtering, WWW 2018, equation 2.
    """

    def call(
        self, scores: tf.Tensor, positives: tf.RaggedTensor, weights: tf.Tensor, own_query: bool = False
    ) -> tf.Tensor:
        """Return the loss, a scalar.

        Args:
          scores: ``[num_queries, num_items + 1]`` logits by internal item id; column 0 is padding.
          positives: ``[num_users, None]`` int32 item ids.
          weights: ``[num_positives]`` float32 weights of `positives.flat_values`.
          own_query: whether each positive has a row of scores of its own, or each user one for all his positives.
        """
        scores = tf.cast(scores, tf.float32)
        normalizer = tf.reduce_logsumexp(scores[:, 1:], axis=1)
        row = tf.cast(positives.value_rowids(), tf.int32)
        if own_query:
            row = tf.range(tf.size(positives.flat_values))
        chosen = tf.gather_nd(scores, tf.stack([row, positives.flat_values], axis=1))
        return tf.math.divide_no_nan(
            tf.reduce_sum(weights * (tf.gather(normalizer, row) - chosen)), tf.reduce_sum(weights)
        )
