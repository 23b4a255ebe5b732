"""Re-ranking a list so that neighbours differ."""

from __future__ import annotations

import tensorflow as tf

from recsys_tfrs.layers.transposed import transposed


def maximal_marginal_relevance(
    scores: tf.Tensor,
    vectors: tf.Tensor,
    *,
    trade_off: float | tf.Tensor,
    k: int | tf.Tensor,
    present: tf.Tensor | None = None,
) -> tf.Tensor:
    r"""Choose k candidates, one after the other, that score high and are unlike those chosen before.

    With s the score, c the cosine of two vectors and S what is chosen so far, the next one is
    ``argmax over i not in S of  trade_off * s_i - (1 - trade_off) * max over j in S of c_ij`` (Carbonell & Goldstein,
    SIGIR 1998); the first has the highest score. At a trade-off of 1 the order is that of the scores; of equal
    candidates the one further in front is taken. Scores and cosines are weighed against each other as they are: give
    scores on a scale of about 1, for example probabilities.

    Stock operations only, the batch at once, a loop of k steps of O(batch * n * dim); no matrix of all pairs.

    Args:
      scores: ``[batch, n]``, n at least 1; a candidate without a finite score is not chosen.
      vectors: ``[batch, n, dim]`` of the candidates. One of length 0 has cosine 0 with all others.
      trade_off: lambda, from 0 (only unlike) to 1 (only scores); a number or ``[batch]``.
      k: how many to choose, a number or a scalar.
      present: ``[batch, n]`` False for places without a candidate; None: all have one.

    Returns:
      ``[batch, k]`` int32 positions among the n; -1 where no candidate is left.

    Raises:
      ValueError: a trade-off outside [0, 1], or a k below 1, where they are numbers.
    """
    if not tf.is_tensor(trade_off) and not 0.0 <= trade_off <= 1.0:
        raise ValueError(f"The trade-off is from 0 (only unlike) to 1 (only scores), not {trade_off}.")
    if not tf.is_tensor(k) and k < 1:
        raise ValueError(f"k is at least 1, not {k}.")
    scores = tf.convert_to_tensor(scores, tf.float32)
    directions = tf.math.l2_normalize(tf.convert_to_tensor(vectors, tf.float32), axis=2)
    places = tf.range(tf.shape(scores)[1])
    weight = tf.reshape(tf.cast(trade_off, tf.float32), [-1, 1])
    free = tf.math.is_finite(scores)
    if present is not None:
        free &= tf.convert_to_tensor(present, tf.bool)

    def choose(step: tf.Tensor, free: tf.Tensor, nearest: tf.Tensor, chosen: tf.TensorArray) -> tuple[tf.Tensor, ...]:
        gain = weight * scores - (1.0 - weight) * nearest
        # Nothing is chosen yet to be unlike; at a trade-off of 0 the first would be arbitrary.
        gain = tf.where(step == 0, scores, gain)
        place = tf.argmax(tf.where(free, gain, -float("inf")), axis=1, output_type=tf.int32)
        left = tf.reduce_any(free, axis=1)
        taken = tf.gather(directions, place, batch_dims=1)
        cosine = tf.einsum("bnd,bd->bn", directions, taken)
        nearest = tf.where(step == 0, cosine, tf.maximum(nearest, cosine))
        free = free & (places != place[:, None])
        return step + 1, free, nearest, chosen.write(step, tf.where(left, place, -1))

    chosen = tf.TensorArray(tf.int32, size=k, element_shape=scores.shape[:1])
    start = (tf.constant(0), free, tf.zeros_like(scores), chosen)
    *_, chosen = tf.while_loop(lambda step, *_: step < k, choose, start, maximum_iterations=k)
    return transposed(chosen.stack())
