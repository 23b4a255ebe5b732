"""The losses of the session papers against their equations, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.errors import ConfigError
from recsys_tfrs.objectives.sampled import SampledLoss
from recsys_tfrs.objectives.session import TOP1, BPRMax, TOP1Max, make_session_loss

#: Two queries; the first has positives scoring 1 and -0.5, the second one scoring 0.3.
POSITIVES = [1.0, -0.5, 0.3]
ROW = [0, 0, 1]
#: The third negative of the second query is its own positive.
NEGATIVES = [[0.2, -1.0, 2.0], [0.5, 1.5, 9.0]]
MASK = [[False, False, False], [False, False, True]]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def losses(loss: SampledLoss, log_q: list[float] | None = None) -> np.ndarray:
    """The loss of each positive, by giving weight to it alone."""
    q = tf.zeros([3]) if log_q is None else tf.constant(log_q)
    args = (tf.constant(POSITIVES), tf.constant(NEGATIVES), tf.constant(ROW), tf.constant(MASK))
    return np.array([float(loss(*args, tf.one_hot(i, 3), q)) for i in range(3)])


def negatives_of(positive: int) -> list[float]:
    return [r for r, masked in zip(NEGATIVES[ROW[positive]], MASK[ROW[positive]], strict=True) if not masked]


def softmax(values: list[float]) -> list[float]:
    total = sum(math.exp(v) for v in values)
    return [math.exp(v) / total for v in values]


def test_top1() -> None:
    expected = [
        sum(sigmoid(r - POSITIVES[i]) + sigmoid(r**2) for r in negatives_of(i)) / len(negatives_of(i)) for i in range(3)
    ]
    np.testing.assert_allclose(losses(TOP1()), expected, rtol=1e-6)


def test_top1_max() -> None:
    expected = [
        sum(
            s * (sigmoid(r - POSITIVES[i]) + sigmoid(r**2))
            for s, r in zip(softmax(negatives_of(i)), negatives_of(i), strict=True)
        )
        for i in range(3)
    ]
    np.testing.assert_allclose(losses(TOP1Max()), expected, rtol=1e-6)


@pytest.mark.parametrize("regularization", [0.0, 1.0, 0.25])
def test_bpr_max(regularization: float) -> None:
    expected = []
    for i in range(3):
        weighted = list(zip(softmax(negatives_of(i)), negatives_of(i), strict=True))
        ahead = -math.log(sum(s * sigmoid(POSITIVES[i] - r) for s, r in weighted))
        expected.append(ahead + regularization * sum(s * r**2 for s, r in weighted))
    np.testing.assert_allclose(losses(BPRMax(regularization)), expected, rtol=1e-6)


def test_cross_entropy_and_bpr() -> None:
    entropy = [
        -math.log(math.exp(POSITIVES[i]) / (math.exp(POSITIVES[i]) + sum(math.exp(r) for r in negatives_of(i))))
        for i in range(3)
    ]
    np.testing.assert_allclose(losses(make_session_loss("cross-entropy", 9)), entropy, rtol=1e-6)
    bpr = [-sum(math.log(sigmoid(POSITIVES[i] - r)) for r in negatives_of(i)) / len(negatives_of(i)) for i in range(3)]
    np.testing.assert_allclose(losses(make_session_loss("bpr", 9)), bpr, rtol=1e-6)


def test_gbce_with_no_calibration_is_the_mean_of_binary_cross_entropies() -> None:
    expected = [
        (-math.log(sigmoid(POSITIVES[i])) - sum(math.log(1 - sigmoid(r)) for r in negatives_of(i)))
        / (len(negatives_of(i)) + 1)
        for i in range(3)
    ]
    np.testing.assert_allclose(losses(make_session_loss("gbce", 9, calibration=0.0)), expected, rtol=1e-6)


@pytest.mark.parametrize("loss", [TOP1(), TOP1Max(), BPRMax()])
def test_a_negative_drawn_half_as_likely_counts_twice(loss: SampledLoss) -> None:
    """Equal to drawing the first one twice, where all probabilities are one."""
    q = [math.log(0.5), 0.0, 0.0]
    corrected = float(
        loss(tf.constant([0.4]), tf.constant([[0.2, -1.0, 2.0]]), [0], tf.zeros([1, 3], tf.bool), [1.0], q)
    )
    repeated = tf.constant([[0.2, 0.2, -1.0, 2.0]])
    plain = float(loss(tf.constant([0.4]), repeated, [0], tf.zeros([1, 4], tf.bool), [1.0], tf.zeros([4])))
    assert corrected == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("loss", [TOP1(), TOP1Max(), BPRMax()])
def test_all_masked_costs_nothing_and_extremes_stay_finite(loss: SampledLoss) -> None:
    scores = tf.constant([[90.0, -90.0]])
    with tf.GradientTape() as tape:
        tape.watch(scores)
        nothing = loss(tf.constant([0.4]), scores, [0], tf.ones([1, 2], tf.bool), [1.0], tf.zeros([2]))
    assert float(nothing) == 0
    assert np.isfinite(tape.gradient(nothing, scores).numpy()).all()
    with tf.GradientTape() as tape:
        tape.watch(scores)
        much = loss(tf.constant([-90.0]), scores, [0], tf.zeros([1, 2], tf.bool), [1.0], tf.zeros([2]))
    assert np.isfinite(float(much))
    assert np.isfinite(tape.gradient(much, scores).numpy()).all()


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 0, not -1"):
        BPRMax(-1)
    with pytest.raises(ConfigError, match="no session loss 'hinge'; there are: cross-entropy, bpr"):
        make_session_loss("hinge", 3)  # type: ignore[arg-type]
