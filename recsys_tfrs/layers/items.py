"""Vectors of items that a sequence model both reads and predicts."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from recsys_tfrs.features.encoded import EncodedData
from recsys_tfrs.layers.embedding import SummedFeatures
from recsys_tfrs.schema import ITEM_ID


class ItemVectors(tf.keras.layers.Layer):
    """Item id and item columns -> candidate vectors, and the same before they are scaled, to be read in histories.

    ``v = e_id + sum_c e_c``; a candidate is ``v`` or ``v / |v|``, with a bias of the item behind it where there is one.
    An item that training has not seen has no ``e_id`` and no bias.

    Args:
      data: the data set, encoded.
      dim: size of v.
      columns: add the embeddings of item columns.
      normalize: candidates of length 1.
      bias: candidates end in a bias of their own, which meets a 1 in the query.
      scale: standard deviation of the initial embeddings.
      seed: of the initial weights.
    """

    def __init__(
        self, data: EncodedData, dim: int, *, columns: bool, normalize: bool, bias: bool, scale: float, seed: int
    ) -> None:
        super().__init__(name="item_vectors", dtype=tf.float32)
        self._normalize = normalize
        size = data.items.encoders[ITEM_ID].vocabulary_size
        initial = np.random.default_rng(seed).normal(0.0, scale, (size, dim))
        initial[0] = 0  # the unknown
        self.table = self.add_weight(
            name="ids", shape=(size, dim), initializer=tf.keras.initializers.Constant(initial.astype(np.float32))
        )
        self.bias = self.add_weight(name="bias", shape=(size,), initializer="zeros") if bias else None
        described = {name: encoder for name, encoder in data.items.encoders.items() if name != ITEM_ID and columns}
        self.columns = SummedFeatures(described, dim, seed=seed + 50, scale=scale / 2, name="item_columns")
        self.has_columns = bool(described)
        self._matrix = self.columns.matrix(data.item_table) if described else None
        ids = data.item_table[ITEM_ID].numpy()
        # Where every item was trained on, the table is the catalogue and need not be gathered.
        self._is_catalogue = len(ids) == size and bool(np.array_equal(ids, np.arange(size)))
        self._ids = tf.constant(ids, tf.int32)

    def call(self, encoded: dict[str, tf.Tensor]) -> tf.Tensor:
        """``[batch, dim]`` candidates (``[batch, dim + 1]`` with a bias) from encoded item columns."""
        return self.candidates(self.read(encoded), encoded[ITEM_ID])

    def read(self, encoded: dict[str, tf.Tensor]) -> tf.Tensor:
        """``[batch, dim]`` v from encoded item columns."""
        vectors = self._of_ids(self.table, encoded[ITEM_ID])
        return vectors + self.columns(encoded) if self.has_columns else vectors

    def candidates(self, vectors: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Candidates from v and ids of the items' id vocabulary."""
        vectors = tf.math.l2_normalize(vectors, axis=1) if self._normalize else vectors
        if self.bias is None:
            return vectors
        return tf.concat([vectors, self._of_ids(self.bias, ids)[:, None]], axis=1)

    def read_catalogue(self) -> tf.Tensor:
        """``[num_items + 1, dim]`` v of the whole catalogue by internal id; row 0 is padding."""
        vectors = tf.convert_to_tensor(self.table) if self._is_catalogue else self._of_ids(self.table, self._ids)
        return vectors + self.columns.embed(self._matrix) if self._matrix is not None else vectors

    def catalogue(self) -> tf.Tensor:
        """Candidates of the whole catalogue by internal id."""
        return self.candidates(self.read_catalogue(), self._ids)

    @staticmethod
    def _of_ids(table: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Rows of a table; zeros for id 0, whatever its row has come to hold."""
        known = tf.cast(ids > 0, tf.float32)
        rows = tf.gather(table, ids)
        return rows * (known[:, None] if rows.shape.rank == 2 else known)
