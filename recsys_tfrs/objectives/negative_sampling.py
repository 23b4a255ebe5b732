"""A sampler and a loss put together: what a model is trained against where the whole catalogue is too much."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from tensorflow_recommenders.tasks import base

from recsys_tfrs.objectives.hard import hardest, repeated
from recsys_tfrs.objectives.positives import drawn_positive_mask
from recsys_tfrs.objectives.sampled import SampledLoss
from recsys_tfrs.objectives.samplers import Sampler


class NegativeSampling(tf.keras.layers.Layer, base.Task):
    """Draws items for a batch, leaves out of them what a query's user is known to like, and applies a loss.

    Args:
      sampler: draws the items, the same for all queries of a batch.
      loss: of positives and negatives.
      log_q: correct for how likely each item was to be drawn.
      num_hard: of the drawn, keep so many per query, those it scores highest; 0: all. Hard negatives are an objective
        of their own, for which there is no correction.
    """

    def __init__(self, sampler: Sampler, loss: SampledLoss, *, log_q: bool = True, num_hard: int = 0) -> None:
        super().__init__()
        self.sampler = sampler
        self.loss = loss
        self._log_q = log_q
        self._num_hard = num_hard

    def call(
        self,
        queries: tf.Tensor,
        candidates: Callable[[tf.Tensor], tf.Tensor],
        positives: tf.RaggedTensor,
        weights: tf.Tensor,
        seed: tf.Tensor,
        *,
        temperature: float,
        own_query: bool,
        training: bool,
    ) -> tf.Tensor:
        """Return the loss, a scalar.

        Args:
          queries: ``[num_queries, dim]``.
          candidates: ``[n]`` int32 item ids -> ``[n, dim]`` vectors; called once, with distinct ids.
          positives: ``[num_users, None]`` int32 item ids, all known positives of each user.
          weights: ``[num_positives]`` float32 weights of `positives.flat_values`.
          seed: ``[2]`` int32 seed of the step.
          temperature: scores are dot products divided by it.
          own_query: whether each positive has a query of its own, or each user one for all his positives.
          training: whether samplers that learn from the stream learn from this batch.
        """
        negatives = self.sampler.sample(positives, seed, training)
        ids, place = tf.unique(tf.concat([positives.flat_values, negatives.ids], axis=0))
        vectors = tf.cast(candidates(ids), tf.float32)
        queries = tf.cast(queries, tf.float32) / temperature
        num_positives = tf.size(positives.flat_values)
        users = tf.cast(positives.value_rowids(), tf.int32)
        row = tf.range(num_positives) if own_query else users
        positive_scores = tf.reduce_sum(tf.gather(queries, row) * tf.gather(vectors, place[:num_positives]), axis=1)
        scores = tf.matmul(queries, tf.gather(vectors, place[num_positives:]), transpose_b=True)
        mask = drawn_positive_mask(positives, negatives.ids, self.sampler.num_items)
        if own_query:
            mask = tf.gather(mask, users)
        log_q = negatives.log_q if self._log_q else tf.zeros_like(negatives.log_q)
        if self._num_hard:
            mask |= repeated(negatives.ids)[None, :]
            scores, _, mask, log_q = hardest(scores, self._num_hard, mask)
        return self.loss(positive_scores, scores, row, mask, weights, log_q)
