"""What a ranking model is trained by: how far its predictions are from what came of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf
import tensorflow_recommenders as tfrs


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
    """

    name: str
    kind: Literal["binary", "rating"]
    mean: float
    deviation: float = 1.0
    low: float = 0.0
    high: float = 1.0
    weight: float = 1.0


class PredictionLoss(tf.keras.layers.Layer):
    """Cross-entropy of binary targets and squared error of ratings (in standard deviations), a weighted mean each.

    Rows of which a target is not known (NaN) do not count towards it.

    Args:
      targets: in the order of the columns.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        super().__init__(name="prediction_loss", dtype=tf.float32)
        self._targets = list(targets)
        total = tf.keras.losses.Reduction.SUM
        self._tasks = [
            tfrs.tasks.Ranking(
                loss=tf.keras.losses.BinaryCrossentropy(from_logits=True, reduction=total)
                if target.kind == "binary"
                else tf.keras.losses.MeanSquaredError(reduction=total)
            )
            for target in targets
        ]

    def call(self, outputs: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
        """Return the loss, a scalar.

        Args:
          outputs: ``[batch, num_targets]`` logits, or ratings less their mean in standard deviations.
          labels: ``[batch, num_targets]`` as in the data.
          weights: ``[batch]`` of the rows; None: all the same.
        """
        loss = tf.constant(0.0)
        for place, (target, task) in enumerate(zip(self._targets, self._tasks, strict=True)):
            label = labels[:, place]
            known = tf.math.is_finite(label)
            counts = tf.cast(known, tf.float32) if weights is None else tf.where(known, weights, 0.0)
            label = tf.where(known, label, 0.0)
            if target.kind == "rating":
                label = (label - target.mean) / target.deviation
            # A loss is summed over rows and averaged over the last axis, which each row has to itself.
            summed = task(label[:, None], outputs[:, place, None], sample_weight=counts)
            loss += target.weight * tf.math.divide_no_nan(summed, tf.reduce_sum(counts))
        return loss
