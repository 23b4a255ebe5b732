"""Calibration by factor and shift."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from recsys_tfrs.training.platt import fit_platt


def drawn(factor: float, shift: float, rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    log_odds = rng.normal(0, 1.5, rows)
    return log_odds, (rng.random(rows) < 1 / (1 + np.exp(-(factor * log_odds + shift)))).astype(np.float32)


def test_finds_what_the_labels_were_drawn_with() -> None:
    factor, shift = fit_platt(*drawn(0.5, -1.0))
    assert abs(factor - 0.5) < 0.03
    assert abs(shift + 1.0) < 0.04


def test_is_the_minimum_that_scipy_finds() -> None:
    x, y = drawn(2.0, 0.3, rows=500)
    positives = y.sum()
    target = np.where(y > 0, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))

    def loss(ab: np.ndarray) -> float:
        z = ab[0] * x + ab[1]
        return float((np.logaddexp(0, z) - target * z).sum()) + 5e-4 * float((ab[0] - 1) ** 2 + ab[1] ** 2)

    found = minimize(loss, [1.0, 0.0], tol=1e-12).x
    np.testing.assert_allclose(fit_platt(x, y), found, atol=1e-4)


def test_rows_of_weight_two_count_twice() -> None:
    x, y = drawn(0.7, 0.1, rows=200)
    weights = np.where(np.arange(200) < 50, 2.0, 1.0)
    twice = np.concatenate([np.arange(200), np.arange(50)])
    np.testing.assert_allclose(fit_platt(x, y, weights), fit_platt(x[twice], y[twice]), atol=1e-6)


def test_labels_told_apart_without_error_leave_it_finite() -> None:
    factor, shift = fit_platt(np.array([-5.0, -4.0, 4.0, 5.0] * 10), np.array([0, 0, 1, 1] * 10))
    assert np.isfinite([factor, shift]).all()
    assert factor > 0


class TestRowsOfUsers:
    """The level of few users is not taken for that of all."""

    @staticmethod
    def rows(users: int, rows_each: int, shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log-odds of a model that is right on average; every user has a level of his own around the shift."""
        rng = np.random.default_rng(7)
        user = np.repeat(np.arange(users), rows_each)
        log_odds = rng.normal(0, 1, len(user))
        levels = shift + rng.normal(0, 1, users)[user]
        return log_odds, (rng.random(len(user)) < 1 / (1 + np.exp(-(log_odds + levels)))).astype(np.float32), user

    def test_a_shift_within_its_error_between_users_is_left_out(self) -> None:
        x, y, user = self.rows(users=20, rows_each=500, shift=0.0)
        _, plain = fit_platt(x, y)
        _, careful = fit_platt(x, y, groups=user)
        assert abs(plain) > 0.1  # the very level of these twenty
        assert abs(careful) < 0.02

    def test_a_shift_that_stands_out_is_kept(self) -> None:
        x, y, user = self.rows(users=2_000, rows_each=5, shift=-1.0)
        plain, careful = fit_platt(x, y), fit_platt(x, y, groups=user)
        np.testing.assert_allclose(careful, plain, atol=0.02)
        assert careful[1] < -0.6

    def test_a_factor_is_judged_at_the_middle_of_the_rows(self) -> None:
        x, y = drawn(0.5, -1.0)
        np.testing.assert_allclose(fit_platt(x, y, groups=np.arange(len(x))), fit_platt(x, y), atol=0.01)
        # Far from 0, factor and shift are nearly one: what is said at the middle must not change.
        far = fit_platt(x + 10, y, groups=np.arange(len(x)))
        np.testing.assert_allclose(far[0] * 10 + far[1], -1.0, atol=0.05)
