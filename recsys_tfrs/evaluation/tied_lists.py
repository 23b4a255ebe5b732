"""Pairs and places within lists of scored rows, equal scores at their expected value.

Rows that share a score form a block, and every order within a block is equally likely: half of its pairs count as
right, and each of its rows stands on each of the block's places with equal probability (McSherry & Najork, ECIR 2008).
The whole data set is one list for AUC; the rows of a user are one for GAUC and NDCG.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class TieBlocks:
    """Runs of equal scores; rows are sorted by list, and within a list by ascending score.

    Attributes:
      bounds: ``[num_blocks + 1]`` row at which each block begins; the last is the number of rows.
      lists: ``[num_blocks]`` list of each block.
      list_bounds: ``[num_lists + 1]`` row at which each list begins; the last is the number of rows.
    """

    bounds: Indices
    lists: Indices
    list_bounds: Indices

    @property
    def num_lists(self) -> int:
        """Lists there are."""
        return len(self.list_bounds) - 1

    def per_list(self, of_blocks: Values) -> Values:
        """``[num_lists]`` sums of ``[num_blocks]`` values."""
        return np.bincount(self.lists, weights=of_blocks, minlength=self.num_lists).astype(np.float64)

    def sizes(self) -> Indices:
        """``[num_blocks]`` rows in each block."""
        return np.diff(self.bounds)


def tie_blocks(scores: NDArray[np.floating], lists: NDArray[np.integer] | None = None) -> TieBlocks:
    """Find the blocks.

    Args:
      scores: ``[num_rows]``, at least one, ascending within each list.
      lists: ``[num_rows]`` list of each row, ascending; None: one list.
    """
    changes = scores[1:] != scores[:-1]
    if lists is None:
        bounds = _bounds(changes)
        return TieBlocks(bounds, np.zeros(len(bounds) - 1, np.int64), np.array([0, len(scores)]))
    new_list = lists[1:] != lists[:-1]
    bounds, list_bounds = _bounds(changes | new_list), _bounds(new_list)
    return TieBlocks(bounds, np.searchsorted(list_bounds, bounds[:-1], side="right") - 1, list_bounds)


def _bounds(changes: NDArray[np.bool_]) -> Indices:
    return np.concatenate(([0], np.flatnonzero(changes) + 1, [len(changes) + 1]))


def list_auc(blocks: TieBlocks, labels: NDArray[np.bool_], weights: Values) -> tuple[Values, Values]:
    """Area under the ROC curve within each list: the share of (positive, negative) pairs in the right order.

    ``AUC = sum_ij w_i w_j ([s_i > s_j] + [s_i = s_j] / 2) / sum_ij w_i w_j`` over positives i and negatives j
    (Hanley & McNeil, Radiology 1982).

    Args:
      blocks: of the rows.
      labels: ``[num_rows]`` True for positives.
      weights: ``[num_rows]``, above 0.

    Returns:
      ``[num_lists]`` AUC, NaN for a list with one class only, and ``[num_lists]`` total weight.

    Example:
      >>> blocks = tie_blocks(np.array([0.1, 0.4, 0.4, 0.8]))
      >>> auc, _ = list_auc(blocks, np.array([False, True, False, True]), np.ones(4))
      >>> auc.tolist()  # (1 + 1/2 + 1 + 1) / 4, the two of 0.4 being a tie
      [0.875]
    """
    positive, negative = _cumulative(weights * labels), _cumulative(weights * ~labels)
    bounds, list_bounds = blocks.bounds, blocks.list_bounds
    negatives_below = (negative[bounds[:-1]] + negative[bounds[1:]]) / 2 - negative[list_bounds[blocks.lists]]
    right = blocks.per_list((positive[bounds[1:]] - positive[bounds[:-1]]) * negatives_below)
    pairs = _between(positive, list_bounds) * _between(negative, list_bounds)
    # Counted in rows, since sums of weights leave a remainder where there is nothing.
    num_positive = _between(np.concatenate(([0], np.cumsum(labels))), list_bounds)
    both = (num_positive > 0) & (num_positive < np.diff(list_bounds))
    auc = np.full(blocks.num_lists, np.nan)
    auc[both] = right[both] / pairs[both]
    return auc, _between(positive, list_bounds) + _between(negative, list_bounds)


def auc_influence(blocks: TieBlocks, labels: NDArray[np.bool_], weights: Values, auc: float) -> Values:
    """``[num_rows]`` what each row adds to AUC when it counts once more, to first order; they sum to 0.

    ``w_i (V_i - AUC) / W``, where V is the share of the other class on the right side of row i and W the weight of its
    own class: the structural components of DeLong, DeLong & Clarke-Pearson (Biometrics 1988), whose squares add up to
    the variance of AUC. Summed by cluster before they are squared they give that of clustered rows (Obuchowski,
    Biometrics 1997).

    Args:
      blocks: of the rows, all of one list with both classes.
      labels: as for `list_auc`.
      weights: as for `list_auc`.
      auc: of the list.
    """
    influence = np.empty(len(labels))
    for own, sign in ((labels, 1.0), (~labels, -1.0)):
        other = _cumulative(weights * ~own)
        below = (other[blocks.bounds[:-1]] + other[blocks.bounds[1:]]) / (2 * other[-1])
        right = below if sign > 0 else 1.0 - below
        of_own = weights[own]
        influence[own] = (np.repeat(right, blocks.sizes())[own] - auc) * of_own / of_own.sum()
    return influence


def list_dcg(blocks: TieBlocks, gains: Values, k: int) -> Values:
    """``[num_lists]`` expected ``sum of gain / log2(place + 1)`` over the first k places, the highest score first."""
    ends = blocks.list_bounds[blocks.lists + 1]
    first, last = np.minimum(ends - blocks.bounds[1:], k), np.minimum(ends - blocks.bounds[:-1], k)
    discounts = cumulative_discounts(k)
    mean_gain = _between(_cumulative(gains), blocks.bounds) / blocks.sizes()
    return blocks.per_list(mean_gain * (discounts[last] - discounts[first]))


def cumulative_discounts(k: int) -> Values:
    """``[k + 1]`` sum of ``1 / log2(place + 1)`` over the first 0, 1, ..., k places.

    Example:
      >>> cumulative_discounts(3).round(4).tolist()  # 1, 1 / log2(3), 1 / 2
      [0.0, 1.0, 1.6309, 2.1309]
    """
    return _cumulative(1.0 / np.log2(np.arange(2, k + 2)))


def _cumulative(values: Values) -> Values:
    """``[n + 1]`` sums of the first 0, 1, ..., n values."""
    sums = np.empty(len(values) + 1)
    sums[0] = 0.0
    np.cumsum(values, out=sums[1:])
    return sums


def _between(cumulative: NDArray[np.number], bounds: Indices) -> Values:
    return np.diff(cumulative[bounds]).astype(np.float64)
