"""The bootstrap of figures that are functions of sums over clusters.

A cluster is what is drawn: a user with all his rows, whose rows are not independent, or a single row. Mean, root mean
square, a mean of per-user values and the calibration error are functions of sums exactly; AUC is to first order (see
`tied_lists.auc_influence`). A resample then costs one product of how often each cluster was drawn with the matrix of
sums, whatever the number of rows.

More than `MAX_CLUSTERS` users or rows are put together at random into that many clusters of equal size, which leaves
the expected variance as it is (the method of random groups: Wolter, "Introduction to Variance Estimation", chapter 2);
of 10,000 clusters, the estimated standard error is itself known to within about 0.7%.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.evaluation.intervals import NUM_RESAMPLES, Difference, bounds, times_drawn

#: See above.
MAX_CLUSTERS = 10_000

Values = NDArray[np.float64]
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Statistic:
    """A figure of summed clusters.

    Attributes:
      totals: ``[num_clusters, width]`` what is summed.
      of_sums: ``[..., width]`` sums -> ``[...]`` values, NaN where there is none.
      biased: resamples lie above the figure by about as much as the figure above the truth, as with a sum of absolute
        values, and it is never negative. Its intervals are mirrored at the figure (the basic bootstrap: Davison &
        Hinkley, "Bootstrap Methods and their Application", 1997, section 5.2), cut at 0, and end at the figure
        where they would end below it.
    """

    totals: Values
    of_sums: Callable[[Values], Values]
    biased: bool = False

    @property
    def value(self) -> float:
        """The figure of all clusters."""
        return float(self.of_sums(self.totals.sum(axis=0)))


def ratio(sums: Values) -> Values:
    """``[..., 2]`` -> first by second; NaN where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1])


def assign_clusters(num_units: int) -> NDArray[np.int64]:
    """``[num_units]`` cluster of each user or row; the same whenever the number is."""
    if num_units <= MAX_CLUSTERS:
        return np.arange(num_units)
    return np.random.default_rng(num_units).permutation(num_units) % MAX_CLUSTERS


def sum_by_cluster(clusters: NDArray[np.integer], num_clusters: int, *values: Values) -> Values:
    """``[num_clusters, len(values)]`` sums of values per row or per user."""
    return np.stack([np.bincount(clusters, weights=v, minlength=num_clusters) for v in values], axis=1)


def resample(
    statistics: Mapping[Name, Statistic], *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> dict[Name, Values]:
    """``{name: [num_resamples]}``, the statistics of clusters drawn with replacement, the same draws for all."""
    if not statistics:
        return {}
    totals = np.concatenate([statistic.totals for statistic in statistics.values()], axis=1)
    sums = np.concatenate([times @ totals for times in times_drawn(len(totals), num_resamples, seed)])
    ends = np.cumsum([statistic.totals.shape[1] for statistic in statistics.values()])
    parts = np.split(sums, ends[:-1], axis=1)
    return {name: statistics[name].of_sums(part) for name, part in zip(statistics, parts, strict=True)}


def intervals(statistics: Mapping[Name, Statistic], *, seed: int = 0) -> dict[Name, list[float]]:
    """``{name: [low, high]}``; none of a single cluster, which cannot vary, and none without a figure."""
    found = {name: s for name, s in statistics.items() if len(s.totals) > 1 and np.isfinite(s.value)}
    return {name: interval(found[name], drawn) for name, drawn in resample(found, seed=seed).items()}


def interval(statistic: Statistic, resampled: Values) -> list[float]:
    """``[low, high]`` of a statistic from ``[num_resamples]`` values of it."""
    # A resample without any cluster that matters has no figure.
    known = resampled[np.isfinite(resampled)]
    low, high = bounds(known).tolist()
    value = statistic.value
    return [max(0.0, 2 * value - high), max(2 * value - low, value)] if statistic.biased else [low, high]


def differences(a: Mapping[str, Statistic], b: Mapping[str, Statistic], *, seed: int = 0) -> dict[str, Difference]:
    """Statistics of `a` minus those of the same name of `b`, both resampled with the same clusters."""
    common = [name for name in a if name in b and len(a[name].totals) > 1]
    of_a = resample({name: a[name] for name in common}, seed=seed)
    of_b = resample({name: b[name] for name in common}, seed=seed)
    return {
        name: _difference(a[name].value - b[name].value, of_a[name] - of_b[name], a[name].biased) for name in common
    }


def _difference(difference: float, resampled: Values, biased: bool) -> Difference:
    known = resampled[np.isfinite(resampled)]
    known = 2 * difference - known if biased else known
    low, high = bounds(known).tolist()
    one_sided = 1 + int(min(np.count_nonzero(known <= 0), np.count_nonzero(known >= 0)))
    return Difference(difference, low, high, min(1.0, 2.0 * one_sided / (1 + len(known))))
