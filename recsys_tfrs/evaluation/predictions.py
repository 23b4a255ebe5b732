"""How good predicted probabilities or ratings are: the one way every ranking model is measured.

============  ======  ======  =========================================================================================
metric        binary  rating  meaning
============  ======  ======  =========================================================================================
``auc``       yes             share of (positive, negative) pairs in the right order, ties one half, weighted
``gauc``      users           mean of the AUC of each user, weighted by the user's total row weight, his impressions
                              (Zhou et al., "Deep Interest Network", KDD 2018)
``logloss``   yes             weighted mean of ``-log p(label)``, p clipped to ``[CLIP, 1 - CLIP]``, in nats
``ece``       yes             expected calibration error, `calibration.NUM_ECE_BINS` bins of equal mass
``rmse``      yes     yes     root of the weighted mean squared error; of probabilities the root of the Brier score
``mae``               yes     weighted mean absolute error; not of probabilities, which it would have rounded to 0 and 1
``ndcg@k``    users   users   within the user's rows; gains are labels, or ``2^rating - 1`` (Burges et al., ICML 2005);
                              mean over users, row weights take no part
============  ======  ======  =========================================================================================

``gauc`` and ``ndcg@k`` need to know the user of each row, and leave out users whose labels are all the same: every
order of their rows has the same value. Where users are known, all intervals are over users.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.evaluation.calibration import (
    NUM_ECE_BINS,
    Calibration,
    calibration,
    calibration_error,
    equal_mass_bins,
)
from recsys_tfrs.evaluation.intervals import Difference
from recsys_tfrs.evaluation.prediction_rows import Kind, Rows, prepare_rows
from recsys_tfrs.evaluation.resampling import Statistic, differences, intervals, ratio, sum_by_cluster
from recsys_tfrs.evaluation.tied_lists import (
    TieBlocks,
    auc_influence,
    list_auc,
    tie_blocks,
)
from recsys_tfrs.evaluation.within_users import Measured, within_users

#: Probabilities are kept this far from 0 and 1 in the log-loss, about what float32 tells from 1: a certain and wrong
#: prediction costs 16.1 nats, not infinitely many.
CLIP = 1e-7

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """One system's figures on one set of rows.

    Attributes:
      kind: ``binary`` or ``rating``.
      metrics: by name, see above. One that has no value on these rows is not among them, but among `undefined`.
      intervals: ``{metric: [low, high]}``, 95% bootstrap over users, or over rows where these stand alone; empty if not
        asked for, or with a single user.
      undefined: metric -> why.
      calibration: the reliability table of binary predictions.
      num_rows: rows of weight above 0.
      num_users: users of them; 0 where rows stand alone.
      num_users_left_out: users that `gauc` and `ndcg@k` leave out.
      measured: sums by cluster, for `prediction_differences`.
      cluster_labels: ``[num_clusters, 2]`` weight, and weight times label: what tells one set of rows from another.
    """

    kind: Kind
    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    undefined: dict[str, str]
    calibration: Calibration | None
    num_rows: int
    num_users: int
    num_users_left_out: int
    measured: Measured
    cluster_labels: Values


def evaluate_predictions(
    kind: Kind,
    predicted: NDArray[Any],
    labels: NDArray[Any],
    *,
    weights: NDArray[Any] | None = None,
    groups: NDArray[np.integer] | None = None,
    intervals: bool = True,
    seed: int = 0,
) -> Predictions:
    """Measure predictions of given rows.

    Args:
      kind: ``binary`` for probabilities of labels 0 and 1, ``rating`` for ratings.
      predicted: ``[num_rows]`` probabilities or ratings.
      labels: ``[num_rows]`` 0 and 1, or ratings.
      weights: ``[num_rows]`` at least 0, a row of weight k counting as k rows; None: all 1.
      groups: ``[num_rows]`` user of each row; None: rows stand alone, and there is neither ``gauc`` nor ``ndcg@k``.
      intervals: compute them.
      seed: of the bootstrap.

    Raises:
      ValueError: arrays of different lengths, a weight below 0, a probability outside [0, 1].
      DataError: no rows, labels other than 0 and 1 where they should be.
      TrainingError: a prediction that is not finite.
    """
    return measure_rows(prepare_rows(kind, predicted, labels, weights, groups), with_intervals=intervals, seed=seed)


def measure_rows(rows: Rows, *, with_intervals: bool = True, seed: int = 0) -> Predictions:
    """As `evaluate_predictions`, of rows prepared before."""
    blocks = tie_blocks(rows.predicted)
    measured = measure(rows, blocks)
    table = None
    if rows.kind == "binary":
        table = calibration(
            blocks,
            rows.predicted,
            rows.labels,
            rows.weights,
            rows.clusters,
            rows.num_clusters,
            with_intervals=with_intervals,
            seed=seed,
        )
    return Predictions(
        kind=rows.kind,
        metrics=measured.metrics,
        intervals=intervals(measured.statistics, seed=seed) if with_intervals else {},
        undefined=measured.undefined,
        calibration=table,
        num_rows=len(rows),
        num_users=rows.num_users,
        num_users_left_out=measured.num_users_left_out,
        measured=measured,
        cluster_labels=sum_by_cluster(rows.clusters, rows.num_clusters, rows.weights, rows.weights * rows.labels),
    )


def prediction_differences(a: Predictions, b: Predictions, *, seed: int = 0) -> dict[str, Difference]:
    """Every metric of one system minus that of another on the same rows, paired over users (or rows).

    The AUC difference is that of DeLong, DeLong & Clarke-Pearson (1988), by bootstrap of the structural components.

    Raises:
      ValueError: the two were not measured on the same rows.
    """
    if (
        a.kind != b.kind
        or a.cluster_labels.shape != b.cluster_labels.shape
        or not np.allclose(a.cluster_labels, b.cluster_labels)
    ):
        raise ValueError(
            f"A paired comparison needs the same rows with the same labels, weights and users in the same order; got "
            f"{a.num_rows:,} {a.kind} rows and {b.num_rows:,} {b.kind} rows: evaluate both on one test file or split."
        )
    return differences(a.measured.statistics, b.measured.statistics, seed=seed)


def measure(rows: Rows, blocks: TieBlocks | None = None) -> Measured:
    """Every figure of the rows; `blocks` are those of `tie_blocks` where they are known already."""
    squared = rows.weights * (rows.predicted - rows.labels) ** 2
    found = {"rmse": Statistic(_by_cluster(rows, squared, rows.weights), _root_ratio)}
    undefined = {}
    if rows.kind == "rating":
        absolute = rows.weights * np.abs(rows.predicted - rows.labels)
        found["mae"] = Statistic(_by_cluster(rows, absolute, rows.weights), ratio)
    else:
        blocks = tie_blocks(rows.predicted) if blocks is None else blocks
        found = {"logloss": Statistic(_by_cluster(rows, _log_loss(rows), rows.weights), ratio), **found}
        bins = equal_mass_bins(blocks, rows.weights, NUM_ECE_BINS)
        residuals = rows.weights * (rows.predicted - rows.labels)
        found["ece"] = calibration_error(bins, residuals, rows.weights, rows.clusters, rows.num_clusters)
        num_positive = np.count_nonzero(rows.labels)
        if 0 < num_positive < len(rows):
            found = {"auc": _auc(rows, blocks), **found}
        else:
            undefined["auc"] = f"all {len(rows):,} labels are {int(num_positive > 0)}"
    if rows.users is None:
        return Measured(found, undefined, 0)
    within = within_users(rows, rows.users)
    return Measured({**found, **within.statistics}, {**undefined, **within.undefined}, within.num_users_left_out)


def _by_cluster(rows: Rows, *values: Values) -> Values:
    return sum_by_cluster(rows.clusters, rows.num_clusters, *values)


def _root_ratio(sums: Values) -> Values:
    return np.asarray(np.sqrt(ratio(sums)))


def _log_loss(rows: Rows) -> Values:
    probability = np.clip(np.where(rows.labels, rows.predicted, 1.0 - rows.predicted), CLIP, 1.0 - CLIP)
    return np.asarray(-rows.weights * np.log(probability))


def _auc(rows: Rows, blocks: TieBlocks) -> Statistic:
    auc = float(list_auc(blocks, rows.labels, rows.weights)[0][0])
    influence = auc_influence(blocks, rows.labels, rows.weights, auc)
    return Statistic(_by_cluster(rows, influence), partial(_moved_auc, auc=auc))


def _moved_auc(sums: Values, auc: float) -> Values:
    """``[..., 1]`` summed influence -> AUC, moved on the scale of log odds, where it cannot leave [0, 1]."""
    if not 0 < auc < 1:
        return np.full(sums.shape[:-1], auc)
    moved = np.log(auc / (1 - auc)) + sums[..., 0] / (auc * (1 - auc))
    # The logistic function, without overflow.
    return np.asarray((1 + np.tanh(moved / 2)) / 2)
