"""The loss of ranking models, against arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.objectives.prediction import PredictionLoss, Target
from recsys_tfrs.schema import Objective

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


@pytest.mark.parametrize(("objective", "per_row"), [("softmax", False), ("listmle", True)])
def test_lists_count_by_the_mean_weight_of_their_known_rows(objective: Objective, per_row: bool) -> None:
    """Two lists of two known rows each, and one that says nothing of order; another target follows after it."""
    places = tf.constant([[0, 0], [0, 1], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1]])
    labels = [1.0, 0.0, 1.0, 0.0, math.nan, 1.0, 1.0]
    outputs = [0.5, 0.5, 2.0, 0.0, 9.0, 3.0, -3.0]
    weights = tf.constant([3.0, 1.0, 1.5, 0.5, 100.0, 50.0, 50.0])
    listed = Target("click", "binary", 0.5, weight=0.25, objective=objective)
    both = tf.stack([tf.constant(outputs), tf.zeros(7)], axis=1)
    beside = tf.constant([[label, 4.0] for label in labels])
    lists = 2 * math.log(2) + 1 * math.log(1 + math.exp(-2))
    lists /= 2 * 2 + 1 * 2 if per_row else 2 + 1
    loss = PredictionLoss([listed, STARS])(both, beside, weights, places)
    assert float(loss) == pytest.approx(0.25 * lists + 0.5**2, rel=1e-5)
    alike = (math.log(2) + math.log(1 + math.exp(-2))) / (4 if per_row else 2)
    assert float(PredictionLoss([listed])(both[:, :1], beside[:, :1], None, places)) == pytest.approx(0.25 * alike)


def test_a_target_of_lists_wants_a_batch_of_lists() -> None:
    with pytest.raises(ValueError, match="click is trained by lists"):
        PredictionLoss([Target("click", "binary", 0.5, objective="softmax")])(tf.zeros([2, 1]), tf.zeros([2, 1]))


@pytest.mark.usefixtures("mixed_precision")
def test_losses_stay_in_float32_under_mixed_precision() -> None:
    assert PredictionLoss([CLICK]).compute_dtype == "float32"
