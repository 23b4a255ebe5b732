"""The signatures of a cascade: raw user in, a list out that was retrieved by some models and ranked by another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.index.interface import NO_CANDIDATE
from recsys_tfrs.layers.diversify import maximal_marginal_relevance
from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.schema import HISTORY, ITEM_ID, USER_ID
from recsys_tfrs.serving.cascade_ranking import CandidateRanker
from recsys_tfrs.serving.cascade_sources import Found, Source, merged
from recsys_tfrs.serving.entities import CPU
from recsys_tfrs.serving.filters import ItemFilters
from recsys_tfrs.serving.inputs import Input, Tensors, signature
from recsys_tfrs.serving.ranking_inputs import PairInputs
from recsys_tfrs.serving.signatures import EXCLUDE, EXCLUDE_HISTORY, HISTORY_RATING, K
from recsys_tfrs.serving.speakers import WITHOUT, left_out, spoken

#: What `without` calls the ranking stage as a whole.
RANKING = "ranking"


@dataclass(frozen=True)
class CascadeSettings:
    """How a cascade orders what its sources found.

    Attributes:
      max_k: longest list a request may ask for.
      default_k: length where a request does not say.
      retrieval_weight: how much the first source's score counts, 0 to 1; what is left is the ranking model's.
      diversity: trade-off of maximal marginal relevance, 0 (only unlike) to 1 (only scores); None: no such stage.
    """

    max_k: int
    default_k: int
    retrieval_weight: float = 0.0
    diversity: float | None = None


class _Asked(NamedTuple):
    """Requests, looked up: internal user ids, query vectors by source, the ranking model's query, and what is seen."""

    users: tf.Tensor
    vectors: list[tf.Tensor]
    query: tf.Tensor
    history: tf.Tensor
    seen: tf.Tensor


