"""Training batches of items with the items around them, for models that learn from co-occurrence alone.

One row is one item of one list (a user's history, a basket, a playlist), its center, with the context it stands in.
Rows are made inside tf.data from whole lists: a batch visits some lists, leaves out frequent items at random, and pairs
what is left. All of it is gathers and ragged ranges; there is no Python step per pair, nor is any pair ever stored.

Mikolov et al., Distributed representations of words and phrases and their compositionality, NeurIPS 2013, section 2.3
(subsampling); Barkan and Koenigstein, Item2vec: Neural item embedding for collaborative filtering, MLSP 2016, section 3
(lists without order).

As in `recsys_tfrs.training.pipeline`, every batch is a function of (seed, global step) alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DataError
from recsys_tfrs.training.steps import Batch, endless, permuted, step_seed

#: Salts of the random numbers drawn in a step, see `layers.dropout.keep_mask`.
_SUBSAMPLING_SALT, _SHUFFLE_SALT, _WINDOW_SALT = 21, 22, 23


@dataclass(frozen=True)
class PairBatches:
    """A data set of centers and contexts; every list is visited once an epoch.

    Attributes:
      histories: the lists.
      users: ``[num_lists]`` those who own a list of two items or more.
      users_per_batch: lists of a batch.
      keep: ``[num_items + 1]`` float32 chance that an occurrence of an item is paired, see `keep_probability`.
      window: most items of a context on each side of its center.
      dynamic_window: draw the reach of each context from ``1..window``, so that what is near weighs more.
      shuffle: lists without order: shuffled at each visit, so that any two items of a list are neighbours now and then.
      seed: of all that is random.
    """

    histories: Histories
    users: NDArray[np.int32]
    users_per_batch: int
    keep: NDArray[np.float32]
    window: int
    dynamic_window: bool
    shuffle: bool
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches that visit every list once."""
        return -(-len(self.users) // self.users_per_batch)

    @property
    def examples_per_epoch(self) -> int:
        """Interactions visited in an epoch."""
        return int(self.histories.lengths[self.users].sum())

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """Endless batches from a global step on.

        Each element is a dict of
          ``center``: ``[rows]`` int32 item ids,
          ``context``: ``[rows, None]`` ragged int32 item ids, none of them the center, in the order of the list,
          ``center_weight``: ``[rows]`` float32 and
          ``context_weight``: ``[rows, None]`` ragged float32, only where interactions have weights,
          ``seed``: ``[2]`` int32 for stateless random operations of this step.

        A row has a context of one item or more; a batch may be without rows.
        """
        offsets, items = tf.constant(self.histories.offsets), tf.constant(self.histories.items)
        weights = None if self.histories.weights is None else tf.constant(self.histories.weights)
        keep = tf.constant(self.keep)
        users = tf.constant(self.users)
        num_lists, steps = len(self.users), self.steps_per_epoch

        def batch(step: tf.Tensor) -> Batch:
            epoch, position = step // steps, step % steps
            first = position * self.users_per_batch
            slots = tf.range(first, tf.minimum(first + self.users_per_batch, num_lists))
            chosen = tf.gather(users, permuted(slots, num_lists, tf.stack([tf.constant(self.seed, tf.int64), epoch])))
            seed = step_seed(self.seed, step)["seed"]
            where = tf.ragged.range(tf.gather(offsets, chosen), tf.gather(offsets, chosen + 1))
            drawn = _uniform(where.flat_values, seed, _SUBSAMPLING_SALT)
            kept = drawn < tf.gather(keep, tf.gather(items, where.flat_values))
            where = tf.ragged.boolean_mask(where, where.with_flat_values(kept))
            if self.shuffle:
                where = _shuffled(where, seed)
            center, context = self._windows(where, items, seed)
            element = {"center": tf.gather(items, center), "context": _gather(items, context), "seed": seed}
            if weights is not None:
                element |= {"center_weight": tf.gather(weights, center), "context_weight": _gather(weights, context)}
            return element

        return endless(batch, first_step)

    def _windows(self, where: tf.RaggedTensor, items: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.RaggedTensor]:
        """Rows of the histories, ``[rows]`` of each center and ``[rows, None]`` of its context."""
        flat, owner = where.flat_values, where.value_rowids()
        at = tf.range(tf.size(flat, out_type=tf.int64))
        reach = tf.fill(tf.shape(at), tf.constant(self.window, tf.int64))
        if self.dynamic_window:
            reach = 1 + tf.cast(_uniform(at, seed, _WINDOW_SALT) * self.window, tf.int64)
            reach = tf.minimum(reach, self.window)  # where float32 rounds up
        start = tf.maximum(at - reach, tf.gather(where.row_starts(), owner))
        end = tf.minimum(at + reach, tf.gather(where.row_limits(), owner) - 1)  # the center itself is skipped
        around = tf.ragged.range(start, end)
        own = tf.gather(at, around.value_rowids())
        places = tf.gather(flat, around.flat_values + tf.cast(around.flat_values >= own, tf.int64))
        others = tf.gather(items, places) != tf.gather(items, tf.gather(flat, own))
        context = tf.ragged.boolean_mask(around.with_flat_values(places), around.with_flat_values(others))
        paired = context.row_lengths() > 0
        return tf.boolean_mask(flat, paired), tf.ragged.boolean_mask(context, paired)


def pair_batches(
    histories: Histories,
    *,
    batch_size: int,
    seed: int,
    window: int,
    dynamic_window: bool = False,
    shuffle: bool = False,
    subsample: float = 0.0,
) -> PairBatches:
    """Batches whose lists hold about `batch_size` items.

    Args:
      histories: the lists. Those of a single item have no pair and are not visited.
      batch_size: items of the lists of a batch, on average, before any is left out.
      seed: of all that is random.
      window: see `PairBatches`.
      dynamic_window: see `PairBatches`.
      shuffle: see `PairBatches`.
      subsample: t of `keep_probability`.

    Raises:
      DataError: every list holds a single item.
    """
    users = np.flatnonzero(histories.lengths > 1).astype(np.int32)
    if not len(users):
        raise DataError(
            f"None of the {np.count_nonzero(histories.lengths):,} lists to train on holds two items, so nothing occurs "
            "together: check which column is the user, or bring longer lists."
        )
    mean_length = histories.lengths[users].mean()
    return PairBatches(
        histories=histories,
        users=users,
        users_per_batch=max(1, min(len(users), round(batch_size / mean_length))),
        keep=keep_probability(histories.items, histories.num_items, subsample),
        window=window,
        dynamic_window=dynamic_window,
        shuffle=shuffle,
        seed=seed,
    )


def keep_probability(items: NDArray[np.int32], num_items: int, subsample: float) -> NDArray[np.float32]:
    """``[num_items + 1]`` chance ``min(1, sqrt(t / f_i))`` of keeping an occurrence of an item, f_i being its share.

    Mikolov et al. 2013, equation 5.

    Args:
      items: all occurrences, as internal ids.
      num_items: size of the catalogue.
      subsample: t; 0 keeps everything.

    Example:
      >>> kept = keep_probability(np.array([1, 1, 1, 2]), num_items=2, subsample=0.03)
      >>> kept.astype(float).round(2).tolist()  # of padding and of the two items
      [1.0, 0.2, 0.35]
    """
    if subsample == 0:
        return np.ones(num_items + 1, dtype=np.float32)
    share = np.bincount(items, minlength=num_items + 1) / len(items)
    with np.errstate(divide="ignore"):
        return np.minimum(1.0, np.sqrt(subsample / share)).astype(np.float32)


def _uniform(like: tf.Tensor, seed: tf.Tensor, salt: int) -> tf.Tensor:
    return tf.random.stateless_uniform(tf.shape(like), tf.random.experimental.stateless_fold_in(seed, salt))


def _shuffled(lists: tf.RaggedTensor, seed: tf.Tensor) -> tf.RaggedTensor:
    """The same lists, each in random order."""
    key = tf.random.stateless_uniform(
        tf.shape(lists.flat_values), tf.random.experimental.stateless_fold_in(seed, _SHUFFLE_SALT), dtype=tf.float64
    )
    order = tf.argsort(tf.cast(lists.value_rowids(), tf.float64) + key)
    return lists.with_flat_values(tf.gather(lists.flat_values, order))


def _gather(table: tf.Tensor, where: tf.RaggedTensor) -> tf.RaggedTensor:
    return where.with_flat_values(tf.gather(table, where.flat_values))
