"""Each item by itself: a sample of the catalogue in which every item is there with a probability of its own."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from recsys_tfrs.errors import ConfigError

#: Salt of the random numbers drawn in a step, see `layers.dropout.keep_mask`.
_SALT = 15


class PoissonSample(tf.keras.layers.Layer):
    """Distinct items, each there independently with probability ``p_i = min(1, c count_i^alpha)``, `size` on average.

    The probability of being there is known exactly, so a sum over the sample of values divided by it (Horvitz and
    Thompson, A generalization of sampling without replacement from a finite universe, JASA 1952) is right on average,
    and popular items, which are always there, add nothing to its variance. Independent draws with repetition find the
    popular ones again and again instead. The most popular item is always there, so that no sample is empty.

    Args:
      counts: ``[num_items + 1]`` training interactions by internal item id; entry 0 is ignored.
      size: of a sample on average; from the catalogue's size on, every sample is the catalogue.
      alpha: exponent; 0 draws uniformly, 1 by popularity. Items never seen count as seen once.

    Raises:
      ConfigError: no item to be drawn, or a negative exponent.
    """

    def __init__(self, counts: ArrayLike, size: int, alpha: float) -> None:
        super().__init__(dtype=tf.float32)
        if size < 1:
            raise ConfigError(f"at least one item has to be drawn (num_samples), not {size}.")
        if not alpha >= 0:
            raise ConfigError(f"the exponent of popularity must be at least 0, not {alpha}.")
        popularity = np.maximum(np.asarray(counts, np.float64)[1:], 1.0)
        present = _inclusion(popularity**alpha, size)
        present[np.argmax(popularity)] = 1.0
        present = present.astype(np.float32)
        self._present = tf.constant(present)
        self._log_present = tf.constant(np.append(np.float32(-np.inf), np.log(present)))

    def draw(self, seed: tf.Tensor) -> tf.Tensor:
        """``[about size]`` int32 distinct item ids, in order, from the ``[2]`` int32 seed of the step."""
        where = tf.random.stateless_uniform(
            tf.shape(self._present), tf.random.experimental.stateless_fold_in(seed, _SALT)
        )
        return tf.cast(tf.where(where < self._present)[:, 0], tf.int32) + 1

    def log_q(self, item_ids: tf.Tensor) -> tf.Tensor:
        """Log of the probability that each item is there."""
        return tf.gather(self._log_present, item_ids)


def _inclusion(weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """``min(1, c w)`` with the c that makes it sum to `size`, or all ones."""
    if size >= len(weights):
        return np.ones(len(weights))
    ordered = np.sort(weights)[::-1]
    below = np.cumsum(ordered[::-1])[::-1]  # sum of each weight and all smaller ones
    # With the k largest at 1, c = (size - k) / (sum of the others); the first k for which none of the others exceeds 1.
    factors = (size - np.arange(size)) / below[:size]
    capped = int(np.argmax(factors * ordered[:size] <= 1.0))
    present: NDArray[np.float64] = np.minimum(1.0, factors[capped] * weights)
    return present
