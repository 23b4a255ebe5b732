"""Items that are read by their ids and by their texts, the unknown ones by their texts alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from recsys_tfrs.features.characters import NUM_CODES, CharacterEncoder, joined
from recsys_tfrs.features.encoded import EncodedData
from recsys_tfrs.layers.characters import CharacterConvolution, TextVector
from recsys_tfrs.layers.dropout import keep_mask
from recsys_tfrs.layers.embedding import SummedFeatures
from recsys_tfrs.layers.subwords import SubwordVector
from recsys_tfrs.schema import ITEM_ID

_ID_SALT = 71


class Items(NamedTuple):
    """Items as they are read.

    Attributes:
      vectors: ``[n, dim]``.
      planes: ``[n, positions, channels]`` what the first convolution sees in their texts; None where none has any.
    """

    vectors: tf.Tensor
    planes: tf.Tensor | None


class DescribedItems(tf.keras.layers.Layer):
    """Item id, texts and other columns -> ``v = keep e_id + text(characters) + sum_c e_c``; candidates are ``v / |v|``.

    text() is what convolutions see in the characters and the sum of their subwords.

    An item that training has not seen has no ``e_id``. In training `keep` is 0 for a share of the items, another one in
    each step, so that what is said about an item has to do without its id (Volkovs et al., DropoutNet, NeurIPS 2017).

    Args:
      data: the data set, encoded; its text columns by characters.
      dim: size of v.
      length: characters that are read of all texts of an item together.
      character_dim: size of a character's vector.
      channels: filters of the first convolution.
      filters: of the second.
      width: characters that a filter of the first sees.
      subword_width: characters of a subword, see `recsys_tfrs.layers.subwords`; 0: none are read.
      subword_buckets: rows of the subwords' table.
      reads: read texts and other columns; without, an item is its id.
      id_dropout: share of items without their id in a step of training.
      scale: standard deviation of the initial embeddings.
      seed: of the initial weights.

    Attributes:
      codes: ``[num_items + 1, length]`` uint8 characters of the catalogue; None where there are no texts.
      says: ``[num_items + 1]`` False for the padding, and for items that are neither trained on nor described.
    """

    def __init__(
        self,
        data: EncodedData,
        *,
        dim: int,
        length: int,
        character_dim: int,
        channels: int,
        filters: int,
        width: int,
        subword_width: int,
        subword_buckets: int,
        reads: bool,
        id_dropout: float,
        scale: float,
        seed: int,
    ) -> None:
        super().__init__(name="described_items", dtype=tf.float32)
        self._data, self._length, self._id_dropout = data, length, id_dropout
        size = data.items.encoders[ITEM_ID].vocabulary_size
        normal = tf.keras.initializers.RandomNormal(stddev=scale, seed=seed)
        self.table = self.add_weight(name="ids", shape=(size, dim), initializer=normal)
        encoders = {name: encoder for name, encoder in data.items.encoders.items() if name != ITEM_ID and reads}
        self._texts = [name for name, encoder in encoders.items() if isinstance(encoder, CharacterEncoder)]
        described = {name: encoder for name, encoder in encoders.items() if name not in self._texts}
        self.columns = SummedFeatures(described, dim, seed=seed + 50, scale=scale / 2, name="item_columns")
        self._has_columns = bool(described)
        self.codes = self._codes_of(data.item_table) if self._texts else None
        if self._texts:
            self.convolution = CharacterConvolution(
                NUM_CODES, character_dim, channels, width, seed=seed + 60, name="characters"
            )
            self.text = TextVector(channels, filters, dim, seed=seed + 70, name="text")
            self.subwords = (
                SubwordVector(subword_width, subword_buckets, dim, scale=scale / 2, seed=seed + 80, name="subwords")
                if subword_width
                else None
            )
        says = data.item_table[ITEM_ID].numpy() > 0
        if self.codes is not None:
            says |= self.codes.numpy().any(axis=1)
        if self._has_columns:
            says |= np.arange(len(says)) > 0
        says[0] = False
        self.says = tf.constant(says)

    def call(self, encoded: dict[str, tf.Tensor]) -> tf.Tensor:
        """``[batch, dim]`` candidates from encoded item columns, as a request may bring them."""
        codes = self._codes_of(encoded) if self._texts else None
        return self.candidates(self._read(encoded, codes).vectors)

    def read(self, items: tf.Tensor, seed: tf.Tensor | None = None, training: bool = False) -> Items:
        """Read ``[n]`` internal item ids."""
        encoded = {name: tf.gather(table, items) for name, table in self._small_columns().items()}
        codes = None if self.codes is None else tf.gather(self.codes, items)
        return self._read(encoded, codes, items, seed, training)

    def read_catalogue(self, seed: tf.Tensor | None = None, training: bool = False) -> Items:
        """Read the whole catalogue; row 0 is padding."""
        everything = tf.range(self._data.num_items + 1)
        return self._read(self._small_columns(), self.codes, everything, seed, training)

    @staticmethod
    def candidates(vectors: tf.Tensor) -> tf.Tensor:
        """``[n, dim]`` candidates from v."""
        return tf.math.l2_normalize(vectors, axis=1)

    def _small_columns(self) -> dict[str, tf.Tensor]:
        """Encoded columns of the catalogue, but for the texts, which are kept joined."""
        return {name: table for name, table in self._data.item_table.items() if name not in self._texts}

    def _codes_of(self, encoded: dict[str, tf.Tensor]) -> tf.Tensor:
        return joined([encoded[name] for name in self._texts], self._length)

    def _read(
        self,
        encoded: dict[str, tf.Tensor],
        codes: tf.Tensor | None,
        items: tf.Tensor | None = None,
        seed: tf.Tensor | None = None,
        training: bool = False,
    ) -> Items:
        ids = encoded[ITEM_ID]
        keep = tf.cast(ids > 0, tf.float32)
        if training and self._id_dropout and (codes is not None or self._has_columns):
            # By the item and not by its place, so that an item is the same wherever it stands in a batch.
            kept = keep_mask(tf.constant([self._data.num_items + 1]), self._id_dropout, seed, _ID_SALT)
            keep *= tf.cast(tf.gather(kept, items), tf.float32)
        vectors = tf.gather(self.table, ids) * keep[:, None]
        if self._has_columns:
            vectors += self.columns(encoded)
        if codes is None:
            return Items(vectors, None)
        planes = self.convolution(codes)
        # An item without any text has nothing to be seen.
        has_text = tf.cast(tf.reduce_any(codes > 0, axis=1), tf.float32)
        planes *= has_text[:, None, None]
        text = self.text(planes)
        if self.subwords is not None:
            text += self.subwords(codes)
        return Items(vectors + text * has_text[:, None], planes)
