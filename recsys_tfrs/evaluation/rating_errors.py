"""How far predicted ratings are off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.evaluation.intervals import Difference, confidence_intervals, paired_differences
from recsys_tfrs.evaluation.metrics import UserSums

#: What is measured of predicted ratings.
METRICS = ("rmse", "mae")

#: Metrics of which less is better; of all others, more is.
LOWER_IS_BETTER = frozenset({"rmse", "mae", "logloss", "ece"})


@dataclass(frozen=True)
class RatingErrors:
    """Root mean squared and mean absolute error, in units of the rating.

    Attributes:
      metrics: ``rmse`` and ``mae`` over all test pairs.
      intervals: 95% bootstrap over users, ``{metric: [low, high]}``; empty if not asked for.
      user_sums: squared (``rmse``) and absolute errors of each user, for `rating_differences`.
    """

    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    user_sums: UserSums


def rating_errors(
    predicted: NDArray[np.floating[Any]],
    actual: NDArray[np.floating[Any]],
    users: NDArray[np.int32],
    *,
    intervals: bool = True,
    seed: int = 0,
) -> RatingErrors:
    """Errors of predictions for given pairs.

    Args:
      predicted: ``[num_pairs]`` predicted ratings.
      actual: ``[num_pairs]`` ratings given.
      users: ``[num_pairs]`` internal user ids, by which the bootstrap draws.
      intervals: compute them.
      seed: of the bootstrap.
    """
    error = np.asarray(predicted, np.float64) - actual
    by, index = np.unique(users, return_inverse=True)
    columns = [np.bincount(index, weights=values) for values in (error**2, np.abs(error))]
    pairs = np.bincount(index).astype(np.float64)
    sums = UserSums(list(METRICS), by, np.stack(columns, axis=1), np.stack([pairs, pairs], axis=1))
    metrics = dict(zip(METRICS, _errors(sums.means()).tolist(), strict=True))
    return RatingErrors(metrics, rating_intervals(sums, seed=seed) if intervals else {}, sums)


def rating_intervals(sums: UserSums, *, seed: int = 0) -> dict[str, list[float]]:
    """``{metric: [low, high]}``, 95% bootstrap over users, from `RatingErrors.user_sums`."""
    found = confidence_intervals(sums, seed=seed)
    # The root is monotonic, so the percentiles of the mean squared error are those of its root, squared.
    return {"rmse": [bound**0.5 for bound in found["rmse"]], "mae": found["mae"]}


def rating_differences(a: UserSums, b: UserSums, *, seed: int = 0) -> dict[str, Difference]:
    """The errors of one system minus those of another on the same pairs, paired over users: below 0, `a` is better."""
    return paired_differences(a, b, seed=seed, of_means=_errors)


def _errors(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[..., 2]`` mean squared and absolute errors -> the metrics."""
    return np.stack([np.sqrt(means[..., 0]), means[..., 1]], axis=-1)
