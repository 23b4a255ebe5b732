"""The ranking losses of the papers on session-based recommendation, for sampled negatives.

Hidasi et al., Session-based recommendations with recurrent neural networks, ICLR 2016 (https://arxiv.org/abs/1511.06939),
and Hidasi and Karatzoglou, Recurrent neural networks with top-k gains for session-based recommendations, CIKM 2018
(https://arxiv.org/abs/1706.03847). Their cross-entropy is `sampled.SampledSoftmax`, their BPR `sampled.BPR`.

They take what the losses of `sampled` take. With `log_q` of zeros they are the papers'; otherwise a negative drawn with
probability q stands for 1/q items, in means as in softmaxes.
"""

from __future__ import annotations

from typing import Literal, get_args

import tensorflow as tf

from recsys_tfrs.errors import ConfigError
from recsys_tfrs.objectives.sampled import (
    BPR,
    GBCE,
    MASKED,
    SampledLoss,
    SampledScores,
    SampledSoftmax,
    shares_by_probability,
)

SessionLossName = Literal["cross-entropy", "bpr", "top1", "bpr-max", "top1-max", "gbce"]


class TOP1(SampledLoss):
    """``1/N sum_j (sigmoid(r_j - r_i) + sigmoid(r_j^2))``: the relative rank of i, and negatives held at zero.

    Reference: 1511.06939, section 3.1.1.
    """

    def losses(self, of: SampledScores) -> tf.Tensor:
        """Mean over the negatives of each positive."""
        return _top1(of, shares_by_probability(of))


class TOP1Max(SampledLoss):
    """``sum_j s_j (sigmoid(r_j - r_i) + sigmoid(r_j^2))`` with s the softmax of the negatives' scores.

    Negatives that score high weigh most, so that many that are no rivals do not drown the gradient.

    Reference: 1706.03847, equation 7.
    """

    def losses(self, of: SampledScores) -> tf.Tensor:
        """Softmax-weighted sum over the negatives of each positive."""
        return _top1(of, _softmax(of))


class BPRMax(SampledLoss):
    """``- log sum_j s_j sigmoid(r_i - r_j) + lambda sum_j s_j r_j^2`` with s the softmax of the negatives' scores.

    Reference: 1706.03847, equation 10, lambda being its `bpreg`.

    Args:
      regularization: lambda, not negative.

    Raises:
      ConfigError: it is negative.
    """

    def __init__(self, regularization: float = 1.0) -> None:
        super().__init__()
        if not regularization >= 0:
            raise ConfigError(f"the score regularisation of BPR-max must be at least 0, not {regularization}.")
        self._regularization = regularization

    def losses(self, of: SampledScores) -> tf.Tensor:
        """Of each positive, against the softmax over the negatives of its query."""
        shares = _softmax(of)
        # log(s_j sigmoid(x)) summed as a log-sum-exp: the product underflows where the positive is far behind.
        log_shares = tf.nn.log_softmax(tf.where(of.mask, MASKED, of.negative - of.log_q), axis=1)
        behind_by = of.positive[:, None] - tf.gather(of.negative, of.row)
        ahead = -tf.reduce_logsumexp(tf.gather(log_shares, of.row) + tf.math.log_sigmoid(behind_by), axis=1)
        held = tf.reduce_sum(shares * tf.square(of.negative), axis=1)
        any_left = tf.gather(tf.reduce_any(~of.mask, axis=1), of.row)
        return tf.where(any_left, ahead + self._regularization * tf.gather(held, of.row), 0.0)


def make_session_loss(
    name: SessionLossName, num_items: int, *, regularization: float = 1.0, calibration: float = 0.75
) -> SampledLoss:
    """Make the loss called `name`.

    Args:
      name: ``cross-entropy``, ``bpr``, ``top1``, ``bpr-max``, ``top1-max`` or ``gbce``.
      num_items: size of the catalogue.
      regularization: of ``bpr-max``.
      calibration: of ``gbce``.

    Raises:
      ConfigError: an unknown name or a setting out of range.
    """
    made: dict[str, SampledLoss] = {
        "cross-entropy": SampledSoftmax(),
        "bpr": BPR(),
        "top1": TOP1(),
        "top1-max": TOP1Max(),
        "bpr-max": BPRMax(regularization),
        "gbce": GBCE(num_items, calibration),
    }
    if name not in made:
        raise ConfigError(f"there is no session loss {name!r}; there are: {', '.join(get_args(SessionLossName))}.")
    return made[name]


def _top1(of: SampledScores, shares: tf.Tensor) -> tf.Tensor:
    """``[num_positives]`` weighted sums, `shares` being ``[num_queries, num_negatives]``."""
    ahead_by = tf.gather(of.negative, of.row) - of.positive[:, None]
    ahead = tf.reduce_sum(tf.gather(shares, of.row) * tf.sigmoid(ahead_by), axis=1)
    held = tf.reduce_sum(shares * tf.sigmoid(tf.square(of.negative)), axis=1)
    return ahead + tf.gather(held, of.row)


def _softmax(of: SampledScores) -> tf.Tensor:
    """``[num_queries, num_negatives]`` softmax over the unmasked; zeros where all are masked."""
    shares = tf.nn.softmax(tf.where(of.mask, MASKED, of.negative - of.log_q), axis=1)
    return tf.where(of.mask, 0.0, shares)
