"""The loss of ranking models, against arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.objectives.prediction import PredictionLoss, Target

CLICK = Target("click", "binary", 0.5)
STARS = Target("rating", "rating", 3.0, deviation=2.0, low=1.0, high=5.0)


def test_binary_targets_cost_their_cross_entropy() -> None:
    loss = PredictionLoss([CLICK])(tf.constant([[0.0], [2.0]]), tf.constant([[1.0], [0.0]]))
    assert float(loss) == pytest.approx((math.log(2) + math.log(1 + math.exp(2))) / 2)


def test_ratings_cost_their_squared_error_in_standard_deviations() -> None:
    loss = PredictionLoss([STARS])(tf.constant([[0.5], [0.0]]), tf.constant([[5.0], [2.0]]))
    assert float(loss) == pytest.approx(((0.5 - 1.0) ** 2 + (0.0 + 0.5) ** 2) / 2)


def test_rows_count_by_their_weight_and_unknown_ones_not_at_all() -> None:
    outputs = tf.constant([[0.0, 0.0], [2.0, 1.0], [1.0, 0.0]])
    labels = tf.constant([[1.0, 3.0], [0.0, math.nan], [math.nan, 5.0]])
    weights = tf.constant([3.0, 1.0, 2.0])
    weighted = Target("rating", "rating", 3.0, deviation=2.0, weight=0.5)
    loss = PredictionLoss([CLICK, weighted])(outputs, labels, weights)
    clicks = (3 * math.log(2) + math.log(1 + math.exp(2))) / 4
    stars = (3 * 0.0 + 2 * 1.0) / 5
    assert float(loss) == pytest.approx(clicks + 0.5 * stars)


def test_a_batch_without_any_label_costs_nothing() -> None:
    with tf.GradientTape() as tape:
        outputs = tf.Variable([[3.0]])
        loss = PredictionLoss([CLICK])(outputs, tf.constant([[math.nan]]))
    assert float(loss) == 0.0
    assert np.isfinite(tape.gradient(loss, outputs).numpy()).all()
