"""A request's strings -> query and candidate vectors, exactly as training and evaluation compute them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.features.preprocessing import FeaturePreprocessor
from recsys_tfrs.schema import ITEM_ID, UNKNOWN
from recsys_tfrs.serving.entities import CPU, Context, Entities, History, StoredHistories, is_given
from recsys_tfrs.serving.inputs import Tensors

#: Numbers in the table of query vectors of all users, 64 MB of float32; beyond, they are computed when asked for.
LARGEST_VECTOR_TABLE = 1 << 24

_USERS_AT_ONCE = 512

_shared = tf.function(autograph=False, reduce_retracing=True)


class ServableModel(Protocol):
    """What the export needs of a retrieval model.

    Attributes:
      users, items, context: the preprocessing layers it was trained with.
      query_tower, candidate_tower: Keras layers, which own the variables.
    """

    users: FeaturePreprocessor
    items: FeaturePreprocessor
    context: FeaturePreprocessor
    query_tower: Any
    candidate_tower: Any

    def encoded_query_vectors(
        self, encoded: Tensors, history: tf.RaggedTensor, ratings: tf.RaggedTensor | None, context: Tensors | None
    ) -> tf.Tensor:
        """``[batch, dim]`` from encoded user columns, histories of internal item ids, oldest first, and context."""


class Query(NamedTuple):
    """A batch of requests, looked up.

    Attributes:
      users: ``[batch]`` internal user ids, 0 for the unknown.
      encoded: user columns as the query tower takes them.
      history: what enters the query.
      context: columns about the moment of asking, encoded.
      seen: ``[batch, any]`` internal item ids known to be seen, 0 for none: what is stored and what the request says.
    """

    users: tf.Tensor
    encoded: Tensors
    history: History
    context: Tensors
    seen: tf.Tensor


class Queries:
    """Both towers behind strings.

    The methods that several signatures share are functions of their own, so that the graph holds them once. The class
    is no `tf.Module`, or each of them would be exported a second time, and every layer with its Python class.

    Args:
      model: trained, both towers called at least once.
      interactions: the data set, whose users and items the graph is to know.
      histories: items of each user that stand in for a history the request leaves out.
      store_histories: False forgets them, and every request carries its own.

    Attributes:
      users, items: what is known of them.
      context: what a request may tell of the moment of asking.
      has_ratings: whether a history comes with ratings.
      resources: variables and tables that a SavedModel with these functions must own.
    """

    def __init__(
        self, model: ServableModel, interactions: Interactions, histories: Histories, store_histories: bool
    ) -> None:
        self.users = Entities(interactions.user_ids, dict(interactions.user_features), model.users)
        self.items = Entities(interactions.item_ids, dict(interactions.item_features), model.items)
        self.context = Context(model.context)
        self._reads_gaps = bool(getattr(model, "reads_gaps", False))
        self._histories = StoredHistories(histories, store_histories, self._reads_gaps)
        self.has_ratings = self._histories.has_ratings
        self._model = model
        weights = [*model.query_tower.variables, *model.candidate_tower.variables]
        self.resources = [self.users, self.items, self.context, self._histories, *weights]
        self._vectors = self._vectors_of_all(interactions.num_users) if store_histories else None
        if self._vectors is not None:
            self.resources.append(self._vectors)

    @_shared
    def known(self, user_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Requests that carry a user id and nothing else.

        Returns:
          ``users`` ``[batch]`` internal ids, 0 for the unknown; ``vectors`` ``[batch, dim]``; ``seen`` ``[batch, any]``
          internal item ids, 0 for none.
        """
        users = self.users.ids.position(user_ids)
        seen = self._histories.of(users).items
        if self._vectors is None:
            return users, self.query_vectors(self._stored(users)), seen
        with tf.device(CPU):
            return users, tf.gather(self._vectors, users), seen

    def _stored(self, users: tf.Tensor) -> Query:
        """What is stored of ``[batch]`` internal user ids, as requests."""
        stored = self._histories.of(users)
        context = self.context.encoded(self.context.not_given(tf.shape(users)[0]))
        return Query(users, self.users.encoded(users, {}), History.of(*stored), context, stored.items)

    def _vectors_of_all(self, num_users: int) -> tf.Variable | None:
        """``[num_users + 1, dim]`` what `query_vectors` says of each user as stored, or None where that is much.

        Who asks with an id alone is answered from here: most requests are such, and their vector never changes.
        """
        users = tf.range(num_users + 1)
        first = self.query_vectors(self._stored(users[:_USERS_AT_ONCE]))
        if (num_users + 1) * first.shape[1] > LARGEST_VECTOR_TABLE:
            return None
        rest = range(_USERS_AT_ONCE, num_users + 1, _USERS_AT_ONCE)
        others = [self.query_vectors(self._stored(users[low : low + _USERS_AT_ONCE])) for low in rest]
        with tf.device(CPU):
            return tf.Variable(tf.concat([first, *others], axis=0), trainable=False)

    @_shared
    def look_up(
        self, user_ids: tf.Tensor, history: tf.Tensor, ratings: tf.Tensor, raw: Tensors, context: Tensors
    ) -> Query:
        """Requests with everything they may carry.

        Args:
          user_ids: ``[batch]`` external user ids.
          history: ``[batch, any]`` external item ids, oldest first, padded anywhere with "". A row that holds any
            takes the place of the stored history in the query.
          ratings: ``[batch, any]`` float32 ratings of those items, or one column for all; NaN where there is none.
          raw: user columns by name.
          context: all context columns by name.
        """
        users = self.users.ids.position(user_ids)
        ids = self.items.ids.position(history)
        stored = self._histories.of(users)
        # A history that is told takes the place of the stored one; it does not continue it.
        items = tf.concat([tf.where(is_given(history)[:, None], UNKNOWN, stored.items), ids], axis=1)
        rated = None if stored.ratings is None else tf.concat([stored.ratings, self._rated(ids, ratings)], axis=1)
        # Of what a request tells, no times are known.
        gaps = None if stored.gaps is None else tf.concat([stored.gaps, tf.zeros_like(ids, stored.gaps.dtype)], axis=1)
        told = History.of(items, rated, gaps)
        seen = tf.concat([stored.items, ids], axis=1)
        return Query(users, self.users.encoded(users, raw), told, self.context.encoded(context), seen)

    @staticmethod
    def _rated(ids: tf.Tensor, ratings: tf.Tensor) -> tf.Tensor:
        """``[batch, any]`` ratings of ``[batch, any]`` internal item ids, 0 for none, that a request tells."""
        width = tf.shape(ratings)[1]
        check = tf.debugging.Assert(
            (width == 1) | (width == tf.shape(ids)[1]),
            [
                "Ratings of a history must be as many as its items, or one, but the numbers are:",
                width,
                tf.shape(ids)[1],
            ],
        )
        with tf.control_dependencies([check]):
            rated = tf.broadcast_to(ratings, tf.shape(ids))
        # An item without a rating counts as rated like the mean of the others.
        is_rated = (ids != UNKNOWN) & ~tf.math.is_nan(rated)
        total = tf.reduce_sum(tf.where(is_rated, rated, 0.0), axis=1)
        mean = tf.math.divide_no_nan(total, tf.math.count_nonzero(is_rated, axis=1, dtype=tf.float32))
        return tf.where(is_rated, rated, mean[:, None])

    @_shared
    def query_vectors(self, query: Query) -> tf.Tensor:
        """``[batch, dim]`` float32."""
        history = query.history
        more = {"gaps": history.gaps} if self._reads_gaps else {}
        vectors = self._model.encoded_query_vectors(
            query.encoded, history.items, history.ratings, query.context, **more
        )
        return tf.cast(vectors, tf.float32)

    @property
    def state_size(self) -> int:
        """Numbers that a live session carries from item to item; 0 where the model reads histories whole."""
        return int(getattr(self._model, "state_size", 0))

    @_shared
    def step(self, item_ids: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``[batch, state_size]`` state and ``[batch, dim]`` query vectors after one more item, ``[batch]`` strings."""
        after, vectors = self._model.step(self.items.ids.position(item_ids), state)  # type: ignore[attr-defined]
        return after, tf.cast(vectors, tf.float32)

    @property
    def foresees_carts(self) -> bool:
        """Whether the model has a query of its own for what is put into the cart."""
        return bool(getattr(self._model, "has_carts", False))

    @_shared
    def cart_vectors(self, history: tf.Tensor) -> tf.Tensor:
        """``[batch, dim]`` query vectors of the cart, from ``[batch, any]`` external item ids padded with ""."""
        told = History.of(self.items.ids.position(history), None, None)
        return tf.cast(self._model.encoded_cart_vectors(told.items), tf.float32)  # type: ignore[attr-defined]

    @_shared
    def encoded_items(self, item_ids: tf.Tensor, raw: Tensors) -> Tensors:
        """Item columns as the candidate tower takes them, from ``[batch]`` external ids and columns by name."""
        return self.items.encoded(self.items.ids.position(item_ids), raw)

    @_shared
    def candidate_vectors(self, encoded: Tensors) -> tf.Tensor:
        """``[batch, dim]`` float32 from encoded item columns."""
        return tf.cast(self._model.candidate_tower(encoded), tf.float32)

    def encoded_history(self, query: Query) -> tf.RaggedTensor:
        """``[batch, None]`` ids of the item id vocabulary."""
        items = query.history.items
        return items.with_flat_values(self.items.encoded_ids(ITEM_ID, items.flat_values))
