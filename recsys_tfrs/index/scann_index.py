"""Approximate search with ScaNN: quantised scores, optionally in the nearest leaves of a tree only.

ScaNN finds candidates by their codes; their exact scores are computed here, from the one float table the index holds.
Left to ScaNN, exact scores would cost a second copy of that table inside its searcher, and be slower. SOAR is left out:
docs/vector_index.md says why.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.index.config import IndexConfig, Kind
from recsys_tfrs.index.interface import NO_CANDIDATE, checked_vectors
from recsys_tfrs.index.scann_builder import build_state, load_scann
from recsys_tfrs.index.scann_searcher import ScannSearcher

__all__ = ["ScannIndex", "load_scann"]

#: Items the searched leaves hold on average, as a multiple of the list asked for, so that lists come out full.
_LEAF_SLACK = 4

#: Queries that one thread answers sooner than several.
_ONE_THREAD = 8

#: Comparisons of found with excluded ids made all at once; where there are more, a search of sorted ids is cheaper.
_COMPARED_AT_ONCE = 1 << 22


class ScannIndex(tf.Module):
    """Quantised search with exact scores for the best (see `recsys_tfrs.index.interface.Index`).

    Scores are exact dot products, since the best quantised candidates are scored again; which candidates are found is
    approximate. Excluded ids are left out by fetching as many candidates more as a row excludes, so that lists are
    full. `allowed` per request is applied to what was found: the fewer items it keeps the more are fetched, which
    costs time, and a list can still come out short. A filter that keeps few items wants the exact index.

    Args:
      vectors: ``[num_items + 1, dim]`` by internal id; row 0 is padding and never returned.
      config: of ScaNN.
      kind: with or without a tree.
      allowed: ``[num_items + 1]`` False for items never to be returned; None allows all.

    Attributes:
      num_leaves: of the tree, 1 where there is none.
      leaves_to_search: per query.
      reorder: candidates of a query that get exact scores.

    Raises:
      DataError: nothing that may be returned, or vectors that are not finite.
      ConfigError: settings that ScaNN's TensorFlow operations cannot build.
      MissingExtraError: ScaNN cannot be imported.
    """

    custom_ops = ("Scann>",)

    def __init__(
        self,
        vectors: NDArray[Any] | tf.Tensor,
        config: IndexConfig | None = None,
        kind: Literal["scann-flat", "scann-tree"] = "scann-tree",
        allowed: NDArray[np.bool_] | None = None,
    ) -> None:
        super().__init__(name="scann_index")
        config = config or IndexConfig()
        load_scann()
        started = time.perf_counter()
        table, mask = checked_vectors(vectors, allowed)
        self.kind: Kind = kind
        self.num_items = len(table) - 1
        self.num_candidates = int(np.count_nonzero(mask))
        self.num_leaves = _num_leaves(config, self.num_candidates) if kind == "scann-tree" else 1
        self.leaves_to_search = min(config.leaves_to_search or -(-self.num_leaves // 20), self.num_leaves)
        self.reorder = config.reorder
        self._int8_reorder = config.int8_reorder or 0
        self._has_leaves = kind == "scann-tree" and not config.autopilot
        # Where every item is a candidate, positions are ids less one, and the rows are a view.
        ids = None if self.num_candidates == self.num_items else np.flatnonzero(mask).astype(np.int32)
        state = build_state(
            table[1:] if ids is None else table[ids], config, kind, self.num_leaves, self.leaves_to_search
        )
        self._ids = None if ids is None else tf.Variable(ids, trainable=False, name="ids")
        self._vectors = tf.Variable(table, trainable=False, name="candidates")
        self._searcher = ScannSearcher(state)
        self.num_bytes = table.nbytes + (0 if ids is None else ids.nbytes) + 2 * self._searcher.state_bytes
        self.build_seconds = time.perf_counter() - started

    def search(
        self,
        queries: tf.Tensor,
        k: int | tf.Tensor,
        excluded: tf.Tensor | None = None,
        allowed: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Find about the `k` best candidates of each query; see `Index.search`."""
        return self.search_with(queries, k, self.leaves_to_search, self.reorder, excluded, allowed)

    def search_with(
        self,
        queries: tf.Tensor,
        k: int | tf.Tensor,
        leaves: int | tf.Tensor,
        reorder: int | tf.Tensor,
        excluded: tf.Tensor | None = None,
        allowed: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`search` with other numbers of leaves searched and of candidates scored exactly than those configured."""
        k = wanted = tf.convert_to_tensor(k, tf.int32)
        if excluded is not None:
            most_excluded = tf.reduce_max(tf.math.count_nonzero(excluded, axis=1, dtype=tf.int32))
            wanted += tf.maximum(most_excluded, 0)  # of an empty batch the maximum is the smallest int32
        if allowed is not None:
            wanted = self._more_for(wanted, allowed)
        scores, ids = self._fetch(queries, wanted, tf.convert_to_tensor(leaves), tf.convert_to_tensor(reorder))
        keep = ids > 0
        if excluded is not None:
            keep &= ~_member(ids, excluded)
        if allowed is not None:
            keep &= tf.gather(allowed, ids, batch_dims=1)
        best, position = tf.math.top_k(tf.where(keep, scores, NO_CANDIDATE), k)
        ids = tf.gather(ids, position, batch_dims=1)
        return best, tf.where(best > NO_CANDIDATE, ids, 0)

    def _more_for(self, wanted: tf.Tensor, allowed: tf.Tensor) -> tf.Tensor:
        """How many to fetch so that about twice `wanted` of them are allowed in the row that allows the fewest."""
        kept = tf.math.count_nonzero(allowed, axis=1, dtype=tf.int32)
        fewest = tf.maximum(tf.reduce_min(tf.concat([kept, [self.num_items]], 0)), 1)
        more = 2.0 * tf.cast(wanted, tf.float64) * self.num_items / tf.cast(fewest, tf.float64)
        most = float(self.num_candidates)
        return tf.maximum(wanted, tf.cast(tf.minimum(more, most), tf.int32))

    def _fetch(
        self, queries: tf.Tensor, wanted: tf.Tensor, leaves: tf.Tensor, reorder: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """``[batch, at least wanted]`` exact scores and internal ids; id 0 where ScaNN found fewer."""
        if self._has_leaves:
            # In floating point: the product of large lists and many leaves is no int32.
            share = tf.cast(wanted, tf.float64) * (_LEAF_SLACK * self.num_leaves / self.num_candidates)
            needed = tf.cast(tf.minimum(share, float(self.num_leaves)), tf.int32) + 1
            leaves = tf.clip_by_value(needed, leaves, self.num_leaves)
        ids = self.candidates(queries, tf.maximum(wanted, reorder), leaves)
        ids = tf.pad(ids, [[0, 0], [0, tf.maximum(wanted - tf.shape(ids)[1], 0)]])
        return tf.linalg.matvec(tf.gather(self._vectors, ids), queries), ids

    def candidates(self, queries: tf.Tensor, count: int | tf.Tensor, leaves: int | tf.Tensor) -> tf.Tensor:
        """``[batch, at most count]`` internal ids in the order of ScaNN's own, quantised scores; 0 for none."""
        batch = tf.shape(queries)[0]
        # ScaNN refuses an empty batch. A single query would only wait for several threads.
        padded = tf.pad(queries, [[0, tf.cast(batch == 0, tf.int32)], [0, 0]])
        pre_reorder = tf.maximum(count, self._int8_reorder)
        leaves = leaves if self._has_leaves else -1
        found, quantised = self._searcher.search(padded, count, pre_reorder, leaves, batch > _ONE_THREAD)
        # Where a row's leaves hold fewer items than asked for, ScaNN fills up with scores that are not numbers.
        ids = found + 1 if self._ids is None else tf.gather(self._ids, found)
        return tf.where(tf.math.is_finite(quantised), ids, 0)[:batch]


def _num_leaves(config: IndexConfig, num_candidates: int) -> int:
    return max(1, min(config.num_leaves or round(2 * num_candidates**0.5), num_candidates))


def _member(ids: tf.Tensor, of: tf.Tensor) -> tf.Tensor:
    """``[batch, n]`` True where an id occurs in its row of `of`, without a large ``[batch, n, m]`` tensor."""
    comparisons = tf.size(ids, tf.int64) * tf.shape(of, tf.int64)[1]
    return tf.cond(
        comparisons <= _COMPARED_AT_ONCE,
        lambda: tf.reduce_any(ids[:, :, None] == of[:, None, :], axis=2),
        lambda: _member_by_search(ids, of),
    )


def _member_by_search(ids: tf.Tensor, of: tf.Tensor) -> tf.Tensor:
    ordered = tf.sort(of, axis=1)
    place = tf.minimum(tf.searchsorted(ordered, ids), tf.shape(ordered)[1] - 1)
    return tf.gather(ordered, place, batch_dims=1) == ids
