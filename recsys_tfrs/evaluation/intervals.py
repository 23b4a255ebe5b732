"""How far the figures would move with other users: the bootstrap over users.

Users are drawn with replacement and bring all their test pairs along, because the pairs of one user are not
independent (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 16). The interval says
nothing about other training seeds: that takes several runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.evaluation.metrics import UserSums

NUM_RESAMPLES = 1000
LEVEL = 0.95

#: Draws held at once.
_BLOCK_DRAWS = 1 << 22


@dataclass(frozen=True)
class Difference:
    """One metric of system A minus that of system B on the same test pairs.

    Attributes:
      difference: A minus B.
      low: lower end of the interval of the difference.
      high: upper end.
      p_value: two-sided: twice the smaller share of resamples on one side of zero, ``(1 + count) / (1 + resamples)``
        each, at most 1.
    """

    difference: float
    low: float
    high: float
    p_value: float


def confidence_intervals(
    sums: UserSums, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> dict[str, list[float]]:
    """``{metric: [low, high]}``, 95% percentile intervals of the bootstrap over users."""
    means = _resampled_means(sums, num_resamples, seed)
    low, high = bounds(means)
    return {name: [float(a), float(b)] for name, a, b in zip(sums.names, low, high, strict=True)}


def paired_differences(
    a: UserSums,
    b: UserSums,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
    of_means: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda means: means,
) -> dict[str, Difference]:
    """Every metric's difference between two systems; both are resampled with the same users.

    Args:
      a: one system.
      b: the other.
      num_resamples: of the bootstrap.
      seed: of the bootstrap.
      of_means: makes the metrics of ``[..., num_metrics]`` means, where they are not the means themselves.

    Raises:
      ValueError: the two were not measured on the same users with as many pairs each.
    """
    if a.names != b.names or not np.array_equal(a.users, b.users) or not np.array_equal(a.weights, b.weights):
        raise ValueError(
            f"A paired comparison needs the same test pairs and metrics; got {len(a.users)} and {len(b.users)} users "
            f"with {a.weights[:, 0].sum():.0f} and {b.weights[:, 0].sum():.0f} pairs: evaluate both on one split."
        )
    resampled = of_means(_resampled_means(a, num_resamples, seed)) - of_means(_resampled_means(b, num_resamples, seed))
    low, high = bounds(resampled)
    one_sided = 1 + np.minimum((resampled <= 0).sum(axis=0), (resampled >= 0).sum(axis=0))
    p_values = np.minimum(1.0, 2.0 * one_sided / (1 + num_resamples))
    rows = zip(a.names, of_means(a.means()) - of_means(b.means()), low, high, p_values, strict=True)
    return {name: Difference(*map(float, values)) for name, *values in rows}


def _resampled_means(sums: UserSums, num_resamples: int, seed: int) -> NDArray[np.float64]:
    """``[num_resamples, num_metrics]``; drawing users is weighting them by how often they were drawn."""
    weighted = (
        (times @ sums.sums) / (times @ sums.weights) for times in times_drawn(len(sums.users), num_resamples, seed)
    )
    return np.concatenate(list(weighted))


def bounds(resampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[num_resamples, ...]`` -> ``[2, ...]``, ends of the percentile interval of `LEVEL`."""
    return np.asarray(np.percentile(resampled, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0))


def times_drawn(num: int, num_resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Blocks of ``[num_resamples, num]``: how often each of `num` users or clusters is drawn with replacement."""
    rng = np.random.default_rng(seed)
    step = max(1, _BLOCK_DRAWS // num)
    for low in range(0, num_resamples, step):
        count = min(step, num_resamples - low)
        drawn = rng.integers(0, num, size=(count, num)) + num * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * num).reshape(count, num).astype(np.float64)
