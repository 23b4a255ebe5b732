from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.evaluation.rating_errors import rating_differences, rating_errors, rating_intervals


def test_errors_by_hand() -> None:
    """Errors 1, -1, 2, 0: squares 1, 1, 4, 0, of mean 1.5; absolute 1, 1, 2, 0, of mean 1."""
    users = np.array([1, 1, 7, 7], np.int32)
    found = rating_errors(np.array([4.0, 2, 5, 3]), np.array([3, 3, 3, 3], np.float32), users)
    assert found.metrics == {"rmse": pytest.approx(1.5**0.5), "mae": 1.0}


def test_intervals_span_what_single_users_would_give() -> None:
    """Drawing only user 1 gives error 1, drawing only user 2 gives error 3: both happen among 1,000 draws of two."""
    users = np.array([1, 2], np.int32)
    found = rating_errors(np.array([1.0, 3.0]), np.zeros(2, np.float32), users)
    assert found.intervals == {"rmse": [1.0, 3.0], "mae": [1.0, 3.0]}
    assert rating_errors(np.array([1.0, 3.0]), np.zeros(2), users, intervals=False).intervals == {}


def test_intervals_narrow_with_users() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for count in (100, 10_000):
        found = rating_errors(rng.normal(size=count), np.zeros(count), np.arange(count, dtype=np.int32))
        low, high = found.intervals["rmse"]
        assert low < found.metrics["rmse"] < high
        widths.append(high - low)
    # Ten times the root of the number of users.
    assert widths[0] / widths[1] == pytest.approx(10, rel=0.4)


def test_differences_are_of_the_errors_and_paired_over_users() -> None:
    """Squares of 1 and 9 against 4 and 16: the roots of their means, 5 and 10, are apart by the figure written out."""
    users = np.array([1, 2], np.int32)
    a = rating_errors(np.array([1.0, 3.0]), np.zeros(2), users)
    b = rating_errors(np.array([2.0, 4.0]), np.zeros(2), users)
    found = rating_differences(a.user_sums, b.user_sums)
    assert found["rmse"].difference == pytest.approx(5**0.5 - 10**0.5)
    # Of user 1 alone 1 - 2, of user 2 alone 3 - 4, of both what is above.
    assert (found["rmse"].low, found["rmse"].high) == (pytest.approx(-1.0), pytest.approx(5**0.5 - 10**0.5))
    # Every user is worse by 1: no draw of users says otherwise.
    assert (found["mae"].low, found["mae"].high) == (-1.0, -1.0)
    assert found["mae"].p_value == found["rmse"].p_value == pytest.approx(2 / 1001)
    assert rating_differences(a.user_sums, a.user_sums)["rmse"].p_value == 1.0


def test_draws_are_decided_by_the_seed() -> None:
    rng = np.random.default_rng(0)
    errors, users = rng.normal(size=(2, 50)), np.arange(50, dtype=np.int32)
    first, again, other = (rating_errors(errors[0], np.zeros(50), users, seed=seed) for seed in (3, 3, 4))
    assert first.intervals == again.intervals == rating_intervals(first.user_sums, seed=3)
    assert first.intervals != other.intervals
    beside = rating_errors(errors[1], np.zeros(50), users).user_sums
    bounds = [rating_differences(first.user_sums, beside, seed=seed)["rmse"] for seed in (3, 3, 4)]
    assert bounds[0] == bounds[1] != bounds[2]
