"""Hard negatives: of a pool of candidates, the ones a query scores high.

They come on top of any sampler: draw a pool, score it, choose from it per query. Known positives score high, too,
and must be masked, or they are what gets chosen.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from recsys_tfrs.errors import ConfigError

#: Below every score, and finite.
_MASKED = -1e9


class HardNegatives(NamedTuple):
    """Negatives of each query, as the losses of `sampled` take them.

    Attributes:
      scores: ``[num_queries, k]`` their scores; gradients reach the pool through them.
      positions: ``[num_queries, k]`` int32 columns of the pool.
      mask: ``[num_queries, k]`` bool, True where the unmasked of a pool did not suffice.
      log_q: ``[num_queries, k]`` float32, to be subtracted from the scores; see `hardest`.
    """

    scores: tf.Tensor
    positions: tf.Tensor
    mask: tf.Tensor
    log_q: tf.Tensor


def hardest(negative_scores: tf.Tensor, k: int, mask: tf.Tensor | None = None) -> HardNegatives:
    """Choose the k highest scoring of each query's pool.

    No correction applies, and `log_q` is zero: which items are chosen is certain, given the pool, and the others have
    no chance at all, so nothing estimates a sum over them. It is an objective of its own, about the head of the
    ranking. A sampler that repeats items fills the head with copies of one; mask them with `repeated`.

    Args:
      negative_scores: ``[num_queries, num_negatives]`` logits.
      k: negatives to choose; all there are, where the pool is smaller.
      mask: ``[num_queries, num_negatives]`` bool, True where a negative must not be chosen; None: all may.

    Raises:
      ConfigError: k below 1.
    """
    if k < 1:
        raise ConfigError(f"at least one hard negative has to be chosen, not {k}.")
    mask = tf.zeros_like(negative_scores, tf.bool) if mask is None else mask
    candidates = tf.where(mask, _MASKED, negative_scores)
    chosen = tf.math.top_k(candidates, tf.minimum(k, tf.shape(candidates)[1])).indices
    scores, masked = (tf.gather(of, chosen, batch_dims=1) for of in (negative_scores, mask))
    return HardNegatives(scores, chosen, masked, tf.zeros_like(scores, tf.float32))


def repeated(ids: tf.Tensor) -> tf.Tensor:
    """``[num_negatives]`` bool, True for an id that a sampler with replacement has drawn before in `ids`."""
    _, index = tf.unique(ids)
    place = tf.range(tf.size(ids))
    first = tf.math.unsorted_segment_min(place, index, tf.size(ids))
    return tf.gather(first, index) < place
