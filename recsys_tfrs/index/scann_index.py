"""Approximate search with ScaNN: quantised scores, optionally in the nearest leaves of a tree only.

Guo et al., "Accelerating Large-Scale Inference with Anisotropic Vector Quantization", ICML 2020. ScaNN's own builder
is used rather than the layer of tensorflow-recommenders, which hides the anisotropic threshold and always builds a
tree. SOAR is left out: ScaNN's TensorFlow operations refuse it.
"""

from __future__ import annotations

import importlib
import time
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs import runtime
from recsys_tfrs.errors import MissingExtraError
from recsys_tfrs.index.config import IndexConfig, Kind
from recsys_tfrs.index.interface import NO_CANDIDATE, checked_vectors

#: Items the searched leaves hold on average, as a multiple of the list asked for, so that lists come out full.
_LEAF_SLACK = 4

#: Queries that one thread answers sooner than several.
_ONE_THREAD = 8

#: Codes of a quantised block; fewer items than that cannot be quantised, and are scored exactly.
_CODES = 16


def load_scann() -> Any:
    """Import ScaNN's TensorFlow operations, which also registers them for SavedModels that use them.

    Raises:
      MissingExtraError: ScaNN is not installed, or was built for another TensorFlow.
    """
    try:
        return importlib.import_module("scann.scann_ops.py.scann_ops")
    except (ImportError, tf.errors.NotFoundError) as error:
        raise MissingExtraError(
            f"ScaNN cannot be imported ({str(error).splitlines()[0]}): install it beside TensorFlow 2.20 with "
            "`pip install 'scann[tf]==1.4.2'` (it exists for Linux only), or use the exact index."
        ) from None


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

    Raises:
      DataError: nothing that may be returned, or vectors that are not finite.
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
        self._scann = load_scann()
        started = time.perf_counter()
        table, mask = checked_vectors(vectors, allowed)
        ids = np.flatnonzero(mask).astype(np.int32)
        self.kind: Kind = kind
        self.num_items = len(table) - 1
        self.num_candidates = len(ids)
        self._reorder = config.reorder
        self._num_leaves = _num_leaves(config, len(ids)) if kind == "scann-tree" else 1
        self._leaves_to_search = min(config.leaves_to_search or -(-self._num_leaves // 20), self._num_leaves)
        self._ids = tf.Variable(ids, trainable=False, name="ids")
        with runtime.quiet():
            self._state = self._build(table[ids], config)
        self.num_bytes = ids.nbytes + sum(v.numpy().nbytes for v in self._state.variables if v.dtype != tf.string)
        self.build_seconds = time.perf_counter() - started

    def search(
        self,
        queries: tf.Tensor,
        k: int | tf.Tensor,
        excluded: tf.Tensor | None = None,
        allowed: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Find about the `k` best candidates of each query; see `Index.search`."""
        k = tf.convert_to_tensor(k, tf.int32)
        if excluded is None:
            excluded = tf.zeros(tf.stack([tf.shape(queries)[0], 0]), tf.int32)
        most_excluded = tf.reduce_max(tf.math.count_nonzero(excluded, axis=1, dtype=tf.int32), keepdims=True)
        wanted = k + tf.reduce_max(tf.concat([most_excluded, [0]], 0))
        if allowed is not None:
            wanted = self._more_for(wanted, allowed)
        scores, ids = self._fetch(queries, tf.minimum(wanted, self.num_candidates))
        keep = (ids > 0) & ~_member(ids, excluded)
        if allowed is not None:
            keep &= tf.gather(allowed, ids, batch_dims=1)
        scores = tf.where(keep, scores, NO_CANDIDATE)
        short = tf.maximum(k - tf.shape(scores)[1], 0)
        scores = tf.pad(scores, [[0, 0], [0, short]], constant_values=NO_CANDIDATE)
        best, position = tf.math.top_k(scores, k)
        ids = tf.gather(tf.pad(ids, [[0, 0], [0, short]]), position, batch_dims=1)
        return best, tf.where(best > NO_CANDIDATE, ids, 0)

    def _more_for(self, wanted: tf.Tensor, allowed: tf.Tensor) -> tf.Tensor:
        """How many to fetch so that about twice `wanted` of them are allowed in the row that allows the fewest."""
        kept = tf.math.count_nonzero(allowed, axis=1, dtype=tf.int32)
        fewest = tf.maximum(tf.reduce_min(tf.concat([kept, [self.num_items]], 0)), 1)
        more = 2.0 * tf.cast(wanted, tf.float64) * self.num_items / tf.cast(fewest, tf.float64)
        return tf.cast(tf.minimum(more, float(self.num_candidates)), tf.int32)

    def _fetch(self, queries: tf.Tensor, fetch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``[batch, at most fetch]`` exact scores and internal ids; id 0 where ScaNN found fewer."""
        # ScaNN refuses an empty batch.
        batch = tf.shape(queries)[0]
        queries = tf.pad(queries, [[0, tf.cast(batch == 0, tf.int32)], [0, 0]])
        handle = self._scann.searcher_from_module(self._state).searcher_handle
        needed = -(-fetch * _LEAF_SLACK * self._num_leaves // self.num_candidates)
        leaves = tf.clip_by_value(needed, self._leaves_to_search, self._num_leaves)
        reorder = tf.maximum(fetch, self._reorder)
        # The last argument: whether to spread the batch over threads, which a single query would only wait for.
        found, scores = self._scann.scann_search_batched(handle, queries, fetch, reorder, leaves, batch > _ONE_THREAD)
        found, scores = tf.cast(found[:batch], tf.int32), scores[:batch]
        # Where a row's leaves hold fewer items than asked for, ScaNN fills up with scores that are not numbers.
        there = tf.math.is_finite(scores)
        ids = tf.gather(self._ids, tf.where(there, found, 0))
        return tf.where(there, scores, NO_CANDIDATE), tf.where(there, ids, 0)

    def _build(self, table: NDArray[np.float32], config: IndexConfig) -> Any:
        builder = self._scann.builder(table, min(10, len(table)), "dot_product")
        if len(table) < _CODES:
            return builder.score_brute_force().build().serialize_to_module()
        if self.kind == "scann-tree":
            builder = builder.tree(
                num_leaves=self._num_leaves,
                num_leaves_to_search=self._leaves_to_search,
                training_sample_size=config.training_sample,
                training_iterations=config.training_iterations,
            )
        builder = builder.score_ah(
            config.dimensions_per_block,
            anisotropic_quantization_threshold=config.anisotropic_threshold,
            training_sample_size=config.training_sample,
            training_iterations=config.training_iterations,
        )
        return builder.reorder(config.reorder).build().serialize_to_module()


def _num_leaves(config: IndexConfig, num_candidates: int) -> int:
    return max(1, min(config.num_leaves or round(2 * num_candidates**0.5), num_candidates))


def _member(ids: tf.Tensor, of: tf.Tensor) -> tf.Tensor:
    """``[batch, n]`` True where an id occurs in its row of `of`, by binary search: no ``[batch, n, m]`` tensor."""
    # One row and one column more, since `searchsorted` takes neither an empty batch nor an empty row.
    ordered = tf.sort(tf.pad(of, [[0, 1], [0, 1]]), axis=1)
    asked = tf.pad(ids, [[0, 1], [0, 0]])
    place = tf.minimum(tf.searchsorted(ordered, asked), tf.shape(ordered)[1] - 1)
    return (tf.gather(ordered, place, batch_dims=1) == asked)[:-1]
