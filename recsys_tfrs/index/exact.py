"""Exact search: every candidate is scored. Stock TensorFlow operations only."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.index.config import Kind
from recsys_tfrs.index.interface import NO_CANDIDATE, checked_vectors

#: Scores held at once, 128 MB of float32; larger batches are scored block by block.
BLOCK_SCORES = 1 << 25

#: Where so many queries fit a block, blocks are not provided for, which halves the graph.
LARGEST_BATCH = 1 << 14


class ExactIndex(tf.Module):
    """All dot products and the largest of them (see `recsys_tfrs.index.interface.Index`).

    Equal scores are ordered by lower id, as the evaluation orders them.

    Args:
      vectors: ``[num_items + 1, dim]`` by internal id; row 0 is padding and never returned.
      allowed: ``[num_items + 1]`` False for items never to be returned; None allows all.

    Raises:
      DataError: nothing that may be returned, or vectors that are not finite.
    """

    kind: Kind = "exact"
    custom_ops: tuple[str, ...] = ()

    def __init__(self, vectors: NDArray[Any] | tf.Tensor, allowed: NDArray[np.bool_] | None = None) -> None:
        super().__init__(name="exact_index")
        started = time.perf_counter()
        table, mask = checked_vectors(vectors, allowed)
        self.num_items = len(table) - 1
        self.num_candidates = int(mask.sum())
        self.num_bytes = table.nbytes + 4 * len(table)
        # Candidates side by side: so a product with a single query reads them in order, and is up to twice as fast.
        self._vectors = tf.Variable(np.ascontiguousarray(table.T), trainable=False, name="candidates")
        # Added to scores: of a single query that is cheaper than to choose between two values.
        self._handicap = tf.Variable(
            np.where(mask, np.float32(0), np.float32(NO_CANDIDATE)), trainable=False, name="handicap"
        )
        self.build_seconds = time.perf_counter() - started

    def search(
        self,
        queries: tf.Tensor,
        k: int | tf.Tensor,
        excluded: tf.Tensor | None = None,
        allowed: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Find the `k` best candidates of each query; see `Index.search`."""
        batch = tf.shape(queries)[0]
        rows = max(1, BLOCK_SCORES // (self.num_items + 1))
        k = tf.convert_to_tensor(k, tf.int32)
        if rows >= LARGEST_BATCH:
            return self._search(queries, k, excluded, allowed)
        scores, ids = tf.cond(
            batch <= rows,
            lambda: self._search(queries, k, excluded, allowed),
            lambda: self._search_in_blocks(queries, k, excluded, allowed, rows),
        )
        return scores, ids

    def _search(
        self, queries: tf.Tensor, k: tf.Tensor, excluded: tf.Tensor | None, allowed: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        scores = tf.matmul(queries, self._vectors) + self._handicap
        if allowed is not None:
            scores = tf.where(allowed, scores, NO_CANDIDATE)
        if excluded is not None:
            scores = _without(scores, excluded)
        length = tf.minimum(k, self.num_items + 1)
        best, ids = tf.math.top_k(scores, length)
        ids = tf.where(best > NO_CANDIDATE, ids, 0)
        missing = [[0, 0], [0, k - length]]
        return tf.pad(best, missing, constant_values=NO_CANDIDATE), tf.pad(ids, missing)

    def _search_in_blocks(
        self, queries: tf.Tensor, k: tf.Tensor, excluded: tf.Tensor | None, allowed: tf.Tensor | None, rows: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        blocks = (tf.shape(queries)[0] + rows - 1) // rows

        def one(block: tf.Tensor, scores: tf.TensorArray, ids: tf.TensorArray) -> tuple[Any, ...]:
            part = slice(block * rows, (block + 1) * rows)
            others = (None if given is None else given[part] for given in (excluded, allowed))
            found = self._search(queries[part], k, *others)
            return block + 1, scores.write(block, found[0]), ids.write(block, found[1])

        arrays = [tf.TensorArray(dtype, size=blocks, infer_shape=False) for dtype in (tf.float32, tf.int32)]
        _, scores, ids = tf.while_loop(lambda block, *_: block < blocks, one, [0, *arrays], parallel_iterations=1)
        return scores.concat(), ids.concat()


def _without(scores: tf.Tensor, excluded: tf.Tensor) -> tf.Tensor:
    """`scores` with `NO_CANDIDATE` at the excluded ids; ids out of range fall on column 0, which is none anyway."""
    known = (excluded > 0) & (excluded < tf.shape(scores)[1])
    columns = tf.where(known, excluded, 0)
    row = tf.broadcast_to(tf.range(tf.shape(columns)[0])[:, None], tf.shape(columns))
    where = tf.reshape(tf.stack([row, columns], axis=2), [-1, 2])
    return tf.tensor_scatter_nd_update(scores, where, tf.fill(tf.shape(where)[:1], NO_CANDIDATE))
