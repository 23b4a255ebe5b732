"""Losses of next items, against arithmetic and against the losses they are made of."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.objectives.next_item import DrawnNextItem, NextItemSoftmax, SampledNextItem
from recsys_tfrs.objectives.sampled import SampledSoftmax
from recsys_tfrs.objectives.session import make_session_loss

RNG = np.random.default_rng(0)
QUERIES = tf.constant(RNG.normal(size=(5, 3)), tf.float32)
VECTORS = tf.constant(RNG.normal(size=(8, 3)), tf.float32)  # of items 0 (padding) to 7
TARGETS = tf.constant([2, 7, 2, 1, 5])
WEIGHTS = tf.constant([1.0, 0.5, 2.0, 1.0, 0.0])
COUNTS = np.array([0, 4, 9, 1, 0, 2, 1, 3])
SEED = tf.constant([1, 2])


def gathered(ids: tf.Tensor) -> tf.Tensor:
    return tf.gather(VECTORS, ids)


def test_the_full_softmax_is_the_weighted_cross_entropy_without_padding() -> None:
    scores = QUERIES.numpy().astype(np.float64) @ VECTORS.numpy()[1:].T
    losses = np.log(np.exp(scores).sum(1)) - scores[np.arange(5), TARGETS.numpy() - 1]
    expected = np.average(losses, weights=WEIGHTS)
    np.testing.assert_allclose(NextItemSoftmax()(QUERIES, VECTORS, TARGETS, WEIGHTS), expected, rtol=1e-6)


def test_cross_entropy_against_the_batch_by_hand() -> None:
    """The pool is 1, 2, 5, 7; q = 1 - (1 - f)^5 with f of 21 counts, one for the item never seen."""
    task = SampledNextItem(SampledSoftmax(), COUNTS, 0, 0.75, log_q=True)
    pool, q = [2, 7, 1, 5], {i: 1 - (1 - COUNTS[i] / 21) ** 5 for i in (1, 2, 5, 7)}
    scores = QUERIES.numpy().astype(np.float64) @ VECTORS.numpy().T
    losses = []
    for row, target in enumerate(TARGETS.numpy()):
        others = sum(math.exp(scores[row, j]) / q[j] for j in pool if j != target)
        losses.append(math.log(math.exp(scores[row, target]) + others) - scores[row, target])
    found = task(QUERIES, gathered, TARGETS, WEIGHTS, SEED)
    np.testing.assert_allclose(found, np.average(losses, weights=WEIGHTS), rtol=1e-5)


@pytest.mark.parametrize("log_q", [False, True])
@pytest.mark.parametrize("name", ["cross-entropy", "bpr", "top1", "bpr-max", "top1-max", "gbce"])
def test_a_loss_is_that_of_its_pool(name: str, log_q: bool) -> None:
    """With so many draws that the pool is the whole catalogue, given to the loss item by item."""
    loss = make_session_loss(name, 7)  # type: ignore[arg-type]
    task = SampledNextItem(loss, COUNTS, 500, 0.5, log_q=log_q)
    scores = tf.matmul(QUERIES, VECTORS[1:], transpose_b=True)
    ids = tf.range(1, 8)
    presence = task.presence(ids, tf.constant(5)) if log_q else tf.zeros([7])
    own = tf.gather(scores, TARGETS - 1, axis=1, batch_dims=1)
    mask = TARGETS[:, None] == ids[None, :]
    expected = loss(own, scores, tf.range(5), mask, WEIGHTS, presence)
    np.testing.assert_allclose(task(QUERIES, gathered, TARGETS, WEIGHTS, SEED), expected, rtol=2e-5)


def test_presence_is_how_often_an_item_is_really_there() -> None:
    task = SampledNextItem(SampledSoftmax(), COUNTS, 4, 0.5, log_q=True)
    share = np.maximum(COUNTS, 1)[1:] / 21
    powered = np.maximum(COUNTS, 1)[1:] ** 0.5
    rng = np.random.default_rng(1)
    rounds = 20_000
    targets = rng.choice(7, (rounds, 3), p=share / share.sum())
    drawn = rng.choice(7, (rounds, 4), p=powered / powered.sum())
    there = np.zeros((rounds, 7))
    np.put_along_axis(there, np.concatenate([targets, drawn], 1), 1, axis=1)
    found = np.exp(task.presence(tf.range(1, 8), tf.constant(3)))
    np.testing.assert_allclose(found, there.mean(0), atol=0.015)


def test_the_corrected_loss_estimates_the_full_softmax() -> None:
    """Mean over many draws of the sampled sum; without correction it is far off."""
    rng = np.random.default_rng(2)
    vectors = tf.constant(rng.normal(size=(301, 3)), tf.float32)
    counts = np.append(0, rng.integers(1, 50, 300))
    queries, targets = QUERIES[:1], tf.constant([9])
    full = float(NextItemSoftmax()(queries, vectors, targets, tf.ones([1])))
    found = {}
    for log_q in (True, False):
        task = SampledNextItem(SampledSoftmax(), counts, 150, 0.5, log_q=log_q)
        runs = [
            float(task(queries, lambda ids: tf.gather(vectors, ids), targets, tf.ones([1]), tf.constant([1, i])))
            for i in range(60)
        ]
        found[log_q] = np.mean(runs)
    assert found[True] == pytest.approx(full, abs=0.05)
    assert found[False] < full - 0.3


def test_gradients_are_finite_where_a_positive_is_certain() -> None:
    task = SampledNextItem(SampledSoftmax(), COUNTS, 50, 0.5, log_q=True)
    queries = tf.Variable(QUERIES * 40)
    with tf.GradientTape() as tape:
        loss = task(queries, gathered, TARGETS, WEIGHTS, SEED)
    assert np.isfinite(float(loss))
    assert np.isfinite(tape.gradient(loss, queries).numpy()).all()


def drawn_by(task: DrawnNextItem) -> list[int]:
    return task._sample.draw(SEED).numpy().tolist()


def test_cross_entropy_against_drawn_items_alone_by_hand() -> None:
    """Targets that are drawn and others that are not: a negative stands for 1/q items, the positive for itself."""
    task = DrawnNextItem(SampledSoftmax(), COUNTS, 3, 0.75, log_q=True)
    pool, q = drawn_by(task), np.exp(task._sample.log_q(tf.range(8)).numpy().astype(np.float64))
    here = [target in pool for target in TARGETS.numpy()[:4]]
    assert any(here)
    assert not all(here)
    scores = QUERIES.numpy().astype(np.float64) @ VECTORS.numpy().T
    losses = []
    for row, target in enumerate(TARGETS.numpy()):
        others = sum(math.exp(scores[row, j]) / q[j] for j in pool if j != target)
        losses.append(math.log(math.exp(scores[row, target]) + others) - scores[row, target])
    found = task(QUERIES, gathered, TARGETS, WEIGHTS, SEED)
    np.testing.assert_allclose(found, np.average(losses, weights=WEIGHTS), rtol=1e-5)


@pytest.mark.parametrize("log_q", [False, True])
@pytest.mark.parametrize("name", ["cross-entropy", "bpr", "top1", "bpr-max", "top1-max", "gbce"])
def test_a_loss_of_drawn_items_is_that_of_its_sample(name: str, log_q: bool) -> None:
    loss = make_session_loss(name, 7)  # type: ignore[arg-type]
    task = DrawnNextItem(loss, COUNTS, 4, 0.5, log_q=log_q)
    pool = tf.constant(drawn_by(task))
    scores = tf.matmul(QUERIES, tf.gather(VECTORS, pool), transpose_b=True)
    own = tf.reduce_sum(QUERIES * tf.gather(VECTORS, TARGETS), axis=1)
    present = task._sample.log_q(pool) if log_q else tf.zeros([pool.shape[0]])
    expected = loss(own, scores, tf.range(5), TARGETS[:, None] == pool[None, :], WEIGHTS, present)
    found = task(QUERIES, gathered, TARGETS, WEIGHTS, SEED)
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_a_sample_of_everything_is_the_full_softmax_and_so_are_its_gradients() -> None:
    task = DrawnNextItem(SampledSoftmax(), COUNTS, 7, 0.75, log_q=True)
    found = []
    for loss in (
        lambda queries, vectors: NextItemSoftmax()(queries, vectors, TARGETS, WEIGHTS),
        lambda queries, vectors: task(queries, lambda ids: tf.gather(vectors, ids), TARGETS, WEIGHTS, SEED),
    ):
        queries, vectors = tf.Variable(QUERIES), tf.Variable(VECTORS)
        with tf.GradientTape() as tape:
            value = loss(queries, vectors)
        found.append([value, *map(tf.convert_to_tensor, tape.gradient(value, [queries, vectors]))])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_the_loss_of_drawn_items_estimates_the_full_softmax() -> None:
    rng = np.random.default_rng(2)
    vectors = tf.constant(rng.normal(size=(301, 3)), tf.float32)
    counts = np.append(0, rng.integers(1, 50, 300))
    full = float(NextItemSoftmax()(QUERIES, vectors, TARGETS, WEIGHTS))
    found = {}
    for log_q in (True, False):
        task = DrawnNextItem(SampledSoftmax(), counts, 150, 0.5, log_q=log_q)
        runs = [
            float(task(QUERIES, lambda ids: tf.gather(vectors, ids), TARGETS, WEIGHTS, tf.constant([1, i])))
            for i in range(60)
        ]
        found[log_q] = np.mean(runs)
    assert found[True] == pytest.approx(full, abs=0.05)
    assert found[False] < full - 0.3


def test_gradients_are_finite_where_scores_are_far_apart() -> None:
    """Positives far ahead and far behind, drawn and not."""
    for size in (3, 7):
        task = DrawnNextItem(SampledSoftmax(), COUNTS, size, 0.5, log_q=True)
        queries = tf.Variable(QUERIES * 100)
        with tf.GradientTape() as tape:
            loss = task(queries, gathered, TARGETS, WEIGHTS, SEED)
        assert np.isfinite(float(loss))
        assert np.isfinite(tape.gradient(loss, queries).numpy()).all()


@pytest.mark.usefixtures("mixed_precision")
def test_losses_stay_in_float32_under_mixed_precision() -> None:
    assert NextItemSoftmax().compute_dtype == "float32"
