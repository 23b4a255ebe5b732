"""Negatives taken from the items that training streams by, and the choice of a sampler by name."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from recsys_tfrs.errors import ConfigError
from recsys_tfrs.objectives.frequency import StreamedFrequency
from recsys_tfrs.objectives.samplers import LogUniformSampler, Sampler, UniformSampler, UnigramSampler

SamplerName = Literal["uniform", "unigram", "log-uniform", "in-batch", "mixed", "queue"]


class InBatchSampler(Sampler):
    """The distinct items of the batch. With p the item's share of the stream, ``q = 1 - (1 - p)^num_interactions``.

    The statement takes the batch's interactions for independent draws. A batch of whole histories, in which no item
    comes twice from one user, comes close to that while users are many.
    """

    def __init__(self, num_items: int) -> None:
        super().__init__(num_items)
        self.frequency = StreamedFrequency(num_items)

    def draw(self, positives: tf.RaggedTensor, seed: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Take the batch's items, counting them in training."""
        if training:
            self.frequency.observe(positives.flat_values)
        ids, _ = tf.unique(positives.flat_values)
        return ids, tf.size(positives.flat_values)

    def log_q(self, item_ids: tf.Tensor, num_streamed: tf.Tensor) -> tf.Tensor:
        """Log probability of being in a batch of `num_streamed` interactions."""
        return self.frequency(item_ids, num_streamed)


class MixedSampler(Sampler):
    """The batch's items and uniform ones, each once: ``q = 1 - (1 - q_batch) (1 - q_uniform)``.

    Items that are rarely or never in a batch are pushed away from unrelated queries all the same.

    Reference: Yang et al., Mixed negative sampling for learning two-tower neural networks in recommendations,
    WWW 2020 Companion (https://doi.org/10.1145/3366424.3386195).

    Args:
      num_items: size of the catalogue.
      num_negatives: uniform items to draw.

    Raises:
      ConfigError: more uniform negatives than items.
    """

    def __init__(self, num_items: int, num_negatives: int) -> None:
        super().__init__(num_items)
        self.in_batch = InBatchSampler(num_items)
        self.uniform = UniformSampler(num_items, num_negatives)

    def draw(self, positives: tf.RaggedTensor, seed: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw the uniform items and add them to the batch's."""
        from_batch, num_streamed = self.in_batch.draw(positives, seed, training)
        from_catalogue, _ = self.uniform.draw(positives, seed, training)
        ids, _ = tf.unique(tf.concat([from_batch, from_catalogue], axis=0))
        return ids, num_streamed

    def log_q(self, item_ids: tf.Tensor, num_streamed: tf.Tensor) -> tf.Tensor:
        """Log probability of being in the batch, drawn uniformly, or both."""
        batch = tf.exp(self.in_batch.log_q(item_ids, num_streamed))
        uniform = tf.exp(self.uniform.log_q(item_ids, num_streamed))
        # The union written without a difference of numbers close to 1, which would round small probabilities away.
        return tf.math.log(uniform + batch * (1.0 - uniform))


class QueueSampler(Sampler):
    """The distinct items of the last `length` interactions seen, the batch's own included.

    Only ids are kept. Their vectors are computed anew, so none is stale, as the cached ones of the paper are.

    With p the item's share of the stream, ``q = 1 - (1 - p)^length`` (of what has been seen while that is less). The
    queue is a variable: checkpoints hold it, and a resumed run goes on with it. Outside training it stands still and
    the batch is not in it; before any training it is empty, and so are the negatives.

    Reference: Wang et al., Cross-batch negative sampling for training two-tower recommenders, SIGIR 2021
    (https://arxiv.org/abs/2110.15154).

    Args:
      num_items: size of the catalogue.
      length: interactions to remember.

    Raises:
      ConfigError: a queue of no length.
    """

    def __init__(self, num_items: int, length: int) -> None:
        super().__init__(num_items)
        if length < 1:
            raise ConfigError(f"the queue of negatives must hold at least one interaction, not {length}.")
        self._length = length
        self.frequency = StreamedFrequency(num_items)
        self._queue = self.add_weight(  # oldest first; 0 where nothing has been seen yet
            name="queue", shape=(length,), dtype=tf.int32, initializer="zeros", trainable=False
        )

    def draw(self, positives: tf.RaggedTensor, seed: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Add the batch to the queue in training, and take its items."""
        recent = tf.convert_to_tensor(self._queue)
        if training:
            self.frequency.observe(positives.flat_values)
            recent = tf.concat([recent, positives.flat_values], axis=0)[-self._length :]
            self._queue.assign(recent)
        seen = tf.boolean_mask(recent, recent > 0)
        ids, _ = tf.unique(seen)
        return ids, tf.size(seen)

    def log_q(self, item_ids: tf.Tensor, num_streamed: tf.Tensor) -> tf.Tensor:
        """Log probability of being among `num_streamed` interactions."""
        return self.frequency(item_ids, num_streamed)


def make_sampler(
    name: SamplerName,
    num_items: int,
    counts: ArrayLike | None = None,
    num_negatives: int = 1_000,
    alpha: float = 0.75,
) -> Sampler:
    """Make the sampler called `name`.

    Args:
      name: ``uniform``, ``unigram``, ``log-uniform``, ``in-batch``, ``mixed`` or ``queue``.
      num_items: size of the catalogue.
      counts: ``[num_items + 1]`` training interactions by internal item id; for ``unigram`` and ``log-uniform``.
      num_negatives: items to draw; for ``queue`` the interactions it remembers. ``in-batch`` draws none of its own.
      alpha: exponent of ``unigram``.

    Raises:
      ConfigError: an unknown name, counts missing or not of this catalogue, or more distinct negatives than items.
    """
    if name == "uniform":
        return UniformSampler(num_items, num_negatives)
    if name == "in-batch":
        return InBatchSampler(num_items)
    if name == "mixed":
        return MixedSampler(num_items, num_negatives)
    if name == "queue":
        return QueueSampler(num_items, num_negatives)
    if name not in get_args(SamplerName):
        raise ConfigError(f"there is no sampler {name!r}; there are: {', '.join(get_args(SamplerName))}.")
    num_counts = 0 if counts is None else np.size(counts)
    if counts is None or num_counts != num_items + 1:
        raise ConfigError(
            f"the sampler {name!r} draws by popularity and needs one count per item id, {num_items + 1:,} of them "
            f"(id 0 included), but got {num_counts:,}."
        )
    return (
        UnigramSampler(counts, num_negatives, alpha) if name == "unigram" else LogUniformSampler(counts, num_negatives)
    )
