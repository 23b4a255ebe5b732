"""Which items a batch's queries are trained against, and how likely each was to be drawn.

Every sampler states its distribution: the correction of a loss (logQ) is only as good as that statement. Random
samplers draw from the seed of the step and from nothing else, so that a resumed run draws what it would have drawn.

Those of this file draw from the catalogue; those of `stream_samplers` take the items that training streams by.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from recsys_tfrs.errors import ConfigError

#: Salts of the random numbers drawn in a step, see `layers.dropout.keep_mask`.
_UNIFORM_SALT, _UNIFORM_ALL_SALT, _UNIGRAM_SALT, _LOG_UNIFORM_SALT = 11, 12, 13, 14

#: Above this many catalogue items per negative, distinct items are found among random draws, not by a shuffle.
_SHUFFLE_BELOW = 4


class Negatives(NamedTuple):
    """Items drawn for a batch, the same for all of its queries; known positives are among them and must be masked.

    Attributes:
      ids: ``[num_negatives]`` int32 internal item ids, ``1..num_items``.
      log_q: ``[num_negatives]`` float32 log of the number of times each item was to be expected among them. For
        distinct items that is the probability of being there; a sampler that repeats items may expect more than one.
    """

    ids: tf.Tensor
    log_q: tf.Tensor


class Sampler(tf.keras.layers.Layer):
    """Draws negatives for a batch. Subclasses define `draw` and `log_q`.

    Attributes:
      num_items: size of the catalogue; ids lie in ``1..num_items``.
    """

    def __init__(self, num_items: int) -> None:
        super().__init__(dtype=tf.float32)
        self.num_items = num_items

    def sample(self, positives: tf.RaggedTensor, seed: tf.Tensor, training: bool) -> Negatives:
        """Draw the negatives of a batch.

        Args:
          positives: ``[num_users, None]`` int32 item ids of the batch.
          seed: ``[2]`` int32 seed of the step.
          training: whether the batch is trained on; samplers that learn from the stream learn only then.
        """
        ids, num_streamed = self.draw(positives, seed, training)
        return Negatives(ids, self.log_q(ids, num_streamed))

    def draw(self, positives: tf.RaggedTensor, seed: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Return ``[num_negatives]`` ids, and the number of streamed interactions they were taken from, a scalar."""
        raise NotImplementedError

    def log_q(self, item_ids: tf.Tensor, num_streamed: tf.Tensor) -> tf.Tensor:
        """Log of the expected number of times each of ``[num_items_asked]`` items is among a batch's negatives.

        Args:
          item_ids: items, drawn or not.
          num_streamed: interactions the negatives are taken from; of no matter to what is drawn from the catalogue.
        """
        raise NotImplementedError


