"""What a sequence model is trained by: every position's next item against the catalogue, or against a sample of it.

Each position is a query with a single positive, so nothing but that item is left out of its negatives: what else
somebody likes is, at that moment, a wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from numpy.typing import ArrayLike
from tensorflow_recommenders.tasks import base

from recsys_tfrs.objectives.drawn import PoissonSample
from recsys_tfrs.objectives.sampled import SampledLoss, SampledSoftmax
from recsys_tfrs.objectives.samplers import UnigramSampler


class NextItemSoftmax(tf.keras.layers.Layer, base.Task):
    """``- log softmax(s)_i``, the cross-entropy of each next item against the whole catalogue, a weighted mean."""

    def __init__(self) -> None:
        super().__init__(dtype=tf.float32)

    def call(self, queries: tf.Tensor, candidates: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Return the loss, a scalar.

        Args:
          queries: ``[num_queries, dim]``, divided by the temperature.
          candidates: ``[num_items + 1, dim]`` by internal item id; row 0 is padding and no candidate.
          targets: ``[num_queries]`` int32 internal item ids.
          weights: ``[num_queries]`` float32.
        """
        scores = tf.cast(tf.matmul(queries, candidates[1:], transpose_b=True), tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets - 1, scores)
        return tf.math.divide_no_nan(tf.reduce_sum(weights * losses), tf.reduce_sum(weights))


