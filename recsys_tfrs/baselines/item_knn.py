"""Items like those a user already has: neighbourhoods over item-item similarity, through `implicit`.

Sarwar et al., "Item-based Collaborative Filtering Recommendation Algorithms", WWW 2001; Deshpande & Karypis,
"Item-based Top-N Recommendation Algorithms", TOIS 2004.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from implicit.nearest_neighbours import all_pairs_knn, bm25_weight, normalize, tfidf_weight
from numpy.typing import NDArray

from recsys_tfrs.baselines.matrix import apply_fallbacks, item_counts, user_item_matrix
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DataError

Weighting = Literal["cosine", "tfidf", "bm25"]

#: Pairs of items within one user's history, summed over users: about two minutes of one core.
MAX_ITEM_PAIRS = 20_000_000_000

#: Times an item's share of interactions: orders items without any similarity, too little to reorder others.
_POPULARITY_WEIGHT = np.float32(1e-9)


@dataclass(frozen=True)
class ItemKNNConfig:
    """Settings of `ItemKNN`.

    Attributes:
      k: neighbours kept for each item of the history.
      weighting: of the user-item matrix before the inner products. ``cosine``: item vectors of length one. ``tfidf``:
        users with many items count less, then cosine. ``bm25``: the same with saturation (K1 1.2, B 0.75).
      num_threads: 0 for all cores.
    """

    k: int = 100
    weighting: Weighting = "tfidf"
    num_threads: int = 0


class ItemKNN:
    """Scores an item by the summed similarity to the user's items that have it among their k nearest."""

    def __init__(self, config: ItemKNNConfig | None = None) -> None:
        self.config = config or ItemKNNConfig()

    def refusal(self, histories: Histories) -> str | None:
        """A reason where counting common users would take longer than minutes."""
        pairs = int((histories.lengths**2).sum())
        if pairs <= MAX_ITEM_PAIRS:
            return None
        return (
            f"item-kNN would compare {pairs:,} pairs of items (limit {MAX_ITEM_PAIRS:,}): some histories are too long"
        )

    def fit(self, histories: Histories) -> None:
        """Find every item's neighbours.

        Raises:
          DataError: see `refusal`.
        """
        reason = self.refusal(histories)
        if reason is not None:
            raise DataError(f"{reason}. Use fewer rows, or leave this baseline out.")
        self._users = user_item_matrix(histories)
        self._counts = item_counts(histories)
        weighted = _weigh(self._users, self.config.weighting).astype(np.float64)
        # An item is its own nearest neighbour, which says nothing: one more, then none.
        similarity = all_pairs_knn(
            weighted, self.config.k + 1, num_threads=self.config.num_threads, show_progress=False
        ).tocsr()
        similarity.setdiag(0.0)
        similarity.eliminate_zeros()
        self._similarity = similarity.astype(np.float32)

    def ask_with(self, known: Histories) -> None:
        """Take these as what users had done before they ask, fitting nothing."""
        self._users = user_item_matrix(known)

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """``[len(users), num_items + 1]``; items similar to none of the history follow by popularity."""
        history = self._users[users]
        scores = (history @ self._similarity).toarray()
        scores += _POPULARITY_WEIGHT / max(float(self._counts.sum()), 1.0) * self._counts
        return apply_fallbacks(scores, self._counts, np.diff(history.indptr) == 0)


def _weigh(users: Any, weighting: Weighting) -> Any:
    """``[num_users + 1, num_items + 1]`` sparse matrix whose item columns are compared."""
    by_item = users.T.tocsr()
    if weighting == "cosine":
        weighted = normalize(by_item)
    elif weighting == "tfidf":
        # A user who has every item weighs nothing, and an item known from such users only has no direction.
        with np.errstate(invalid="ignore"):
            weighted = normalize(tfidf_weight(by_item))
        weighted.data = np.nan_to_num(weighted.data)
    elif weighting == "bm25":
        weighted = bm25_weight(by_item, 1.2, 0.75)
    else:
        raise ValueError(f"weighting is cosine, tfidf or bm25, not {weighting!r}.")
    return weighted.T.tocsr()
