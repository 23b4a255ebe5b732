"""Whether predicted probabilities are shares: of the rows predicted at 0.2, a fifth should be positive."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.evaluation.resampling import Statistic, intervals, ratio, sum_by_cluster
from recsys_tfrs.evaluation.tied_lists import TieBlocks

#: Bins of the expected calibration error.
NUM_ECE_BINS = 15

#: Rows of the reliability table.
NUM_DECILES = 10

#: Equally wide bins of predictions counted for the histogram, on [0, 1].
NUM_HISTOGRAM_BINS = 50

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Decile:
    """Rows of similar predictions.

    Attributes:
      num_rows: rows in it.
      low: their least prediction.
      high: their greatest.
      mean_prediction: weighted mean.
      share_positive: weighted share of positives.
      interval: 95% bootstrap of that share; None if not asked for.
    """

    num_rows: int
    low: float
    high: float
    mean_prediction: float
    share_positive: float
    interval: list[float] | None


@dataclass(frozen=True)
class Calibration:
    """Predictions beside what came.

    Attributes:
      mean_prediction: over all rows; a calibrated model has it at `share_positive`.
      share_positive: over all rows.
      ece_by_chance: the calibration error that is to be expected on these rows of a model that is perfectly
        calibrated, labels being drawn independently from the predictions; a measured one near it says no more.
      num_ece_bins: bins with rows in them; equal predictions share a bin, so there may be fewer than `NUM_ECE_BINS`.
      deciles: by ascending prediction.
      histogram: ``[NUM_HISTOGRAM_BINS]`` rows by prediction, bins of equal width on [0, 1].
    """

    mean_prediction: float
    share_positive: float
    ece_by_chance: float
    num_ece_bins: int
    deciles: list[Decile]
    histogram: list[int]


def equal_mass_bins(blocks: TieBlocks, weights: Values, num_bins: int) -> NDArray[np.int64]:
    """``[num_rows]`` bin by cumulative weight.

    A block of equal predictions goes as a whole to the bin in which its middle lies: split among bins, the error would
    depend on the order of the rows. Of predictions with few values, bins are therefore unequal or empty.
    """
    cumulative = np.concatenate(([0.0], np.cumsum(weights)))
    middle = (cumulative[blocks.bounds[:-1]] + cumulative[blocks.bounds[1:]]) / (2 * cumulative[-1])
    of_blocks = np.minimum((middle * num_bins).astype(np.int64), num_bins - 1)
    return np.repeat(of_blocks, blocks.sizes())


def calibration_error(
    bins: NDArray[np.int64], residuals: Values, weights: Values, clusters: NDArray[np.integer], num_clusters: int
) -> Statistic:
    """Expected calibration error: ``sum over bins |sum of w (p - y)| / sum of w``.

    Naeini, Cooper & Hauskrecht (AAAI 2015) and Guo et al. (ICML 2017, equation 3), but with bins of equal mass, not
    width, as predictions of rare events crowd near 0 (Nixon et al., "Measuring Calibration in Deep Learning", 2019).

    Args:
      bins: ``[num_rows]`` below `NUM_ECE_BINS`.
      residuals: ``[num_rows]`` weight times (prediction - label).
      weights: ``[num_rows]``.
      clusters: ``[num_rows]`` what the bootstrap draws.
      num_clusters: how many there are.
    """
    cells = np.bincount(clusters * NUM_ECE_BINS + bins, weights=residuals, minlength=num_clusters * NUM_ECE_BINS)
    mass = sum_by_cluster(clusters, num_clusters, weights)
    return Statistic(np.hstack([cells.reshape(num_clusters, NUM_ECE_BINS), mass]), _of_residuals, biased=True)


def _of_residuals(sums: Values) -> Values:
    """``[..., num_bins + 1]`` residuals by bin and total weight -> the error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.abs(sums[..., :-1]).sum(axis=-1) / sums[..., -1])


def calibration(
    blocks: TieBlocks,
    predicted: Values,
    labels: NDArray[np.bool_],
    weights: Values,
    clusters: NDArray[np.integer],
    num_clusters: int,
    *,
    with_intervals: bool = True,
    seed: int = 0,
) -> Calibration:
    """The reliability table.

    Args:
      blocks: runs of equal predictions.
      predicted: ``[num_rows]`` ascending, in [0, 1].
      labels: ``[num_rows]`` True for positives.
      weights: ``[num_rows]``.
      clusters: ``[num_rows]`` what the bootstrap draws.
      num_clusters: how many there are.
      with_intervals: of the shares.
      seed: of the bootstrap.
    """
    total = float(weights.sum())
    bins = equal_mass_bins(blocks, weights, NUM_ECE_BINS)
    # A bin's summed residual is close to normal, of mean absolute value sqrt(2 / pi) standard deviations.
    variance = np.bincount(bins, weights=weights**2 * predicted * (1 - predicted), minlength=NUM_ECE_BINS)
    return Calibration(
        mean_prediction=float(weights @ predicted / total),
        share_positive=float(weights @ labels / total),
        ece_by_chance=float(np.sqrt(2 / np.pi * variance).sum() / total),
        num_ece_bins=len(np.unique(bins)),
        deciles=_deciles(blocks, predicted, labels, weights, clusters, num_clusters, seed if with_intervals else None),
        histogram=np.histogram(predicted, NUM_HISTOGRAM_BINS, (0.0, 1.0))[0].tolist(),
    )


def _deciles(
    blocks: TieBlocks,
    predicted: Values,
    labels: NDArray[np.bool_],
    weights: Values,
    clusters: NDArray[np.integer],
    num_clusters: int,
    seed: int | None,
) -> list[Decile]:
    bins = equal_mass_bins(blocks, weights, NUM_DECILES)
    # Bins ascend with the rows, so each is a slice of them.
    bounds = np.searchsorted(bins, np.arange(NUM_DECILES + 1))
    slices = [slice(low, high) for low, high in pairwise(bounds.tolist()) if low < high]
    shares = {
        str(number): Statistic(
            sum_by_cluster(clusters[rows], num_clusters, weights[rows] * labels[rows], weights[rows]), ratio
        )
        for number, rows in enumerate(slices)
    }
    found: dict[str, Any] = intervals(shares, seed=seed) if seed is not None else {}
    return [
        Decile(
            num_rows=rows.stop - rows.start,
            low=float(predicted[rows.start]),
            high=float(predicted[rows.stop - 1]),
            mean_prediction=float(np.average(predicted[rows], weights=weights[rows])),
            share_positive=shares[str(number)].value,
            interval=found.get(str(number)),
        )
        for number, rows in enumerate(slices)
    ]
