"""Sources of candidates: each brings its share, all together no item twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.index.exact import ExactIndex
from recsys_tfrs.index.interface import NO_CANDIDATE, Index
from recsys_tfrs.serving.inputs import Tensors
from recsys_tfrs.serving.queries import Queries


class Found(NamedTuple):
    """Candidates of a batch, no item twice in a row, in the order of the sources and by falling score of each.

    Attributes:
      ids: ``[batch, n]`` internal ids of the catalogue, 0 where there is none.
      scores: ``[batch, n]`` what the source says of them, -inf where there is none.
      sources: ``[batch, n]`` which source brought them.
      spoke: ``[batch, num_sources]`` whether a source brought any.
    """

    ids: tf.Tensor
    scores: tf.Tensor
    sources: tf.Tensor
    spoke: tf.Tensor


class Source:
    """One way to find candidates.

    Args:
      name: what answers call it.
      quota: how many it brings, where it has so many.
      vectors: ``[num_items + 1, dim]`` of all items of the catalogue.
      index: over the same.
      queries: of requests; None: a single vector of ones asks for everybody.

    Attributes:
      name, quota, queries: as given.
      custom_ops: of the index.
      resources: variables and tables that a SavedModel with these functions must own.
    """

    def __init__(
        self, name: str, quota: int, vectors: NDArray[np.float32], index: Index, queries: Queries | None = None
    ) -> None:
        self.name, self.quota, self.queries, self.custom_ops = name, quota, queries, index.custom_ops
        self._vectors = tf.Variable(vectors, trainable=False, name="candidates_by_item")
        self.resources: list[Any] = [self._vectors, index, *(queries.resources if queries else [])]
        find = tf.function(index.search, autograph=False, reduce_retracing=True)
        self._find: Callable[..., Any] = lambda *query: find(*query)

    def known(self, user_ids: tf.Tensor) -> tf.Tensor:
        """``[batch, dim]`` query vectors of users of whom nothing is told."""
        if self.queries is None:
            return tf.ones(tf.stack([tf.shape(user_ids)[0], 1]))
        return self.queries.known(user_ids)[1]

    def told(self, user_ids: tf.Tensor, history: tf.Tensor, ratings: tf.Tensor, raw: Tensors, context: Tensors) -> Any:
        """``[batch, dim]`` query vectors of requests that may tell everything; see `Queries.look_up`."""
        if self.queries is None:
            return tf.ones(tf.stack([tf.shape(user_ids)[0], 1]))
        own = {name: values for name, values in raw.items() if name in self.queries.users.inputs}
        moment = {name: values for name, values in context.items() if name in self.queries.context.inputs}
        return self.queries.query_vectors(self.queries.look_up(user_ids, history, ratings, own, moment))

    def find(
        self, vectors: tf.Tensor, width: int, excluded: tf.Tensor, allowed: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """``[batch, width]`` scores and ids, best first; none for a row whose query or scores are not finite."""
        sound = tf.reduce_all(tf.math.is_finite(vectors), axis=1, keepdims=True)
        given = (excluded,) if allowed is None else (excluded, allowed)
        scores, ids = self._find(tf.where(sound, vectors, 0.0), width, *given)
        sound &= tf.reduce_all(tf.math.is_finite(scores) | (scores == NO_CANDIDATE), axis=1, keepdims=True)
        return tf.where(sound, scores, NO_CANDIDATE), tf.where(sound, ids, 0)

    def vectors_of(self, ids: tf.Tensor) -> tf.Tensor:
        """``[batch, n, dim]`` of internal ids."""
        return tf.gather(self._vectors, ids)


def popularity_source(interactions: Interactions, items: NDArray[np.int32], quota: int, allowed: Any = None) -> Source:
    """The items that most rows are about.

    Args:
      interactions: the catalogue.
      items: ``[num_rows]`` internal ids of the training rows.
      quota: how many it brings.
      allowed: ``[num_items + 1]`` False for items never to be returned; None allows all.
    """
    counts = np.bincount(items, minlength=interactions.num_items + 1).astype(np.float32)[:, None]
    return Source("popularity", quota, counts, ExactIndex(counts, allowed))


def merged(
    sources: Sequence[Source],
    vectors: Sequence[tf.Tensor],
    silent: tf.Tensor,
    excluded: tf.Tensor,
    allowed: tf.Tensor | None = None,
) -> Found:
    """Candidates of all sources: of each its quota, and what the sources before it left open.

    Args:
      sources: in order; an item that several find is the first one's.
      vectors: query vectors of each.
      silent: ``[batch, num_sources]`` True for sources not to be asked.
      excluded: ``[batch, any]`` internal ids that are never returned.
      allowed: ``[batch, num_items + 1]`` False where an item is never returned; None: all may be.
    """
    nothing = tf.stack([tf.shape(silent)[0], 0])
    kept = Found(
        tf.zeros(nothing, tf.int32), tf.zeros(nothing), tf.zeros(nothing, tf.int32), tf.zeros(nothing, tf.bool)
    )
    total = 0
    for place, (source, queries) in enumerate(zip(sources, vectors, strict=True)):
        total += source.quota
        scores, ids = source.find(queries, total, excluded, allowed)
        fresh = (ids > 0) & ~silent[:, place, None]
        if place:
            fresh &= ~tf.reduce_any(ids[:, :, None] == kept.ids[:, None, :], axis=2)
            so_far = tf.math.count_nonzero(kept.ids, axis=1, dtype=tf.int32)[:, None]
            fresh &= so_far + tf.cumsum(tf.cast(fresh, tf.int32), axis=1) <= total
        ids = tf.where(fresh, ids, 0)
        kept = Found(
            tf.concat([kept.ids, ids], axis=1),
            tf.concat([kept.scores, tf.where(fresh, scores, NO_CANDIDATE)], axis=1),
            tf.concat([kept.sources, tf.fill(tf.shape(ids), place)], axis=1),
            tf.concat([kept.spoke, tf.reduce_any(fresh, axis=1, keepdims=True)], axis=1),
        )
    if len(sources) == 1:
        return kept
    # Rows are filled to `total` at most; what is there moves to the front.
    order = tf.argsort(tf.cast(kept.ids == 0, tf.int32), axis=1, stable=True)[:, :total]
    ids, scores, brought = (tf.gather(values, order, batch_dims=1) for values in kept[:3])
    return Found(ids, scores, brought, kept.spoke)
