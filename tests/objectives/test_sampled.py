"""Losses against sampled negatives, each against its formula written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from recsys_tfrs.errors import ConfigError
from recsys_tfrs.objectives.positives import drawn_positive_mask
from recsys_tfrs.objectives.sampled import (
    BPR,
    GBCE,
    WARP,
    PositivesOnly,
    SampledLoss,
    SampledSoftmax,
    make_loss,
)
from recsys_tfrs.objectives.softmax import FullSoftmax

# Two queries, three positives (two of the first), four negatives; the first query likes the last of them.
POSITIVE = np.array([1.0, -0.5, 0.3])
NEGATIVE = np.array([[0.5, -1.0, 0.2, 9.0], [-0.3, 0.8, 0.0, -2.0]])
ROW = np.array([0, 0, 1])
MASK = np.array([[False, False, False, True], [False, False, False, False]])
WEIGHTS = np.array([1.0, 0.5, 2.0])
Q = np.array([0.5, 0.25, 0.8, 0.1])
UNCORRECTED = np.zeros(4)
LOSSES = [SampledSoftmax(), BPR(), WARP(), GBCE(40), PositivesOnly()]


def value(
    loss: SampledLoss,
    positive: ArrayLike = POSITIVE,
    negative: ArrayLike = NEGATIVE,
    row: ArrayLike = ROW,
    mask: ArrayLike = MASK,
    weights: ArrayLike = WEIGHTS,
    log_q: ArrayLike = UNCORRECTED,
) -> float:
    return float(
        loss(
            tf.constant(positive, tf.float32),
            tf.constant(negative, tf.float32),
            tf.constant(row, tf.int32),
            tf.constant(mask, tf.bool),
            tf.constant(weights, tf.float32),
            tf.constant(log_q, tf.float32),
        )
    )


def weighted_mean(losses: ArrayLike) -> float:
    return float(WEIGHTS @ np.asarray(losses) / WEIGHTS.sum())


def softplus(x: ArrayLike) -> NDArray[np.float64]:
    return np.log1p(np.exp(np.asarray(x, np.float64)))


@pytest.mark.parametrize("q", [np.ones(4), Q])
def test_sampled_softmax(q: NDArray[np.float64]) -> None:
    first = np.exp(NEGATIVE[0, :3]) @ (1 / q[:3])
    second = np.exp(NEGATIVE[1]) @ (1 / q)
    expected = [
        -np.log(np.exp(1.0) / (np.exp(1.0) + first)),
        -np.log(np.exp(-0.5) / (np.exp(-0.5) + first)),
        -np.log(np.exp(0.3) / (np.exp(0.3) + second)),
    ]
    assert value(SampledSoftmax(), log_q=np.log(q)) == pytest.approx(weighted_mean(expected), rel=1e-5)


@pytest.mark.parametrize("q", [np.ones(4), Q])
def test_bpr(q: NDArray[np.float64]) -> None:
    w = 1 / q
    expected = [
        w[:3] @ softplus(NEGATIVE[0, :3] - 1.0) / w[:3].sum(),
        w[:3] @ softplus(NEGATIVE[0, :3] + 0.5) / w[:3].sum(),
        w @ softplus(NEGATIVE[1] - 0.3) / w.sum(),
    ]
    assert value(BPR(), log_q=np.log(q)) == pytest.approx(weighted_mean(expected), rel=1e-5)


def test_warp() -> None:
    """Margin 1. Positive 1.0: ahead of its 0.0 are .5 and .2; -0.5: all three are; 0.3: -0.3, 0.8 and 0.0 are."""
    expected = [
        (1 + 1 / 2) / 2 * (0.5 + 0.2),
        (1 + 1 / 2 + 1 / 3) / 3 * (2.0 + 0.5 + 1.7),
        (1 + 1 / 2 + 1 / 3) / 3 * (0.4 + 1.5 + 0.7),
    ]
    assert value(WARP()) == pytest.approx(weighted_mean(expected), rel=1e-5)
    # Drawn with 1/2 and 1/4, two violators stand for 2 + 4 items.
    corrected = value(WARP(), [0.0], [[0.5, 0.2, -7.0]], [0], [[False] * 3], [1.0], np.log([1 / 2, 1 / 4, 1 / 8]))
    harmonic = sum(1 / i for i in range(1, 7))
    assert corrected == pytest.approx(harmonic / 6 * (2 * 1.5 + 4 * 1.2), rel=1e-5)
    # A margin of 0.5: only .5 and .2 + 0.5 - 0.6 are left, and what is far enough behind costs nothing.
    assert value(WARP(0.5), [0.6], [[0.5, 0.2]], [0], [[False] * 2], [1.0], [0.0, 0.0]) == pytest.approx(0.75 * 0.5)
    assert value(WARP(), [9.0], [[0.5, 0.2]], [0], [[False] * 2], [1.0], [0.0, 0.0]) == 0


@pytest.mark.parametrize(("calibration", "beta"), [(0.0, 1.0), (1.0, 0.1), (0.75, 0.325)])
def test_gbce(calibration: float, beta: float) -> None:
    """Four of 40 items are drawn, a = 0.1; beta = a (t (1 - 1/a) + 1/a), for t = 0.75: 0.1 (0.75 x -9 + 10)."""
    sigmoid = 1 / (1 + np.exp(-POSITIVE))
    first = np.log(1 - 1 / (1 + np.exp(-NEGATIVE[0, :3]))).sum()
    second = np.log(1 - 1 / (1 + np.exp(-NEGATIVE[1]))).sum()
    expected = [
        -(np.log(sigmoid[0] ** beta) + first) / 4,  # three negatives are left
        -(np.log(sigmoid[1] ** beta) + first) / 4,
        -(np.log(sigmoid[2] ** beta) + second) / 5,
    ]
    assert value(GBCE(40, calibration)) == pytest.approx(weighted_mean(expected), rel=1e-5)


def test_gbce_corrected_and_with_more_draws_than_items() -> None:
    negative, q = np.array([0.5, -1.0]), np.array([0.5, 0.25])
    corrected = value(GBCE(2, 0.5), [0.7], [negative], [0], [[False] * 2], [1.0], np.log(q))
    negatives = 2 * (2 * softplus(0.5) + 4 * softplus(-1.0)) / (2 + 4)
    assert corrected == pytest.approx((softplus(-0.7) + negatives) / 3, rel=1e-5)
    oversampled = value(GBCE(1, 0.5), [0.7], [negative], [0], [[False] * 2], [1.0], np.log(q))
    assert oversampled == pytest.approx(corrected)


def test_positives_only() -> None:
    expected = weighted_mean(-np.log(1 / (1 + np.exp(-POSITIVE))))
    assert value(PositivesOnly()) == pytest.approx(expected, rel=1e-5)
    assert value(PositivesOnly(), negative=NEGATIVE + 5, mask=~MASK) == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(2, 9))
@settings(max_examples=20, deadline=None)
def test_with_every_item_sampled_softmax_is_the_full_one(seed: int, num_users: int, num_items: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 3, (num_users, num_items + 1)).astype(np.float32)
    items = rng.integers(1, num_items + 1, num_users).astype(np.int32)
    weights = rng.uniform(0.1, 2, num_users)
    order = rng.permutation(np.arange(1, num_items + 1)).astype(np.int32)
    positives = tf.RaggedTensor.from_row_lengths(items, [1] * num_users)
    full = FullSoftmax()(scores, positives, tf.constant(weights, tf.float32))
    rows = np.arange(num_users)
    mask = drawn_positive_mask(positives, order, num_items)
    sampled = value(SampledSoftmax(), scores[rows, items], scores[:, order], rows, mask, weights, np.zeros(num_items))
    assert sampled == pytest.approx(float(full), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES[:4], ids=lambda loss: loss.name)
@pytest.mark.parametrize("log_q", [np.zeros(4), np.log(Q)])
def test_a_query_without_any_negative_left_costs_nothing(loss: SampledLoss, log_q: NDArray[np.float64]) -> None:
    of_second = value(loss, [0.3], NEGATIVE[1:], [0], MASK[1:], [2.0], log_q)
    masked = np.array([[True] * 4, [False] * 4])
    assert of_second > 0
    assert value(loss, mask=masked, log_q=log_q) == pytest.approx(of_second * 2.0 / 3.5, rel=1e-5)
    assert value(loss, mask=np.ones((2, 4)), log_q=log_q) == 0
    assert value(loss, negative=np.zeros((2, 0)), mask=np.zeros((2, 0)), log_q=np.zeros(0)) == 0


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("mask", [MASK, np.array([[True] * 4, [False] * 4]), np.ones((2, 4), bool)])
def test_gradients_are_finite_and_point_the_right_way(loss: SampledLoss, scale: float, mask: NDArray[np.bool_]) -> None:
    positive = tf.Variable(tf.constant(POSITIVE * scale, tf.float32))
    negative = tf.Variable(tf.constant(NEGATIVE * scale, tf.float32))
    with tf.GradientTape() as tape:
        out = loss(
            positive,
            negative,
            tf.constant(ROW, tf.int32),
            tf.constant(mask),
            tf.constant(WEIGHTS, tf.float32),
            tf.constant(np.log([1e-6, 1e-3, 0.5, 1.0]), tf.float32),
        )
    assert np.isfinite(out)
    gradients = tape.gradient(out, [positive, negative], unconnected_gradients="zero")
    up, down = (tf.convert_to_tensor(gradient).numpy() for gradient in gradients)
    assert np.all(up <= 0)
    assert np.all(np.isfinite(up))
    assert np.all(down >= 0)
    assert np.all(np.isfinite(down))
    assert np.all(down[mask] == 0)
    if scale == 1.0 and not mask.all():
        assert up.min() < 0
        assert (down.max() > 0) == (not isinstance(loss, PositivesOnly))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_negatives_of_each_query_and_weights_of_nothing(loss: SampledLoss) -> None:
    shared, own = value(loss, log_q=np.log(Q)), value(loss, log_q=np.log(np.stack([Q, Q])))
    assert own == pytest.approx(shared, rel=1e-6)
    swapped = np.array([3, 2, 1, 0])
    both = np.stack([Q, Q[swapped]])
    permuted = value(
        loss,
        negative=np.stack([NEGATIVE[0], NEGATIVE[1, swapped]]),
        mask=np.stack([MASK[0], MASK[1, swapped]]),
        log_q=np.log(both),
    )
    assert permuted == pytest.approx(shared, rel=1e-6)
    assert value(loss, weights=np.zeros(3)) == 0


def test_losses_by_name() -> None:
    names = ("sampled-softmax", "bpr", "warp", "gbce", "positives-only")
    made = [type(make_loss(name, 40)) for name in names]  # type: ignore[arg-type]
    assert made == [SampledSoftmax, BPR, WARP, GBCE, PositivesOnly]
    assert value(make_loss("gbce", 40, calibration=1.0)) == pytest.approx(value(GBCE(40, 1.0)))
    assert value(make_loss("warp", 40, margin=0.3)) == pytest.approx(value(WARP(0.3)))
    with pytest.raises(ConfigError, match=r"no sampled loss 'hinge'; there are: sampled-softmax, bpr, warp, gbce"):
        make_loss("hinge", 40)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"calibration .* not 1\.5"):
        make_loss("gbce", 40, calibration=1.5)
    with pytest.raises(ConfigError, match=r"margin .* not 0"):
        make_loss("warp", 40, margin=0.0)


@pytest.mark.usefixtures("mixed_precision")
def test_losses_stay_in_float32_under_mixed_precision() -> None:
    assert SampledSoftmax().compute_dtype == "float32"
