"""The full softmax against numpy, term by term."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from recsys_tfrs.objectives.softmax import FullSoftmax

RNG = np.random.default_rng(1)
NUM_ITEMS = 6
POSITIVES = [[1, 4], [], [6, 2, 3], [5]]
WEIGHTS = np.array([1.0, 0.5, 2.0, 1.0, 0.25, 3.0], dtype=np.float32)
SCORES = RNG.normal(0, 3, (4, NUM_ITEMS + 1)).astype(np.float32)


def ragged(rows: list[list[int]]) -> tf.RaggedTensor:
    return tf.ragged.constant(rows, dtype=tf.int32, ragged_rank=1)


def full_softmax(scores: np.ndarray, positives: list[list[int]], weights: np.ndarray) -> float:
    return float(FullSoftmax()(tf.constant(scores), ragged(positives), tf.constant(weights)))


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
