"""The k-core of a data set: users and items with enough interactions among each other.

Papers often measure on a 5-core, which leaves out whom little is known of: easier than all of the data, and nothing
one could do to people in earnest. It is never applied unless asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import FeatureColumn, Interactions, Oracle
from recsys_tfrs.errors import DataError, UsageError


def core_rows(users: NDArray[np.int32], items: NDArray[np.int32], k: int) -> NDArray[np.int64]:
    """Rows of the largest part of the data in which every user and every item has at least k of them.

    It is unique, whatever is left out first (Seidman, "Network structure and minimum degree", Social Networks 1983).

    Args:
      users: ``[num_rows]`` internal ids.
      items: likewise.
      k: interactions that everybody and everything keeps at least.

    Returns:
      ``[num_rows_left]`` ascending row numbers; empty where there is no such part.

    Example:
      >>> core_rows(np.array([1, 1, 2, 2, 3]), np.array([1, 2, 1, 2, 2]), k=2).tolist()  # user 3 has one row
      [0, 1, 2, 3]
    """
    rows = np.arange(len(users), dtype=np.int64)
    while len(rows):
        enough = (np.bincount(users[rows]) >= k)[users[rows]] & (np.bincount(items[rows]) >= k)[items[rows]]
        if enough.all():
            break
        rows = rows[enough]
    return rows


def core(interactions: Interactions, k: int) -> Interactions:
    """The data set without users and items of fewer than k interactions, again and again until none is left.

    Who falls out leaves the catalogue, the features and the official folds as well; the others are numbered anew in
    the same order.

    Raises:
      UsageError: k is less than 1.
      DataError: fewer than two users or two items are left.
    """
    if k < 1:
        raise UsageError(f"data.core is {k}, but must be at least 1: the interactions every user and item keeps.")
    rows = _kept_rows(interactions, k)
    users, items = np.unique(interactions.users[rows]), np.unique(interactions.items[rows])
    if len(users) < 2 or len(items) < 2:
        most = min(np.bincount(interactions.users).max(), np.bincount(interactions.items).max())
        raise DataError(
            f"The {k}-core of {interactions.name} holds {len(users)} users and {len(items)} items, expected two of "
            f"each at least: take a smaller data.core (above {most} nothing can be left), or leave it out."
        )
    kept_users, kept_items = np.append(0, users), np.append(0, items)
    new_row = np.full(len(interactions), -1, dtype=np.int64)
    new_row[rows] = np.arange(len(rows))
    folds = {name: new_row[fold] for name, fold in interactions.official_folds.items()}
    cases = None if interactions.test_cases is None else new_row[interactions.test_cases]
    by_row: dict[str, Any] = {
        name: None if (values := getattr(interactions, name)) is None else values[rows]
        for name in ("ratings", "timestamps", "weights")
    }
    fewer = replace(
        interactions,
        users=np.searchsorted(kept_users, interactions.users[rows]).astype(np.int32),
        items=np.searchsorted(kept_items, interactions.items[rows]).astype(np.int32),
        user_ids=interactions.user_ids[kept_users],
        item_ids=interactions.item_ids[kept_items],
        user_features=_chosen(interactions.user_features, kept_users),
        item_features=_chosen(interactions.item_features, kept_items),
        context_features=_chosen(interactions.context_features, rows),
        official_folds={name: fold[fold >= 0] for name, fold in folds.items()},
        test_cases=None if cases is None else cases[cases >= 0],
        oracle=None if interactions.oracle is None else _among(interactions.oracle, kept_users, kept_items),
        **by_row,
    )
    note = (
        f"{k}-core: every user and item has at least {k} interactions. Left are {len(rows):,} of "
        f"{len(interactions):,} interactions, {len(users):,} of {interactions.num_users:,} users and {len(items):,} of "
        f"{interactions.num_items:,} items."
    )
    if interactions.test_cases is not None and fewer.test_cases is not None:
        left, before = len(fewer.test_cases), len(interactions.test_cases)
        note += f" Test cases do not count; {left:,} of {before:,} are left, those whose target is."
    return fewer.with_notes(note)


def _kept_rows(interactions: Interactions, k: int) -> NDArray[np.int64]:
    """Rows of the core, and of the test cases whose target is in it: these are asked with, and count for nothing."""
    users, items, cases = interactions.users, interactions.items, interactions.test_cases
    if cases is None:
        return core_rows(users, items, k)
    of_case = np.zeros(interactions.num_users + 1, dtype=bool)
    of_case[users[cases]] = True
    others = np.flatnonzero(~of_case[users])
    rows = others[core_rows(users[others], items[others], k)]
    is_left = np.zeros(interactions.num_items + 1, dtype=bool)
    is_left[items[rows]] = True
    asked = np.zeros(interactions.num_users + 1, dtype=bool)
    asked[users[cases[is_left[items[cases]]]]] = True
    return np.union1d(rows, np.flatnonzero(asked[users] & is_left[items]))


def _chosen(columns: Mapping[str, FeatureColumn], positions: NDArray[np.int64]) -> dict[str, FeatureColumn]:
    return {name: replace(column, values=column.values[positions]) for name, column in columns.items()}


def _among(oracle: Oracle, users: NDArray[np.int64], items: NDArray[np.int64]) -> Oracle:
    """The truth about those who are left, asked for and answered under their new numbers."""

    def truth(asked: NDArray[np.int32]) -> NDArray[np.float32]:
        return oracle(users[asked].astype(np.int32))[:, items]

    return truth
