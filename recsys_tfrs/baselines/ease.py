"""EASE: a linear item-item model with a closed form, and hard to beat.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs

from recsys_tfrs.baselines.matrix import apply_fallbacks, item_counts, user_item_matrix
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DataError

#: Up to this many items everything is float64; above, float32, at half the memory and time.
_FLOAT64_ITEMS = 4_000


@dataclass(frozen=True)
class EASEConfig:
    """Settings of `EASE`.

    Attributes:
      l2: the ridge penalty lambda, in units of co-occurrences.
      max_items: refuse more items with training interactions than this; memory grows with the square, time with the
        cube (12,000: about 3 GB and half a minute of two cores).
    """

    l2: float = 500.0
    max_items: int = 12_000


class EASE:
    """Regresses every item on all others: ``X ~ X B`` with ``diag(B) = 0`` and a ridge penalty on B."""

    def __init__(self, config: EASEConfig | None = None) -> None:
        self.config = config or EASEConfig()
        if self.config.l2 <= 0:
            raise ValueError(f"l2 is {self.config.l2}, but must be positive for the Gram matrix to have an inverse.")

    def refusal(self, histories: Histories) -> str | None:
        """A reason with the memory needed, where there are more items than `EASEConfig.max_items`."""
        num_items = len(np.unique(histories.items))
        if num_items <= self.config.max_items:
            return None
        # The Gram matrix (sparse while it is summed up, then dense), its inverse, and the weights.
        gigabytes = num_items**2 * (8 + 3 * 4) / 1e9
        return (
            f"EASE inverts an item-item matrix: {num_items:,} items need about {gigabytes:.1f} GB "
            f"(limit {self.config.max_items:,} items)"
        )

    def fit(self, histories: Histories) -> None:
        """Solve Steck's equation 8: ``B = -P / diag(P)`` off the diagonal, ``P = (X'X + l2 I)^-1``.

        Raises:
          DataError: see `refusal`.
        """
        reason = self.refusal(histories)
        if reason is not None:
            raise DataError(f"{reason}. Raise max_items, or leave this baseline out.")
        users = user_item_matrix(histories)
        self._counts = item_counts(histories)
        self._fitted = np.flatnonzero(self._counts)
        self._users = users[:, self._fitted]
        dtype = np.float64 if len(self._fitted) <= _FLOAT64_ITEMS else np.float32
        gram = (self._users.T @ self._users).toarray().astype(dtype, copy=False)
        gram[np.diag_indices_from(gram)] += self.config.l2
        inverse = _inverse(gram)
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        self._weights = weights.astype(np.float32, copy=False)

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """``[len(users), num_items + 1]``: the user's row of X times B."""
        history = self._users[users]
        scores = np.zeros((len(users), len(self._counts)), dtype=np.float32)
        scores[:, self._fitted] = history @ self._weights
        return apply_fallbacks(scores, self._counts, np.diff(history.indptr) == 0)


def _inverse(positive_definite: NDArray[np.floating]) -> NDArray[np.floating]:
    """Inverse through Cholesky, a third of the work of a general one; overwrites its argument."""
    potrf, potri = get_lapack_funcs(("potrf", "potri"), (positive_definite,))
    factor, failed = potrf(positive_definite.T, lower=True, overwrite_a=True, clean=True)
    if not failed:
        lower, failed = potri(factor, lower=True, overwrite_c=True)
    if failed:
        raise DataError("EASE's Gram matrix is not positive definite in this precision: raise l2.")
    inverse: NDArray[np.floating] = lower + lower.T
    inverse[np.diag_indices_from(inverse)] /= 2
    return inverse
