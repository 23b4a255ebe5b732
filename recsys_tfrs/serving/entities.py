"""Users and items as an exported graph knows them: ids, encoded features, histories.

Everything here is pinned to the CPU: string operations and hash tables have no GPU kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.gaps import gap_buckets
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.features.preprocessing import FeaturePreprocessor
from recsys_tfrs.schema import UNKNOWN
from recsys_tfrs.serving.inputs import Input, Tensors

CPU = "/cpu:0"


class Strings(tf.Module):
    """Strings by position and positions by string.

    Args:
      strings: ``[n + 1]`` distinct strings; position 0 is the unknown.

    Attributes:
      size: ``n + 1``.
    """

    def __init__(self, strings: NDArray[np.object_]) -> None:
        super().__init__(name="strings")
        self.size = len(strings)
        with tf.device(CPU):
            # The unknown is among the keys: a table without any key cannot be saved.
            positions = tf.range(len(strings), dtype=tf.int32)
            known = tf.lookup.KeyValueTensorInitializer(tf.constant(strings, tf.string), positions)
            self._positions = tf.lookup.StaticHashTable(known, UNKNOWN)
            self._strings = tf.Variable(tf.constant(strings, tf.string), trainable=False)

    def position(self, strings: tf.Tensor) -> tf.Tensor:
        """Int32 positions of strings of any shape; 0 for what is not known."""
        with tf.device(CPU):
            return self._positions.lookup(strings)

    def string(self, positions: tf.Tensor) -> tf.Tensor:
        """Strings at positions of any shape."""
        with tf.device(CPU):
            return tf.gather(self._strings, positions)


class Entities(tf.Module):
    """The users or the items of a data set, those that training did not see included.

    Args:
      ids: ``[n + 1]`` external ids by internal id.
      columns: side features by name.
      preprocessor: the layer the model was trained with.

    Attributes:
      inputs: the raw columns a request may carry, by column name; the id is not among them.
    """

    def __init__(
        self, ids: NDArray[np.object_], columns: dict[str, FeatureColumn], preprocessor: FeaturePreprocessor
    ) -> None:
        super().__init__(name=f"{preprocessor.id_name}s")
        self.ids = Strings(ids)
        self.inputs = {
            name: Input(name, encoder.raw_dtype, encoder.raw_rank, encoder.missing)
            for name, encoder in preprocessor.encoders.items()
            if name != preprocessor.id_name
        }
        # Keras layers held as attributes would be exported with a function for each of their call modes: only what
        # their operations refer to is held, the lookup tables.
        self._encode: Callable[..., tf.Tensor] = lambda name, values: preprocessor.encoders[name](values)
        self._tables = [m.lookup_table for m in preprocessor.submodules if hasattr(m, "lookup_table")]
        with tf.device(CPU):
            self._encoded = {
                name: tf.Variable(encoded, trainable=False)
                for name, encoded in preprocessor.table(ids, columns).items()
            }

    def encoded(self, ids: tf.Tensor, raw: Tensors) -> Tensors:
        """Encoded columns of a batch, as the towers take them.

        Args:
          ids: ``[batch]`` internal ids; 0 has no features of its own.
          raw: columns of the request; a value that is given there replaces the known one.
        """
        with tf.device(CPU):
            columns = {name: tf.gather(table, ids) for name, table in self._encoded.items()}
            for name, values in raw.items():
                new = self._encode(name, values)
                given = tf.reshape(is_given(values), [-1] + [1] * (new.shape.rank - 1))
                columns[name] = tf.where(given, new, columns[name])
            return columns

    def encoded_ids(self, name: str, ids: tf.Tensor) -> tf.Tensor:
        """One column, usually the id's own, for internal ids of any shape."""
        with tf.device(CPU):
            return tf.gather(self._encoded[name], ids)


