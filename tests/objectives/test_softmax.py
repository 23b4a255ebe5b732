"""The losses against numpy, term by term."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, logsumexp

from recsys_tfrs.objectives.softmax import FullSoftmax, InBatchSoftmax

RNG = np.random.default_rng(1)
NUM_ITEMS = 6
POSITIVES = [[1, 4], [], [6, 2, 3], [5]]
WEIGHTS = np.array([1.0, 0.5, 2.0, 1.0, 0.25, 3.0], dtype=np.float32)
SCORES = RNG.normal(0, 3, (4, NUM_ITEMS + 1)).astype(np.float32)


def ragged(rows: list[list[int]]) -> tf.RaggedTensor:
    return tf.ragged.constant(rows, dtype=tf.int32, ragged_rank=1)


def full_softmax(scores: np.ndarray, positives: list[list[int]], weights: np.ndarray) -> float:
    return float(FullSoftmax()(tf.constant(scores), ragged(positives), tf.constant(weights)))


def in_batch(
    scores: np.ndarray,
    candidates: list[int],
    positives: list[list[int]],
    weights: np.ndarray,
    log_q: np.ndarray,
    num_items: int = NUM_ITEMS,
) -> float:
    loss = InBatchSoftmax()(
        tf.constant(scores, tf.float32),
        tf.constant(candidates),
        ragged(positives),
        tf.constant(weights, tf.float32),
        tf.constant(log_q, tf.float32),
        num_items,
    )
    return float(loss)


def test_full_softmax_is_the_weighted_mean_log_likelihood() -> None:
    log_likelihood = log_softmax(SCORES[:, 1:].astype(np.float64), axis=1)
    terms = [-log_likelihood[u, i - 1] for u, row in enumerate(POSITIVES) for i in row]
    expected = np.dot(WEIGHTS, terms) / WEIGHTS.sum()
    assert full_softmax(SCORES, POSITIVES, WEIGHTS) == pytest.approx(expected, rel=1e-5)


def test_full_softmax_written_out() -> None:
    """Scores log 1, log 2, log 5: item 3 has probability 5/8; the padding column takes no part."""
    scores = np.log([[1000.0, 1.0, 2.0, 5.0]]).astype(np.float32)
    assert full_softmax(scores, [[3]], np.ones(1, np.float32)) == pytest.approx(np.log(8 / 5))


def test_full_softmax_does_not_depend_on_the_batch_size() -> None:
    once = full_softmax(SCORES, POSITIVES, WEIGHTS)
    twice = full_softmax(np.tile(SCORES, (2, 1)), POSITIVES * 2, np.tile(WEIGHTS, 2))
    assert twice == pytest.approx(once, rel=1e-6)


def test_a_batch_without_positives_costs_nothing() -> None:
    assert full_softmax(SCORES, [[], [], [], []], np.zeros(0, np.float32)) == 0
    assert full_softmax(SCORES, POSITIVES, np.zeros(6, np.float32)) == 0


def test_in_batch_written_out() -> None:
    """Candidates 7, 3, 9 with scores log 2, log 3, log 5, drawn with probabilities 1/2, 1/4, 1/5.

    Query 0 likes 7: 2 / (2 + 3 x 4 + 5 x 5) = 2/39; the positive itself is not corrected.
    Query 1 likes 3 and 9, which do not compete with one another: 3 / (3 + 2 x 2) = 3/7 and 5 / (5 + 4) = 5/9.
    """
    scores = np.log([[2.0, 3.0, 5.0], [2.0, 3.0, 5.0]])
    log_q = np.log([1 / 2, 1 / 4, 1 / 5])
    loss = in_batch(scores, [7, 3, 9], [[7], [3, 9]], np.array([1.0, 2.0, 4.0]), log_q, num_items=9)
    expected = (np.log(39 / 2) + 2 * np.log(7 / 3) + 4 * np.log(9 / 5)) / 7
    assert loss == pytest.approx(expected, rel=1e-5)


def test_a_query_without_negatives_costs_nothing_and_moves_nothing() -> None:
    scores = tf.Variable([[0.3, -2.0], [1.0, 1.0]])
    with tf.GradientTape() as tape:
        loss = InBatchSoftmax()(
            scores, tf.constant([1, 2]), ragged([[1, 2], [2]]), tf.constant([1.0, 1.0, 2.0]), tf.zeros(2), 2
        )
    assert float(loss) == pytest.approx(2 * np.log(2) / 4)
    gradient = tape.gradient(loss, scores).numpy()
    np.testing.assert_allclose(gradient, [[0, 0], [0.25, -0.25]], atol=1e-6)


def test_in_batch_over_the_whole_catalogue_equals_the_masked_full_softmax() -> None:
    """Uncorrected and with every item in the batch, nothing is left to chance."""
    candidates = [2, 5, 1, 6, 4, 3]
    terms = []
    for u, row in enumerate(POSITIVES):
        for i in row:
            rivals = [j for j in range(1, NUM_ITEMS + 1) if j == i or j not in row]
            terms.append(logsumexp(SCORES[u, rivals].astype(np.float64)) - SCORES[u, i])
    expected = np.dot(WEIGHTS, terms) / WEIGHTS.sum()
    loss = in_batch(SCORES[:, candidates], candidates, POSITIVES, WEIGHTS, np.zeros(6))
    assert loss == pytest.approx(expected, rel=1e-5)
    # With one positive a query, the mask takes nothing away, and it is the full softmax itself.
    single = [[1], [2], [6], [5]]
    ones = np.ones(4, np.float32)
    assert in_batch(SCORES[:, candidates], candidates, single, ones, np.zeros(6)) == pytest.approx(
        full_softmax(SCORES, single, ones), rel=1e-5
    )


def test_sampled_negatives_stand_for_the_catalogue_on_average() -> None:
    """e^loss is linear in the corrected sum, so its mean over draws is that of the full softmax."""
    rng = np.random.default_rng(0)
    num_items, num_draws = 40, 60
    probability = np.linspace(0.2, 0.9, num_items)
    scores = rng.normal(0, 1, num_items)
    exp_losses = []
    for drawn in rng.random((num_draws, num_items)) < probability:
        drawn[0] = True  # the positive
        candidates = (np.flatnonzero(drawn) + 1).tolist()
        log_q = np.log(probability[drawn])
        exp_losses.append(np.exp(in_batch(scores[None, drawn], candidates, [[1]], np.ones(1), log_q, num_items)))
    expected = np.exp(scores).sum() / np.exp(scores[0])
    standard_error = np.std(exp_losses) / np.sqrt(num_draws)
    assert np.mean(exp_losses) == pytest.approx(expected, abs=4 * standard_error)
    assert standard_error < 0.04 * expected
