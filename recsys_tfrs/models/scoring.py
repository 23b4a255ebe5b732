"""A retrieval model as a scorer of the whole catalogue, for evaluation."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories


class RetrievalModel(Protocol):
    """What evaluation, index and export need of a family."""

    def query_vectors(self, users: tf.Tensor, history: tf.RaggedTensor, ratings: tf.RaggedTensor | None) -> tf.Tensor:
        """``[batch, dim]`` vectors of internal user ids with their histories of internal item ids and ratings."""

    def candidate_vectors(self) -> tf.Tensor:
        """``[num_items + 1, dim]`` vectors by internal item id."""


def ragged_histories(histories: Histories, users: NDArray[np.int32]) -> tuple[tf.RaggedTensor, tf.RaggedTensor | None]:
    """``[batch, None]`` int32 items of several users, oldest first, and their float32 ratings where there are any."""
    _, position = histories.positions(users)
    lengths = tf.constant(histories.lengths[users])
    items = tf.RaggedTensor.from_row_lengths(tf.constant(histories.items[position]), lengths)
    if histories.ratings is None:
        return items, None
    return items, tf.RaggedTensor.from_row_lengths(tf.constant(histories.ratings[position]), lengths)


class RetrievalScorer:
    """Scores of a retrieval model with given histories.

    Args:
      model: the model; its candidate vectors are computed once, here.
      histories: what the queries know of each user.
    """

    def __init__(self, model: RetrievalModel, histories: Histories) -> None:
        self._histories = histories
        self._model = model
        self.candidates: NDArray[np.float32] = model.candidate_vectors().numpy().astype(np.float32)

    def queries(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """``[len(users), dim]`` query vectors."""
        vectors = self._model.query_vectors(tf.constant(users, tf.int32), *ragged_histories(self._histories, users))
        return np.asarray(vectors.numpy(), dtype=np.float32)

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """``[len(users), num_items + 1]`` scores by internal item id."""
        scores: NDArray[np.float32] = self.queries(users) @ self.candidates.T
        return scores
