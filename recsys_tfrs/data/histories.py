"""Each user's items in time order, as a compressed sparse row table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import Interactions


@dataclass(frozen=True)
class Histories:
    """Items of every user, oldest first.

    Attributes:
      offsets: ``[num_users + 2]`` int64; the items of user ``u`` are ``items[offsets[u]:offsets[u + 1]]``. User 0
        is the unknown one and has none.
      items: ``[num_rows]`` int32 internal item ids.
      ratings: ``[num_rows]`` float32 aligned with `items`, or None.
      timestamps: ``[num_rows]`` int64 aligned with `items`, or None.
      weights: ``[num_rows]`` float32 aligned with `items`, how much each counts in training, or None.
      rows: ``[num_rows]`` int64 row numbers in the `Interactions` they came from.
      num_items: size of the catalogue.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    ratings: NDArray[np.float32] | None
    timestamps: NDArray[np.int64] | None
    rows: NDArray[np.int64]
    num_items: int
    weights: NDArray[np.float32] | None = None

    @property
    def num_users(self) -> int:
        """Users of the data set, with or without a history here."""
        return len(self.offsets) - 2

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``[num_users + 1]`` number of items of each user."""
        return np.diff(self.offsets)

    def of(self, user: int) -> NDArray[np.int32]:
        """``[length]`` int32 items of one user, oldest first."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def positions(self, users: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the items of several users stand, without a loop over users.

        Returns:
          ``(owner, position)``, both ``[total]``: entry j says that ``items[position[j]]`` belongs to
          ``users[owner[j]]``.
        """
        starts = self.offsets[users]
        counts = self.offsets[users + 1] - starts
        owner = np.repeat(np.arange(len(users), dtype=np.int64), counts)
        first = np.cumsum(counts) - counts
        return owner, np.arange(counts.sum(), dtype=np.int64) - first[owner] + starts[owner]


def build_histories(interactions: Interactions, rows: NDArray[np.int64]) -> Histories:
    """Group the chosen rows by user, stably sorted by time and then by file order.

    Args:
      interactions: the data set.
      rows: ``[num_rows]`` row numbers, in any order.
    """
    rows = np.sort(rows)
    users = interactions.users[rows]
    if interactions.timestamps is None:
        order = np.argsort(users, kind="stable")
    else:
        order = np.lexsort((interactions.timestamps[rows], users))
    rows = rows[order]
    offsets = np.zeros(interactions.num_users + 2, dtype=np.int64)
    np.cumsum(np.bincount(users, minlength=interactions.num_users + 1), out=offsets[1:])
    return Histories(
        offsets=offsets,
        items=interactions.items[rows],
        ratings=None if interactions.ratings is None else interactions.ratings[rows],
        timestamps=None if interactions.timestamps is None else interactions.timestamps[rows],
        rows=rows,
        num_items=interactions.num_items,
        weights=None if interactions.weights is None else interactions.weights[rows],
    )
