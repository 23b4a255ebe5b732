"""Examples made of interactions: a user, an item, the moment, and what the user had done before.

Every user and item is encoded once; a row of an example is gathered from those tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.pairs import PairRows
from recsys_tfrs.features.encoded import EncodedData
from recsys_tfrs.features.encoders import Encoder, IdEncoder
from recsys_tfrs.features.fields import IDS, VALUES, EncodedExamples, ExamplePreprocessor
from recsys_tfrs.schema import HISTORY, ITEM_ID, RECENT


class HistoryEncoder(Encoder):
    """Item ids of a history, oldest first -> ``[batch, width]`` ids of the newest, padded with 0.

    Args:
      items: looks up item ids.
      width: most items that are read.
      name: of the field.
    """

    raw_rank = 2

    def __init__(self, items: IdEncoder, width: int, name: str = HISTORY) -> None:
        super().__init__(name=name)
        self._items = items
        self.vocabulary_size, self.width = items.vocabulary_size, width

    def adapt(self, values: NDArray[Any]) -> None:
        """Nothing is learned here: the items' own ids are."""

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Look up ``[batch, any width]`` strings; what is unknown, "" among it, is 0."""
        ids = tf.reshape(self._items(tf.reshape(values[:, -self.width :], [-1])), [tf.shape(values)[0], -1])
        ids = tf.pad(ids, [[0, 0], [0, self.width - tf.shape(ids)[1]]])
        return tf.ensure_shape(ids, [None, self.width])


def pair_encoders(data: EncodedData, history: int, recent: int = 0) -> dict[str, Encoder]:
    """Encoder by field: columns of users, items and context, and histories.

    A name that two of them have gets in front of it whose it is, ``user_``, ``item_`` or ``context_``.

    Args:
      data: encoded columns of all users, items and rows.
      history: newest items of a history that are a field; 0: none is.
      recent: newest items that are a second field, with vectors of its own: what was just done tells more about what
        comes next than the rest; 0: none is.
    """
    encoders = {field: encoder for _, field, _, encoder in pair_fields(data)}
    id_encoder = data.items.encoders[ITEM_ID]
    for name, width in ((HISTORY, history), (RECENT, recent)):
        if width and isinstance(id_encoder, IdEncoder):
            encoders[name] = HistoryEncoder(id_encoder, width, name)
    return encoders


def history_widths(layer: ExamplePreprocessor) -> dict[str, int]:
    """Most items that are read, by field, of the fields made of a history."""
    encoders = layer.encoders.items()
    return {name: encoder.width for name, encoder in encoders if isinstance(encoder, HistoryEncoder)}


def encode_pairs(
    data: EncodedData, layer: ExamplePreprocessor, pairs: PairRows, known: Histories, *, in_order: bool
) -> EncodedExamples:
    """Encode pairs.

    Args:
      data: encoded columns of all users, items and rows.
      layer: made of `pair_encoders`.
      pairs: to encode; row -1 stands for a moment of which nothing is known.
      known: what each user is known to have done.
      in_order: of pairs in the circumstances of a row that is among `known`, only what came before it is their
        history; otherwise all but that row.
    """
    sides = {"user": pairs.users, "item": pairs.items, "context": pairs.rows + 1}
    columns: dict[str, NDArray[Any]] = {}
    for side, field, column, _ in pair_fields(data):
        table = {"user": data.user_table, "item": data.item_table, "context": data.context_table}[side]
        columns[field] = table[column].numpy()[sides[side]]
    layout, made = layer.layout, {}
    if layout.single:
        made[IDS] = np.stack([columns[name] for name in layout.single], axis=1)
    if layout.dense:
        wide = [columns[name].reshape(len(pairs.users), -1) for name in layout.dense]
        made[VALUES] = np.concatenate(wide, axis=1).astype(np.float32)
    widths = history_widths(layer)
    if widths:
        # Newest first, so that the narrower is the beginning of the wider.
        newest = _histories(data, max(widths.values()), pairs, known, in_order)
        columns |= {name: np.ascontiguousarray(newest[:, :width]) for name, width in widths.items()}
    made |= {name: columns[name] for name in layout.several}
    return EncodedExamples(made, pairs.targets, pairs.weights, pairs.users)


@dataclass(frozen=True)
class ItemFields:
    """What encoded pairs hold of their items, for the whole catalogue.

    Attributes:
      columns: by key of the encoded tensors, which of its columns speak of the item, and their
        ``[num_items + 1, num_columns]`` values by internal id.
    """

    columns: Mapping[str, tuple[NDArray[np.int64], NDArray[Any]]]

    def beside(self, columns: Mapping[str, NDArray[Any]], others: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
        """Each pair, and behind it the same with other items: ``[num_rows * (1 + n), ...]``.

        Args:
          columns: ``[num_rows, ...]`` encoded pairs.
          others: ``[num_rows, n]`` internal ids of items.
        """
        made = {}
        for key, values in columns.items():
            repeated = np.repeat(values[:, None], 1 + others.shape[1], axis=1)
            if key in self.columns:
                which, table = self.columns[key]
                repeated[:, 1:, which] = table[others]
            made[key] = repeated.reshape(-1, *values.shape[1:])
        return made


def item_fields(data: EncodedData, layer: ExamplePreprocessor) -> ItemFields:
    """The columns of `encode_pairs` that change with the item.

    Args:
      data: encoded columns of all users, items and rows.
      layer: made of `pair_encoders`.
    """
    layout = layer.layout
    ends = np.cumsum([0, *layout.dense.values()])
    where: dict[str, tuple[str, NDArray[np.int64]]] = {
        **{name: (IDS, np.array([place])) for place, name in enumerate(layout.single)},
        **{n: (VALUES, np.arange(low, high)) for n, low, high in zip(layout.dense, ends, ends[1:], strict=False)},
    }
    found: dict[str, list[tuple[NDArray[np.int64], NDArray[Any]]]] = {}
    for side, field, column, encoder in pair_fields(data):
        if side == "item":
            key, which = where.get(field, (field, np.arange(encoder.width)))
            table = data.item_table[column].numpy()
            found.setdefault(key, []).append((which, table.reshape(len(table), -1)))
    return ItemFields(
        {
            key: (np.concatenate([which for which, _ in parts]), np.concatenate([table for _, table in parts], axis=1))
            for key, parts in found.items()
        }
    )


def pair_fields(data: EncodedData) -> list[tuple[str, str, str, Encoder]]:
    """Side, field, column and encoder of everything that is read of a pair."""
    sides: Mapping[str, Mapping[str, Encoder]] = {
        "user": data.users.encoders,
        "item": data.items.encoders,
        "context": data.context.encoders,
    }
    names = [name for encoders in sides.values() for name in encoders]
    return [
        (side, f"{side}_{name}" if names.count(name) > 1 else name, name, encoder)
        for side, encoders in sides.items()
        for name, encoder in encoders.items()
    ]


def _histories(data: EncodedData, width: int, pairs: PairRows, known: Histories, in_order: bool) -> NDArray[np.int32]:
    """``[num_rows, width]`` newest items of the users, each row's own left out, as ids of the items' vocabulary."""
    vocabulary = data.item_table[ITEM_ID].numpy()[known.items].astype(np.int32)
    start, end = known.offsets[pairs.users], known.offsets[pairs.users + 1]
    place_of = np.full(int(max(known.rows.max(initial=-1), pairs.rows.max(initial=-1))) + 1, -1, np.int64)
    place_of[known.rows] = np.arange(len(known.rows))
    own = np.where(pairs.rows >= 0, place_of[pairs.rows], -1)
    # Of items drawn beside an interaction, too: or the history would tell which of them it was.
    is_known = own >= 0
    if in_order:
        end = np.where(is_known, own, end)
    place = end[:, None] - 1 - np.arange(width)[None, :]
    if not in_order:
        place -= is_known[:, None] & (place <= own[:, None])
    there = place >= start[:, None]
    return np.where(there, np.append(vocabulary, np.int32(0))[np.where(there, place, -1)], 0).astype(np.int32)
