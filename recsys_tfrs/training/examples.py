"""Training batches of examples: slices of encoded arrays, in memory or on disk, in an order drawn anew each epoch.

Every batch is a function of (seed, global step) alone, so a run that is killed and resumed sees the batches it would
have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.features.fields import EncodedExamples

#: Rows that lie together when the order of an epoch is drawn, where rows are many: a file on disk is read in blocks.
_BLOCK_ROWS = 1 << 12

#: Rows up to which every row has a place of its own in that order, and rows shuffled among each other beyond.
_SHUFFLED_ROWS = 1 << 21


@dataclass(frozen=True)
class ExampleBatches:
    """A data set of examples, each once an epoch.

    Attributes:
      examples: to learn from.
      batch_size: rows of a batch.
      seed: of order and dropout.
      rows: ``[num_rows]`` numbers of the examples to learn from, ascending; None: all of them.
    """

    examples: EncodedExamples
    batch_size: int
    seed: int
    rows: NDArray[np.int64] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches that visit every row once."""
        return -(-self.num_rows // self.batch_size)

    @property
    def num_rows(self) -> int:
        """Examples to learn from."""
        return len(self.examples) if self.rows is None else len(self.rows)

    @property
    def examples_per_epoch(self) -> int:
        """Rows visited in an epoch."""
        return self.num_rows

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """Endless batches from a global step on.

        Each element is a dict of
          ``columns``: the encoded tensors, as `recsys_tfrs.features.fields.ExamplePreprocessor` makes them,
          ``targets``: ``[rows, num_targets]`` float32,
          ``weights``: ``[rows]`` float32, only where rows have weights,
          ``seed``: ``[2]`` int32 for stateless random operations of this step.
        """
        return dataset_of(lambda: self._batches(first_step), self._batch(np.zeros(0, np.int64), 0))

    def order(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """The rows of an epoch, in stretches that are random among each other and within."""
        for stretch in self._order(epoch):
            yield stretch if self.rows is None else self.rows[stretch]

    def _order(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        rng = np.random.default_rng((self.seed, epoch))
        count = self.num_rows
        if count <= _SHUFFLED_ROWS:
            yield rng.permutation(count)
            return
        blocks = rng.permutation(-(-count // _BLOCK_ROWS))
        together = _SHUFFLED_ROWS // _BLOCK_ROWS
        for low in range(0, len(blocks), together):
            rows = (blocks[low : low + together, None] * _BLOCK_ROWS + np.arange(_BLOCK_ROWS)).ravel()
            yield rng.permutation(rows[rows < count])

    def _batches(self, first_step: int) -> Iterator[dict[str, Any]]:
        step, steps = first_step, self.steps_per_epoch
        while True:
            epoch, skipped = divmod(step, steps)
            skipped *= self.batch_size
            left = np.zeros(0, np.int64)
            for stretch in self.order(epoch):
                if skipped >= len(stretch):
                    skipped -= len(stretch)
                    continue
                left, skipped = np.concatenate([left, stretch[skipped:]]), 0
                while len(left) >= self.batch_size:
                    yield self._batch(left[: self.batch_size], step)
                    left, step = left[self.batch_size :], step + 1
            if len(left):
                yield self._batch(left, step)
                step += 1

    def _batch(self, rows: NDArray[np.int64], step: int) -> dict[str, Any]:
        return batch_of(self.examples, rows, self.seed, step)


def batch_of(examples: EncodedExamples, rows: NDArray[np.int64] | slice, seed: int, step: int) -> dict[str, Any]:
    """What a model learns from in a step; see `ExampleBatches.dataset`."""
    taken = examples.take(rows)
    batch: dict[str, Any] = {"columns": dict(taken.columns), "targets": taken.targets}
    if taken.weights is not None:
        batch["weights"] = taken.weights
    # Seeds of 2**31 and more wrap, as `tf.cast` does it in the other batches.
    return batch | {"seed": np.array([seed, step], np.int64).astype(np.int32)}


def dataset_of(batches: Callable[[], Iterator[dict[str, Any]]], like: dict[str, Any]) -> tf.data.Dataset:
    """A data set of batches of any number of rows that otherwise are like the one given."""
    made = tf.data.Dataset.from_generator(batches, output_signature=tf.nest.map_structure(_spec, like))
    return made.prefetch(4)


def _spec(values: NDArray[Any]) -> tf.TensorSpec:
    """As many rows as come, all else as it is; the seed has two numbers."""
    shape = values.shape if values.shape == (2,) and values.dtype == np.int32 else (None, *values.shape[1:])
    return tf.TensorSpec(shape, tf.as_dtype(values.dtype))
