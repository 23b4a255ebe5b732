"""Stretches of sequences that are trained on in one go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DataError


@dataclass(frozen=True)
class Pieces:
    """Stretches of histories, each an input and its target after the other.

    Attributes:
      histories: what they are stretches of.
      starts: ``[num_pieces]`` position of the first input in ``histories.items``.
      sizes: ``[num_pieces]`` targets of each.
    """

    histories: Histories
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def num_targets(self) -> int:
        """Targets of all pieces."""
        return int(self.sizes.sum())

    def by_size(self) -> Pieces:
        """The same, shortest first."""
        order = np.argsort(self.sizes, kind="stable")
        return Pieces(self.histories, self.starts[order], self.sizes[order])


def pieces(histories: Histories, max_length: int | None = None) -> Pieces:
    """Every history of two items or more, cut from its end into pieces of at most `max_length` targets.

    Every item but the first of a history is a target exactly once. The first target of a piece that is not the first is
    predicted from one item alone.

    Raises:
      DataError: no history holds two items.
    """
    sizes = np.maximum(histories.lengths - 1, 0)
    if not sizes.any():
        raise DataError(
            f"None of the {np.count_nonzero(histories.lengths):,} sequences to train on holds two items, so no item "
            "comes next: check which column is the user or session, or bring longer ones."
        )
    starts = histories.offsets[:-1][sizes > 0]
    sizes = sizes[sizes > 0]
    if max_length is None:
        return Pieces(histories, starts, sizes)
    count = -(-sizes // max_length)
    owner = np.repeat(np.arange(len(sizes)), count)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    first_size = sizes - (count - 1) * max_length
    offset = np.where(place > 0, first_size[owner] + (place - 1) * max_length, 0)
    return Pieces(histories, starts[owner] + offset, np.where(place > 0, max_length, first_size[owner]))
