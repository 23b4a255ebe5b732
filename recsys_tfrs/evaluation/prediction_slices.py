"""Predictions by group of rows: for whom, and on what, a ranking model is good, and how far groups are apart.

A gap is the figure of the best group minus that of the worst. The largest of many differences is large by chance alone,
so its interval is simultaneous: it is as wide as all pairs of groups need together, after the greatest studentised
difference among resamples (the single-step maxT method: Westfall & Young, "Resampling-Based Multiple Testing", 1993).
One that holds 0 says that the groups are not told apart.

Groups differ in the share of positives too. Log-loss, RMSE and MAE depend on it even where a model is equally good, AUC
and calibration error do not; `mean_label` beside `mean_prediction` shows whom a model rates too high or too low.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.evaluation.intervals import LEVEL
from recsys_tfrs.evaluation.prediction_rows import Kind, Rows, prepare_rows
from recsys_tfrs.evaluation.predictions import measure
from recsys_tfrs.evaluation.rating_errors import LOWER_IS_BETTER
from recsys_tfrs.evaluation.resampling import Statistic, interval, resample
from recsys_tfrs.evaluation.within_users import Measured

#: A group with fewer rows or users gets no figures: they would be mostly chance, and about single people.
MIN_ROWS, MIN_USERS = 100, 10

Values = NDArray[np.float64]


@dataclass(frozen=True)
class RowGroups:
    """Rows told apart.

    Attributes:
      labels: name of each group, in reading order.
      codes: ``[num_rows]`` group of each row; -1: in none.
    """

    labels: list[str]
    codes: NDArray[np.integer]


@dataclass(frozen=True)
class GroupFigures:
    """One group.

    Attributes:
      num_rows: rows of weight above 0.
      num_users: users of them; 0 where rows stand alone.
      mean_label: weighted mean, of binary labels the share of positives; None with too few rows or users.
      mean_prediction: weighted mean; None likewise.
      metrics: as of `Predictions`; empty likewise.
      intervals: of each metric, over the users (or rows) of the group.
      undefined: metric -> why it has no value, ``all`` -> why the group has no figures.
    """

    num_rows: int
    num_users: int
    mean_label: float | None
    mean_prediction: float | None
    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    undefined: dict[str, str]


@dataclass(frozen=True)
class Gap:
    """How far the best and the worst group are apart in one metric.

    Attributes:
      best: group with the best figure.
      worst: group with the worst.
      difference: how much better the best is, at least 0.
      interval: 95%, simultaneous over all pairs of groups; reaches below 0 where the groups are not told apart.
    """

    best: str
    worst: str
    difference: float
    interval: list[float]


@dataclass(frozen=True)
class SliceFigures:
    """One way of telling rows apart.

    Attributes:
      groups: by label, those that have rows.
      gaps: by metric, among groups in which it has a value; none of fewer than two.
    """

    groups: dict[str, GroupFigures]
    gaps: dict[str, Gap]


def slice_predictions(
    kind: Kind,
    predicted: NDArray[Any],
    labels: NDArray[Any],
    slices: Mapping[str, RowGroups | NDArray[Any]],
    *,
    weights: NDArray[Any] | None = None,
    groups: NDArray[np.integer] | None = None,
    seed: int = 0,
) -> dict[str, SliceFigures]:
    """Every metric by group.

    Args:
      kind: as for `evaluate_predictions`.
      predicted: as there.
      labels: as there.
      slices: name -> group of each row, as `RowGroups` or as ``[num_rows]`` labels.
      weights: as there.
      groups: as there; the users by which the bootstrap draws.
      seed: of the bootstrap.

    Raises:
      ValueError: a slice of another length than the predictions, and as `evaluate_predictions`.
      DataError: as there.
      TrainingError: as there.
    """
    rows = prepare_rows(kind, predicted, labels, weights, groups)
    found = {}
    for name, given in slices.items():
        told_apart = given if isinstance(given, RowGroups) else _by_label(np.asarray(given))
        if told_apart.codes.shape != np.shape(predicted):
            raise ValueError(
                f"Slice {name!r} has groups of shape {list(told_apart.codes.shape)} for predictions of shape "
                f"{list(np.shape(predicted))}: give one group per row."
            )
        found[name] = _measure_slice(rows, told_apart, seed)
    return found


def _by_label(labels: NDArray[Any]) -> RowGroups:
    names, codes = np.unique(labels, return_inverse=True)
    return RowGroups([str(name) for name in names], codes)


def _measure_slice(rows: Rows, told_apart: RowGroups, seed: int) -> SliceFigures:
    codes = told_apart.codes[rows.order]
    parts = {label: rows.take(codes == code) for code, label in enumerate(told_apart.labels) if (codes == code).any()}
    too_few = {label: _too_few(part) for label, part in parts.items()}
    measured = {
        label: Measured({}, {"all": too_few[label]}, 0) if too_few[label] else measure(part)
        for label, part in parts.items()
    }
    # All groups are drawn together, since the rows of one user may lie in several.
    statistics = {(label, name): s for label, of in measured.items() for name, s in of.statistics.items()}
    resampled = resample(statistics, seed=seed) if rows.num_clusters > 1 else {}
    groups = {
        label: GroupFigures(
            num_rows=len(part),
            num_users=part.num_users,
            mean_label=None if too_few[label] else float(np.average(part.labels, weights=part.weights)),
            mean_prediction=None if too_few[label] else float(np.average(part.predicted, weights=part.weights)),
            metrics=measured[label].metrics,
            intervals={
                name: interval(statistics[of, name], drawn) for (of, name), drawn in resampled.items() if of == label
            },
            undefined=measured[label].undefined,
        )
        for label, part in parts.items()
    }
    return SliceFigures(groups, _gaps(statistics, resampled))


def _too_few(part: Rows) -> str:
    if len(part) < MIN_ROWS:
        return f"{len(part)} rows, fewer than {MIN_ROWS}"
    if part.users is not None and part.num_users < MIN_USERS:
        return f"{part.num_users} users, fewer than {MIN_USERS}"
    return ""


def _gaps(
    statistics: Mapping[tuple[str, str], Statistic], resampled: Mapping[tuple[str, str], Values]
) -> dict[str, Gap]:
    gaps = {}
    for name in dict.fromkeys(name for _, name in resampled):
        labels = [group for group, of in resampled if of == name]
        if len(labels) < 2:
            continue
        values = np.array([statistics[group, name].value for group in labels])
        draws = np.stack([resampled[group, name] for group in labels], axis=1)
        draws = draws[np.isfinite(draws).all(axis=1)]
        order = np.argsort(values if name in LOWER_IS_BETTER else -values, kind="stable")
        best, worst = int(order[0]), int(order[-1])
        biased = statistics[labels[best], name].biased
        gaps[name] = Gap(
            labels[best],
            labels[worst],
            abs(float(values[best] - values[worst])),
            _simultaneous(values, draws, *((worst, best) if name in LOWER_IS_BETTER else (best, worst)), biased),
        )
    return gaps


def _simultaneous(values: Values, draws: Values, high: int, low: int, biased: bool) -> list[float]:
    """Interval of ``values[high] - values[low]`` that holds for every pair at once; draws ``[num_resamples, num]``."""
    centred = draws - draws.mean(axis=0)
    first, second = np.triu_indices(len(values), 1)
    pairs = centred[:, first] - centred[:, second]
    error = pairs.std(axis=0)
    # A pair that never varies needs no room.
    studentised = np.abs(pairs) / np.where(error > 0, error, np.inf)
    room = np.quantile(studentised.max(axis=1), LEVEL) * float((centred[:, high] - centred[:, low]).std())
    # Resamples lie above a biased figure by as much as it lies above the truth.
    corrected = 2 * values - draws.mean(axis=0) if biased else values
    middle = float(corrected[high] - corrected[low])
    return [middle - float(room), middle + float(room)]
