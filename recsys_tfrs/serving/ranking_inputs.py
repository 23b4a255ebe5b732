"""A request's raw values -> the tensors that a ranking model reads, exactly as training and evaluation compute them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from keyword import iskeyword
from typing import Any, Protocol

import tensorflow as tf

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.features.encoded import EncodedData
from recsys_tfrs.features.fields import ExamplePreprocessor
from recsys_tfrs.features.pair_examples import history_widths, pair_fields
from recsys_tfrs.schema import HISTORY, ITEM_ID, UNKNOWN, USER_ID
from recsys_tfrs.serving.entities import CPU, Context, Entities, StoredHistories, is_given
from recsys_tfrs.serving.inputs import Input, Tensors


class RankingInputs(Protocol):
    """What a ranking export needs of the raw fields of an example.

    Attributes:
      inputs: of every signature that scores.
      required: names of those that a request cannot leave out.
      short: names of inputs that are enough to ask with; empty where there is no such choice.
      input_of: name of the input by field.
      layer: encoders and layout of the fields.
      resources: variables and tables that a SavedModel with these functions must own.
    """

    inputs: list[Input]
    required: frozenset[str]
    short: tuple[str, ...]
    input_of: dict[str, str]
    layer: ExamplePreprocessor
    resources: list[Any]

    def fields(self, raw: Tensors) -> Tensors:
        """Encoded fields by name, from inputs by name, all of them and all of the same number of rows."""


class TableInputs:
    """The raw fields of a table of examples; one that is left out is missing, as an empty cell is.

    Args:
      layer: the model's preprocessing.
    """

    def __init__(self, layer: ExamplePreprocessor) -> None:
        self.layer = layer
        self.input_of = input_names(layer.encoders)
        self.inputs = [
            Input(self.input_of[field], encoder.raw_dtype, encoder.raw_rank, encoder.missing)
            for field, encoder in layer.encoders.items()
        ]
        self.required: frozenset[str] = frozenset()
        self.short: tuple[str, ...] = ()
        self.resources = lookup_tables(layer)

    def fields(self, raw: Tensors) -> Tensors:
        """See `RankingInputs`."""
        with tf.device(CPU):
            return {field: encoder(raw[self.input_of[field]]) for field, encoder in self.layer.encoders.items()}


class PairInputs:
    """A user and an item of a data set: all else that the model reads of them is joined in the graph.

    Columns of users, items and the moment, and the history, may be told and then replace what is stored. Of a user or
    an item that is not known every column is missing that the request does not tell, its id is the unknown one, and
    a user without a history has an empty one. Of the moment, what is not told is missing.

    Of a history the newest items count, as many as the model was trained with, the item that is asked about left out.

    Args:
      interactions: the data set.
      data: its encoded columns, by the layers the model was trained with.
      layer: the model's preprocessing, made of `recsys_tfrs.features.pair_examples.pair_encoders`.
      histories: items of each user that stand in for a history the request leaves out.
      store_histories: False forgets them, and every request carries its own.

    Attributes:
      users, items: what is known of them.
      context: what a request may tell of the moment of asking.
      places: side (``user``, ``item``, ``context``), field and column of all that is read but the history.
      histories: most items that are read, by field, of the fields made of a history.
      reads_history: whether there is one.
      told: side and column by name of the input, of those that may be told.
    """

    def __init__(
        self,
        interactions: Interactions,
        data: EncodedData,
        layer: ExamplePreprocessor,
        histories: Histories,
        *,
        store_histories: bool = True,
    ) -> None:
        self.layer = layer
        self.short: tuple[str, ...] = (USER_ID, ITEM_ID)
        self.required = frozenset(self.short)
        self.users = Entities(interactions.user_ids, dict(interactions.user_features), data.users)
        self.items = Entities(interactions.item_ids, dict(interactions.item_features), data.items)
        self.context = Context(data.context)
        self._histories = StoredHistories(histories, store_histories)
        self.histories = history_widths(layer)
        self.reads_history = bool(self.histories)
        self.places = [(side, field, column) for side, field, column, _ in pair_fields(data)]
        raw = {"user": self.users.inputs, "item": self.items.inputs, "context": self.context.inputs}
        told = {field: (side, column, raw[side][column]) for side, field, column in self.places if column in raw[side]}
        history = [HISTORY] if self.reads_history else []
        self.input_of = {name: name for name in (*self.short, *history)}
        self.input_of |= input_names(told, taken=self.input_of)
        self.told = {self.input_of[field]: (side, column) for field, (side, column, _) in told.items()}
        self.inputs = [
            *(Input(name, tf.string, 1, "") for name in self.short),
            *(Input(name, tf.string, 2, "") for name in history),
            *(Input(self.input_of[f], column.dtype, column.rank, column.neutral) for f, (_, _, column) in told.items()),
        ]
        self.resources = [self.users, self.items, self.context, self._histories]

    def fields(self, raw: Tensors) -> Tensors:
        """See `RankingInputs`."""
        users, items = self.users.ids.position(raw[USER_ID]), self.items.ids.position(raw[ITEM_ID])
        sides = {"user": self.user_columns(users, raw), "item": self.item_columns(items, raw)}
        sides["context"] = self.moment(tf.shape(users)[0], raw)
        made = {field: sides[side][column] for side, field, column in self.places}
        if self.reads_history:
            made |= self.newest(self.history(users, raw), items)
        return made

    def user_columns(self, users: tf.Tensor, raw: Tensors) -> Tensors:
        """Encoded columns of ``[batch]`` internal user ids, those that the request tells replaced."""
        return self.users.encoded(users, self._given("user", raw))

    def item_columns(self, items: tf.Tensor, raw: Tensors) -> Tensors:
        """Encoded columns of ``[batch]`` internal item ids, those that the request tells replaced."""
        return self.items.encoded(items, self._given("item", raw))

    def moment(self, rows: tf.Tensor, raw: Tensors) -> Tensors:
        """Encoded columns of the moment of asking, of `rows` requests."""
        return self.context.encoded(self.context.not_given(rows) | self._given("context", raw))

    def stored(self, users: tf.Tensor) -> tf.Tensor:
        """``[batch, any]`` internal ids of the items that users are known to have had, oldest first, padded with 0."""
        return self._histories.of(users).items

    def history(self, users: tf.Tensor, raw: Tensors) -> tf.Tensor:
        """``[batch, any]`` internal item ids, oldest first, 0 anywhere: what is told, or else what is stored."""
        stored = self.stored(users)
        if HISTORY not in raw:
            return stored
        with tf.device(CPU):
            told = self.items.ids.position(raw[HISTORY])
            return tf.concat([tf.where(is_given(raw[HISTORY])[:, None], UNKNOWN, stored), told], axis=1)

    def newest(self, history: tf.Tensor, items: tf.Tensor | None = None) -> Tensors:
        """``[batch, width]`` vocabulary ids of the newest items of a history, newest first, padded with 0, by field.

        Args:
          history: ``[batch, any]`` internal item ids, oldest first, 0 anywhere for none.
          items: ``[batch]`` internal ids of items to leave out; None: nothing is left out.
        """
        width = max(self.histories.values())
        with tf.device(CPU):
            ids = tf.pad(tf.reverse(history, axis=[1]), [[0, 0], [0, width]])
            there = ids != UNKNOWN if items is None else (ids != UNKNOWN) & (ids != items[:, None])
            # What is there moves to the front, in its order.
            places = -tf.range(tf.shape(ids)[1])
            _, places = tf.math.top_k(tf.where(there, places, tf.int32.min), width)
            newest = tf.gather(tf.where(there, ids, UNKNOWN), places, batch_dims=1)
            known = tf.where(newest > 0, self.items.encoded_ids(ITEM_ID, newest), 0)
        return {name: known[:, :size] for name, size in self.histories.items()}

    def _given(self, side: str, raw: Tensors) -> Tensors:
        return {column: raw[name] for name, (whose, column) in self.told.items() if whose == side and name in raw}


def input_names(columns: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Name of an input by column: columns may have any name, arguments of a signature may not.

    What is no ASCII letter, digit or underscore becomes an underscore; a name that is taken gets underscores behind.
    """
    made: dict[str, str] = {}
    used = set(taken)
    for column in columns:
        name = re.sub(r"[^A-Za-z0-9_]", "_", column) or "field"
        if name[0].isdigit() or name[0] == "_":
            name = f"field{name if name[0] == '_' else f'_{name}'}"
        while name in used or iskeyword(name):
            name += "_"
        made[column] = name
        used.add(name)
    return made


def lookup_tables(layer: tf.keras.layers.Layer) -> list[Any]:
    """What the operations of a preprocessing layer refer to.

    Keras layers held as attributes would be exported with a function for each of their call modes, so their tables
    are held alone.
    """
    return [module.lookup_table for module in layer.submodules if hasattr(module, "lookup_table")]
