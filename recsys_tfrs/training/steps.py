"""What batches of every kind are made of: a function of (seed, global step), mapped over all steps without end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

Batch = dict[str, tf.Tensor]


def endless(batch: Callable[[tf.Tensor], Batch], first_step: int) -> tf.data.Dataset:
    """Batches from a global step on, made by a function of the step."""
    steps_from_here = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    return steps_from_here.map(batch, num_parallel_calls=2, deterministic=True).prefetch(4)


def step_seed(seed: int, step: tf.Tensor) -> Batch:
    """``seed``: ``[2]`` int32 for stateless random operations of a step."""
    return {"seed": tf.cast(tf.stack([tf.constant(seed, tf.int64), step]), tf.int32)}


def permuted(slots: tf.Tensor, num_rows: int, key: tf.Tensor) -> tf.Tensor:
    """Positions `slots` of a pseudo-random permutation of ``range(num_rows)``, without building the permutation.

    `tf.random_index_shuffle` is a cycle-walking block cipher: each slot is computed alone, so an epoch over millions
    of users needs no shuffled copy and a resumed run starts anywhere.

    Args:
      slots: integers of any shape below `num_rows`.
      num_rows: that are permuted.
      key: ``[2]`` int64; another one is another permutation.

    Returns:
      Integers of the shape and dtype of `slots`.
    """
    seed = tf.cast(key, tf.uint32)
    return tf.random.experimental.index_shuffle(slots, seed, max_index=num_rows - 1)
