"""What the baselines share: the user-item matrix, and what becomes of users and items nothing is known about."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys_tfrs.data.histories import Histories

#: Score of an item without training interactions: below everything, yet finite.
LOWEST = np.float32(np.finfo(np.float32).min)


class Baseline(Protocol):
    """A recommender that is fitted on histories and scores the whole catalogue."""

    def refusal(self, histories: Histories) -> str | None:
        """Why these histories cannot be fitted in reasonable memory and time, or None."""
        ...

    def fit(self, histories: Histories) -> None:
        """Learn from every user's training items."""
        ...

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores ``[len(users), num_items + 1]``, higher is better."""
        ...


def user_item_matrix(histories: Histories) -> csr_matrix:
    """``[num_users + 1, num_items + 1]`` float32 with 1 for every item of a user, however often it occurs."""
    matrix = csr_matrix(
        (np.ones(len(histories.items), dtype=np.float32), histories.items, histories.offsets),
        shape=(histories.num_users + 1, histories.num_items + 1),
        copy=True,
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def item_counts(histories: Histories) -> NDArray[np.float32]:
    """``[num_items + 1]`` interactions of each item."""
    return np.bincount(histories.items, minlength=histories.num_items + 1).astype(np.float32)


def apply_fallbacks(
    scores: NDArray[np.float32], counts: NDArray[np.float32], without_history: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Popularity for users without history, `LOWEST` for items without interactions; changes `scores`.

    Args:
      scores: ``[num_users_asked, num_items + 1]``.
      counts: ``[num_items + 1]`` training interactions of each item.
      without_history: ``[num_users_asked]``.
    """
    scores[without_history] = counts
    scores[:, counts == 0] = LOWEST
    return scores
