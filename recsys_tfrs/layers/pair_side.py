"""What a user, or an item, brings to a pair of the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.features.encoders import Encoder
from recsys_tfrs.layers.embedding import SummedFeatures
from recsys_tfrs.layers.factors import Factors


class PairSide(tf.keras.layers.Layer):
    """Factors and biases of one side's product, and what it gives to the hidden layers of a `PairMLP`.

    Args:
      encoders: of the side's columns, the id among them.
      id_name: its column.
      biases: ``[vocabulary_size]`` where the biases start.
      networks: independent networks side by side.
      dim: factors of each.
      embedding: size of each one's embedding of the id.
      hidden: units of the first hidden layer.
      initial_scale: standard deviation of the initial factors, times the root of `dim`.
      seed: of the initial weights.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        id_name: str,
        biases: NDArray[np.floating[Any]],
        *,
        networks: int,
        dim: int,
        embedding: int,
        hidden: int,
        initial_scale: float,
        seed: int,
    ) -> None:
        super().__init__(name=f"{id_name}_side")
        self._id_name, self._networks = id_name, networks
        size, scale = encoders[id_name].vocabulary_size, initial_scale / dim**0.5
        self.factors = Factors(size, networks * dim, networks, scale=scale, biases=biases, seed=seed, name="factors")
        self.embeddings = Factors(
            size, networks * embedding, networks, scale=0.1, biases=None, seed=seed + 10, name="embeddings"
        )
        columns = {name: encoder for name, encoder in encoders.items() if name != id_name}
        self._columns = SummedFeatures(columns, networks * hidden, seed=seed + 20, scale=0.03, name="columns")

    def product(self, encoded: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """``[batch, networks * dim]`` factors and ``[batch, networks]`` biases."""
        found: tuple[tf.Tensor, tf.Tensor] = self.factors(encoded[self._id_name])
        return found

    def hidden_input(self, encoded: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """``[networks, batch, embedding]`` embeddings, and ``[networks, batch or 1, hidden]`` of the columns.

        A column's values are looked up in weights of the first hidden layer, which is what a one-hot input does; an
        embedding between would add nothing to it.
        """
        embeddings, _ = self.embeddings(encoded[self._id_name])
        columns = self._columns(encoded)
        if columns.shape.rank == 0:  # there are none
            columns = tf.zeros([1, self._networks], columns.dtype)
        return self._by_network(embeddings), self._by_network(columns)

    def _by_network(self, x: tf.Tensor) -> tf.Tensor:
        return tf.transpose(tf.reshape(x, [tf.shape(x)[0], self._networks, -1]), [1, 0, 2])
