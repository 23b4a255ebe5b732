"""The same for everybody: what most have taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.baselines.matrix import item_counts
from recsys_tfrs.data.histories import Histories


@dataclass(frozen=True)
class PopularityConfig:
    """Popularity has nothing to set."""


class Popularity:
    """Scores an item by its number of training interactions."""

    def __init__(self, config: PopularityConfig | None = None) -> None:
        self.config = config or PopularityConfig()

    def refusal(self, histories: Histories) -> str | None:
        """None: counting always works."""
        return None

    def fit(self, histories: Histories) -> None:
        """Count every item's interactions."""
        self._counts = item_counts(histories)

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """``[len(users), num_items + 1]``, one row repeated (a read-only view)."""
        return np.broadcast_to(self._counts, (len(users), len(self._counts)))
