"""What a whole list costs: whether the rows of one user or query stand in the right order, not what each is worth.

A list is a row of labels and a row of scores; where it is shorter than others, labels are NaN. A list whose labels are
all alike says nothing about order and costs nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import tensorflow as tf

#: Of `ApproxNDCG`: how far apart two scores must be for one to count as above the other. 1 / 10, as the source's alpha.
TEMPERATURE = 0.1


class ListLoss(tf.keras.losses.Loss):
    """A loss of ``[num_lists, length]`` labels and scores that gives ``[num_lists]`` values.

    Attributes:
      grows: whether the loss of a list grows with its length, so that a mean is taken over rows rather than lists.
    """

    grows: ClassVar[bool]

    def __init__(self, **settings: Any) -> None:
        super().__init__(reduction=tf.keras.losses.Reduction.SUM, **settings)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return ``[num_lists]`` losses.

        Args:
          y_true: ``[num_lists, length]`` labels, NaN where there is no row.
          y_pred: ``[num_lists, length]`` scores.
        """
        there = tf.math.is_finite(y_true)
        # Gradients through what is not there would be NaN times 0.
        labels, scores = tf.where(there, y_true, 0.0), tf.where(there, tf.cast(y_pred, tf.float32), 0.0)
        return tf.where(says_something(y_true), self.of_lists(labels, scores, there), 0.0)

    @abstractmethod
    def of_lists(self, labels: tf.Tensor, scores: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
        """``[num_lists]`` losses of ``[num_lists, length]`` labels and scores, 0 where nothing is `there`."""


class SoftmaxCrossEntropy(ListLoss):
    """``-sum_i (y_i / sum_j y_j) log softmax(s)_i``: the share of a list's labels against that of its scores.

    Of a list with a single label of 1 it is how unlikely that row is to be chosen among all. With labels of 0 and 1 it
    bounds the reciprocal rank and NDCG (Bruch, An analysis of the softmax cross entropy loss for learning-to-rank with
    binary relevance, ICTIR 2019, https://doi.org/10.1145/3341981.3344221). Labels are not negative.
    """

    grows: ClassVar[bool] = False

    def of_lists(self, labels: tf.Tensor, scores: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
        """See `ListLoss`."""
        shares = tf.math.divide_no_nan(labels, tf.reduce_sum(labels, axis=1, keepdims=True))
        log_softmax = tf.nn.log_softmax(tf.where(there, scores, scores.dtype.min), axis=1)
        return -tf.reduce_sum(shares * tf.where(there, log_softmax, 0.0), axis=1)


class ListMLE(ListLoss):
    """Minus the log-likelihood of the true order, items being drawn from the top by a softmax of those left.

    ``-sum_i (s_i - log sum_{j >= i} exp s_j)`` over a list in the order of its labels (Xia et al., Listwise approach to
    learning to rank: theory and algorithm, ICML 2008). Rows of one label stay in the order in which they come, which
    training batches draw anew each epoch.
    """

    grows: ClassVar[bool] = True

    def of_lists(self, labels: tf.Tensor, scores: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
        """See `ListLoss`."""
        order = tf.argsort(tf.where(there, labels, labels.dtype.min), direction="DESCENDING", stable=True)
        scores = tf.gather(tf.where(there, scores, scores.dtype.min), order, batch_dims=1)
        there = tf.gather(there, order, batch_dims=1)
        left = tf.math.cumulative_logsumexp(scores, axis=1, reverse=True)
        return tf.reduce_sum(tf.where(there, left - scores, 0.0), axis=1)


class ApproxNDCG(ListLoss):
    """1 less NDCG of the whole list, ranks smoothed so that they have a gradient.

    ``rank_i = 1 + sum_{j != i} sigmoid((s_j - s_i) / temperature)``, the gain of a label y being ``2^y - 1`` and its
    discount ``1 / log2(1 + rank)`` (Qin, Liu and Li, A general approximation framework for direct optimization of
    information retrieval measures, Information Retrieval 13, 2010; the temperature is 1 / alpha).
    """

    grows: ClassVar[bool] = False

    def of_lists(self, labels: tf.Tensor, scores: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
        """See `ListLoss`."""
        above = tf.sigmoid((scores[:, None, :] - scores[:, :, None]) / TEMPERATURE)
        counted = there[:, None, :] & ~tf.eye(tf.shape(scores)[1], dtype=tf.bool)
        rank = 1.0 + tf.reduce_sum(tf.where(counted, above, 0.0), axis=2)
        gains = tf.where(there, tf.pow(2.0, labels) - 1.0, 0.0)
        best = tf.sort(gains, axis=1, direction="DESCENDING")
        places = tf.range(1.0, tf.cast(tf.shape(scores)[1], tf.float32) + 1.0)
        # To whatever base: it is the same above and below the line.
        found = tf.reduce_sum(gains / tf.math.log(1.0 + rank), axis=1)
        return 1.0 - tf.math.divide_no_nan(found, tf.reduce_sum(best / tf.math.log(1.0 + places), axis=1))


#: Loss by listwise objective.
LIST_LOSSES: dict[str, type[ListLoss]] = {
    "softmax": SoftmaxCrossEntropy,
    "listmle": ListMLE,
    "approx-ndcg": ApproxNDCG,
}


def says_something(labels: tf.Tensor) -> tf.Tensor:
    """``[num_lists]`` whether two rows of a list differ, of ``[num_lists, length]`` labels, NaN for none."""
    there = tf.math.is_finite(labels)
    low = tf.reduce_min(tf.where(there, labels, labels.dtype.max), axis=1)
    return low < tf.reduce_max(tf.where(there, labels, labels.dtype.min), axis=1)


def in_lists(values: tf.Tensor, places: tf.Tensor, missing: float) -> tf.Tensor:
    """Rows laid out as lists.

    Args:
      values: ``[num_rows]``.
      places: ``[num_rows, 2]`` int32 list of each row and place in it, both from 0.
      missing: stands where a list is shorter than the longest.

    Returns:
      ``[num_lists, longest]``.
    """
    shape = tf.reduce_max(tf.concat([places, [[0, 0]]], axis=0), axis=0) + 1
    return tf.tensor_scatter_nd_update(tf.fill(shape, tf.constant(missing, values.dtype)), places, values)
