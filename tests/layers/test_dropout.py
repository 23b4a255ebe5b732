"""Masks that are a function of the step's seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.layers.dropout import hashed_keep_mask, keep_mask

SEED = tf.constant([3, 7])

Mask = Callable[..., np.ndarray]


@pytest.fixture(params=[keep_mask, hashed_keep_mask])
def mask(request: pytest.FixtureRequest) -> Mask:
    def made(rate: float, seed: tf.Tensor = SEED, salt: int = 1, size: int = 20_000) -> np.ndarray:
        return request.param(tf.constant([size]), rate, seed, salt).numpy()

    return made


def test_the_same_seed_and_salt_give_the_same_mask(mask: Mask) -> None:
    np.testing.assert_array_equal(mask(0.5), mask(0.5))


def test_another_step_or_another_salt_gives_another_mask(mask: Mask) -> None:
    """Independent masks at rate 0.5 agree in half of the places."""
    for other in (mask(0.5, seed=tf.constant([3, 8])), mask(0.5, seed=tf.constant([4, 7])), mask(0.5, salt=2)):
        assert abs((mask(0.5) == other).mean() - 0.5) < 0.02


def test_the_rate_is_the_share_dropped(mask: Mask) -> None:
    for rate in (0.1, 0.7):
        # Five standard errors of a share of 20,000.
        assert abs(mask(rate).mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / 20_000)


def test_rate_0_keeps_everything(mask: Mask) -> None:
    assert mask(0.0).all()


def test_places_of_a_hashed_mask_know_nothing_of_each_other() -> None:
    """Shares of neighbours kept, and of the same place in other steps, are those of independent draws at rate 0.5."""
    rows = np.stack([hashed_keep_mask(tf.constant([64, 401]), 0.5, tf.constant([1, s]), 5).numpy() for s in range(20)])
    signs = rows.astype(np.float64) * 2 - 1
    for away in range(1, 40):
        together = (signs[..., away:] * signs[..., :-away]).mean()
        # Five standard errors of the mean of as many signs.
        assert abs(together) < 5 / np.sqrt(signs[..., away:].size)
    between = np.corrcoef(signs.reshape(20, -1))[np.triu_indices(20, 1)]
    assert np.abs(between).max() < 5 / np.sqrt(64 * 401)


def test_a_hashed_mask_drops_within_a_256th_of_the_rate() -> None:
    kept = hashed_keep_mask(tf.constant([2_000_000]), 0.01, SEED, 1).numpy()
    # 3 of 256 and not 2.56; five standard errors around.
    assert abs((~kept).mean() - 3 / 256) < 5 * np.sqrt(0.01 / 2_000_000)
