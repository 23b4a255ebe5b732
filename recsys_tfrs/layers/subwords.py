"""A text as the sum of its subwords: what a convolution with a filter for every run of characters would see.

A few filters have to tell hundreds of words apart by maxima; vectors of runs share nothing, so that a word is known by
its stem after a handful of items, whatever its ending. There is no vocabulary: a run is found by its hash.

Bojanowski, Grave, Joulin and Mikolov, Enriching word vectors with subword information, TACL 2017
(https://arxiv.org/abs/1607.04606).
"""

from __future__ import annotations

import tensorflow as tf

from recsys_tfrs.features.characters import FIRST_CODE, SEPARATOR

#: Code of the blank, which ends a word as the separator and the padding do.
_BLANK = FIRST_CODE


class SubwordVector(tf.keras.layers.Layer):
    """``[n, length]`` codes of characters -> ``[n, dim]``, ``1 / sqrt(m) sum_p T[hash(c_p .. c_{p + width - 1})]``.

    p goes over the m runs of `width` characters within a word, its two ends counting as characters: of width 4,
    ``oak`` has ``^oak`` and ``oak$``. A word of fewer than ``width - 2`` characters has none.

    Reference: 1607.04606, section 3.2, with runs of one width, and scaled so that the length of a text does not matter.

    Args:
      width: characters of a run, 2 or more.
      buckets: rows of the table T; runs whose hashes agree share one.
      dim: size of the vector.
      scale: standard deviation of the initial table.
      seed: of the initial table.
      name: of the layer.
    """

    def __init__(self, width: int, buckets: int, dim: int, *, scale: float, seed: int, name: str) -> None:
        super().__init__(name=name, dtype=tf.float32)
        self._width = width
        self._buckets = buckets
        normal = tf.keras.initializers.RandomNormal(stddev=scale, seed=seed)
        self.table = self.add_weight(name="table", shape=(buckets, dim), initializer=normal)

    def call(self, codes: tf.Tensor) -> tf.Tensor:
        """Return the vectors; codes of any integer type."""
        rows, there = self.runs(codes)
        counted = tf.cast(there, tf.float32)
        vectors = tf.einsum("npd,np->nd", tf.gather(self.table, rows), counted)
        return vectors * tf.math.rsqrt(tf.maximum(tf.reduce_sum(counted, axis=1, keepdims=True), 1.0))

    def runs(self, codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``[n, positions]`` int32 row of the table of each run, and whether it lies within a word."""
        codes = tf.cast(codes, tf.uint32)
        ends = (codes == 0) | (codes == SEPARATOR) | (codes == _BLANK)
        codes = tf.pad(tf.where(ends, tf.zeros_like(codes), codes), [[0, 0], [1, 1]])
        positions = codes.shape[1] - self._width + 1
        shifted = [codes[:, place : place + positions] for place in range(self._width)]
        there = (shifted[0] > 0) | (shifted[1] > 0)
        for inner in shifted[1:-1]:
            there &= inner > 0
        key = tf.zeros_like(shifted[0])
        for code in shifted:
            key = (key + code) * tf.constant(0x01000193, tf.uint32)  # the prime of FNV-1 (Fowler, Noll and Vo)
        key = tf.bitwise.bitwise_xor(key, tf.bitwise.right_shift(key, tf.constant(15, tf.uint32)))
        return tf.cast(tf.cast(key, tf.int64) % self._buckets, tf.int32), there
