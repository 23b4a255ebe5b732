"""Predicted rows, checked and sorted once, so that every figure of them, and of any part of them, is one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.errors import DataError, TrainingError
from recsys_tfrs.evaluation.resampling import assign_clusters

#: ``binary``: probabilities of labels 0 and 1. ``rating``: predicted ratings.
Kind = Literal["binary", "rating"]


@dataclass(frozen=True)
class Rows:
    """Rows by ascending prediction.

    Attributes:
      kind: see `Kind`.
      predicted: ``[num_rows]``.
      labels: ``[num_rows]`` bool (binary) or float64 (rating).
      weights: ``[num_rows]`` above 0.
      users: ``[num_rows]`` user of each row, numbered from 0; None: rows stand alone.
      clusters: ``[num_rows]`` what the bootstrap draws: users or rows, or random sets of them.
      num_clusters: how many there are.
      order: ``[num_rows]`` place of each row among those given.
    """

    kind: Kind
    predicted: NDArray[np.float64]
    labels: NDArray[Any]
    weights: NDArray[np.float64]
    users: NDArray[np.int64] | None
    clusters: NDArray[np.int64]
    num_clusters: int
    order: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.predicted)

    def take(self, chosen: NDArray[np.bool_]) -> Rows:
        """Those of the rows, which stay sorted, and whose clusters stay those of all rows."""
        return Rows(
            self.kind,
            self.predicted[chosen],
            self.labels[chosen],
            self.weights[chosen],
            None if self.users is None else self.users[chosen],
            self.clusters[chosen],
            self.num_clusters,
            self.order[chosen],
        )

    @property
    def num_users(self) -> int:
        """Distinct users; 0 where rows stand alone."""
        return 0 if self.users is None else int(np.count_nonzero(np.bincount(self.users)))


def prepare_rows(
    kind: Kind,
    predicted: NDArray[Any],
    labels: NDArray[Any],
    weights: NDArray[Any] | None = None,
    groups: NDArray[np.integer] | None = None,
) -> Rows:
    """Check and sort. Rows of weight 0 are left out.

    Args:
      kind: see `Kind`.
      predicted: ``[num_rows]`` probabilities or ratings.
      labels: ``[num_rows]`` 0 and 1, or ratings.
      weights: ``[num_rows]`` at least 0; None: all 1.
      groups: ``[num_rows]`` integer ids of users; None: rows stand alone.

    Raises:
      ValueError: arrays that do not belong together, an impossible weight or probability, an unknown kind.
      DataError: no rows, or labels that do not fit the kind.
      TrainingError: a prediction that is not finite.
    """
    if kind not in ("binary", "rating"):
        raise ValueError(f"kind is 'binary' or 'rating', not {kind!r}.")
    arrays = {"predicted": predicted, "labels": labels, "weights": weights, "groups": groups}
    shapes = {name: np.shape(array) for name, array in arrays.items() if array is not None}
    if len(shapes["predicted"]) != 1 or len(set(shapes.values())) != 1:
        given = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise ValueError(f"Expected arrays of one shape [num_rows], got {given}: flatten a model's [num_rows, 1].")
    values = np.asarray(predicted, np.float64)
    if not np.isfinite(values).all():
        raise TrainingError(
            f"{np.count_nonzero(~np.isfinite(values)):,} of {len(values):,} predictions are not finite: training "
            "diverged, or a feature is not a number. Lower the learning rate, or check the numeric columns."
        )
    if kind == "binary" and len(values) and (values.min() < 0 or values.max() > 1):
        raise ValueError(
            f"Expected probabilities in [0, 1], got {values.min():g} to {values.max():g}: apply a sigmoid to logits, "
            "or measure ratings with kind='rating'."
        )
    rows_weight = _checked_weights(weights, len(values))
    kept = np.flatnonzero(rows_weight > 0)
    if len(kept) == 0:
        raise DataError(f"None of the {len(values):,} rows has a weight above 0: there is nothing to measure on.")
    checked_labels = _checked_labels(kind, np.asarray(labels))
    order = np.argsort(values)
    if len(kept) < len(values):
        order = order[rows_weight[order] > 0]
    users = None if groups is None else _numbered(np.asarray(groups)[kept])
    of_unit = assign_clusters(len(kept) if users is None else int(users.max()) + 1)
    # Units are numbered among the kept rows, in the order given.
    place = order if len(kept) == len(values) else np.searchsorted(kept, order)
    units = place if users is None else users[place]
    return Rows(
        kind,
        values[order],
        checked_labels[order],
        rows_weight[order],
        None if users is None else units,
        of_unit[units],
        int(of_unit.max()) + 1,
        order,
    )


def _checked_weights(weights: NDArray[Any] | None, num_rows: int) -> NDArray[np.float64]:
    if weights is None:
        return np.ones(num_rows)
    checked = np.asarray(weights, np.float64)
    wrong = ~(np.isfinite(checked) & (checked >= 0))
    if wrong.any():
        raise ValueError(f"Expected finite weights of at least 0, got {checked[wrong][0]:g} in row {wrong.argmax()}.")
    return checked


def _checked_labels(kind: Kind, labels: NDArray[Any]) -> NDArray[Any]:
    if labels.dtype.kind not in "buif":
        raise DataError(f"Expected numbers as labels, got {labels.dtype}: convert them first.")
    if kind == "rating":
        if not np.isfinite(labels).all():
            raise DataError(f"{np.count_nonzero(~np.isfinite(labels)):,} ratings are not finite: leave those rows out.")
        return labels.astype(np.float64)
    positive = labels == 1
    other = ~positive & (labels != 0)
    if other.any():
        raise DataError(
            f"Expected labels 0 and 1, got {labels[other][0]:g} in row {other.argmax()}: binarise the labels, or "
            "predict ratings (target 'rating')."
        )
    return np.asarray(positive)


def _numbered(groups: NDArray[np.integer]) -> NDArray[np.int64]:
    """Ids -> 0, 1, ... in ascending order of the ids that occur."""
    low, high = int(groups.min()), int(groups.max())
    if high - low > 4 * len(groups) + 1_000_000:
        return np.asarray(np.unique(groups, return_inverse=True)[1], np.int64)
    # Internal ids are dense, and counting them is faster than sorting rows.
    shifted = groups.astype(np.int64) - low
    return np.asarray((np.cumsum(np.bincount(shifted) > 0) - 1)[shifted])
