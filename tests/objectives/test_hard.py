"""Hard negatives: who is chosen."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.errors import ConfigError
from recsys_tfrs.objectives.hard import hardest, repeated

SCORES = tf.constant([[0.1, 3.0, -2.0, 1.5], [5.0, 4.0, 6.0, 7.0]])
MASK = tf.constant([[False, True, False, False], [True, True, True, False]])


def test_hardest_are_the_highest_scoring_that_are_not_masked() -> None:
    found = hardest(SCORES, 2)
    np.testing.assert_array_equal(found.positions, [[1, 3], [3, 2]])
    np.testing.assert_array_equal(found.scores, np.array([[3.0, 1.5], [7.0, 6.0]], np.float32))
    np.testing.assert_array_equal(found.mask, np.zeros((2, 2), bool))
    np.testing.assert_array_equal(found.log_q, np.zeros((2, 2)))
    masked = hardest(SCORES, 2, MASK)
    np.testing.assert_array_equal(masked.positions[0], [3, 0])
    assert masked.positions[1, 0] == 3
    np.testing.assert_array_equal(masked.mask, [[False, False], [False, True]])
    assert hardest(SCORES, 9).scores.shape == (2, 4)
    assert hardest(tf.zeros([2, 0]), 3).scores.shape == (2, 0)


def test_gradients_reach_the_chosen_scores_alone() -> None:
    scores = tf.Variable(SCORES)
    with tf.GradientTape() as tape:
        hard = tf.reduce_sum(hardest(scores, 1).scores)
    np.testing.assert_array_equal(tf.convert_to_tensor(tape.gradient(hard, scores)), [[0, 1, 0, 0], [0, 0, 0, 1]])


def test_repeated_items() -> None:
    np.testing.assert_array_equal(repeated(tf.constant([4, 7, 4, 4, 2, 7])), [False, False, True, True, False, True])
    assert repeated(tf.zeros([0], tf.int32)).shape == (0,)


def test_impossible_choices_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least one hard negative .* not 0"):
        hardest(SCORES, 0)
