"""Towers side by side that together are one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from recsys_tfrs.layers.candidate import CandidateTower


class Members(tf.keras.layers.Layer):
    """Several towers of one kind, whose vectors are laid end to end and divided by the square root of their number.

    A dot product of two such vectors is the mean of the members' dot products, so an ensemble that averages scores is
    asked, indexed and exported as a single model. Vectors of length 1 stay vectors of length 1.

    Reference: Hansen and Salamon, Neural network ensembles, IEEE TPAMI 1990 (averaging networks that differ in their
    initial weights).

    Args:
      towers: at least one; all take the same arguments.
      name: of the layer.

    Attributes:
      towers: as given.
    """

    def __init__(self, towers: Sequence[tf.keras.layers.Layer], name: str) -> None:
        super().__init__(name=name)
        self.towers = list(towers)

    def call(self, *args: Any, **kwargs: Any) -> tf.Tensor:
        """``[batch, num_towers x dim]`` from what each of the towers takes."""
        return side_by_side([tower(*args, **kwargs) for tower in self.towers])


class CandidateMembers(Members):
    """`Members` of `CandidateTower`, with its way of embedding a fixed set of items."""

    towers: list[CandidateTower]

    def matrices(self, encoded: dict[str, tf.Tensor]) -> tuple[tf.SparseTensor, tf.SparseTensor]:
        """A fixed set of items, prepared for `catalogue`; the same for all members."""
        return self.towers[0].matrices(encoded)

    def catalogue(self, matrices: tuple[tf.SparseTensor, tf.SparseTensor]) -> tf.Tensor:
        """``[num_items, num_towers x dim]`` vectors, equal to calling the layer on the columns behind `matrices`."""
        return side_by_side([tower.catalogue(matrices) for tower in self.towers])


def side_by_side(vectors: Sequence[tf.Tensor]) -> tf.Tensor:
    """``[batch, dim]`` vectors of each member -> ``[batch, num_members x dim]``, see `Members`."""
    if len(vectors) == 1:
        return vectors[0]
    joined = tf.concat(vectors, axis=1)
    return joined * tf.cast(len(vectors) ** -0.5, joined.dtype)
