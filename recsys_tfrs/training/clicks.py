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
from recsys_tfrs.training.pieces import pieces
from recsys_tfrs.training.steps import Batch, endless, step_seed
from recsys_tfrs.training.targets import TargetBatches


@dataclass(frozen=True)
class ClickBatches(TargetBatches):
    """Windows of clicks. Made by `click_batches`.

    Attributes:
      size: clicks of a window.
      carts: ``[num_positions]`` item carted next after each position of the histories, 0 for none; None: not known.
    """

    size: int
    carts: NDArray[np.int32] | None

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """Endless batches from a global step on.

        Each element is a dict of
          ``clicks``: ``[rows, size]`` int32 internal item ids, oldest first, 0 in front of the first,
          ``targets``: ``[rows]`` int32 the items clicked next,
          ``carts``: ``[rows]`` int32 the items carted next, 0 where none is; only where carts are known,
          ``weights``: ``[rows]`` float32 of the targets, only where interactions have weights,
          ``seed``: ``[2]`` int32 for stateless random operations of this step.
        """
        histories, drawn = self.pieces.histories, self.drawing()
        items, back = tf.constant(histories.items), tf.range(1 - self.size, 1, dtype=tf.int64)
        beside = {"carts": (self.carts, 0), "weights": (histories.weights, 1)}
        tables = {name: (tf.constant(table), ahead) for name, (table, ahead) in beside.items() if table is not None}

        def batch(step: tf.Tensor) -> Batch:
            first, within = drawn(step)
            last = first + within
            there = within[:, None] + back >= 0
            return {
                "clicks": tf.where(there, tf.gather(items, tf.maximum(last[:, None] + back, 0)), 0),
                "targets": tf.gather(items, last + 1),
                **{name: tf.gather(table, last + ahead) for name, (table, ahead) in tables.items()},
                **step_seed(self.seed, step),
            }

        return endless(batch, first_step)


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
    return ClickBatches(whole, min(batch_size, whole.num_targets), seed, size, carts)