class SampledNextItem(tf.keras.layers.Layer, base.Task):
    """A loss against the batch's own targets and items drawn with probability proportional to ``count^alpha``.

    All positions of a batch share them, each item once. Of n targets and m draws, an item that makes up a share f of
    all targets and is drawn with probability p is among them with ``q = 1 - (1 - f)^n (1 - p)^m``.

    Reference: Hidasi and Karatzoglou, Recurrent neural networks with top-k gains for session-based recommendations,
    CIKM 2018, section 3.1 (https://arxiv.org/abs/1706.03847), without the correction.

    Args:
      loss: of positives and negatives.
      counts: ``[num_items + 1]`` training interactions by internal item id; entry 0 is ignored.
      num_samples: draws, repeats included; 0: the batch's targets alone.
      alpha: exponent; 0 draws uniformly, 1 by popularity.
      log_q: correct for how likely each item was to be there.

    Raises:
      ConfigError: a negative exponent.
    """

    def __init__(self, loss: SampledLoss, counts: ArrayLike, num_samples: int, alpha: float, *, log_q: bool) -> None:
        super().__init__(dtype=tf.float32)
        self._loss = loss
        self._log_q = log_q
        self._num_samples = num_samples
        self._sampler = UnigramSampler(counts, max(num_samples, 1), alpha)
        once_at_least = tf.maximum(tf.cast(tf.convert_to_tensor(counts), tf.float32), 1.0)
        self._share = once_at_least / tf.reduce_sum(once_at_least[1:])

    def call(
        self,
        queries: tf.Tensor,
        candidates: Callable[[tf.Tensor], tf.Tensor],
        targets: tf.Tensor,
        weights: tf.Tensor,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        """Return the loss, a scalar.

        Args:
          queries: ``[num_queries, dim]``, divided by the temperature.
          candidates: ``[n]`` int32 item ids -> ``[n, dim]`` vectors; called once, with distinct ids.
          targets: ``[num_queries]`` int32 internal item ids.
          weights: ``[num_queries]`` float32.
          seed: ``[2]`` int32 seed of the step.
        """
        num_targets = tf.size(targets)
        pool = targets
        if self._num_samples:
            drawn, _ = self._sampler.draw(tf.RaggedTensor.from_row_lengths(targets, [num_targets]), seed, training=True)
            pool = tf.concat([targets, drawn], axis=0)
        ids, place = tf.unique(pool)
        place = place[:num_targets]
        vectors = candidates(ids)
        log_q = self.presence(ids, num_targets) if self._log_q else tf.zeros_like(ids, tf.float32)
        if isinstance(self._loss, SampledSoftmax):
            losses = self._cross_entropy(queries, vectors, place, log_q)
            return tf.math.divide_no_nan(tf.reduce_sum(weights * losses), tf.reduce_sum(weights))
        scores = tf.cast(tf.matmul(queries, vectors, transpose_b=True), tf.float32)
        row = tf.range(num_targets)
        own = tf.gather_nd(scores, tf.stack([row, place], axis=1))
        is_own = place[:, None] == tf.range(tf.size(ids))[None, :]
        return self._loss(own, scores, row, is_own, weights, log_q)

    def presence(self, ids: tf.Tensor, num_targets: tf.Tensor) -> tf.Tensor:
        """Log probability that each of ``[n]`` items is in the pool of a batch of `num_targets` targets."""
        absent = tf.cast(num_targets, tf.float32) * tf.math.log1p(-tf.gather(self._share, ids))
        if self._num_samples:
            drawn = tf.exp(self._sampler.log_q(ids, num_targets)) / self._num_samples
            absent += self._num_samples * tf.math.log1p(-tf.minimum(drawn, 1 - 1e-6))
        return tf.math.log(-tf.math.expm1(absent))

    @staticmethod
    def _cross_entropy(queries: tf.Tensor, vectors: tf.Tensor, place: tf.Tensor, log_q: tf.Tensor) -> tf.Tensor:
        """`SampledSoftmax` through TensorFlow's fused kernel, which passes over the scores once.

        With p the softmax of ``s_j - log q_j`` over the pool, positive included, and x the cross-entropy ``-log p_i``:
        the positive is to count with ``e^{s_i}``, not with ``e^{s_i} / q_i``, so what the loss divides by is
        ``1 - p_i (1 - q_i)`` times as large, and the loss is ``x - log q_i + log(1 - p_i (1 - q_i))``.
        """
        scores, _ = _corrected_scores(queries, vectors, log_q)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(place, scores)
        own = tf.gather(log_q, place)
        return entropy - own + tf.math.log1p(tf.exp(-entropy) * tf.math.expm1(own))


class DrawnNextItem(tf.keras.layers.Layer, base.Task):
    """A loss against drawn items alone: `SampledNextItem` without the batch's own targets among the negatives.

    A batch of many targets holds most of a small catalogue, so that little is saved by scoring them all at every
    position. Here each position's own target is scored by a dot product of its own, and shared are only the items of
    a `PoissonSample`, whose probabilities are exact.

    Args:
      loss: of positives and negatives.
      counts: ``[num_items + 1]`` training interactions by internal item id; entry 0 is ignored.
      num_samples: items drawn on average, each at most once.
      alpha: exponent; 0 draws uniformly, 1 by popularity.
      log_q: correct for how likely each item was to be there.

    Raises:
      ConfigError: nothing to be drawn or a negative exponent.
    """

    def __init__(self, loss: SampledLoss, counts: ArrayLike, num_samples: int, alpha: float, *, log_q: bool) -> None:
        super().__init__(dtype=tf.float32)
        self._loss = loss
        self._log_q = log_q
        self._sample = PoissonSample(counts, num_samples, alpha)

    def call(
        self,
        queries: tf.Tensor,
        candidates: Callable[[tf.Tensor], tf.Tensor],
        targets: tf.Tensor,
        weights: tf.Tensor,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        """Return the loss, a scalar; see `SampledNextItem.call`."""
        drawn = self._sample.draw(seed)
        count = tf.size(drawn)
        # Distinct items come first as they were drawn, so a target's place tells whether it was.
        ids, place = tf.unique(tf.concat([drawn, targets], axis=0))
        place = place[count:]
        vectors = tf.cast(candidates(ids), queries.dtype)
        own = tf.cast(tf.reduce_sum(queries * tf.gather(vectors, place), axis=1), tf.float32)
        vectors = vectors[:count]
        log_q = self._sample.log_q(drawn) if self._log_q else tf.zeros_like(drawn, tf.float32)
        if isinstance(self._loss, SampledSoftmax):
            log_q_of_own = tf.gather(log_q, tf.minimum(place, count - 1))
            losses = _cross_entropy_apart(queries, vectors, log_q, own, log_q_of_own, place < count)
            return tf.math.divide_no_nan(tf.reduce_sum(weights * losses), tf.reduce_sum(weights))
        scores = tf.cast(tf.matmul(queries, vectors, transpose_b=True), tf.float32)
        is_own = place[:, None] == tf.range(count)[None, :]
        return self._loss(own, scores, tf.range(tf.size(targets)), is_own, weights, log_q)


def _corrected_scores(queries: tf.Tensor, vectors: tf.Tensor, log_q: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """``s_j - log q_j`` as one product, and the same of the first item alone."""
    # The correction is one more dimension of both sides.
    queries = tf.concat([queries, tf.ones_like(queries[:, :1])], axis=1)
    vectors = tf.concat([tf.cast(vectors, queries.dtype), -tf.cast(log_q, queries.dtype)[:, None]], axis=1)
    scores = tf.matmul(queries, vectors, transpose_b=True)
    return tf.cast(scores, tf.float32), tf.cast(tf.linalg.matvec(queries, vectors[0]), tf.float32)


def _cross_entropy_apart(
    queries: tf.Tensor,
    vectors: tf.Tensor,
    log_q: tf.Tensor,
    own: tf.Tensor,
    log_q_of_own: tf.Tensor,
    is_drawn: tf.Tensor,
) -> tf.Tensor:
    """`SampledSoftmax` of positives that are scored apart, through TensorFlow's fused kernel.

    With L the log of ``sum_j e^{s_j} / q_j`` over the drawn items and ``d = L - s_i``, the loss of a positive that is
    not among them is ``log(1 + e^d)``. One that is, is to count once, with ``e^{s_i}`` and not with ``e^{s_i} / q_i``:
    ``log(e^d - 1/q_i + 1) = d + log(1 - (1/q_i - 1) e^-d)``, where ``e^-d <= q_i``.

    Args:
      queries: ``[num_queries, dim]``.
      vectors: ``[num_drawn, dim]``.
      log_q: ``[num_drawn]``.
      own: ``[num_queries]`` s_i.
      log_q_of_own: ``[num_queries]`` where it is drawn, anything elsewhere.
      is_drawn: ``[num_queries]`` whether it is among the drawn.
    """
    scores, first = _corrected_scores(queries, vectors, log_q)
    # The kernel's loss of the first item and that item's score add up to L.
    total = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.zeros_like(own, tf.int32), scores) + first
    ahead = total - own
    # At most q by arithmetic; rounding must not make it more.
    behind = tf.exp(-tf.maximum(ahead, -log_q_of_own))
    counted_once = ahead + tf.math.log1p(-tf.math.expm1(-log_q_of_own) * behind)
    return tf.where(is_drawn, counted_once, tf.nn.softplus(ahead))