class UniformSampler(Sampler):
    """`num_negatives` distinct items, every set of them equally likely: ``q = num_negatives / num_items``.

    Args:
      num_items: size of the catalogue.
      num_negatives: items to draw.

    Raises:
      ConfigError: more negatives than items.
    """

    def __init__(self, num_items: int, num_negatives: int) -> None:
        super().__init__(num_items)
        _check_at_least_one(num_negatives)
        if num_negatives > num_items:
            raise ConfigError(
                f"{num_negatives:,} distinct negatives were asked for, but the catalogue has {num_items:,} items: ask "
                f"for at most {num_items:,}, or train with the full softmax, which scores every item."
            )
        self._num_negatives = num_negatives

    def draw(self, positives: tf.RaggedTensor, seed: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw distinct items; neither the batch nor `training` matters."""
        num = self._num_negatives
        if self.num_items < _SHUFFLE_BELOW * num:
            return self._shuffled(seed), tf.constant(0)
        # The first distinct items of independent draws are a uniform draw without replacement, at a cost free of the
        # catalogue's size. Should there be too few of them, a shuffle of the catalogue has the same distribution.
        drawn = tf.random.stateless_uniform(
            [2 * num], _fold_in(seed, _UNIFORM_SALT), minval=1, maxval=self.num_items + 1, dtype=tf.int32
        )
        distinct, _ = tf.unique(drawn)
        ids = tf.cond(tf.size(distinct) >= num, lambda: distinct[:num], lambda: self._shuffled(seed))
        return tf.ensure_shape(ids, [num]), tf.constant(0)

    def _shuffled(self, seed: tf.Tensor) -> tf.Tensor:
        keys = tf.random.stateless_uniform(
            [self.num_items], _fold_in(seed, _UNIFORM_ALL_SALT), minval=None, maxval=None, dtype=tf.int64
        )
        return tf.math.top_k(keys, self._num_negatives).indices + 1

    def log_q(self, item_ids: tf.Tensor, num_streamed: tf.Tensor) -> tf.Tensor:
        """Log probability of being drawn."""
        return tf.fill(tf.shape(item_ids), float(np.log(self._num_negatives / self.num_items)))


class UnigramSampler(Sampler):
    """Independent draws with probability proportional to ``max(count, 1)^alpha``, repeats included.

    ``alpha = 1`` draws by popularity, 0 uniformly, 0.75 is word2vec's. An item that training has not seen counts as
    seen once: a sampler that could never draw it would leave its part out of every estimated sum.

    Reference: Mikolov et al., Distributed representations of words and phrases and their compositionality,
    NeurIPS 2013, section 2.2 (https://arxiv.org/abs/1310.4546).

    Args:
      counts: ``[num_items + 1]`` training interactions by internal item id; entry 0 is ignored.
      num_negatives: draws per batch.
      alpha: exponent, not negative.

    Raises:
      ConfigError: a negative exponent.
    """

    def __init__(self, counts: ArrayLike, num_negatives: int, alpha: float = 0.75) -> None:
        weights = np.maximum(np.asarray(counts, np.float64)[1:], 1.0)
        super().__init__(len(weights))
        _check_at_least_one(num_negatives)
        if not alpha >= 0:
            raise ConfigError(f"the exponent of unigram sampling must be at least 0, not {alpha}: 0.75 is word2vec's.")
        self._num_negatives = num_negatives
        powered = weights**alpha
        # float32 sums of a million items would round the rare ones away.
        self._cumulative = tf.constant(np.cumsum(powered) / powered.sum(), tf.float64)
        log_q = np.log(powered / powered.sum()) + np.log(num_negatives)
        self._log_q = tf.constant(np.concatenate([[-np.inf], log_q]), tf.float32)

    def draw(self, positives: tf.RaggedTensor, seed: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw by inverting the cumulative distribution; neither the batch nor `training` matters."""
        where = tf.random.stateless_uniform([self._num_negatives], _fold_in(seed, _UNIGRAM_SALT), dtype=tf.float64)
        index = tf.searchsorted(self._cumulative, where, side="right")
        # The last sum may round to less than 1.
        return tf.minimum(index, self.num_items - 1) + 1, tf.constant(0)

    def log_q(self, item_ids: tf.Tensor, num_streamed: tf.Tensor) -> tf.Tensor:
        """Log of the expected number of draws."""
        return tf.gather(self._log_q, item_ids)


class LogUniformSampler(Sampler):
    """Independent draws of the r-th most popular item with probability ``log((r + 1) / r) / log(num_items + 1)``.

    Zipf's law for catalogues whose counts are not trusted beyond their order. Items of equal count rank by id.

    Args:
      counts: ``[num_items + 1]`` training interactions by internal item id; entry 0 is ignored.
      num_negatives: draws per batch.
    """

    def __init__(self, counts: ArrayLike, num_negatives: int) -> None:
        ids_by_rank = np.argsort(-np.asarray(counts, np.float64)[1:], kind="stable") + 1
        num_items = len(ids_by_rank)
        super().__init__(num_items)
        _check_at_least_one(num_negatives)
        self._num_negatives = num_negatives
        self._ids_by_rank = tf.constant(ids_by_rank, tf.int32)
        rank: NDArray[np.float64] = np.zeros(num_items + 1)
        rank[ids_by_rank] = np.arange(1, num_items + 1)
        with np.errstate(divide="ignore"):
            probability = np.log1p(1 / rank) / np.log(num_items + 1)
            probability[0] = 0.0
            self._log_q = tf.constant(np.log(probability) + np.log(num_negatives), tf.float32)

    def draw(self, positives: tf.RaggedTensor, seed: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw ranks by inverting the cumulative distribution; neither the batch nor `training` matters."""
        where = tf.random.stateless_uniform([self._num_negatives], _fold_in(seed, _LOG_UNIFORM_SALT), dtype=tf.float64)
        rank = tf.cast(tf.exp(where * np.log(self.num_items + 1)), tf.int32)  # 1 .. num_items
        return tf.gather(self._ids_by_rank, tf.clip_by_value(rank, 1, self.num_items) - 1), tf.constant(0)

    def log_q(self, item_ids: tf.Tensor, num_streamed: tf.Tensor) -> tf.Tensor:
        """Log of the expected number of draws."""
        return tf.gather(self._log_q, item_ids)


def _fold_in(seed: tf.Tensor, salt: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, salt)


def _check_at_least_one(num_negatives: int) -> None:
    if num_negatives < 1:
        raise ConfigError(f"at least one negative has to be drawn, not {num_negatives}.")