class CascadeSignatures(tf.Module):
    """Recommend in two stages.

    Args:
      sources: of candidates; the first has queries, and its score is the one that blending and diversity go by.
      model: ranks them.
      inputs: of that model; its users and items are those of the cascade.
      interactions: the same.
      settings: of the order.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        model: Ranker,
        inputs: PairInputs,
        interactions: Interactions,
        settings: CascadeSettings,
    ) -> None:
        super().__init__(name="cascade")
        ranker = CandidateRanker(model, inputs)
        self._filters = ItemFilters(interactions.item_features)
        with tf.device(CPU):
            self._titles = tf.Variable(tf.constant(interactions.titles, tf.string), trainable=False)
        self._resources = [ranker.resources, *(source.resources for source in sources)]
        self.settings, self.source_names, self.parts = settings, [s.name for s in sources], list(ranker.parts.names)
        # None is an attribute: what they hold would be exported with a function for each of its call modes.
        self._stages: Callable[[], tuple[Sequence[Source], CandidateRanker, PairInputs]]
        self._stages = lambda: (sources, ranker, inputs)
        told = [source.queries for source in sources if source.queries is not None]
        self._has_ratings = any(queries.has_ratings for queries in told)
        reserved = {USER_ID, ITEM_ID, HISTORY, HISTORY_RATING, K, EXCLUDE, EXCLUDE_HISTORY, WITHOUT}
        taken = reserved | set(self._filters.inputs)
        of_users, of_moments = [q.users.inputs for q in told], [q.context.inputs for q in told]
        self._user_columns = _named([*of_users, inputs.users.inputs], "user", taken)
        taken |= set(self._user_columns)
        self._context_columns = _named([*of_moments, inputs.context.inputs], "context", taken)

    def user_inputs(self) -> dict[str, str]:
        """Name of the input -> user column it tells."""
        return {name: column for name, (column, _) in self._user_columns.items()}

    def context_inputs(self) -> dict[str, str]:
        """Name of the input -> context column it tells."""
        return {name: column for name, (column, _) in self._context_columns.items()}

    def functions(self) -> dict[str, Any]:
        """`tf.function` by signature name, for `tf.saved_model.save`."""
        user, history = Input(USER_ID, tf.string, 1, ""), [Input(HISTORY, tf.string, 2, "")]
        if self._has_ratings:
            history.append(Input(HISTORY_RATING, tf.float32, 2, math.nan))
        columns = [declared for _, declared in (self._user_columns | self._context_columns).values()]
        limits = [
            Input(K, tf.int32, None, self.settings.default_k),
            Input(EXCLUDE, tf.string, 2, ""),
            Input(EXCLUDE_HISTORY, tf.bool, None, True),
            Input(WITHOUT, tf.string, 2, ""),
            *self._filters.inputs.values(),
        ]
        return {
            "serving_default": signature(self.recommend, [user, *history, *columns, *limits], frozenset()),
            "recommend_user": signature(self.recommend_user, [user], frozenset([USER_ID])),
            "recommend_history": signature(self.recommend_history, history[:1], frozenset([HISTORY])),
        }

    def recommend(self, inputs: Tensors) -> Tensors:
        """Recommend to whoever a request describes.

        Args:
          inputs: as of `recsys_tfrs.serving.signatures.RetrievalSignatures.recommend`, and ``without``
            ``[batch, any]``: names of sources and of parts of the ranking model to leave out, ``ranking`` for all of
            it, padded with "".

        Returns:
          By place, ``[batch, largest k]``: ``item_id``, ``title`` and ``source`` (which brought it), best first, ""
          where a row asked for fewer or has fewer candidates; ``score``, by which they are ordered,
          ``retrieval_score`` of its source and ``ranking_score`` of the ranking model, -inf there. By row,
          ``[batch]``: ``sources`` and ``parts`` that spoke, joined by "+"; ``user_known``.
        """
        asked = self._asked(inputs)
        items = self._stages()[2].items.ids
        drops = tf.cast(inputs[EXCLUDE_HISTORY], tf.int32)[:, None]
        excluded = tf.concat([items.position(inputs[EXCLUDE]), asked.seen * drops], axis=1)
        silent = left_out(inputs[WITHOUT], [*self.source_names, *self.parts, RANKING])
        k = self._checked(inputs[K])
        may_hold = tf.reduce_any(~inputs[EXCLUDE_HISTORY])
        if not self._filters.inputs:
            return self._answer(asked, k, silent, self._found(asked, silent, excluded), may_hold)
        found = tf.cond(
            self._filters.is_asked(inputs),
            lambda: self._found(asked, silent, excluded, self._filters.allowed(inputs)),
            lambda: self._found(asked, silent, excluded),
        )
        return self._answer(asked, k, silent, found, may_hold)

    def recommend_user(self, inputs: Tensors) -> Tensors:
        """`recommend` by user id alone: unseen items, the default number."""
        sources, ranker, pairs = self._stages()
        user_ids = inputs[USER_ID]
        users = pairs.users.ids.position(user_ids)
        stored = pairs.stored(users)
        query = ranker.query(users, {}, {}, stored)
        vectors = [source.known(user_ids) for source in sources]
        return self._default(_Asked(users, vectors, query, stored, stored))

    def recommend_history(self, inputs: Tensors) -> Tensors:
        """`recommend` for somebody known by a history alone."""
        rows = tf.shape(inputs[HISTORY])[0]
        told = self._user_columns | self._context_columns
        columns = {name: declared.not_given(rows) for name, (_, declared) in told.items()}
        return self._default(self._asked({USER_ID: tf.fill([rows], ""), **inputs, **columns}))

    def _default(self, asked: _Asked) -> Tensors:
        rows = tf.shape(asked.users)[0]
        silent = tf.zeros(tf.stack([rows, len(self.source_names) + len(self.parts) + 1]), tf.bool)
        found = self._found(asked, silent, asked.seen)
        return self._answer(asked, tf.fill([rows], self.settings.default_k), silent, found, None)

    def _asked(self, inputs: Tensors) -> _Asked:
        sources, ranker, pairs = self._stages()
        user_ids, told = inputs[USER_ID], inputs[HISTORY]
        ratings = inputs.get(HISTORY_RATING, tf.fill(tf.stack([tf.shape(told)[0], 1]), math.nan))
        raw = {column: inputs[name] for name, (column, _) in self._user_columns.items()}
        context = {column: inputs[name] for name, (column, _) in self._context_columns.items()}
        users = pairs.users.ids.position(user_ids)
        history = pairs.history(users, {HISTORY: told})
        return _Asked(
            users,
            [source.told(user_ids, told, ratings, raw, context) for source in sources],
            ranker.query(users, raw, context, history),
            history,
            tf.concat([pairs.stored(users), pairs.items.ids.position(told)], axis=1),
        )

    def _found(self, asked: _Asked, silent: tf.Tensor, excluded: tf.Tensor, allowed: tf.Tensor | None = None) -> Found:
        sources = self._stages()[0]
        return merged(sources, asked.vectors, silent[:, : len(sources)], excluded, allowed)

    def _answer(
        self, asked: _Asked, k: tf.Tensor, silent: tf.Tensor, found: Found, may_hold: tf.Tensor | None
    ) -> Tensors:
        sources, ranker, pairs = self._stages()
        no_ranking = silent[:, -1:]
        parts_silent = silent[:, len(sources) : -1] | no_ranking
        ranked = ranker.rank(asked.query, found.ids, parts_silent, asked.history, may_hold)
        present = found.ids > 0
        weight = self.settings.retrieval_weight
        first = tf.where(silent[:, :1], 0.0, self._first_scores(asked, found))
        blended = tf.where(no_ranking, first, (1 - weight) * standardised(ranked.order, present) + weight * first)
        score = blended if weight else tf.where(no_ranking, first, ranked.predictions)
        width = tf.minimum(tf.maximum(tf.reduce_max(k), 1), tf.shape(found.ids)[1])
        if self.settings.diversity is None:
            # Predictions may level out at 0 or 1; what they are made of does not.
            order = blended if weight else tf.where(no_ranking, first, ranked.order)
            _, places = tf.math.top_k(tf.where(present, order, NO_CANDIDATE), width)
        else:
            vectors = sources[0].vectors_of(found.ids)
            places = maximal_marginal_relevance(
                blended, vectors, trade_off=self.settings.diversity, k=width, present=present
            )
        places, missing = tf.maximum(places, 0), places < 0
        there = tf.gather(present, places, batch_dims=1) & ~missing & tf.sequence_mask(k, width)

        def listed(values: tf.Tensor, nothing: Any) -> tf.Tensor:
            return tf.where(there, tf.gather(values, places, batch_dims=1), nothing)

        ids = listed(found.ids, 0)
        with tf.device(CPU):
            titles = tf.gather(self._titles, ids)
            brought = tf.gather(tf.constant(["", *self.source_names]), listed(found.sources + 1, 0))
        rows = {
            ITEM_ID: pairs.items.ids.string(ids),
            "title": titles,
            "source": brought,
            "score": listed(score, NO_CANDIDATE),
            "retrieval_score": listed(found.scores, NO_CANDIDATE),
            "ranking_score": listed(ranked.predictions, NO_CANDIDATE),
        }
        return {
            **rows,
            "sources": spoken(found.spoke, self.source_names),
            "parts": spoken(ranked.spoke, self.parts),
            "user_known": asked.users > 0,
        }

    def _first_scores(self, asked: _Asked, found: Found) -> tf.Tensor:
        """``[batch, n]`` what the first source says of all candidates, standardised; 0 where it has no query."""
        source, vectors = self._stages()[0][0], asked.vectors[0]
        if len(self.source_names) == 1:
            return standardised(found.scores, found.ids > 0)
        said = tf.einsum("bd,bnd->bn", vectors, source.vectors_of(found.ids))
        return standardised(said, (found.ids > 0) & tf.math.is_finite(said))

    def _checked(self, k: tf.Tensor) -> tf.Tensor:
        problem = [f"k must lie in 1..{self.settings.max_k}, but is:", k]
        check = tf.debugging.Assert(tf.reduce_all((k >= 1) & (k <= self.settings.max_k)), problem)
        with tf.control_dependencies([check]):
            return tf.identity(k)


def standardised(values: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """``[batch, n]`` with mean 0 and deviation 1 over what is present in a row; 0 elsewhere, or where all are equal."""
    count = tf.maximum(tf.math.count_nonzero(present, axis=1, keepdims=True, dtype=tf.float32), 1.0)
    values = tf.where(present, values, 0.0)
    centred = tf.where(present, values - tf.reduce_sum(values, axis=1, keepdims=True) / count, 0.0)
    deviation = tf.sqrt(tf.reduce_sum(tf.square(centred), axis=1, keepdims=True) / count)
    return tf.math.divide_no_nan(centred, deviation)


def _named(columns: Iterable[dict[str, Input]], side: str, taken: set[str]) -> dict[str, tuple[str, Input]]:
    """Input by input name, each with its column's name, of all stages; see `recsys_tfrs.serving.signatures`."""
    every: dict[str, Input] = {}
    for inputs in columns:
        every |= inputs
    made = {}
    for column, declared in every.items():
        name = f"{side}_{column}" if column in taken else column
        made[name] = (column, Input(name, declared.dtype, declared.rank, declared.neutral))
    return made
