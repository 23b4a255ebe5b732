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


def hashed_keep_mask(shape: tf.Tensor, rate: float, seed: tf.Tensor, salt: int) -> tf.Tensor:
    """`keep_mask` for large tensors, at a fraction of its cost: places are hashed instead of numbers drawn.

    A place's number and the seed go through the finalizer of MurmurHash3 (Appleby, 2011), which spreads a change of
    one bit of its input evenly over its output; every 8 bits of it decide about a place.

    Args:
      shape: of the mask.
      rate: probability of dropping, in ``[0, 1)``, rounded to a multiple of ``2^-8``.
      seed: ``[2]`` int32 seed of the step.
      salt: tells apart the masks drawn in one step.
    """
    count = tf.reduce_prod(shape)
    key = tf.bitcast(tf.random.experimental.stateless_fold_in(seed, salt), tf.uint32)
    mixed = tf.bitcast(tf.range((count + 3) // 4), tf.uint32) * _constant(0x9E3779B9) + key[0]
    mixed = _folded(mixed, 16) * _constant(0x85EBCA6B) + key[1]
    mixed = _folded(_folded(mixed, 13) * _constant(0xC2B2AE35), 16)
    bytes_ = tf.reshape(tf.bitcast(mixed, tf.uint8), [-1])
    return tf.reshape(bytes_[:count] >= min(round(rate * 2**8), 2**8 - 1), shape)


def _folded(values: tf.Tensor, bits: int) -> tf.Tensor:
    """High bits xored onto low ones."""
    return tf.bitwise.bitwise_xor(values, tf.bitwise.right_shift(values, _constant(bits)))


def _constant(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint32)
