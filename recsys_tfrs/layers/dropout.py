"""Dropout whose mask is a function of a seed given in the batch.

Keras's own dropout draws from hidden state that no checkpoint holds, so a resumed run would see other masks than an
uninterrupted one. These take the seed of the step instead.
"""

from __future__ import annotations

import tensorflow as tf


def keep_mask(shape: tf.Tensor, rate: float, seed: tf.Tensor, salt: int) -> tf.Tensor:
    """Bool tensor of `shape`, True with probability ``1 - rate``.

    Args:
      shape: of the mask.
      rate: probability of dropping, in ``[0, 1)``.
      seed: ``[2]`` int32 seed of the step.
      salt: tells apart the masks drawn in one step.
    """
    return tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(seed, salt)) >= rate


def drop_values(values: tf.Tensor, rate: float, seed: tf.Tensor, salt: int) -> tf.Tensor:
    """Zero entries with probability `rate` and scale the others by ``1 / (1 - rate)`` (Srivastava et al., 2014)."""
    keep = tf.cast(keep_mask(tf.shape(values), rate, seed, salt), values.dtype)
    return values * keep / (1.0 - rate)


def drop_items(items: tf.RaggedTensor, rate: float, seed: tf.Tensor, salt: int) -> tf.RaggedTensor:
    """Leave out each element of each row with probability `rate` (a denoising input)."""
    keep = keep_mask(tf.shape(items.flat_values), rate, seed, salt)
    return tf.ragged.boolean_mask(items, items.with_flat_values(keep))


def drop_rows(items: tf.RaggedTensor, rate: float, seed: tf.Tensor, salt: int) -> tf.RaggedTensor:
    """Empty whole rows with probability `rate`, so that a model also learns to answer without a history."""
    keep = tf.gather(keep_mask(items.nrows()[None], rate, seed, salt), items.value_rowids())
    return tf.ragged.boolean_mask(items, items.with_flat_values(keep))
