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


def test_masked_positives_do_not_compete() -> None:
    """Scores log 1, log 2, log 5, log 3 for somebody who likes items 2 and 3: 2 / (2 + 1 + 3) and 5 / (5 + 1 + 3)."""
    scores = np.log([[1000.0, 1.0, 2.0, 5.0, 3.0]]).astype(np.float32)
    loss = FullSoftmax(mask_positives=True)(tf.constant(scores), ragged([[2, 3]]), tf.constant([1.0, 3.0]))
    assert float(loss) == pytest.approx((np.log(6 / 2) + 3 * np.log(9 / 5)) / 4, rel=1e-5)


def test_masks_are_those_of_the_user_where_each_positive_has_a_query_of_its_own() -> None:
    """The first likes items 2 and 3, the second item 4: 2 / (2 + 1 + 3), 5 / (5 + 1 + 7), 3 / (1 + 2 + 5 + 3)."""
    scores = np.log([[1000.0, 1.0, 2.0, 5.0, 3.0], [1000.0, 1.0, 2.0, 5.0, 7.0], [1000.0, 1.0, 2.0, 5.0, 3.0]])
    loss = FullSoftmax(mask_positives=True)(
        tf.constant(scores, tf.float32), ragged([[2, 3], [4]]), tf.constant([1.0, 3.0, 2.0]), own_query=True
    )
    expected = (np.log(6 / 2) + 3 * np.log(13 / 5) + 2 * np.log(11 / 3)) / 6
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_with_one_positive_there_is_nothing_to_mask() -> None:
    single, ones = [[1], [2], [6], [5]], np.ones(4, np.float32)
    masked = FullSoftmax(mask_positives=True)(tf.constant(SCORES), ragged(single), tf.constant(ones))
    assert float(masked) == pytest.approx(full_softmax(SCORES, single, ones), rel=1e-5)


def test_a_user_who_likes_everything_costs_nothing() -> None:
    scores = tf.Variable([[0.0, 3.0, -2.0]])
    with tf.GradientTape() as tape:
        loss = FullSoftmax(mask_positives=True)(scores, ragged([[1, 2]]), tf.ones(2))
    assert float(loss) == 0
    assert not tape.gradient(loss, scores).numpy().any()
