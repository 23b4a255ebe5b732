"""Second-order interactions of fields."""

from __future__ import annotations

import tensorflow as tf


def pairwise_interactions(vectors: tf.Tensor) -> tf.Tensor:
    """``sum_{i < j} <v_i, v_j>`` over the fields, in time linear in their number.

    ``sum_{i < j} <v_i, v_j> = 1/2 sum_k ((sum_i v_ik)^2 - sum_i v_ik^2)``.

    Reference: Rendle, Factorization machines, ICDM 2010, lemma 3.1.

    Args:
      vectors: ``[batch, num_fields, dim]``.

    Returns:
      ``[batch]``.

    Example:
      >>> import tensorflow as tf
      >>> float(pairwise_interactions(tf.constant([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]))[0])  # 11 + 17 + 39
      67.0
    """
    total = tf.reduce_sum(vectors, axis=1)
    squares = tf.reduce_sum(tf.square(vectors), axis=1)
    return 0.5 * tf.reduce_sum(tf.square(total) - squares, axis=1)
