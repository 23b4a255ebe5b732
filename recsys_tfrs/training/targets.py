"""Targets drawn in an order of each epoch, every batch a function of its step: what batches of sequences share.

Done by gathers inside tf.data, without a Python step per batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from recsys_tfrs.training.pieces import Pieces
from recsys_tfrs.training.steps import permuted


class Drawn(NamedTuple):
    """The targets of a batch, by what stands before them.

    Attributes:
      first: ``[rows]`` int64 position of the first input of each target's piece in the histories.
      within: ``[rows]`` int64 inputs of the piece before the last one, which the target follows.
    """

    first: tf.Tensor
    within: tf.Tensor


@dataclass(frozen=True)
class TargetBatches:
    """Batches in which a row is a target, each once in an epoch. Base of those that say what is read before it.

    Attributes:
      pieces: whole sequences.
      rows: of a batch.
      seed: of order and dropout.
    """

    pieces: Pieces
    rows: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one pass."""
        return -(-self.pieces.num_targets // self.rows)

    @property
    def examples_per_epoch(self) -> int:
        """Targets of one pass."""
        return self.pieces.num_targets

    @property
    def queries_per_batch(self) -> int:
        """Targets of a batch, at most."""
        return self.rows

    def drawing(self) -> Callable[[tf.Tensor], Drawn]:
        """A function of the step that draws the targets of its batch."""
        starts, sizes = tf.constant(self.pieces.starts), tf.constant(self.pieces.sizes)
        ends = tf.cumsum(sizes)
        total, steps = self.pieces.num_targets, self.steps_per_epoch

        def drawn(step: tf.Tensor) -> Drawn:
            epoch, low = step // steps, (step % steps) * self.rows
            slots = tf.range(low, tf.minimum(low + self.rows, total))
            place = permuted(slots, total, tf.stack([tf.constant(self.seed, tf.int64), epoch]))
            which = tf.searchsorted(ends, place, side="right")
            return Drawn(tf.gather(starts, which), place - (tf.gather(ends, which) - tf.gather(sizes, which)))

        return drawn
