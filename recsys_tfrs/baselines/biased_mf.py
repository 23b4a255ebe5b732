"""Biased matrix factorization with SVD++'s implicit part, fitted to ratings by alternating least squares.

Koren, "Factorization Meets the Neighborhood", KDD 2008, equation 15::

    r_ui = mu + b_u + c_i + q_i . (p_u + |N(u)|^-1/2 sum_{j in N(u)} y_j)

What a user has rated shifts his factors whatever he gave, and p_u says how he differs from that. Koren descends along
single ratings, which costs a user the square of his ratings in every pass; here every pass is three ridge regressions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys_tfrs.baselines.matrix import apply_fallbacks, item_counts, user_item_matrix
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DataError

Floats = NDArray[np.float64]

#: One fit of 40 factors then takes about ten minutes of two cores.
MAX_ROWS = 25_000_000

#: Who has n ratings pays the penalty n to this power: between one penalty each, which holds back the busy too little,
#: and one for every rating, which holds back everybody alike.
_COUNT_POWER = 0.5

#: Numbers in one padded block of vectors: 32 MB of float64.
_BLOCK_NUMBERS = 1 << 22

#: Lists of ratings are padded to the longest of their block, which is at most this many times the shortest.
_PADDING = 1.25

#: Steps of conjugate gradients for the y of each pass, which start from those of the pass before.
_CG_STEPS = 4


@dataclass(frozen=True)
class BiasedMFConfig:
    """Settings of `BiasedMF`.

    Attributes:
      factors: dimensions of the vectors.
      regularization: penalty of squared biases, p_u and q_i, ratings being scaled to variance 1; an entity with n
        ratings pays it times the root of n.
      implicit_penalty: penalty of the squared y_j, as a multiple of `regularization`; None leaves the y out.
      iterations: passes over users and items.
      seed: of the initial vectors.
    """

    factors: int = 40
    regularization: float = 1.4
    implicit_penalty: float | None = 30.0
    iterations: int = 15
    seed: int = 0


class BiasedMF:
    """Predicts ratings, and ranks by them.

    With ``x_u = p_u + |N(u)|^-1/2 sum y_j`` the penalty of p_u pulls x_u towards the implicit part, and the y are a
    ridge regression of all x_u on what the users have rated. So each pass solves for biases and x of all users, for
    the y, and for biases and q of all items, every time with the others' answers held fixed.
    """

    def __init__(self, config: BiasedMFConfig | None = None) -> None:
        self.config = config or BiasedMFConfig()
        for name in ("regularization", "implicit_penalty"):
            value = getattr(self.config, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}, but must be positive for every regression to have an answer.")

    def refusal(self, histories: Histories) -> str | None:
        """A reason where there are no ratings, all are the same, or there are more than `MAX_ROWS`."""
        num_rows, ratings = len(histories.items), histories.ratings
        if ratings is None:
            return "it predicts ratings, and the data has none"
        if ratings.min() == ratings.max():
            return f"it predicts ratings, and every one in the data is {ratings[0]:g}"
        if num_rows > MAX_ROWS:
            return f"it would take too long on {num_rows:,} ratings (limit {MAX_ROWS:,})"
        return None

    def fit(self, histories: Histories) -> None:
        """Alternate between users, implicit part and items.

        Raises:
          DataError: see `refusal`.
        """
        reason = self.refusal(histories)
        if reason is not None or histories.ratings is None:
            raise DataError(f"biased_mf cannot be fitted: {reason}. Leave this baseline out.")
        config = self.config
        self._counts = item_counts(histories)
        self._has_history = histories.lengths > 0
        self._range = float(histories.ratings.min()), float(histories.ratings.max())
        self._mean = float(histories.ratings.mean(dtype=np.float64))
        self._deviation = float(histories.ratings.std(dtype=np.float64))
        standardized = csr_matrix(
            ((histories.ratings - self._mean) / self._deviation, histories.items, histories.offsets),
            shape=(histories.num_users + 1, histories.num_items + 1),
            dtype=np.float64,
        )
        of_users, of_items = _Side(standardized), _Side(standardized.T.tocsr())
        implicit = _Implicit(histories, config)
        # The first number of a vector is the bias, which meets a constant 1 on the other side.
        users = np.zeros((histories.num_users + 1, 1 + config.factors))
        items = np.zeros((histories.num_items + 1, 1 + config.factors))
        drawn = np.random.default_rng(config.seed).normal(scale=config.factors**-0.5, size=items[:, 1:].shape)
        items[:, 1:] = np.where(self._counts[:, None] > 0, drawn, 0.0)
        nowhere, prior = np.zeros_like(items), np.zeros_like(users)
        for _ in range(config.iterations):
            users = of_users.solve(items, prior, config.regularization)
            prior[:, 1:] = implicit.regress(users[:, 1:])
            items = of_items.solve(users, nowhere, config.regularization)
        self._users, self._items = of_users.solve(items, prior, config.regularization), items

    def predicted_ratings(
        self, users: NDArray[np.integer], items: NDArray[np.integer], histories: Histories | None = None
    ) -> NDArray[np.float32]:
        """``[num_pairs]`` ratings, held within the range of the training ratings.

        A user or an item without training rows adds nothing: of two of them the mean rating is predicted.

        Args:
          users: ``[num_pairs]`` internal ids.
          items: likewise.
          histories: of no matter; what a user has rated is in his vector.
        """
        of_users, of_items = self._users[users], self._items[items]
        standardized = of_users[:, 0] + of_items[:, 0] + np.einsum("nd,nd->n", of_users[:, 1:], of_items[:, 1:])
        predicted = np.clip(self._mean + self._deviation * standardized, *self._range)
        return np.asarray(predicted, dtype=np.float32)

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """``[len(users), num_items + 1]`` predicted ratings, not held within any range."""
        of_users = self._users[users]
        standardized = of_users[:, :1] + self._items[:, 0] + of_users[:, 1:] @ self._items[:, 1:].T
        scores = np.asarray(self._mean + self._deviation * standardized, dtype=np.float32)
        return apply_fallbacks(scores, self._counts, ~self._has_history[users])


class _Side:
    """The ratings of all users, or of all items, each with a regression of its own."""

    def __init__(self, ratings: csr_matrix) -> None:
        self._ratings = ratings
        self._blocks = list(_blocks(np.diff(ratings.indptr)))

    def solve(self, others: Floats, prior: Floats, regularization: float) -> Floats:
        """``[num_entities, 1 + factors]`` biases and vectors, given those of the other side.

        Each minimises ``sum (r - b - c - x . v)^2 + n^power regularization (b^2 + |x - prior|^2)`` over its n ratings.

        Args:
          others: ``[num_others, 1 + factors]`` biases c and vectors v.
          prior: ``[num_entities, 1 + factors]`` what biases and vectors are pulled to.
          regularization: penalty of one rating.
        """
        width = others.shape[1]
        solved = np.zeros_like(prior)
        # What pads a list is a row of zeros, which adds nothing to any sum.
        features = np.concatenate([others, np.zeros((1, width))])
        features[:-1, 0] = 1.0
        residuals = np.append(self._ratings.data - others[self._ratings.indices, 0], 0.0)
        columns = np.append(self._ratings.indices, len(others))
        for entities, length in self._blocks:
            step = max(1, _BLOCK_NUMBERS // (max(length, width) * width))
            for chosen in (entities[low : low + step] for low in range(0, len(entities), step)):
                start = self._ratings.indptr[chosen]
                count = self._ratings.indptr[chosen + 1] - start
                place = np.arange(length)
                row = np.where(place < count[:, None], start[:, None] + place, len(columns) - 1)
                block = features[columns[row]]  # [entities, length, width]
                transposed = block.transpose(0, 2, 1)
                error = residuals[row][..., None] - block @ prior[chosen][..., None]
                penalty = (regularization * count**_COUNT_POWER)[:, None, None]
                if length < width:  # (F'F + p I)^-1 F' = F' (FF' + p I)^-1, the smaller system of the two
                    kernel = block @ transposed + penalty * np.eye(length)
                    change = transposed @ np.linalg.solve(kernel, error)
                else:
                    change = np.linalg.solve(transposed @ block + penalty * np.eye(width), transposed @ error)
                solved[chosen] = prior[chosen] + change[..., 0]
        return solved


def _blocks(lengths: NDArray[np.integer]) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Entities that have ratings, in groups whose lists can be padded to the longest at little cost, and its length."""
    order = np.argsort(lengths, kind="stable")
    ascending = lengths[order]
    low = int(np.searchsorted(ascending, 1))
    while low < len(order):
        high = int(np.searchsorted(ascending, int(ascending[low] * _PADDING), side="right"))
        yield order[low:high], int(ascending[high - 1])
        low = high


