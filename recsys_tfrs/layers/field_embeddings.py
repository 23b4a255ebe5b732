"""Encoded fields -> one vector and one first-order weight each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from recsys_tfrs.features.fields import IDS, VALUES, FieldLayout

#: Rows of a table up to which the gradient of several ids is a whole table: that costs less than finding out which
#: rows it has. Beyond, an optimizer that is lazy needs to know them.
_SPARSE_ROWS = 100_000


class Fields(NamedTuple):
    """What all parts of a ranking model read.

    Attributes:
      vectors: ``[batch, num_fields, dim]``.
      weights: ``[batch, num_fields]`` first-order weights, ``w_i x_i``.
    """

    vectors: tf.Tensor
    weights: tf.Tensor


class FieldEmbeddings(tf.keras.layers.Layer):
    """One vector and one weight for each field of an example, shared by all parts of a model.

    A field of one id has the row of its id; one of several ids the mean of theirs, padding left out; one of numbers
    ``sum_j x_j v_j``, as a factorization machine reads real values. A field that is missing says nothing: its row
    starts at zero, and learns where training has such rows.

    All rows lie in one table, the first-order weight behind the vector, so a batch is looked up once. Guo et al.,
    DeepFM, IJCAI 2017, section 2.1 (https://arxiv.org/abs/1703.04247): the parts share their embeddings.

    Args:
      layout: of the fields.
      dim: size of the vectors; 0: first-order weights alone.
      scale: standard deviation of the initial vectors.
      seed: of the initial weights.

    Attributes:
      compiled: compute what XLA can compile, which fields of several ids are slower by; False at first.
    """

    def __init__(self, layout: FieldLayout, dim: int, *, scale: float, seed: int) -> None:
        super().__init__(name="field_embeddings")
        self.layout, self.dim, self.compiled = layout, dim, False
        sizes = [*layout.single.values(), *layout.several.values(), *layout.dense.values()]
        firsts = np.concatenate([[0], np.cumsum(sizes)])
        self.first_rows = {name: int(first) for name, first in zip(layout.names, firsts[:-1], strict=True)}
        initial = np.zeros((firsts[-1], dim + 1), np.float32)
        initial[:, :dim] = np.random.default_rng(seed).normal(0.0, scale, (firsts[-1], dim))
        initial[[self.first_rows[name] for name in (*layout.single, *layout.several)]] = 0.0
        # Not cast where it is read, which would be the whole of it: what is read of it is.
        self.table = self.add_weight(
            name="table",
            shape=initial.shape,
            initializer=tf.keras.initializers.Constant(initial),
            experimental_autocast=False,
        )
        self._offsets = tf.constant([self.first_rows[name] for name in layout.single], tf.int32)
        # Which field each number belongs to.
        owner = np.repeat(np.arange(len(layout.dense)), list(layout.dense.values()))
        self._of_field = tf.constant(owner[None, :] == np.arange(len(layout.dense))[:, None], tf.float32)
        self._dense_first = int(firsts[-1]) - sum(layout.dense.values())

    def call(self, encoded: dict[str, tf.Tensor]) -> Fields:
        """Embed a batch of `recsys_tfrs.features.fields.ExamplePreprocessor`."""
        parts, table = [], self._read()
        if self.layout.single:
            parts.append(tf.gather(table, encoded[IDS] + self._offsets))
        parts.extend(self._mean(table, name, encoded[name])[:, None, :] for name in self.layout.several)
        if self.layout.dense:
            # x_j v_j, added up within each field.
            values = encoded[VALUES][:, None, :] * self._of_field
            parts.append(tf.einsum("bfj,jd->bfd", values, table[self._dense_first :]))
        rows = tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]
        rows = tf.cast(rows, self.compute_dtype)
        # In two, whose gradients are laid end to end; slices would each be padded and added up.
        vectors, weights = tf.split(rows, [self.dim, 1], axis=2)
        return Fields(vectors, weights[..., 0])

    def of_field(self, name: str, values: tf.Tensor) -> tf.Tensor:
        """``[batch, dim + 1]`` vector and first-order weight of one field, as `call` has it.

        Args:
          name: of the field.
          values: as its encoder makes them: ``[batch]`` or ``[batch, width]`` ids, or numbers.
        """
        first, table = self.first_rows[name], self._read()
        if name in self.layout.single:
            row = tf.gather(table, values + first)
        elif name in self.layout.several:
            row = self._mean(table, name, values)
        else:
            count = self.layout.dense[name]
            row = tf.matmul(tf.reshape(values, [-1, count]), table[first : first + count])
        return tf.cast(row, self.compute_dtype)

    def _read(self) -> tf.Tensor:
        """The table as a tensor, which is not copied.

        A variable that rows were gathered from by its handle is copied from then on whenever it is read as a whole.
        """
        return tf.convert_to_tensor(self.table)

    def _mean(self, table: tf.Tensor, name: str, ids: tf.Tensor) -> tf.Tensor:
        """``[batch, dim + 1]`` mean of the rows of several ids, padding left out."""
        first = self.first_rows[name]
        if self.compiled:
            known = tf.cast(ids > 0, table.dtype)
            share = tf.math.divide_no_nan(known, tf.reduce_sum(known, axis=1, keepdims=True))
            return tf.einsum("bw,bwd->bd", share, tf.gather(table, ids + first))
        # The known ids alone, one after the other, added up where they are read: no row is copied, forward or
        # backward, while gathering them copies batch x width x dim numbers each way.
        flat = tf.reshape(ids, [-1])
        places = tf.cast(tf.where(flat > 0)[:, 0], tf.int32)
        return tf.sparse.segment_mean(
            table,
            tf.gather(flat, places) + first,
            places // tf.shape(ids)[1],
            num_segments=tf.shape(ids)[0],
            sparse_gradient=table.shape[0] > _SPARSE_ROWS,
        )
