"""Negative sampling as in word2vec."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.errors import ConfigError
from recsys_tfrs.objectives.word2vec import NegativeSampling

COUNTS = np.array([0, 16, 81, 1, 0])
#: Counts to the power 3/4: 8, 27, 1, and an unseen item counts as one.
SHARES = np.array([8, 27, 1, 1]) / 37


def noise(task: NegativeSampling, targets: list[int], seed: int = 1) -> tuple[np.ndarray, ...]:
    empty = tf.RaggedTensor.from_row_lengths(tf.constant([], tf.int32), [0])
    return tuple(part.numpy() for part in task.noise(empty, tf.constant(targets), tf.constant([seed, 2])))


def test_the_noise_is_unigram_to_a_power() -> None:
    task = NegativeSampling(COUNTS, 2, 0.75, 4)
    np.testing.assert_allclose(task.log_q, np.log([1 / 37, *SHARES]), rtol=1e-6)
    ids, weights, own = noise(task, [2, 4])
    assert ids.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(weights, 2 * SHARES, rtol=1e-6)
    np.testing.assert_allclose(own, 2 * SHARES[[1, 3]], rtol=1e-6)


@pytest.mark.parametrize(("alpha", "shares"), [(0.75, SHARES), (0.0, np.full(4, 0.25))])
def test_what_is_drawn_stands_for_that_in_the_mean(alpha: float, shares: np.ndarray) -> None:
    task = NegativeSampling(COUNTS, 2, alpha, 3)
    total, own = np.zeros(5), np.zeros(4)
    for seed in range(200):
        ids, weights, own_weights = noise(task, [1, 2, 3, 4], seed)
        assert weights.tolist() == pytest.approx([2 / 3] * 3)
        np.add.at(total, ids, weights / 200)
        own += own_weights / 200
    np.testing.assert_allclose(total[1:], 2 * shares, atol=0.15)
    np.testing.assert_allclose(own, total[1:], rtol=1e-5)


def test_the_least_loss_is_at_the_shifted_mutual_information() -> None:
    """One query, P = (0.5, 0.3, 0.2, 0): the minimum is at log(P / (k q (1 - P))), so scores + log q rank by P."""
    task = NegativeSampling(COUNTS, 2, 0.75, 4)
    likely = np.array([0.5, 0.3, 0.2])
    scores = tf.Variable(np.zeros(4, np.float32))
    targets = tf.constant([1, 2, 3])
    empty = tf.RaggedTensor.from_row_lengths(tf.constant([], tf.int32), [0])
    noisy = task.noise(empty, targets, tf.constant([1, 2]))
    optimizer = tf.keras.optimizers.Adam(0.1)

    @tf.function
    def steps() -> None:
        for _ in tf.range(600):
            with tf.GradientTape() as tape:
                loss = task(scores[:3], scores[None], tf.zeros([3], tf.int32), tf.constant(likely, tf.float32), noisy)
            optimizer.apply_gradients([(tape.gradient(loss, scores), scores)])

    optimizer.build([scores])
    steps()
    expected = np.log(likely / (2 * SHARES[:3] * (1 - likely)))
    np.testing.assert_allclose(scores.numpy()[:3], expected, atol=0.02)
    assert scores.numpy()[3] < -4


def test_more_negatives_than_items_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"5 negatives per positive .* the catalogue has 4 items: .*model\.negatives=4"
    ):
        NegativeSampling(COUNTS, 5, 0.75, 10)


@pytest.mark.usefixtures("mixed_precision")
def test_losses_stay_in_float32_under_mixed_precision() -> None:
    assert NegativeSampling(COUNTS, 2, 0.75, 4).compute_dtype == "float32"
