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
