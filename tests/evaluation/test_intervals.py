from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys_tfrs.evaluation import intervals
from recsys_tfrs.evaluation.intervals import confidence_intervals, paired_differences
from recsys_tfrs.evaluation.metrics import UserSums


def sums(values, weights=None):
    values = np.asarray(values, dtype=np.float64)[:, None]
    weights = np.ones_like(values) if weights is None else np.asarray(weights, dtype=np.float64)[:, None]
    return UserSums(["hit@10"], np.arange(1, len(values) + 1, dtype=np.int32), values, weights)


def test_equals_a_bootstrap_that_really_draws_users():
    rng = np.random.default_rng(3)
    weights = rng.integers(1, 9, 40)
    values = rng.binomial(weights, 0.3)
    drawn = np.random.default_rng(7).integers(0, 40, (200, 40))
    means = [values[users].sum() / weights[users].sum() for users in drawn]
    got = confidence_intervals(sums(values, weights), num_resamples=200, seed=7)
    assert got["hit@10"] == pytest.approx(np.percentile(means, [2.5, 97.5]).tolist())


def test_blocks_of_resamples_change_nothing(monkeypatch):
    system = sums(np.arange(30) % 2)
    whole = confidence_intervals(system, num_resamples=100, seed=1)
    monkeypatch.setattr(intervals, "_BLOCK_DRAWS", 7 * 30)
    assert confidence_intervals(system, num_resamples=100, seed=1) == whole


def test_width_is_that_of_the_normal_approximation():
    low, high = confidence_intervals(sums(np.arange(400) % 2))["hit@10"]
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.5 / 20, 0.5 + 1.96 * 0.5 / 20), abs=0.01)


def test_users_who_all_agree_leave_no_doubt():
    assert confidence_intervals(sums(np.full(20, 0.25)))["hit@10"] == [0.25, 0.25]


def test_same_seed_same_interval_other_seed_another():
    system = sums(np.random.default_rng(2).random(50))
    assert confidence_intervals(system, seed=5) == confidence_intervals(system, seed=5)
    assert confidence_intervals(system, seed=5) != confidence_intervals(system, seed=6)


def test_a_system_does_not_differ_from_itself():
    system = sums(np.arange(50) % 2)
    got = paired_differences(system, system)["hit@10"]
    assert (got.difference, got.low, got.high, got.p_value) == (0, 0, 0, 1)


def test_pairing_finds_a_small_difference_that_separate_intervals_hide():
    rng = np.random.default_rng(0)
    base = rng.random(200)
    better = base + 0.01 + 0.01 * rng.random(200)
    a, b = sums(better), sums(base)
    assert confidence_intervals(b)["hit@10"][1] > confidence_intervals(a)["hit@10"][0]
    got = paired_differences(a, b)["hit@10"]
    assert got.difference == pytest.approx((better - base).mean())
    assert 0.01 < got.low < got.difference < got.high < 0.02
    # No resample of 1,000 on the other side of zero.
    assert got.p_value == pytest.approx(2 / 1001)
    opposite = paired_differences(b, a)["hit@10"]
    assert opposite.high == pytest.approx(-got.low)


def test_noise_is_not_significant():
    rng = np.random.default_rng(1)
    got = paired_differences(sums(rng.random(100)), sums(rng.random(100)))["hit@10"]
    assert got.low < 0 < got.high
    assert got.p_value > 0.05


@pytest.mark.parametrize(
    "other",
    [sums(np.ones(4)), sums(np.ones(5), np.full(5, 2)), replace(sums(np.ones(5)), users=np.arange(5, dtype=np.int32))],
)
def test_only_the_same_pairs_can_be_compared(other):
    with pytest.raises(ValueError, match="same test pairs"):
        paired_differences(sums(np.ones(5)), other)
