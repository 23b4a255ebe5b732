"""Sequences of items -> states of stacked GRU layers -> queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from recsys_tfrs.data.gaps import NUM_GAPS
from recsys_tfrs.layers.dropout import keep_mask
from recsys_tfrs.layers.gru import GRU, OneHotGRU

#: Salts of the random numbers drawn in a step, see `layers.dropout.keep_mask`.
_UNKNOWN_SALT, _INPUT_SALT, _STATE_SALT, _GAP_SALT = 31, 32, 33, 61

#: Share of sequences trained on without their times, so that a history without any is nothing new.
_WITHOUT_TIMES = 0.2


class States(NamedTuple):
    """What a sequence has become.

    Attributes:
      of_layers: ``[times, rows, units]`` states of each layer, as the next step needs them.
      last: ``[times, rows, units]`` what the last layer hands out, dropout applied.
    """

    of_layers: list[tf.Tensor]
    last: tf.Tensor


class RecurrentTower(tf.keras.layers.Layer):
    """Ids and vectors of items, in order, -> queries; times come first in all shapes.

    Args:
      vocabulary_size: ids of items lie below this; 0 is the unknown.
      dim: size of vectors and queries.
      units: size of the state of each layer.
      tied: vectors are given with the ids, and belong to somebody else.
      one_hot: where they are not: ids enter as 1-of-N, not by a vector of their own.
      reads_ratings: a rating stands beside each item.
      reads_gaps: the time before each item is told with it.
      normalize: queries of length 1.
      constant: queries end in a 1, which meets an item's bias.
      input_dropout: of what enters the first layer.
      dropout: of what leaves each layer.
      unknown_rate: share of inputs replaced by the unknown item in training.
      scale: standard deviation of the initial embeddings.
      seed: of the initial weights.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        dim: int,
        units: Sequence[int],
        tied: bool,
        one_hot: bool,
        reads_ratings: bool,
        reads_gaps: bool,
        normalize: bool,
        constant: bool,
        input_dropout: float,
        dropout: float,
        unknown_rate: float,
        scale: float,
        seed: int,
    ) -> None:
        super().__init__(name="recurrent_tower", dtype=tf.float32)
        self._normalize, self._constant = normalize, constant
        self._input_dropout, self._dropout, self._unknown_rate = input_dropout, dropout, unknown_rate
        self._one_hot = one_hot
        normal = tf.keras.initializers.RandomNormal(stddev=scale, seed=seed)
        # Row 0 of a table of its own is the unknown item's.
        self._tied = tied
        if not one_hot:
            shape = (1 if tied else vocabulary_size, dim)
            self.table = self.add_weight(name="unknown" if tied else "inputs", shape=shape, initializer=normal)
        self.layers = [
            OneHotGRU(size, vocabulary_size, seed=seed + 10 * layer, name=f"gru_{layer}")
            if one_hot and layer == 0
            else GRU(size, seed=seed + 10 * layer, name=f"gru_{layer}")
            for layer, size in enumerate(units)
        ]
        width = 3 * units[0] if one_hot else dim
        zeros = tf.keras.initializers.Zeros()
        self.rating = self.add_weight(name="rating", shape=(width,), initializer=zeros) if reads_ratings else None
        self.gap = self.add_weight(name="gap", shape=(NUM_GAPS, width), initializer=zeros) if reads_gaps else None
        self.project = tf.keras.layers.Dense(
            dim, use_bias=False, kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seed + 5), dtype=tf.float32
        )

    def states(
        self,
        ids: tf.Tensor,
        vectors: tf.Tensor | None,
        ratings: tf.Tensor | None = None,
        gaps: tf.Tensor | None = None,
        *,
        before: Sequence[tf.Tensor] | None = None,
        kept: tf.Tensor | None = None,
        seed: tf.Tensor | None = None,
        training: bool = False,
    ) -> States:
        """Walk through sequences.

        Args:
          ids: ``[times, rows]`` of the items' id vocabulary.
          vectors: ``[times, rows, dim]`` of the items, where they are tied.
          ratings: ``[times, rows]`` deviation of each from the mean, in standard deviations; None: none stands out.
          gaps: ``[times, rows]`` bucket of the time before each; None: not known.
          before: ``[rows, units]`` states of each layer before the first step; None: empty.
          kept: ``[times, rows]`` 1 where the state goes on, 0 where it is emptied before the step; None: it goes on.
          seed: ``[2]`` int32 seed of the step, in training.
          training: apply dropout, and make gradients cheap.
        """
        unknown = ids < 0
        if not self._one_hot and self._tied:
            unknown = tf.reduce_all(vectors == 0, axis=2)  # neither trained on nor described
        if training and self._unknown_rate:
            unknown |= ~keep_mask(tf.shape(ids), self._unknown_rate, seed, _UNKNOWN_SALT)
        if training and self.gap is not None and gaps is not None:
            told = keep_mask(tf.shape(ids)[1:], _WITHOUT_TIMES, seed, _GAP_SALT)
            gaps = tf.where(told, gaps, 0)
        entering = self._entering(ids, vectors, unknown, ratings, gaps)
        if training and self._input_dropout:
            entering = _dropped(entering, self._input_dropout, seed, _INPUT_SALT)
        of_layers = []
        for number, layer in enumerate(self.layers):
            state = None if before is None else before[number]
            if isinstance(layer, OneHotGRU):
                entering = layer.of_products(entering, state, kept, training)
            else:
                entering = layer(entering, state, kept, training=training)
            of_layers.append(entering)
            if training and self._dropout:
                entering = _dropped(entering, self._dropout, seed, _STATE_SALT + number)
        return States(of_layers, entering)

    @property
    def state_size(self) -> int:
        """Numbers in the states of all layers of one sequence."""
        return sum(layer.units for layer in self.layers)

    def step(
        self, ids: tf.Tensor, vectors: tf.Tensor | None, state: tf.Tensor, unknown: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One item more.

        Args:
          ids: ``[batch]`` of the items' id vocabulary.
          vectors: ``[batch, dim]`` of the items, where they are tied.
          state: ``[batch, state_size]`` states of all layers, side by side; zeros before the first item.
          unknown: ``[batch]`` whether the unknown item is read instead.

        Returns:
          ``[batch, state_size]`` and ``[batch, units]`` of the last layer.
        """
        entering = self._entering(ids, vectors, unknown, None, None)
        after = []
        for layer, before in zip(
            self.layers, tf.split(state, [layer.units for layer in self.layers], axis=1), strict=True
        ):
            products = entering if isinstance(layer, OneHotGRU) else tf.matmul(entering, layer.kernel)
            entering = layer.step(products, before)
            after.append(entering)
        return tf.concat(after, axis=1), entering

    def queries(self, states: tf.Tensor) -> tf.Tensor:
        """``[batch, dim]`` (``[batch, dim + 1]`` with a constant) from ``[batch, units]`` states of the last layer."""
        query = self.project(states)
        query = tf.math.l2_normalize(query, axis=1) if self._normalize else query
        return tf.concat([query, tf.ones_like(query[:, :1])], axis=1) if self._constant else query

    def _entering(
        self,
        ids: tf.Tensor,
        vectors: tf.Tensor | None,
        unknown: tf.Tensor,
        ratings: tf.Tensor | None,
        gaps: tf.Tensor | None,
    ) -> tf.Tensor:
        """``[times, rows, dim]``, or of products with the first layer's kernel where ids enter as 1-of-N."""
        first = self.layers[0]
        if isinstance(first, OneHotGRU):
            entering = first.products(tf.where(unknown, 0, ids))
        elif self._tied:
            entering = tf.where(unknown[..., None], self.table[0], vectors)
        else:
            entering = tf.gather(self.table, tf.where(unknown, 0, ids))
        if self.gap is not None:
            entering += self.gap[0] if gaps is None else tf.gather(self.gap, gaps)
        if self.rating is None or ratings is None:
            return entering
        # An unknown item's rating says nothing.
        return entering + tf.where(unknown, 0.0, ratings)[..., None] * self.rating


def _dropped(values: tf.Tensor, rate: float, seed: tf.Tensor, salt: int) -> tf.Tensor:
    kept = keep_mask(tf.shape(values), rate, seed, salt)
    return tf.where(kept, values / (1.0 - rate), tf.zeros_like(values))
