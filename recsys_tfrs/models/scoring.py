"""A retrieval model as a scorer of the whole catalogue, for evaluation."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.gaps import gap_buckets
from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.data.interactions import Interactions


class RetrievalModel(Protocol):
    """What evaluation, index and export need of a family."""

    def query_vectors(
        self, users: tf.Tensor, history: tf.RaggedTensor, ratings: tf.RaggedTensor | None, rows: tf.Tensor | None
    ) -> tf.Tensor:
        """``[batch, dim]`` vectors of internal user ids, each asking with a history of internal item ids and ratings.

        `rows`, ``[batch]`` int64, are the interactions in whose context they ask, -1 for none; None: all for none.
        """

    def candidate_vectors(self) -> tf.Tensor:
        """``[num_items + 1, dim]`` vectors by internal item id."""


def ragged_histories(histories: Histories, users: NDArray[np.int32]) -> tuple[tf.RaggedTensor, tf.RaggedTensor | None]:
    """``[batch, None]`` int32 items of several users, oldest first, and their float32 ratings where there are any."""
    items = _ragged(histories, histories.items, users)
    return items, None if histories.ratings is None else _ragged(histories, histories.ratings, users)


def _ragged(histories: Histories, values: NDArray[Any], users: NDArray[np.int32]) -> tf.RaggedTensor:
    _, position = histories.positions(users)
    return tf.RaggedTensor.from_row_lengths(tf.constant(values[position]), tf.constant(histories.lengths[users]))


def asking_rows(interactions: Interactions, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """``[num_users + 1]`` for each user, the first of his `rows` in time; -1 where he has none.

    A user is measured as one list, asked for once: at the moment of the first interaction that is to be predicted, of
    which time and context are known and what was chosen is not.
    """
    test = build_histories(interactions, rows)
    asks = np.full(interactions.num_users + 1, -1, dtype=np.int64)
    has_any = test.lengths > 0
    asks[has_any] = test.rows[test.offsets[:-1][has_any]]
    return asks


class RetrievalScorer:
    """Scores of a retrieval model with given histories.

    Args:
      model: the model; its candidate vectors are computed once, here.
      histories: what the queries know of each user.
      asking: ``[num_users + 1]`` row of the interactions in whose context each user asks, see `asking_rows`; None:
        nothing is known of the moment.
    """

    def __init__(self, model: RetrievalModel, histories: Histories, asking: NDArray[np.int64] | None = None) -> None:
        self._histories = histories
        self._asking = asking
        self._model = model
        self._gaps = gap_buckets(histories) if getattr(model, "reads_gaps", False) else None
        self.candidates: NDArray[np.float32] = model.candidate_vectors().numpy().astype(np.float32)

    def queries(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """``[len(users), dim]`` query vectors."""
        items, ratings = ragged_histories(self._histories, users)
        rows = None if self._asking is None else tf.constant(self._asking[users])
        more = {} if self._gaps is None else {"gaps": _ragged(self._histories, self._gaps, users)}
        vectors = self._model.query_vectors(tf.constant(users, tf.int32), items, ratings, rows, **more)
        return np.asarray(vectors.numpy(), dtype=np.float32)

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """``[len(users), num_items + 1]`` scores by internal item id."""
        scores: NDArray[np.float32] = self.queries(users) @ self.candidates.T
        return scores
