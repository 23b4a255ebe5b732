"""iALS: matrix factorisation by alternating least squares on implicit feedback, through `implicit`.

Hu, Koren & Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008. Its strength depends on the
regularisation: Rendle et al., "Revisiting the Performance of iALS on Item Recommendation Benchmarks", RecSys 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recsys_tfrs.baselines.matrix import apply_fallbacks, item_counts, user_item_matrix
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DataError

#: One fit of 32 factors then takes a few minutes of one core.
MAX_ROWS = 50_000_000


@dataclass(frozen=True)
class IALSConfig:
    """Settings of `IALS`.

    Attributes:
      factors: dimensions of the vectors.
      regularization: ridge penalty, the same for every user and item.
      alpha: confidence of an observed interaction, where an unobserved one has 1.
      iterations: passes over users and items.
      seed: of the initial vectors.
      num_threads: 0 for all cores; the result does not depend on it.
    """

    factors: int = 32
    regularization: float = 10.0
    alpha: float = 1.0
    iterations: int = 15
    seed: int = 0
    num_threads: int = 0


class IALS:
    """Scores an item by the inner product of user and item vector."""

    def __init__(self, config: IALSConfig | None = None) -> None:
        self.config = config or IALSConfig()

    def refusal(self, histories: Histories) -> str | None:
        """A reason where there are more rows than `MAX_ROWS`."""
        num_rows = len(histories.items)
        return None if num_rows <= MAX_ROWS else f"iALS would take too long on {num_rows:,} rows (limit {MAX_ROWS:,})"

    def fit(self, histories: Histories) -> None:
        """Alternate between solving for users and for items.

        Raises:
          DataError: see `refusal`.
        """
        reason = self.refusal(histories)
        if reason is not None:
            raise DataError(f"{reason}. Use fewer rows, or leave this baseline out.")
        from implicit.als import AlternatingLeastSquares

        config = self.config
        self._counts = item_counts(histories)
        self._has_history = histories.lengths > 0
        # implicit runs its own threads over rows; a BLAS that starts threads inside them is many times slower.
        with threadpool_limits(limits=1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=config.factors,
                regularization=config.regularization,
                alpha=config.alpha,
                iterations=config.iterations,
                random_state=config.seed,
                num_threads=config.num_threads,
            )
            model.fit(user_item_matrix(histories), show_progress=False)
        self._user_factors = np.asarray(model.user_factors)
        self._item_factors = np.asarray(model.item_factors)

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """``[len(users), num_items + 1]`` inner products."""
        scores = self._user_factors[users] @ self._item_factors.T
        return apply_fallbacks(scores, self._counts, ~self._has_history[users])
