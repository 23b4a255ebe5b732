"""What a ranking model is trained by: how far its predictions are from what came of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf
import tensorflow_recommenders as tfrs

from recsys_tfrs.objectives.listwise import LIST_LOSSES, in_lists, says_something
from recsys_tfrs.schema import Objective


@dataclass(frozen=True)
class Target:
    """Something that is predicted.

    Attributes:
      name: ``like``, ``rating``, ``click`` ..., or the label column.
      kind: ``binary``: the chance of a 1; ``rating``: a number.
      mean: of the training labels, where models start from.
      deviation: their standard deviation, the unit of a rating's output.
      low, high: the smallest and largest training label, which predicted ratings do not leave.
      weight: of its loss among several.
      objective: how it is trained; its output is an estimate of the label only where that is ``pointwise``.
    """

    name: str
    kind: Literal["binary", "rating"]
    mean: float
    deviation: float = 1.0
    low: float = 0.0
    high: float = 1.0
    weight: float = 1.0
    objective: Objective = "pointwise"


class PredictionLoss(tf.keras.layers.Layer):
    """Cross-entropy of binary targets and squared error of ratings (in standard deviations), a weighted mean each.

    Of a listwise target, the loss of the lists (`recsys_tfrs.objectives.listwise`): ListMLE a row, the softmax and
    approximate NDCG a list. A list counts by the mean weight of its rows. Rows of which a target is not known (NaN)
    do not count towards it.

    Args:
      targets: in the order of the columns.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        super().__init__(dtype=tf.float32)
        self._targets = list(targets)
        self._tasks = [tfrs.tasks.Ranking(loss=_loss(target)) for target in targets]

    def call(
        self,
        outputs: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor | None = None,
        places: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Return the loss, a scalar.

        Args:
          outputs: ``[batch, num_targets]`` logits, or ratings less their mean in standard deviations.
          labels: ``[batch, num_targets]`` as in the data.
          weights: ``[batch]`` of the rows; None: all the same.
          places: ``[batch, 2]`` int32 list of each row and place in it, for listwise targets.

        Raises:
          ValueError: a target is listwise and the batch is not made of lists.
        """
        loss = tf.constant(0.0)
        for place, (target, task) in enumerate(zip(self._targets, self._tasks, strict=True)):
            label = labels[:, place]
            if target.objective != "pointwise":
                if places is None:
                    raise ValueError(
                        f"{target.name} is trained by lists: use `recsys_tfrs.training.lists.ListBatches`."
                    )
                per_row = LIST_LOSSES[target.objective].grows
                loss += target.weight * _mean_of_lists(task, outputs[:, place], label, weights, places, per_row)
                continue
            known = tf.math.is_finite(label)
            counts = tf.cast(known, tf.float32) if weights is None else tf.where(known, weights, 0.0)
            label = tf.where(known, label, 0.0)
            if target.kind == "rating":
                label = (label - target.mean) / target.deviation
            # A loss is summed over rows and averaged over the last axis, which each row has to itself.
            summed = task(label[:, None], outputs[:, place, None], sample_weight=counts)
            loss += target.weight * tf.math.divide_no_nan(summed, tf.reduce_sum(counts))
        return loss


def _loss(target: Target) -> tf.keras.losses.Loss:
    """Summed over rows, or over lists."""
    total = tf.keras.losses.Reduction.SUM
    if target.objective != "pointwise":
        return LIST_LOSSES[target.objective]()
    if target.kind == "binary":
        return tf.keras.losses.BinaryCrossentropy(from_logits=True, reduction=total)
    return tf.keras.losses.MeanSquaredError(reduction=total)


def _mean_of_lists(
    task: tfrs.tasks.Ranking,
    outputs: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor | None,
    places: tf.Tensor,
    per_row: bool,
) -> tf.Tensor:
    """The mean loss of the lists that say something about order, or of their rows."""
    laid_out = in_lists(labels, places, float("nan"))
    there = tf.cast(tf.math.is_finite(laid_out), tf.float32)
    lengths = tf.reduce_sum(there, axis=1)
    counts = tf.cast(says_something(laid_out), tf.float32)
    if weights is not None:
        counts *= tf.math.divide_no_nan(tf.reduce_sum(in_lists(weights, places, 0.0) * there, axis=1), lengths)
    summed = task(laid_out, in_lists(outputs, places, 0.0), sample_weight=counts)
    return tf.math.divide_no_nan(summed, tf.reduce_sum(counts * lengths if per_row else counts))
