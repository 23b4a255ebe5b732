"""Who of several spoke: parts of a model, sources of candidates. Requests leave them out by name, answers name them."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys_tfrs.serving.entities import CPU

#: Input of a signature that names who is not to be listened to.
WITHOUT = "without"


def left_out(names: tf.Tensor, known: Sequence[str]) -> tf.Tensor:
    """``[batch, num_known]`` whom ``[batch, any]`` names, padded with "", leave out.

    Raises:
      tf.errors.InvalidArgumentError: (when run) a name that is not known.
    """
    with tf.device(CPU):
        named = names[:, :, None] == tf.constant(list(known))
        fits = tf.reduce_all((names == "") | tf.reduce_any(named, axis=2))
        check = tf.debugging.Assert(fits, [f"{WITHOUT} may name {', '.join(known)}, but names:", names])
        with tf.control_dependencies([check]):
            return tf.reduce_any(named, axis=1)


def spoken(spoke: tf.Tensor, known: Sequence[str]) -> tf.Tensor:
    """``[batch]`` strings such as ``linear+deep``, from ``[batch, num_known]`` who spoke."""
    choices = ["+".join(n for place, n in enumerate(known) if choice >> place & 1) for choice in range(2 ** len(known))]
    with tf.device(CPU):
        code = tf.reduce_sum(tf.cast(spoke, tf.int32) * [2**place for place in range(len(known))], axis=1)
        return tf.gather(tf.constant(choices), code)
