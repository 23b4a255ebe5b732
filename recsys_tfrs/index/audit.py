"""What an index finds, and what it costs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.index.exact import ExactIndex
from recsys_tfrs.index.interface import Index

_BATCH = 256


def audit(
    index: Index,
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    *,
    allowed: NDArray[np.bool_] | None = None,
    k: int = 10,
    max_single: int = 1_000,
) -> dict[str, Any]:
    """Compare an index with the exact one on given queries.

    Args:
      index: to be measured.
      vectors: ``[num_items + 1, dim]`` what it was built from.
      queries: ``[num_queries, dim]``, best those of users who took no part in building the index.
      allowed: the mask it was built with.
      k: length of the lists.
      max_single: queries timed one by one.

    Returns:
      ``kind``, ``num_items``, ``num_candidates``, ``num_queries``, ``k``; ``recall@k`` (share of the exact lists that
      was found); ``p50_ms`` and ``p99_ms`` of single queries; ``queries_per_second`` in batches of 256;
      ``build_seconds``; ``bytes``.
    """
    search = tf.function(index.search, input_signature=_signature(queries))
    batches = [tf.constant(queries[low : low + _BATCH]) for low in range(0, len(queries), _BATCH)]
    length = tf.constant(k)
    search(batches[0], length)
    started = time.perf_counter()
    found = np.concatenate([search(batch, length)[1].numpy() for batch in batches])
    seconds = time.perf_counter() - started
    exact = ExactIndex(vectors, allowed)
    expected = np.concatenate([exact.search(batch, length)[1].numpy() for batch in batches])
    single = [_seconds(search, tf.constant(query[None]), length) for query in queries[:max_single]]
    return {
        "kind": index.kind,
        "num_items": index.num_items,
        "num_candidates": index.num_candidates,
        "num_queries": len(queries),
        "k": k,
        f"recall@{k}": recall(found, expected),
        "p50_ms": 1e3 * float(np.percentile(single, 50)),
        "p99_ms": 1e3 * float(np.percentile(single, 99)),
        "queries_per_second": len(queries) / seconds,
        "build_seconds": index.build_seconds,
        "bytes": index.num_bytes,
    }


def recall(found: NDArray[np.int32], expected: NDArray[np.int32]) -> float:
    """Share of the ids expected in each row, 0 left aside, that were found in that row.

    Args:
      found: ``[num_queries, num_found]`` internal item ids.
      expected: ``[num_queries, num_expected]`` internal item ids, 0 behind the last.
    """
    hit = (expected[:, :, None] == found[:, None, :]).any(axis=2) & (expected > 0)
    return float(hit.sum() / max(np.count_nonzero(expected), 1))


def _signature(queries: NDArray[np.float32]) -> list[tf.TensorSpec]:
    return [tf.TensorSpec([None, queries.shape[1]], tf.float32), tf.TensorSpec([], tf.int32)]


def _seconds(search: Any, query: tf.Tensor, length: tf.Tensor) -> float:
    started = time.perf_counter()
    search(query, length)[1].numpy()
    return time.perf_counter() - started
