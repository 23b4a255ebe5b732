"""How well the rows of each user are ordered: GAUC and NDCG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.evaluation.prediction_rows import Rows
from recsys_tfrs.evaluation.resampling import Statistic, ratio, sum_by_cluster
from recsys_tfrs.evaluation.tied_lists import TieBlocks, cumulative_discounts, list_auc, list_dcg, tie_blocks

#: Cutoffs of NDCG.
NDCG_KS = (5, 10, 20)

#: Beside the gain ``2^rating - 1`` of higher ratings than this all lower ratings vanish.
MAX_GAIN_RATING = 30.0

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Figures of some rows, as functions of sums over clusters.

    Attributes:
      statistics: by metric name.
      undefined: metric -> why it has no value on these rows.
      num_users_left_out: users whose labels are all the same.
    """

    statistics: dict[str, Statistic]
    undefined: dict[str, str]
    num_users_left_out: int

    @property
    def metrics(self) -> dict[str, float]:
        """The figures themselves."""
        return {name: statistic.value for name, statistic in self.statistics.items()}


def within_users(rows: Rows, users: NDArray[np.int64]) -> Measured:
    """``gauc`` (binary) and ``ndcg@k``; see `predictions` for what they are.

    Args:
      rows: what is measured.
      users: ``[num_rows]`` those of the rows.
    """
    by_user = np.argsort(users, kind="stable")
    users, labels = users[by_user], rows.labels[by_user]
    blocks = tie_blocks(rows.predicted[by_user], users)
    starts = blocks.list_bounds[:-1]
    counted = np.minimum.reduceat(labels, starts) < np.maximum.reduceat(labels, starts)
    left_out = int(np.count_nonzero(~counted))
    binary = rows.kind == "binary"
    names = [*(["gauc"] if binary else []), *(f"ndcg@{k}" for k in NDCG_KS)]
    if left_out == len(counted):
        why = f"none of {len(counted):,} users has two different labels"
        return Measured({}, dict.fromkeys(names, why), left_out)
    if not binary and (labels.min() < 0 or labels.max() > MAX_GAIN_RATING):
        span = f"{labels.min():g} to {labels.max():g}"
        why = f"gains 2^rating - 1 need ratings in [0, {MAX_GAIN_RATING:g}], these are {span}"
        return Measured({}, dict.fromkeys(names, why), left_out)

    clusters = rows.clusters[by_user[starts]][counted]

    def mean(values: Values, weights: Values) -> Statistic:
        return Statistic(sum_by_cluster(clusters, rows.num_clusters, values * weights, weights), ratio)

    found = {}
    if binary:
        auc, impressions = list_auc(blocks, labels, rows.weights[by_user])
        found["gauc"] = mean(auc[counted], impressions[counted])
    ndcg = _ndcg_of_labels(blocks, labels) if binary else _ndcg_of_ratings(blocks, labels, users)
    for k, values in ndcg.items():
        found[f"ndcg@{k}"] = mean(values[counted], np.ones(len(clusters)))
    return Measured(found, {}, left_out)


def _ndcg_of_labels(blocks: TieBlocks, labels: NDArray[np.bool_]) -> dict[int, Values]:
    """``{k: [num_lists]}``; 0 for a list without positives."""
    gains = labels.astype(np.float64)
    num_positive = np.add.reduceat(labels, blocks.list_bounds[:-1], dtype=np.int64)
    # The best order puts the positives first.
    ideal = {k: cumulative_discounts(k)[np.minimum(num_positive, k)] for k in NDCG_KS}
    return {k: list_dcg(blocks, gains, k) / np.where(num_positive > 0, ideal[k], 1.0) for k in NDCG_KS}


def _ndcg_of_ratings(blocks: TieBlocks, ratings: Values, users: NDArray[np.int64]) -> dict[int, Values]:
    """``{k: [num_lists]}``; 0 for a list of ratings of 0."""
    gains = 2.0**ratings - 1.0
    best = np.lexsort((ratings, users))
    ideal_blocks = tie_blocks(ratings[best], users)
    ideal = {k: list_dcg(ideal_blocks, gains[best], k) for k in NDCG_KS}
    return {k: list_dcg(blocks, gains, k) / np.where(ideal[k] > 0, ideal[k], 1.0) for k in NDCG_KS}
