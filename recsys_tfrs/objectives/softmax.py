"""The softmax over the whole catalogue.

A mean over weighted interactions, so that the learning rate does not depend on the batch size (the retrieval task of
TFRS sums). What stands in for it where the catalogue is too large is in `recsys_tfrs.objectives.negative_sampling`.
"""

from __future__ import annotations

import tensorflow as tf
from tensorflow_recommenders.tasks import base

from recsys_tfrs.objectives.positives import positive_mask
from recsys_tfrs.objectives.sampled import MASKED


class FullSoftmax(tf.keras.layers.Layer, base.Task):
    """Cross-entropy of each positive against the whole catalogue.

    For query u with positives P_u, weights w and scores s: ``- sum_{i in P_u} w_ui log softmax(s_u)_i``, divided by
    the sum of all weights. This is the multinomial likelihood of Liang et al., Variational autoencoders for
    collaborative filtering, WWW 2018, equation 2.

    With `mask_positives` a user's other positives are left out of the softmax of each, so that what he likes does not
    compete for the same probability: ``- w_ui log(e^{s_ui} / (e^{s_ui} + sum_{j not in P_u} e^{s_uj}))``.

    Args:
      mask_positives: whether they are left out.
    """

    def __init__(self, mask_positives: bool = False) -> None:
        super().__init__()
        self._mask_positives = mask_positives

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
        scores = tf.cast(scores, tf.float32)[:, 1:]
        users = tf.cast(positives.value_rowids(), tf.int32)
        row = tf.range(tf.size(positives.flat_values)) if own_query else users
        chosen = tf.gather_nd(scores, tf.stack([row, positives.flat_values - 1], axis=1))
        if self._mask_positives:
            num_items = tf.shape(scores)[1]
            mask = positive_mask(positives, tf.range(1, num_items + 1), num_items)
            scores = tf.where(tf.gather(mask, users) if own_query else mask, MASKED, scores)
        normalizer = tf.gather(tf.reduce_logsumexp(scores, axis=1), row)
        # softplus(a - b) = -log(e^b / (e^b + e^a))
        losses = tf.nn.softplus(normalizer - chosen) if self._mask_positives else normalizer - chosen
        return tf.math.divide_no_nan(tf.reduce_sum(weights * losses), tf.reduce_sum(weights))
