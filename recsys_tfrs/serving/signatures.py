"""The signatures of an exported retrieval model: strings in, strings out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.index.interface import NO_CANDIDATE, Index
from recsys_tfrs.schema import ITEM_ID, USER_ID
from recsys_tfrs.serving.entities import CPU
from recsys_tfrs.serving.filters import ItemFilters
from recsys_tfrs.serving.inputs import Input, Tensors, signature
from recsys_tfrs.serving.queries import Queries, Query, ServableModel

HISTORY, HISTORY_RATING, K, EXCLUDE, EXCLUDE_HISTORY = "history", "history_rating", "k", "exclude", "exclude_history"
STATE = "state"
_RESERVED = (USER_ID, ITEM_ID, HISTORY, HISTORY_RATING, K, EXCLUDE, EXCLUDE_HISTORY)


class RetrievalSignatures(tf.Module):
    """Recommend, embed, score and transform.

    Args:
      model: trained, both towers called at least once.
      interactions: the data set, whose users and items the graph is to know.
      histories: items of each user that stand in for a history the request leaves out.
      index: over the model's candidate vectors.
      store_histories: False forgets them, and every request carries its own.
      max_k: longest list a request may ask for.
      default_k: length where a request does not say.
    """

    def __init__(
        self,
        model: ServableModel,
        interactions: Interactions,
        histories: Histories,
        index: Index,
        *,
        store_histories: bool,
        max_k: int,
        default_k: int,
    ) -> None:
        super().__init__(name="retrieval")
        self._queries = Queries(model, interactions, histories, store_histories)
        self._resources = [*self._queries.resources, index]
        self._filters = ItemFilters(interactions.item_features)
        with tf.device(CPU):
            self._titles = tf.Variable(tf.constant(interactions.titles, tf.string), trainable=False)
        self._max_k = max_k
        self._default_k = default_k
        find = tf.function(index.search, autograph=False, reduce_retracing=True)
        self._find: Callable[..., Any] = lambda *query: find(*query)  # see `Queries` on what is no attribute
        taken = {*_RESERVED, *self._filters.inputs}
        self._user_columns = _renamed(self._queries.users.inputs, "user", taken)
        taken |= set(self._user_columns)
        self._context_columns = _renamed(self._queries.context.inputs, "context", taken)
        self._item_columns = _renamed(self._queries.items.inputs, "item", taken | set(self._context_columns))

    def user_inputs(self) -> dict[str, str]:
        """Name of the input -> user column it tells."""
        return {name: column for name, (column, _) in self._user_columns.items()}

    def context_inputs(self) -> dict[str, str]:
        """Name of the input -> context column it tells."""
        return {name: column for name, (column, _) in self._context_columns.items()}

    def functions(self) -> dict[str, Any]:
        """`tf.function` by signature name, for `tf.saved_model.save`."""
        user, item = Input(USER_ID, tf.string, 1, ""), Input(ITEM_ID, tf.string, 1, "")
        history = [Input(HISTORY, tf.string, 2, "")]
        if self._queries.has_ratings:
            history.append(Input(HISTORY_RATING, tf.float32, 2, math.nan))
        query = [user, *history, *_inputs(self._user_columns), *_inputs(self._context_columns)]
        candidate = [item, *_inputs(self._item_columns)]
        limits = [
            Input(K, tf.int32, None, self._default_k),
            Input(EXCLUDE, tf.string, 2, ""),
            Input(EXCLUDE_HISTORY, tf.bool, None, True),
            *self._filters.inputs.values(),
        ]
        some, none = frozenset, frozenset[str]()
        live = {}
        if self._queries.state_size:
            step = [Input(ITEM_ID, tf.string, 1, ""), Input(STATE, tf.float32, 2, 0.0)]
            live["recommend_step"] = signature(self.recommend_step, step, some([ITEM_ID]))
        if self._queries.foresees_carts:
            live["recommend_cart"] = signature(self.recommend_cart, history[:1], some([HISTORY]))
        return {
            **live,
            "serving_default": signature(self.recommend, [*query, *limits], none),
            "recommend_user": signature(self.recommend_user, [user], some([USER_ID])),
            "recommend_history": signature(self.recommend_history, history[:1], some([HISTORY])),
            "embed_query": signature(self.embed_query, query, none),
            "embed_candidate": signature(self.embed_candidate, candidate, none),
            "score": signature(self.score, [*query, *candidate], some([ITEM_ID])),
            "transform": signature(self.transform, [*query, *candidate], none),
        }

    def recommend(self, inputs: Tensors) -> Tensors:
        """Recommend to whoever a request describes.

        Args:
          inputs: ``user_id`` ``[batch]``; ``history`` and ``exclude`` ``[batch, any]`` item ids padded with "";
            ``history_rating`` ``[batch, any]`` where the data has ratings; ``k`` and ``exclude_history`` ``[batch]``;
            user columns; context columns; item filters.

        Returns:
          ``item_id`` and ``title`` ``[batch, largest k]`` strings, best first, "" where a row asked for fewer or has
          fewer candidates; ``score`` of the same shape, -inf there; ``user_known`` ``[batch]``.
        """
        query = self._query(inputs)
        excluded = self._queries.items.ids.position(inputs[EXCLUDE])
        seen = query.seen * tf.cast(inputs[EXCLUDE_HISTORY], tf.int32)[:, None]
        excluded = tf.concat([excluded, seen], axis=1)
        vectors = self._queries.query_vectors(query)
        return self._search(query.users, vectors, self._checked(inputs[K]), excluded, inputs)

    def recommend_user(self, inputs: Tensors) -> Tensors:
        """`recommend` by user id alone: unseen items, the default number."""
        users, vectors, seen = self._queries.known(inputs[USER_ID])
        return self._search(users, vectors, self._default_lengths(inputs[USER_ID]), seen)

    def recommend_history(self, inputs: Tensors) -> Tensors:
        """`recommend` for somebody known by a history alone."""
        history = inputs[HISTORY]
        rows = tf.shape(history)[0]
        columns = {
            name: declared.not_given(rows)
            for name, (_, declared) in (self._user_columns | self._context_columns).items()
        }
        query = self._query({USER_ID: tf.fill([rows], ""), HISTORY: history, **columns})
        vectors = self._queries.query_vectors(query)
        return self._search(query.users, vectors, self._default_lengths(history), query.seen)

    def recommend_step(self, inputs: Tensors) -> Tensors:
        """What comes next in a live session, at the cost of one step.

        Args:
          inputs: ``item_id`` ``[batch]``, what has just been done; ``state`` ``[batch, any]`` what the step before
            returned, or a single 0 at the start.

        Returns:
          As `recommend`, the default number, nothing left out; ``state`` for the next step.
        """
        before = inputs[STATE] + tf.zeros([1, self._queries.state_size])  # a single 0 becomes as many as there are
        state, vectors = self._queries.step(inputs[ITEM_ID], before)
        # One user's click: every operation more is felt, so there is no choice of length and no exclusion.
        scores, ids = self._find(vectors, self._default_k, None)
        return {**self._told(scores, ids), STATE: state}

    def recommend_cart(self, inputs: Tensors) -> Tensors:
        """What a session with this history will put into the cart.

        Returns:
          As `recommend`, the default number, nothing left out: what has been clicked is what may be carted.
        """
        scores, ids = self._find(self._queries.cart_vectors(inputs[HISTORY]), self._default_k, None)
        return self._told(scores, ids)

    def embed_query(self, inputs: Tensors) -> Tensors:
        """``embedding`` ``[batch, dim]`` of whoever a request describes."""
        return {"embedding": self._queries.query_vectors(self._query(inputs))}

    def embed_candidate(self, inputs: Tensors) -> Tensors:
        """``embedding`` ``[batch, dim]`` of known items, or of new ones described by their columns."""
        return {"embedding": self._candidates(inputs)}

    def score(self, inputs: Tensors) -> Tensors:
        """``score`` ``[batch]`` of pairs: the dot product of `embed_query` and `embed_candidate`."""
        vectors = self._queries.query_vectors(self._query(inputs))
        return {"score": tf.reduce_sum(vectors * self._candidates(inputs), axis=1)}

    def transform(self, inputs: Tensors) -> Tensors:
        """What the towers are given.

        ``query_<column>`` of user and ``context_<column>`` of context columns, ``query_history`` padded with 0,
        ``candidate_<column>``.
        """
        query = self._query(inputs)
        items = self._queries.encoded_items(inputs[ITEM_ID], _values(self._item_columns, inputs))
        return {
            **{f"query_{name}": values for name, values in query.encoded.items()},
            **{f"context_{name}": values for name, values in query.context.items()},
            "query_history": self._queries.encoded_history(query).to_tensor(),
            **{f"candidate_{name}": values for name, values in items.items()},
        }

    def _query(self, inputs: Tensors) -> Query:
        history = inputs[HISTORY]
        ratings = inputs.get(HISTORY_RATING, tf.fill(tf.stack([tf.shape(history)[0], 1]), math.nan))
        columns = _values(self._user_columns, inputs)
        context = _values(self._context_columns, inputs)
        query: Query = self._queries.look_up(inputs[USER_ID], history, ratings, columns, context)
        return query

    def _candidates(self, inputs: Tensors) -> tf.Tensor:
        encoded = self._queries.encoded_items(inputs[ITEM_ID], _values(self._item_columns, inputs))
        return self._queries.candidate_vectors(encoded)

    def _default_lengths(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.shape(rows)[:1], self._default_k)

    def _checked(self, k: tf.Tensor) -> tf.Tensor:
        problem = [f"k must lie in 1..{self._max_k}, but is:", k]
        check = tf.debugging.Assert(tf.reduce_all((k >= 1) & (k <= self._max_k)), problem)
        with tf.control_dependencies([check]):
            return tf.identity(k)

    def _search(
        self,
        users: tf.Tensor,
        vectors: tf.Tensor,
        k: tf.Tensor,
        excluded: tf.Tensor,
        inputs: Tensors | None = None,
    ) -> Tensors:
        width = tf.maximum(tf.reduce_max(k), 1)  # of an empty batch the maximum is the smallest int32
        if inputs is None or not self._filters.inputs:
            scores, ids = self._find(vectors, width, excluded)
        else:
            scores, ids = tf.cond(
                self._filters.is_asked(inputs),
                lambda: self._find(vectors, width, excluded, self._filters.allowed(inputs)),
                lambda: self._find(vectors, width, excluded),
            )
        asked = tf.sequence_mask(k, width)
        told = self._told(tf.where(asked, scores, NO_CANDIDATE), tf.where(asked, ids, 0))
        return {**told, "user_known": users > 0}

    def _told(self, scores: tf.Tensor, ids: tf.Tensor) -> Tensors:
        with tf.device(CPU):
            titles = tf.gather(self._titles, ids)
        return {ITEM_ID: self._queries.items.ids.string(ids), "score": scores, "title": titles}


def _renamed(columns: dict[str, Input], side: str, taken: set[str]) -> dict[str, tuple[str, Input]]:
    """Input by input name, each with its column's name; a name that is taken gets the side in front of it."""
    renamed = {}
    for column, declared in columns.items():
        name = f"{side}_{column}" if column in taken else column
        renamed[name] = (column, Input(name, declared.dtype, declared.rank, declared.neutral))
    return renamed


def _inputs(columns: dict[str, tuple[str, Input]]) -> list[Input]:
    return [declared for _, declared in columns.values()]


def _values(columns: dict[str, tuple[str, Input]], inputs: Tensors) -> Tensors:
    return {column: inputs[name] for name, (column, _) in columns.items()}
