"""Figures of a classifier, by hand; and the confidence from which on it may answer."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.evaluation.classification import ABSTAINS_ALWAYS, choose_threshold, classification

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.05, 0.05, 0.9]])
LABELS = np.array([0, 1, 1, 2])


def test_by_hand() -> None:
    """Right, right, wrong, right; with a threshold of 0.6 the wrong one is abstained from."""
    measured = classification(PROBABILITIES, LABELS, threshold=0.6)
    assert measured.metrics["accuracy"] == 0.75
    assert measured.metrics["logloss"] == pytest.approx(-np.log([0.7, 0.6, 0.3, 0.9]).mean())
    assert measured.metrics["answered"] == 0.75
    assert measured.metrics["accuracy_answered"] == 1.0
    # Every row in a bin of its own: the mean of |confidence - right|.
    assert measured.metrics["ece"] == pytest.approx((0.3 + 0.4 + 0.5 + 0.1) / 4)
    assert measured.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    low, high = measured.accuracy_interval
    assert low < 0.75 < high
    # Wilson's interval at z = 1.96: (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    assert low == pytest.approx(0.3006, abs=1e-3)
    assert high == pytest.approx(0.9544, abs=1e-3)


def test_without_a_threshold_everything_is_answered() -> None:
    assert classification(PROBABILITIES, LABELS).metrics["answered"] == 1.0


def test_nothing_answered() -> None:
    metrics = classification(PROBABILITIES, LABELS, threshold=ABSTAINS_ALWAYS).metrics
    assert metrics["answered"] == 0.0
    assert "accuracy_answered" not in metrics


def test_calibrated_predictions_err_as_chance_has_it() -> None:
    draw = np.random.default_rng(0)
    odds = 2 * draw.standard_normal((20_000, 3))
    chances = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    labels = (draw.random((20_000, 1)) > np.cumsum(chances, axis=1)).sum(axis=1)
    honest = classification(chances, labels)
    assert honest.metrics["ece"] < 2 * honest.calibration.ece_by_chance
    boasting = chances**2 / (chances**2).sum(axis=1, keepdims=True)
    assert classification(boasting, labels).metrics["ece"] > 0.05


def confident(*values: float) -> np.ndarray:
    return np.array([[value, 1 - value] for value in values])


class TestThreshold:
    def test_everything_where_everything_is_right(self) -> None:
        assert choose_threshold(confident(*[0.9] * 18), np.zeros(18, int), 0.95) == 0.0

    def test_a_few_right_ones_are_no_certainty(self) -> None:
        """17 of 17 count as 18 of 19, which is less than 0.95."""
        assert choose_threshold(confident(*[0.9] * 17), np.zeros(17, int), 0.95) == ABSTAINS_ALWAYS

    def test_the_lowest_confidence_that_will_do(self) -> None:
        """At 0.8: 4 of 4, 5/6; at 0.7: 4 of 5, 5/7; at 0.6: 5 of 6, 6/8; at 0.55: 5 of 7, 6/9."""
        probabilities = confident(0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.55)
        labels = np.array([0, 0, 0, 0, 1, 0, 1])
        assert choose_threshold(probabilities, labels, 0.75) == 0.6
        assert choose_threshold(probabilities, labels, 0.8) == 0.8

    def test_equal_confidences_are_answered_together(self) -> None:
        probabilities = confident(0.9, 0.9, 0.9, 0.8, 0.8)
        assert choose_threshold(probabilities, np.array([0, 0, 0, 0, 1]), 0.8) == 0.9

    def test_no_rows(self) -> None:
        assert choose_threshold(np.zeros((0, 3)), np.zeros(0, int), 0.5) == ABSTAINS_ALWAYS
