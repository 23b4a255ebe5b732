"""Figures of a classifier that may abstain: how often it is right, and whether its confidence holds.

The confidence of a prediction is the probability of the class it names. Calibration is that of the confidence (Guo et
al., ICML 2017, section 2: of all predictions with confidence 0.8, four fifths should be right), by bins of equal mass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from recsys_tfrs.evaluation.calibration import Calibration, calibration, calibration_error, equal_mass_bins
from recsys_tfrs.evaluation.tied_lists import tie_blocks

#: A threshold above every probability: the model abstains always.
ABSTAINS_ALWAYS = 2.0


@dataclass(frozen=True)
class Classification:
    """What was measured.

    Attributes:
      metrics: ``accuracy`` of all rows; ``logloss``; ``ece``; ``answered``, the share of rows that are not abstained
        from; ``accuracy_answered`` of these, left out where there are none.
      accuracy_interval: 95% interval of the accuracy (Wilson).
      calibration: of the confidence.
      confusion: ``[num_classes, num_classes]`` rows by true class (first axis) and predicted one.
    """

    metrics: dict[str, float]
    accuracy_interval: tuple[float, float]
    calibration: Calibration
    confusion: NDArray[np.int64]


def classification(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], threshold: float = 0.0
) -> Classification:
    """Measure predictions.

    Args:
      probabilities: ``[num_rows, num_classes]``, at least one row.
      labels: ``[num_rows]`` true classes.
      threshold: confidence below which the model abstains.
    """
    probabilities, rows = np.asarray(probabilities, np.float64), np.arange(len(labels))
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right, answered = predicted == labels, confidence >= threshold
    order = np.argsort(confidence, kind="stable")
    sorted_confidence, sorted_right = confidence[order], right[order]
    blocks, ones, cluster = tie_blocks(sorted_confidence), np.ones(len(rows)), np.zeros(len(rows), np.int64)
    bins = equal_mass_bins(blocks, ones, 15)
    error = calibration_error(bins, sorted_confidence - sorted_right, ones, cluster, 1)
    metrics = {
        "accuracy": float(right.mean()),
        "logloss": float(-np.log(np.maximum(probabilities[rows, labels], 1e-12)).mean()),
        "ece": error.value,
        "answered": float(answered.mean()),
    }
    if answered.any():
        metrics["accuracy_answered"] = float(right[answered].mean())
    low, high = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    confusion = np.zeros((probabilities.shape[1],) * 2, np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    table = calibration(blocks, sorted_confidence, sorted_right, ones, rows, len(rows))
    return Classification(metrics, (float(low), float(high)), table, confusion)


def choose_threshold(probabilities: NDArray[np.floating], labels: NDArray[np.integer], precision: float) -> float:
    """The lowest confidence from which on predictions are right often enough.

    How often they are is estimated from c right ones of n as ``(c + 1) / (n + 2)`` (Laplace's rule of succession), so
    that a few lucky predictions do not count for certainty.

    Args:
      probabilities: ``[num_rows, num_classes]`` of rows that the model was not fitted on.
      labels: ``[num_rows]`` true classes.
      precision: share of right ones to reach.

    Returns:
      The least confidence answered; 0 where all rows may be answered, `ABSTAINS_ALWAYS` where none.

    Example:
      >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
      >>> choose_threshold(probabilities, np.array([0, 0, 0]), precision=0.7)  # 3/4 of the first two, 3/5 of all
      0.8
    """
    confidence = np.asarray(probabilities).max(axis=1, initial=0.0)
    order = np.argsort(-confidence, kind="stable")
    right = (np.asarray(probabilities).argmax(axis=1) == labels)[order] if len(labels) else np.zeros(0, bool)
    count = np.arange(1, len(right) + 1)
    enough = (np.cumsum(right) + 1) / (count + 2) >= precision
    # Rows of equal confidence are answered together or not at all.
    ends = np.append(confidence[order][1:] != confidence[order][:-1], True)[: len(right)]
    places = np.flatnonzero(enough & ends)
    if not len(places):
        return ABSTAINS_ALWAYS
    last = int(places[-1])
    return 0.0 if last == len(right) - 1 else float(confidence[order][last])
