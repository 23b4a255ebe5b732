"""Encoded features -> vectors of one size."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from recsys_tfrs.features.encoders import Encoder


class SummedFeatures(tf.keras.layers.Layer):
    """All encoded columns of an entity -> ``[batch, dim]``, the sum of their embeddings.

    Ids are looked up and averaged over the values a row has; id 0 (missing, padding) contributes nothing. Dense
    columns pass through a linear map. Summing rather than concatenating keeps the size free of the number of columns
    and lets an absent column contribute nothing; it is a linear layer over the concatenation.

    The embeddings of all columns are the rows of one table, so a fixed set of entities is a sparse matrix over the
    table's rows, and embedding all of them is a single product (`matrix`, `embed`).

    Args:
      encoders: adapted encoders by column name.
      dim: size of the vector.
      seed: of the initial weights.
      scale: standard deviation of the initial embeddings.
    """

    def __init__(
        self, encoders: Mapping[str, Encoder], dim: int, *, seed: int, scale: float, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self._is_ids = {column: encoder.vocabulary_size > 0 for column, encoder in encoders.items()}
        self._first_row: dict[str, int] = {}
        rows = 0
        for column, encoder in encoders.items():
            self._first_row[column] = rows
            rows += encoder.vocabulary_size if self._is_ids[column] else encoder.width
        if rows:
            initial = tf.keras.initializers.RandomNormal(stddev=scale, seed=seed)
            self.table = self.add_weight(name="table", shape=(rows, dim), initializer=initial)

    def call(self, encoded: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Embed a batch of encoded columns; without any column, the sum is 0."""
        if not self._first_row:
            return tf.zeros([], self.compute_dtype)
        rows, weights = self._rows_and_weights(encoded)
        vectors = tf.cast(tf.gather(self.table, rows), self.compute_dtype)
        return tf.einsum("bv,bvd->bd", tf.cast(weights, self.compute_dtype), vectors)

    def matrix(self, encoded: Mapping[str, tf.Tensor]) -> tf.SparseTensor:
        """Entities as rows of a ``[num_entities, table rows]`` sparse matrix, for `embed`."""
        if not self._first_row:
            num_entities = tf.shape(next(iter(encoded.values())), out_type=tf.int64)[0]
            return tf.SparseTensor(tf.zeros([0, 2], tf.int64), tf.zeros([0]), tf.stack([num_entities, 0]))
        rows, weights = self._rows_and_weights(encoded)
        used = tf.where(weights != 0)
        columns = tf.cast(tf.gather_nd(rows, used), tf.int64)
        unordered = tf.SparseTensor(
            tf.stack([used[:, 0], columns], axis=1),
            tf.gather_nd(weights, used),
            [tf.shape(rows, out_type=tf.int64)[0], self.table.shape[0]],
        )
        return tf.sparse.reorder(unordered)

    def embed(self, matrix: tf.SparseTensor) -> tf.Tensor:
        """``[num_entities, dim]``, equal to calling the layer on the columns `matrix` was made from."""
        if not self._first_row:
            return tf.zeros([], self.compute_dtype)
        return tf.cast(tf.sparse.sparse_dense_matmul(matrix, self.table), self.compute_dtype)

    def _rows_and_weights(self, encoded: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """``[batch, values]`` int32 rows of the table and float32 weights, over all columns."""
        rows, weights = [], []
        for column, first_row in self._first_row.items():
            values = encoded[column] if encoded[column].shape.rank == 2 else encoded[column][:, None]
            if self._is_ids[column]:
                known = tf.cast(values > 0, tf.float32)
                rows.append(values + first_row)
                weights.append(tf.math.divide_no_nan(known, tf.reduce_sum(known, axis=1, keepdims=True)))
            else:
                rows.append(tf.zeros_like(values, tf.int32) + first_row + tf.range(tf.shape(values)[1]))
                weights.append(tf.cast(values, tf.float32))
        return tf.concat(rows, axis=1), tf.concat(weights, axis=1)
