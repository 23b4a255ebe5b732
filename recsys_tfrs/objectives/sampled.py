"""Losses of positives against sampled negatives.

All take the same arguments, so that any of them goes with any sampler, and all are means over weighted positives, so
that the learning rate does not depend on the batch size.

What `log_q` does is the same everywhere: a negative drawn with probability q stands for 1/q items of the catalogue, so
the loss estimates what it would be with all items that are no positives of the query. With `log_q` of zeros every
negative counts alike, and the sampler's preferences are a part of the objective.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import tensorflow as tf
from tensorflow_recommenders.tasks import base

from recsys_tfrs.errors import ConfigError

LossName = Literal["sampled-softmax", "bpr", "warp", "gbce", "positives-only"]

#: Stands for minus infinity where a difference of two of them must not be NaN.
MASKED = -1e9

#: Euler's constant: the k-th harmonic number is ``digamma(k + 1)`` plus this.
_EULER = 0.5772156649015329


class SampledScores(NamedTuple):
    """What a loss is computed from.

    Attributes:
      positive: ``[num_positives]`` logits.
      negative: ``[num_queries, num_negatives]`` logits.
      row: ``[num_positives]`` int32 query each positive belongs to.
      mask: ``[num_queries, num_negatives]`` bool, True where a negative is a known positive of the query.
      log_q: ``[num_queries, num_negatives]`` float32 log of the expected number of times each is among the negatives;
        zeros: no correction.
    """

    positive: tf.Tensor
    negative: tf.Tensor
    row: tf.Tensor
    mask: tf.Tensor
    log_q: tf.Tensor


class SampledLoss(tf.keras.layers.Layer, base.Task):
    """Weighted mean of a loss of each positive against the negatives of its query. Subclasses define `losses`.

    A query all of whose negatives are masked costs nothing, except where a loss says otherwise.
    """

    def __init__(self) -> None:
        super().__init__(dtype=tf.float32)

    def call(
        self,
        positive_scores: tf.Tensor,
        negative_scores: tf.Tensor,
        row: tf.Tensor,
        mask: tf.Tensor,
        weights: tf.Tensor,
        log_q: tf.Tensor,
    ) -> tf.Tensor:
        """Return the loss, a scalar.

        Args:
          positive_scores: ``[num_positives]`` logits.
          negative_scores: ``[num_queries, num_negatives]`` logits.
          row: ``[num_positives]`` int32 query each positive belongs to.
          mask: ``[num_queries, num_negatives]`` bool, True where a negative is a known positive of the query.
          weights: ``[num_positives]`` float32, how much each positive counts.
          log_q: ``[num_negatives]``, or ``[num_queries, num_negatives]`` where every query has negatives of its own,
            float32 log of the expected number of times each is among the negatives; zeros: no correction.
        """
        positive_scores = tf.cast(positive_scores, tf.float32)
        negative_scores = tf.cast(negative_scores, tf.float32)
        log_q = tf.broadcast_to(tf.cast(log_q, tf.float32), tf.shape(negative_scores))
        losses = self.losses(SampledScores(positive_scores, negative_scores, row, mask, log_q))
        return tf.math.divide_no_nan(tf.reduce_sum(weights * losses), tf.reduce_sum(weights))

    def losses(self, of: SampledScores) -> tf.Tensor:
        """``[num_positives]`` loss of each positive."""
        raise NotImplementedError


class SampledSoftmax(SampledLoss):
    """``- log(e^{s_p} / (e^{s_p} + sum_j e^{s_j - log q_j}))``, over the unmasked negatives j.

    The sum is an unbiased estimate of the catalogue's, and equals it where every item is drawn with ``q = 1``. The
    positive is there with certainty and is not corrected.

    Reference: Bengio and Senecal, Adaptive importance sampling to accelerate training of a neural probabilistic
    language model, 2008.
    """

    def losses(self, of: SampledScores) -> tf.Tensor:
        """Cross-entropy of each positive."""
        negatives = tf.reduce_logsumexp(tf.where(of.mask, MASKED, of.negative - of.log_q), axis=1)
        # softplus(a - b) = -log(e^b / (e^b + e^a)); nothing is left of it where all are masked.
        return tf.nn.softplus(tf.gather(negatives, of.row) - of.positive)


class BPR(SampledLoss):
    """Bayesian personalised ranking, ``- sum_j w_j log sigmoid(s_p - s_j)``: the chance of ranking j below p.

    ``w_j`` is proportional to ``1 / q_j`` over the unmasked negatives and sums to 1: BPR-Opt, which draws negatives
    uniformly, under any sampler. Builds ``[num_positives, num_negatives]`` differences.

    Reference: Rendle et al., BPR: Bayesian personalized ranking from implicit feedback, UAI 2009, section 4.1
    (https://arxiv.org/abs/1205.2618).
    """

    def losses(self, of: SampledScores) -> tf.Tensor:
        """Mean over the negatives of each positive."""
        ahead_by = tf.gather(of.negative, of.row) - of.positive[:, None]
        shares = tf.gather(shares_by_probability(of), of.row)
        return tf.reduce_sum(shares * tf.nn.softplus(ahead_by), axis=1)


class WARP(SampledLoss):
    """Weighted approximate-rank pairwise loss: hinges, weighted by how low the positive ranks.

    ``L(rank) / rank * sum_j max(0, margin - s_p + s_j) / q_j`` with ``rank = sum_j [s_j > s_p - margin] / q_j``, the
    estimated number of items ahead of the positive or too close behind, and ``L(rank) = 1 + 1/2 + ... + 1/rank``.
    WSABIE estimates the rank from the number of draws until an item violates the margin; here all negatives are
    drawn at once, so it is counted. Builds ``[num_positives, num_negatives]`` differences.

    Reference: Weston, Bengio and Usunier, WSABIE: Scaling up to large vocabulary image annotation, IJCAI 2011.

    Args:
      margin: by which a positive should be ahead, in units of the score.

    Raises:
      ConfigError: a margin that is not positive.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        if not margin > 0:
            raise ConfigError(f"the margin of the WARP loss must be positive, not {margin}: 1 is the paper's.")
        self._margin = margin

    def losses(self, of: SampledScores) -> tf.Tensor:
        """Rank-weighted mean hinge of each positive."""
        stands_for = tf.gather(tf.where(of.mask, 0.0, tf.exp(-of.log_q)), of.row)
        hinge = tf.nn.relu(self._margin + tf.gather(of.negative, of.row) - of.positive[:, None])
        rank = tf.reduce_sum(tf.where(hinge > 0, stands_for, 0.0), axis=1)
        harmonic = tf.stop_gradient(tf.math.digamma(rank + 1.0) + _EULER)
        return harmonic * tf.math.divide_no_nan(tf.reduce_sum(stands_for * hinge, axis=1), rank)


class GBCE(SampledLoss):
    """Sigmoid cross-entropy calibrated for there being fewer negatives than in the catalogue (gBCE).

    ``- (beta log sigmoid(s_p) + sum_j log(1 - sigmoid(s_j))) / (k + 1)`` over k unmasked negatives, with
    ``beta = a (t (1 - 1/a) + 1/a) = 1 - t (1 - a)`` and ``a = num_negatives / num_items``, the share of the catalogue
    that is drawn, at most 1. With t = 0 it is plain cross-entropy, whose probabilities are too high by far for the
    negatives left out; with t = 1 ``sigmoid(s)`` estimates the probability of an interaction. Corrected for `log_q`,
    negatives weigh ``k w_j``, w as in `BPR`.

    Reference: Petrov and Macdonald, gSASRec: Reducing overconfidence in sequential recommendation trained with
    negative sampling, RecSys 2023 (https://arxiv.org/abs/2308.07192).

    Args:
      num_items: size of the catalogue.
      calibration: t, in ``[0, 1]``.

    Raises:
      ConfigError: a calibration out of range.
    """

    def __init__(self, num_items: int, calibration: float = 0.75) -> None:
        super().__init__()
        if not 0 <= calibration <= 1:
            raise ConfigError(f"the calibration of the gBCE loss must lie between 0 and 1, not {calibration}.")
        self._num_items = num_items
        self._calibration = calibration

    def losses(self, of: SampledScores) -> tf.Tensor:
        """Cross-entropy of each positive together with all negatives of its query."""
        share_drawn = tf.minimum(tf.cast(tf.shape(of.negative)[1], tf.float32) / self._num_items, 1.0)
        beta = 1.0 - self._calibration * (1.0 - share_drawn)
        num_negatives = tf.reduce_sum(tf.cast(~of.mask, tf.float32), axis=1)
        negatives = num_negatives * tf.reduce_sum(shares_by_probability(of) * tf.nn.softplus(of.negative), axis=1)
        total = beta * tf.nn.softplus(-of.positive) + tf.gather(negatives, of.row)
        num_negatives = tf.gather(num_negatives, of.row)
        return tf.where(num_negatives > 0, total / (num_negatives + 1.0), 0.0)


class PositivesOnly(SampledLoss):
    """``- log sigmoid(s_p)``: pulls positives close and pushes nothing away. A demonstration of what goes wrong.

    Nothing keeps unrelated groups of users and items from folding onto each other in the embedding space. The
    negatives are not looked at, so a query whose negatives are all masked costs what every other does.
    """

    def losses(self, of: SampledScores) -> tf.Tensor:
        """Cross-entropy of each positive alone."""
        return tf.nn.softplus(-of.positive)


def make_loss(name: LossName, num_items: int, margin: float = 1.0, calibration: float = 0.75) -> SampledLoss:
    """Make the loss called `name`.

    Args:
      name: ``sampled-softmax``, ``bpr``, ``warp``, ``gbce`` or ``positives-only``.
      num_items: size of the catalogue.
      margin: of ``warp``.
      calibration: of ``gbce``.

    Raises:
      ConfigError: an unknown name or a setting out of range.
    """
    if name == "sampled-softmax":
        return SampledSoftmax()
    if name == "bpr":
        return BPR()
    if name == "warp":
        return WARP(margin)
    if name == "gbce":
        return GBCE(num_items, calibration)
    if name == "positives-only":
        return PositivesOnly()
    raise ConfigError(f"there is no sampled loss {name!r}; there are: {', '.join(get_args(LossName))}.")


def shares_by_probability(of: SampledScores) -> tf.Tensor:
    """``[num_queries, num_negatives]`` proportional to 1/q, summing to 1 over the unmasked; zeros if there are none."""
    weights = tf.where(of.mask, 0.0, tf.exp(-of.log_q))
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=1, keepdims=True))
