"""The groups of rows that a data set offers: its user columns, how active a user is, how popular an item is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.evaluation.prediction_slices import RowGroups
from recsys_tfrs.evaluation.slices import UNKNOWN_GROUP, groupings
from recsys_tfrs.schema import Kind

#: Categorical user columns with more values than this are no slices.
MAX_CATEGORIES = 30

_QUARTILES = (0.25, 0.5, 0.75)


def row_groups(
    interactions: Interactions,
    rows_train: NDArray[np.int64],
    users: NDArray[np.int32],
    items: NDArray[np.int32],
) -> dict[str, RowGroups]:
    """Slices for `slice_predictions`, by name.

    Every categorical user column of at most `MAX_CATEGORIES` values and every numeric one by value or quartile;
    ``user_activity``, quartiles of the training rows of those users who have any and stand in `users`, and ``0``;
    ``user_warmth``, ``item_popularity`` and ``item_warmth`` as in `slices.slice_accuracy`.

    Args:
      interactions: the data set.
      rows_train: rows the system was fitted on.
      users: ``[num_rows]`` internal user id of each measured row.
      items: ``[num_rows]`` internal item id.
    """
    found = {
        grouping.name: RowGroups(grouping.labels, grouping.codes[users if grouping.of_users else items])
        for grouping in groupings(interactions, rows_train)
    }
    for column in interactions.user_features.values():
        if column.kind is Kind.CATEGORICAL and column.name not in found:
            groups = _categories(column)
            if groups is not None:
                found[column.name] = RowGroups(groups.labels, groups.codes[users])
    found["user_activity"] = _activity(np.bincount(interactions.users[rows_train], minlength=1), users)
    return found


def _categories(column: FeatureColumn) -> RowGroups | None:
    values = column.values[1:].astype(str)
    names, codes = np.unique(np.where(values == "", UNKNOWN_GROUP, values), return_inverse=True)
    if not 1 < len(names) <= MAX_CATEGORIES:
        return None
    return RowGroups(names.tolist(), np.concatenate(([-1], codes)))


def _activity(train_counts: NDArray[np.int64], users: NDArray[np.int32]) -> RowGroups:
    counts = np.zeros(max(len(train_counts), int(users.max()) + 1), np.int64)
    counts[: len(train_counts)] = train_counts
    active = counts[np.unique(users)]
    active = active[active > 0]
    if len(active) == 0:
        return RowGroups(["0"], np.zeros(len(users), np.int64))
    edges = np.unique(np.floor(np.quantile(active, _QUARTILES)).astype(np.int64))
    # An edge belongs to the group below it.
    band = np.searchsorted(edges, counts, side="left") + 1
    band[counts == 0] = 0
    starts = [active.min(), *(edges + 1)]
    ends = [*edges, active.max()]
    labels = [f"{low}" if low == high else f"{low}-{high}" for low, high in zip(starts, ends, strict=True)]
    return RowGroups(["0", *labels], band[users])