class Context(tf.Module):
    """The moment of asking, of which a request alone can tell.

    Args:
      preprocessor: the context's layer the model was trained with.

    Attributes:
      inputs: the raw columns a request may carry, by column name.
    """

    def __init__(self, preprocessor: FeaturePreprocessor) -> None:
        super().__init__(name="context")
        self.inputs = {
            name: Input(name, encoder.raw_dtype, encoder.raw_rank, encoder.missing)
            for name, encoder in preprocessor.encoders.items()
        }
        self._encode: Callable[..., Tensors] = lambda raw: preprocessor(raw)  # see `Entities` on what is no attribute
        self._tables = [m.lookup_table for m in preprocessor.submodules if hasattr(m, "lookup_table")]

    def encoded(self, raw: Tensors) -> Tensors:
        """Encoded columns of a batch, from the raw columns of the request."""
        with tf.device(CPU):
            return self._encode(raw)

    def not_given(self, rows: tf.Tensor) -> Tensors:
        """Raw columns of `rows` requests that tell nothing."""
        return {name: declared.not_given(rows) for name, declared in self.inputs.items()}


def is_given(values: tf.Tensor) -> tf.Tensor:
    """``[batch]`` True for rows that hold anything but "" or NaN."""
    given = values != "" if values.dtype == tf.string else ~tf.math.is_nan(values)
    return tf.reduce_any(given, axis=1) if given.shape.rank == 2 else given


class StoredHistories(tf.Module):
    """The items of every user, and their ratings where there are any, so that a request need not carry them.

    Args:
      histories: items by user.
      is_kept: False stores none of them.
      with_gaps: store the times between them, too.
    """

    def __init__(self, histories: Histories, is_kept: bool, with_gaps: bool = False) -> None:
        super().__init__(name="histories")
        offsets = histories.offsets if is_kept else np.zeros_like(histories.offsets)
        self.has_ratings = histories.ratings is not None
        with tf.device(CPU):
            self._offsets = tf.Variable(offsets, trainable=False)
            # The last entry of each is nobody's, and stands where there is none.
            self._items = tf.Variable(np.append(histories.items[: offsets[-1]], np.int32(0)), trainable=False)
            if histories.ratings is not None:
                ratings = np.append(histories.ratings[: offsets[-1]], np.float32(0))
                self._ratings = tf.Variable(ratings, trainable=False)
            self._gaps = None
            if with_gaps:
                gaps = gap_buckets(histories)[: offsets[-1]]
                self._gaps = tf.Variable(np.append(gaps, gaps.dtype.type(0)), trainable=False)

    def of(self, users: tf.Tensor) -> Stored:
        """What is known of ``[batch]`` internal user ids."""
        with tf.device(CPU):
            start, end = tf.gather(self._offsets, users), tf.gather(self._offsets, users + 1)
            place = start[:, None] + tf.range(tf.reduce_max(tf.concat([end - start, [0]], axis=0)))
            place = tf.where(place < end[:, None], place, tf.shape(self._items, place.dtype)[0] - 1)
            ratings = tf.gather(self._ratings, place) if self.has_ratings else None
            gaps = None if self._gaps is None else tf.gather(self._gaps, place)
            return Stored(tf.gather(self._items, place), ratings, gaps)


class Stored(NamedTuple):
    """What users have done, oldest first, each row padded at its end to the longest.

    Attributes:
      items: ``[batch, longest]`` int32 internal item ids, 0 for none.
      ratings: ``[batch, longest]`` float32 aligned with `items`, or None where the data has none.
      gaps: ``[batch, longest]`` buckets of the time before each item, or None where no model reads them.
    """

    items: tf.Tensor
    ratings: tf.Tensor | None
    gaps: tf.Tensor | None


class History(NamedTuple):
    """What users have done, oldest first.

    Attributes:
      items: ``[batch, None]`` int32 internal item ids.
      ratings: ``[batch, None]`` float32 aligned with `items`, or None where the data has none.
      gaps: ``[batch, None]`` int32 buckets of the times between them, or None where none is known.
    """

    items: tf.RaggedTensor
    ratings: tf.RaggedTensor | None
    gaps: tf.RaggedTensor | None = None

    @classmethod
    def of(cls, items: tf.Tensor, ratings: tf.Tensor | None, gaps: tf.Tensor | None) -> History:
        """From ``[batch, any]`` internal ids, 0 anywhere for none, and what is aligned with them."""
        known = items != UNKNOWN
        lengths = tf.math.count_nonzero(known, axis=1)

        def ragged(values: tf.Tensor | None) -> tf.RaggedTensor | None:
            if values is None:
                return None
            return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(values, known), lengths, validate=False)

        return cls(ragged(items), ragged(ratings), ragged(gaps))
