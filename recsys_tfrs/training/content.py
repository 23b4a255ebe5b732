"""Training batches of content with labels, in an order drawn anew each epoch.

Every batch is a function of (seed, global step) alone, so a run that is killed and resumed sees the batches it would
have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.features.content import Content


@dataclass(frozen=True)
class ContentBatches:
    """Items with a known attribute, each once an epoch; the last batch of an epoch is filled up with its first items.

    Attributes:
      content: of all items.
      rows: ``[num_examples]`` rows of `content` to learn from.
      labels: ``[len(content)]`` int32 class of each row, whatever it is outside `rows`.
      batch_size: items of a batch.
      seed: of order, shifts and dropout.
    """

    content: Content
    rows: NDArray[np.int64]
    labels: NDArray[np.int32]
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches that visit every item once."""
        return -(-len(self.rows) // self.batch_size)

    @property
    def examples_per_epoch(self) -> int:
        """Items visited in an epoch."""
        return self.steps_per_epoch * self.batch_size

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """Endless batches from a global step on.

        Each element is a dict of ``contents`` ``[batch, ...]``, ``labels`` ``[batch]`` int32 and ``seed`` ``[2]`` int32
        for stateless random operations of this step.
        """
        labels = tf.constant(self.labels)

        def with_labels(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
            rows, contents = batch
            seed = tf.stack([tf.constant(self.seed % 2**31, tf.int32), tf.cast(step, tf.int32)])
            return {"contents": contents, "labels": tf.gather(labels, rows), "seed": seed}

        batches = self.content.dataset(lambda: self._batches(first_step))
        return batches.enumerate(first_step).map(with_labels).prefetch(2)

    def _batches(self, first_step: int) -> Iterator[NDArray[np.int64]]:
        epoch, step = divmod(first_step, self.steps_per_epoch)
        while True:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.rows)
            order = np.resize(order, self.examples_per_epoch)
            for place in range(step, self.steps_per_epoch):
                yield order[place * self.batch_size : (place + 1) * self.batch_size]
            epoch, step = epoch + 1, 0
