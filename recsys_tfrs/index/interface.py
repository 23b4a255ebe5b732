"""What every index offers, and what every index asks of its vectors."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.errors import DataError
from recsys_tfrs.index.config import Kind

#: Score of a place in a list for which there is no candidate; its id is 0.
NO_CANDIDATE = -np.inf


class Index(Protocol):
    """Candidates with the largest dot products.

    Attributes:
      kind: how candidates are searched.
      num_items: size of the catalogue, without the reserved id 0.
      num_candidates: items that may be returned at all.
      build_seconds: time the construction took.
      num_bytes: memory of the index.
      custom_ops: prefixes of the operations an export needs beyond TensorFlow's own; empty for the exact index.
    """

    kind: Kind
    num_items: int
    num_candidates: int
    build_seconds: float
    num_bytes: int
    custom_ops: tuple[str, ...]

    def search(
        self,
        queries: tf.Tensor,
        k: int | tf.Tensor,
        excluded: tf.Tensor | None = None,
        allowed: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Find the `k` best candidates of each query, best first.

        Args:
          queries: ``[batch, dim]`` float32.
          k: length of the lists, at least 1; may be a scalar int32 tensor.
          excluded: ``[batch, any]`` int32 internal ids that are never returned; 0 excludes nothing.
          allowed: ``[batch, num_items + 1]`` bool, False where an item is never returned.

        Returns:
          ``(scores, ids)``, both ``[batch, k]``: float32 dot products and int32 internal ids. Where the candidates
          end before the list does, the id is 0 and the score `NO_CANDIDATE`.
        """
        ...


def checked_vectors(
    vectors: NDArray[Any] | tf.Tensor, allowed: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Candidate vectors fit to be indexed, and which of them may be returned.

    Args:
      vectors: ``[num_items + 1, dim]`` by internal id; row 0 is padding, and what it holds does not matter.
      allowed: ``[num_items + 1]`` False for items never to be returned; None allows all.

    Returns:
      float32 vectors, and the mask with False at row 0.

    Raises:
      DataError: wrong shapes, nothing that may be returned, or values that are not finite.
    """
    table = np.ascontiguousarray(vectors, dtype=np.float32)
    if table.ndim != 2 or table.shape[1] == 0:
        raise DataError(f"An index needs vectors of shape [num_items + 1, dim], got {list(table.shape)}.")
    mask = np.ones(len(table), dtype=np.bool_) if allowed is None else np.array(allowed, dtype=np.bool_)
    if mask.shape != (len(table),):
        raise DataError(f"The mask of allowed items has shape {list(mask.shape)}, expected [{len(table)}].")
    mask[:1] = False
    if not mask.any():
        raise DataError(
            "There is nothing to index: the catalogue is empty, or every item is masked out. Check the item table "
            "and the filter on it."
        )
    broken = np.flatnonzero(mask & ~np.isfinite(table).all(axis=1))
    if len(broken):
        raise DataError(
            f"The vectors of {len(broken)} items are not finite (the first is that of internal id {broken[0]}): the "
            "model has diverged. Train it with a lower learning rate, and check the item features for extreme values."
        )
    return table, mask
