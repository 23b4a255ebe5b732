"""Negative sampling as word2vec trains by it: each positive told from k items drawn by their frequency.

Mikolov et al., Distributed representations of words and phrases and their compositionality, NeurIPS 2013, equation 4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.errors import ConfigError
from recsys_tfrs.objectives.samplers import UnigramSampler


class Noise(NamedTuple):
    """What positives are told from, the same for a whole batch.

    Attributes:
      ids: ``[num_noise]`` int32 internal item ids; items may repeat.
      weights: ``[num_noise]`` float32, how many of the negatives of a positive each stands for.
      own_weights: ``[num_positives]`` float32, how many of them would be the positive itself.
    """

    ids: tf.Tensor
    weights: tf.Tensor
    own_weights: tf.Tensor


class NegativeSampling(tf.keras.layers.Layer):
    """``- log sigmoid(s_p) - k sum_{j != p} q_j log sigmoid(-s_j)``, mean over positives, with q as counts^alpha.

    The sum is the expected value of k independent draws. It is computed as it stands where the catalogue is small, and
    otherwise estimated from `num_shared` draws that all positives of a batch share, each counting ``k / num_shared``:
    scoring them is one matrix product instead of k products a positive (Ji et al., Parallelizing word2vec in shared and
    distributed memory, 2016). A draw that hits the positive itself is left out, as in word2vec.

    At the minimum ``s_p = log(P(p | query) / (k q_p (1 - P(p | query))))``, close to a pointwise mutual information
    (Levy and Goldberg, Neural word embedding as implicit matrix factorization, NeurIPS 2014), so ``s_p + log q_p``
    ranks by probability.

    Args:
      counts: ``[num_items + 1]`` training interactions by internal item id; an item without any counts as one.
      num_negatives: k.
      alpha: exponent of the noise.
      num_shared: draws for a batch; as many as there are items, or more: no draws.

    Attributes:
      log_q: ``[num_items + 1]`` float32 log probability of being drawn; entry 0 is that of an item never seen.

    Raises:
      ConfigError: more negatives than items.
    """

    def __init__(self, counts: NDArray[np.int64], num_negatives: int, alpha: float, num_shared: int) -> None:
        super().__init__(dtype=tf.float32)
        self._num_items = len(counts) - 1
        if num_negatives > self._num_items:
            raise ConfigError(
                f"{num_negatives:,} negatives per positive are to be drawn (model.negatives), but the catalogue has "
                f"{self._num_items:,} items: ask for at most that many, --set model.negatives={self._num_items}."
            )
        powered = np.maximum(np.concatenate([[1], counts[1:]]).astype(np.float64), 1.0) ** alpha
        self.log_q = np.log(powered / powered[1:].sum()).astype(np.float32)
        self._num_negatives = num_negatives
        self._num_shared = num_shared
        self._sampler = UnigramSampler(counts, num_shared, alpha)

    def noise(self, positives: tf.RaggedTensor, targets: tf.Tensor, seed: tf.Tensor) -> Noise:
        """Noise of a batch.

        Args:
          positives: ``[num_rows, None]`` int32 items of the batch, of no matter to what is drawn.
          targets: ``[num_positives]`` int32 the positives.
          seed: ``[2]`` int32 seed of the step.
        """
        if self._num_shared >= self._num_items:
            weights = self._num_negatives * tf.exp(tf.constant(self.log_q))
            return Noise(tf.range(1, self._num_items + 1), weights[1:], tf.gather(weights, targets))
        ids = self._sampler.sample(positives, seed, training=True).ids
        each = self._num_negatives / self._num_shared
        times = tf.math.bincount(ids, minlength=self._num_items + 1)
        own = each * tf.cast(tf.gather(times, targets), tf.float32)
        return Noise(ids, tf.fill(tf.shape(ids), each), own)

    def call(
        self,
        positive_scores: tf.Tensor,
        noise_scores: tf.Tensor,
        asks: tf.Tensor,
        weights: tf.Tensor,
        noise: Noise,
    ) -> tf.Tensor:
        """Return the loss, a scalar; 0 without any positive.

        Args:
          positive_scores: ``[num_positives]`` logits.
          noise_scores: ``[num_queries, num_noise]`` logits.
          asks: ``[num_positives]`` query each positive belongs to.
          weights: ``[num_positives]`` float32, how much each positive counts.
          noise: from `noise`.
        """
        positive_scores = tf.cast(positive_scores, tf.float32)
        pushed = tf.linalg.matvec(tf.nn.softplus(tf.cast(noise_scores, tf.float32)), noise.weights)
        # All positives of a query have its noise in common, but for themselves.
        own = noise.own_weights * tf.nn.softplus(positive_scores)
        losses = tf.nn.softplus(-positive_scores) + tf.gather(pushed, asks) - own
        return tf.math.divide_no_nan(tf.reduce_sum(weights * losses), tf.reduce_sum(weights))
