"""Masks that are a function of the step's seed."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from recsys_tfrs.layers.dropout import keep_mask

SEED = tf.constant([3, 7])


def mask(rate: float, seed: tf.Tensor = SEED, salt: int = 1, size: int = 20_000) -> np.ndarray:
    return keep_mask(tf.constant([size]), rate, seed, salt).numpy()


def test_the_same_seed_and_salt_give_the_same_mask() -> None:
    np.testing.assert_array_equal(mask(0.5), mask(0.5))


def test_another_step_or_another_salt_gives_another_mask() -> None:
    """Independent masks at rate 0.5 agree in half of the places."""
    for other in (mask(0.5, seed=tf.constant([3, 8])), mask(0.5, seed=tf.constant([4, 7])), mask(0.5, salt=2)):
        assert abs((mask(0.5) == other).mean() - 0.5) < 0.02


def test_the_rate_is_the_share_dropped() -> None:
    for rate in (0.1, 0.7):
        # Five standard errors of a share of 20,000.
        assert abs(mask(rate).mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / 20_000)


def test_rate_0_keeps_everything() -> None:
    assert mask(0.0).all()
