"""Training batches of whole users or of single interactions, assembled inside tf.data without a Python step per batch.

In batches of users, one row is one user with all of his training items. Under a softmax over the catalogue the loss of
a user's items shares one query, so computing the query once per user instead of once per interaction gives the same
gradient for a fraction of the work. In batches of interactions, one row is one interaction.

Every batch is a function of (seed, global step) alone. A run that is killed and resumed at any step therefore sees
exactly the batches it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.training.steps import Batch, endless, permuted, step_seed


@dataclass(frozen=True)
class UserBatches:
    """A data set of user batches.

    Attributes:
      histories: the training items of all users.
      users: ``[num_rows]`` users who have at least one training item.
      users_per_batch: rows of a batch.
      seed: of order and dropout.
      with_rows: hand out which interaction each positive is, by which its context is looked up.
    """

    histories: Histories
    users: NDArray[np.int32]
    users_per_batch: int
    seed: int
    with_rows: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Batches that visit every user once."""
        return -(-len(self.users) // self.users_per_batch)

    @property
    def queries_per_batch(self) -> int:
        """Queries of a step: one per user, or one per interaction, on average, where context tells them apart."""
        return -(-self.examples_per_epoch // self.steps_per_epoch) if self.with_rows else self.users_per_batch

    @property
    def examples_per_epoch(self) -> int:
        """Interactions visited in an epoch."""
        return int(self.histories.offsets[-1])

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """Endless batches from a global step on.

        Each element is a dict of
          ``user``: ``[rows]`` int32 internal user ids,
          ``positives``: ``[rows, None]`` ragged int32 item ids, oldest first,
          ``ratings``, ``weights``: ``[rows, None]`` ragged float32, only where the data has them,
          ``rows``: ``[rows, None]`` ragged int64 row numbers in the `Interactions`, only `with_rows`,
          ``seed``: ``[2]`` int32 for stateless random operations of this step.
        """
        offsets = tf.constant(self.histories.offsets)
        columns = {
            "positives": self.histories.items,
            "ratings": self.histories.ratings,
            "weights": self.histories.weights,
            "rows": self.histories.rows if self.with_rows else None,
        }
        tables = {name: tf.constant(values) for name, values in columns.items() if values is not None}
        users = tf.constant(self.users)
        num_rows, steps = len(self.users), self.steps_per_epoch

        def batch(step: tf.Tensor) -> Batch:
            epoch, position = step // steps, step % steps
            first = position * self.users_per_batch
            slots = tf.range(first, tf.minimum(first + self.users_per_batch, num_rows))
            key = tf.stack([tf.constant(self.seed, tf.int64), epoch])
            chosen = tf.gather(users, permuted(slots, num_rows, key))
            starts, ends = tf.gather(offsets, chosen), tf.gather(offsets, chosen + 1)
            where = tf.ragged.range(starts, ends)
            by_positive = {n: where.with_flat_values(tf.gather(t, where.flat_values)) for n, t in tables.items()}
            return {"user": chosen, **by_positive, **step_seed(self.seed, step)}

        return endless(batch, first_step)


@dataclass(frozen=True)
class InteractionBatches:
    """A data set of single interactions, each once an epoch.

    Attributes:
      histories: the training items of all users.
      batch_size: rows of a batch.
      seed: of order and dropout.
    """

    histories: Histories
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches that visit every interaction once."""
        return -(-len(self.histories.items) // self.batch_size)

    @property
    def examples_per_epoch(self) -> int:
        """Interactions visited in an epoch."""
        return len(self.histories.items)

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """Endless batches from a global step on.

        Each element is a dict of
          ``user``, ``item``: ``[rows]`` int32 internal ids,
          ``rating``, ``weight``: ``[rows]`` float32, only where the data has them,
          ``row``: ``[rows]`` int64 row numbers in the `Interactions`,
          ``seed``: ``[2]`` int32 for stateless random operations of this step.
        """
        users = np.repeat(np.arange(self.histories.num_users + 1, dtype=np.int32), self.histories.lengths)
        columns = {
            "user": users,
            "item": self.histories.items,
            "rating": self.histories.ratings,
            "weight": self.histories.weights,
            "row": self.histories.rows,
        }
        tables = {name: tf.constant(values) for name, values in columns.items() if values is not None}
        num_rows, steps = len(users), self.steps_per_epoch

        def batch(step: tf.Tensor) -> Batch:
            epoch, position = step // steps, step % steps
            first = position * self.batch_size
            slots = tf.range(first, tf.minimum(first + self.batch_size, num_rows))
            chosen = permuted(slots, num_rows, tf.stack([tf.constant(self.seed, tf.int64), epoch]))
            gathered = {name: tf.gather(table, chosen) for name, table in tables.items()}
            return gathered | step_seed(self.seed, step)

        return endless(batch, first_step)


def user_batches(histories: Histories, *, batch_size: int, seed: int, with_rows: bool = False) -> UserBatches:
    """Batches that hold about `batch_size` interactions each.

    Args:
      histories: training items of all users.
      batch_size: interactions in a batch, on average.
      seed: of order and dropout.
      with_rows: see `UserBatches`.
    """
    users = np.flatnonzero(histories.lengths).astype(np.int32)
    mean_length = histories.offsets[-1] / len(users)
    return UserBatches(
        histories=histories,
        users=users,
        users_per_batch=max(1, min(len(users), round(batch_size / mean_length))),
        seed=seed,
        with_rows=with_rows,
    )
