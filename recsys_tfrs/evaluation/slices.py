"""Accuracy by group of users and by kind of item: for whom, and on what, a model is good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.evaluation.metrics import hit, ndcg
from recsys_tfrs.evaluation.ranking import Ranking
from recsys_tfrs.schema import Kind

#: Categorical columns with more values than this are no slices: groups get too small to say anything.
MAX_GROUPS = 12

#: Numeric columns with more values than this are cut into quartiles.
MAX_NUMERIC_GROUPS = 8

UNKNOWN_GROUP = "unknown"

#: Training interactions of a user from which the next band begins.
_ACTIVITY_BANDS = (0, 1, 5, 20, 100)

#: Places in a session from which the next band begins.
_POSITION_BANDS = (1, 2, 3, 4, 5, 6, 8, 11, 21)

#: Share of training interactions held by all more popular items at which an item stops being head, then mid.
_HEAD_SHARE, _MID_SHARE = 0.5, 0.8

SliceTable = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Grouping:
    """Users or items told apart.

    Attributes:
      name: of the slice, for example ``user_gender``.
      of_users: whether `codes` is indexed by user or by item.
      labels: name of each group, in reading order.
      codes: ``[num_entities + 1]`` group of each internal id.
    """

    name: str
    of_users: bool
    labels: list[str]
    codes: NDArray[np.int64]


def slice_accuracy(
    ranking: Ranking,
    interactions: Interactions,
    rows_train: NDArray[np.int64],
    rows_given: NDArray[np.int64] | None = None,
) -> SliceTable:
    """``{slice: {group: {"num_pairs", "hit@10", "ndcg@10"}}}``, means per test pair; empty groups are left out.

    Slices: every categorical user column of at most `MAX_GROUPS` values, every numeric one by value or quartile;
    ``user_activity`` and ``user_warmth`` by the user's training interactions; ``item_popularity`` (head: the most
    popular items that hold half of the training interactions, mid: the next 30%, tail: the rest) and
    ``item_warmth``. Warm means seen in training. Of users who had done something before they asked that is not in
    training, `rows_given`, also ``session_position``: the place of what is predicted in the session.
    """
    values = {"hit@10": hit(ranking, 10), "ndcg@10": ndcg(ranking, 10)}
    table: SliceTable = {}
    found = groupings(interactions, rows_train)
    if rows_given is not None and len(rows_given):
        found = chain(found, [_by_position(interactions, rows_given)])
    for grouping in found:
        code = grouping.codes[ranking.users if grouping.of_users else ranking.items]
        sizes = np.bincount(code, minlength=len(grouping.labels))
        sums = {name: np.bincount(code, weights=value, minlength=len(sizes)) for name, value in values.items()}
        table[grouping.name] = {
            label: {"num_pairs": int(sizes[g]), **{name: float(total[g] / sizes[g]) for name, total in sums.items()}}
            for g, label in enumerate(grouping.labels)
            if sizes[g]
        }
    return table


def groupings(interactions: Interactions, rows_train: NDArray[np.int64]) -> Iterator[Grouping]:
    """The slices a data set offers."""
    for column in interactions.user_features.values():
        grouped = _group_feature(column)
        if grouped is not None:
            yield Grouping(column.name, True, *grouped)
    user_counts = np.bincount(interactions.users[rows_train], minlength=interactions.num_users + 1)
    item_counts = np.bincount(interactions.items[rows_train], minlength=interactions.num_items + 1)
    bands = np.searchsorted(_ACTIVITY_BANDS, user_counts, side="right") - 1
    yield Grouping("user_activity", True, _band_labels(_ACTIVITY_BANDS), bands)
    yield Grouping("user_warmth", True, ["cold", "warm"], (user_counts > 0).astype(np.int64))
    yield Grouping("item_popularity", False, ["head", "mid", "tail"], popularity_buckets(item_counts))
    yield Grouping("item_warmth", False, ["cold", "warm"], (item_counts > 0).astype(np.int64))


def _by_position(interactions: Interactions, rows_given: NDArray[np.int64]) -> Grouping:
    """Users by the place of the item that comes after what they are known by."""
    given = np.bincount(interactions.users[rows_given], minlength=interactions.num_users + 1)
    bands = np.searchsorted(_POSITION_BANDS, given + 1, side="right") - 1
    return Grouping("session_position", True, _band_labels(_POSITION_BANDS), bands)


def popularity_buckets(item_counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """``[num_items + 1]`` 0 for head, 1 for mid, 2 for tail; an item never seen in training is tail."""
    order = np.argsort(-item_counts, kind="stable")
    sorted_counts = item_counts[order]
    held_by_more_popular = (np.cumsum(sorted_counts) - sorted_counts) / max(int(item_counts.sum()), 1)
    buckets = np.empty(len(item_counts), dtype=np.int64)
    buckets[order] = np.searchsorted((_HEAD_SHARE, _MID_SHARE), held_by_more_popular, side="right")
    return buckets


def _band_labels(starts: tuple[int, ...]) -> list[str]:
    ends = [next_start - 1 for next_start in starts[1:]]
    closed = [f"{low}" if low == high else f"{low}-{high}" for low, high in zip(starts[:-1], ends, strict=True)]
    return [*closed, f"{starts[-1]}+"]


def _group_feature(column: FeatureColumn) -> tuple[list[str], NDArray[np.int64]] | None:
    if column.kind is Kind.CATEGORICAL:
        return _by_category(column.values.astype(str))
    if column.kind is Kind.NUMERIC:
        return _by_band(column.values.astype(np.float64))
    return None


def _by_category(values: NDArray[np.str_]) -> tuple[list[str], NDArray[np.int64]] | None:
    names, codes = np.unique(np.where(values == "", UNKNOWN_GROUP, values), return_inverse=True)
    known = len(names) - int(UNKNOWN_GROUP in names)
    return (names.tolist(), codes) if 1 < known <= MAX_GROUPS else None


def _by_band(values: NDArray[np.float64]) -> tuple[list[str], NDArray[np.int64]] | None:
    known = values[~np.isnan(values)]
    distinct = np.unique(known)
    if len(distinct) < 2:
        return None
    # Quartiles of many values; of few, the values themselves. A band begins at its edge.
    edges = distinct if len(distinct) <= MAX_NUMERIC_GROUPS else np.unique(np.quantile(known, (0, 0.25, 0.5, 0.75)))
    codes = np.where(np.isnan(values), len(edges), np.searchsorted(edges, values, side="right") - 1)
    labels = [_span(values[codes == band]) for band in range(len(edges))]
    return [*labels, UNKNOWN_GROUP], codes


def _span(values: NDArray[np.float64]) -> str:
    return f"{values.min():g}" if values.min() == values.max() else f"{values.min():g}-{values.max():g}"