class _Implicit:
    """The regression of the users' vectors on which items they have rated.

    Minimises ``sum_u n_u^power |x_u - |N(u)|^-1/2 sum_{j in N(u)} y_j|^2 + penalty sum_j |y_j|^2``.
    """

    def __init__(self, histories: Histories, config: BiasedMFConfig) -> None:
        self._penalty = config.implicit_penalty
        self._y = np.zeros((histories.num_items + 1, config.factors))
        self._rated = user_item_matrix(histories).astype(np.float64)
        self._raters = self._rated.T.tocsr()
        self._importance = (histories.lengths.astype(np.float64) ** _COUNT_POWER)[:, None]
        self._share = np.maximum(np.diff(self._rated.indptr), 1)[:, None] ** -0.5

    def regress(self, vectors: Floats) -> Floats:
        """``[num_users + 1, factors]`` the implicit part of every user, of the y that explain his and all vectors best.

        Conjugate gradients on the normal equations, each factor on its own, from the last answer.
        """
        if self._penalty is None:
            return np.zeros_like(vectors)
        rest = self._gradient(vectors - self._sums()) - self._penalty * self._y
        direction, square = rest, (rest**2).sum(axis=0)
        for _ in range(_CG_STEPS):
            curved = self._gradient(self._share * (self._rated @ direction)) + self._penalty * direction
            step = square / np.maximum((direction * curved).sum(axis=0), np.finfo(np.float64).tiny)
            self._y = self._y + step * direction
            rest = rest - step * curved
            before, square = square, (rest**2).sum(axis=0)
            direction = rest + square / np.maximum(before, np.finfo(np.float64).tiny) * direction
        return self._sums()

    def _sums(self) -> Floats:
        sums: Floats = self._share * (self._rated @ self._y)
        return sums

    def _gradient(self, of_users: Floats) -> Floats:
        gathered: Floats = self._raters @ (self._importance * self._share * of_users)
        return gathered
