"""Training batches of lists: all rows of a user or query together, in an order drawn anew each epoch.

Every batch is a function of (seed, global step) alone, as in `recsys_tfrs.training.examples`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.errors import ConfigError, DataError
from recsys_tfrs.features.fields import EncodedExamples
from recsys_tfrs.training.examples import batch_of, dataset_of


class ListBatches:
    """A data set of lists, each once an epoch.

    Rows of nobody (group 0) and of groups whose labels are all alike are left out: they say nothing about order. The
    rows of a group that has more than `length` are dealt out anew each epoch to as few lists as hold them, of about
    equal length. What is kept in memory is 16 bytes a row.

    Args:
      examples: to learn from.
      batch_size: rows of a batch, on average.
      length: most rows of a list.
      seed: of order and dropout.
      rows: ``[num_rows]`` numbers of the examples to learn from; None: all of them.

    Raises:
      ConfigError: the examples do not say whose they are.
      DataError: no list has two different labels.
    """

    def __init__(
        self,
        examples: EncodedExamples,
        batch_size: int,
        length: int,
        seed: int,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        if examples.groups is None:
            raise ConfigError(
                "A listwise objective needs to know which rows belong to one list: name the column of the user or "
                "query with --columns group=NAME, or set objective=pointwise."
            )
        self._examples, self._seed = examples, seed
        rows = np.arange(len(examples)) if rows is None else rows
        rows = rows[np.argsort(examples.groups[rows], kind="stable")]
        groups = examples.groups[rows]
        starts = np.flatnonzero(np.diff(groups, prepend=-1))
        told_apart = _told_apart(examples.targets[rows], starts) & (groups[starts] > 0)
        sizes = np.diff(starts, append=len(rows))
        self._rows = rows[np.repeat(told_apart, sizes)]
        if not len(self._rows):
            raise DataError(
                f"None of {len(starts):,} lists holds two different labels, so there is no order to learn: check which "
                "column is the group, or set objective=pointwise."
            )
        sizes = sizes[told_apart]
        lists = -(-sizes // length)
        self._group_of = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
        # A group's rows go to its lists in turn, so that none has more than one row more than another.
        of_list = np.repeat(np.arange(len(sizes)), lists)
        turn = np.arange(len(of_list)) - np.repeat(np.cumsum(lists) - lists, lists)
        self._sizes = (sizes[of_list] - turn + lists[of_list] - 1) // lists[of_list]
        self._per_batch = max(1, round(batch_size / self._sizes.mean()))

    @property
    def steps_per_epoch(self) -> int:
        """Batches that visit every list once."""
        return int(-(-len(self._sizes) // self._per_batch))

    @property
    def examples_per_epoch(self) -> int:
        """Rows visited in an epoch."""
        return len(self._rows)

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """Endless batches from a global step on.

        Each element is what `ExampleBatches` gives, and ``places``: ``[rows, 2]`` int32, each row's list in the batch
        and its place there.
        """
        return dataset_of(
            lambda: self._batches(first_step), self._batch(np.zeros(0, np.int64), np.zeros(0, np.int64), 0)
        )

    def _batches(self, first_step: int) -> Iterator[dict[str, Any]]:
        epoch, skipped = divmod(first_step, self.steps_per_epoch)
        ends = np.cumsum(self._sizes)
        while True:
            rng = np.random.default_rng((self._seed, epoch))
            rows = self._rows[np.lexsort((rng.random(len(self._rows)), self._group_of))]
            order = rng.permutation(len(self._sizes))
            for step in range(skipped, self.steps_per_epoch):
                chosen = order[step * self._per_batch : (step + 1) * self._per_batch]
                sizes = self._sizes[chosen]
                within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
                taken = rows[np.repeat(ends[chosen] - sizes, sizes) + within]
                places = np.stack([np.repeat(np.arange(len(chosen)), sizes), within], axis=1)
                yield self._batch(taken, places, epoch * self.steps_per_epoch + step)
            epoch, skipped = epoch + 1, 0

    def _batch(self, rows: NDArray[np.int64], places: NDArray[np.int64], step: int) -> dict[str, Any]:
        places = places.reshape(-1, 2).astype(np.int32)
        return batch_of(self._examples, rows, self._seed, step) | {"places": places}


def _told_apart(targets: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """``[num_groups]`` whether a target has two different labels among the rows from one start to the next."""
    known = np.isfinite(targets)
    low = np.minimum.reduceat(np.where(known, targets, np.inf), starts, axis=0)
    high = np.maximum.reduceat(np.where(known, targets, -np.inf), starts, axis=0)
    return np.asarray((low < high).any(axis=1))
