"""Transposing whole numbers and booleans without a word from oneDNN."""

from __future__ import annotations

import tensorflow as tf


def transposed(values: tf.Tensor) -> tf.Tensor:
    """``[columns, rows]`` of ``[rows, columns]`` values of any type, by a gather.

    Where oneDNN is on and the processor lacks AVX-512, TensorFlow prints an error when it compiles a graph that
    transposes whole numbers or booleans by the operation made for it, and goes on without oneDNN there.
    """
    rows, columns = tf.unstack(tf.shape(values))
    return tf.gather(tf.reshape(values, [-1]), tf.range(columns)[:, None] + columns * tf.range(rows)[None])
