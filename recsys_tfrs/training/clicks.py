"""Training batches of one block size: the newest clicks before each target, padded in front.

Every item of a sequence but its first is a target once, with at most `size` items before it. Beside it stands the item
that the session puts into the cart next, at the target or later. Every batch is a function of (seed, global step).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.training.pieces import Pieces, pieces
from recsys_tfrs.training.pipeline import permuted


@dataclass(frozen=True)
class ClickBatches:
    """Windows of clicks. Made by `click_batches`.

    Attributes:
      pieces: whole sequences.
      rows: windows of a batch.
      size: clicks of a window.
      carts: ``[num_positions]`` item carted next after each position of the histories, 0 for none; None: not known.
      seed: of order and dropout.
    """

    pieces: Pieces
    rows: int
    size: int
    carts: NDArray[np.int32] | None
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

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """Endless batches from a global step on.

        Each element is a dict of
          ``clicks``: ``[rows, size]`` int32 internal item ids, oldest first, 0 in front of the first,
          ``targets``: ``[rows]`` int32 the items clicked next,
          ``carts``: ``[rows]`` int32 the items carted next, 0 where none is; only where carts are known,
          ``weights``: ``[rows]`` float32 of the targets, only where interactions have weights,
          ``seed``: ``[2]`` int32 for stateless random operations of this step.
        """
        histories = self.pieces.histories
        items, starts = tf.constant(histories.items), tf.constant(self.pieces.starts)
        ends = tf.cumsum(tf.constant(self.pieces.sizes))
        sizes = tf.constant(self.pieces.sizes)
        beside = {"carts": (self.carts, 0), "weights": (histories.weights, 1)}
        tables = {name: (tf.constant(table), ahead) for name, (table, ahead) in beside.items() if table is not None}
        total, steps, back = self.pieces.num_targets, self.steps_per_epoch, tf.range(1 - self.size, 1, dtype=tf.int64)

        def batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
            epoch, low = step // steps, (step % steps) * self.rows
            slots = tf.range(low, tf.minimum(low + self.rows, total))
            place = permuted(slots, total, tf.stack([tf.constant(self.seed, tf.int64), epoch]))
            which = tf.searchsorted(ends, place, side="right")
            within = place - (tf.gather(ends, which) - tf.gather(sizes, which))
            last = tf.gather(starts, which) + within
            where = last[:, None] + back
            there = within[:, None] + back >= 0
            return {
                "clicks": tf.where(there, tf.gather(items, tf.maximum(where, 0)), 0),
                "targets": tf.gather(items, last + 1),
                **{name: tf.gather(table, last + ahead) for name, (table, ahead) in tables.items()},
                "seed": tf.cast(tf.stack([tf.constant(self.seed, tf.int64), step]), tf.int32),
            }

        steps_from_here = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
        return steps_from_here.map(batch, num_parallel_calls=2, deterministic=True).prefetch(4)


def click_batches(
    histories: Histories, *, batch_size: int, size: int, seed: int, carts: NDArray[np.int32] | None = None
) -> ClickBatches:
    """Batches of `batch_size` windows.

    Args:
      histories: the sequences.
      batch_size: windows of a batch.
      size: clicks of a window.
      seed: of order and dropout.
      carts: see `recsys_tfrs.data.carts.next_carted`.

    Raises:
      DataError: no sequence holds two items.
    """
    whole = pieces(histories)
    return ClickBatches(whole, min(batch_size, whole.num_targets), size, carts, seed)
