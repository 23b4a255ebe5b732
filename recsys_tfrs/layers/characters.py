"""Texts, as codes of their characters -> what a convolution sees in them.

A text is a plane of length x alphabet, one 1 a row, and a convolution over it multiplies its 1-of-N rows with a matrix,
which is looking up rows of that matrix. So no plane is ever made. With E the characters' vectors and K the kernel of
the convolution over them,

    sum_j one_hot(c_{p+j}) (E K_j)  =  sum_j E[c_{p+j}] K_j

that is, looking up E and convolving is the convolution over 1-of-N characters whose kernel at offset j is E K_j, of
rank at most `dim` along the alphabet. It costs dim / alphabet of what the planes would cost.
"""

from __future__ import annotations

import tensorflow as tf

#: Characters that become one position of what later layers read.
POOL = 4


class CharacterConvolution(tf.keras.layers.Layer):
    """``[n, length]`` codes of characters -> ``[n, length / 4, filters]``: looked up, convolved, rectified, pooled.

    The padding, code 0, is nothing: its vector is 0.

    Args:
      num_codes: codes lie below this.
      dim: size of a character's vector.
      filters: of the convolution.
      width: characters that a filter sees.
      seed: of the initial weights.
      name: of the layer.
    """

    def __init__(self, num_codes: int, dim: int, filters: int, width: int, *, seed: int, name: str) -> None:
        super().__init__(name=name, dtype=tf.float32)
        self.table = self.add_weight(
            name="characters",
            shape=(num_codes, dim),
            initializer=tf.keras.initializers.RandomNormal(stddev=dim**-0.5, seed=seed),
        )
        self.kernel = self.add_weight(
            name="kernel", shape=(width, dim, filters), initializer=tf.keras.initializers.HeNormal(seed=seed + 1)
        )
        self.bias = self.add_weight(name="bias", shape=(filters,), initializer="zeros")

    def call(self, codes: tf.Tensor) -> tf.Tensor:
        """Return what the filters see; codes of any integer type."""
        seen = tf.nn.relu(self.convolved(codes) + self.bias)
        return tf.nn.max_pool1d(seen, POOL, POOL, "SAME")

    def convolved(self, codes: tf.Tensor) -> tf.Tensor:
        """``[n, length, filters]`` the convolution itself, the text being followed and preceded by nothing."""
        codes = tf.cast(codes, tf.int32)
        vectors = tf.gather(self.table, codes) * tf.cast(codes > 0, tf.float32)[..., None]
        return tf.nn.conv1d(vectors, self.kernel, 1, "SAME")

    def one_hot_kernel(self) -> tf.Tensor:
        """``[width, num_codes, filters]`` the kernel of the same convolution over 1-of-N characters."""
        return tf.einsum("ad,jdf->jaf", self.table, self.kernel)


class TextVector(tf.keras.layers.Layer):
    """``[n, positions, channels]`` of `CharacterConvolution` -> ``[n, dim]``: convolved once more, its maxima mapped.

    Args:
      channels: that are read.
      filters: of the convolution.
      dim: size of the vector.
      seed: of the initial weights.
      name: of the layer.
    """

    _WIDTH = 3

    def __init__(self, channels: int, filters: int, dim: int, *, seed: int, name: str) -> None:
        super().__init__(name=name, dtype=tf.float32)
        shape = (self._WIDTH, channels, filters)
        he = tf.keras.initializers.HeNormal(seed=seed)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=he)
        self.bias = self.add_weight(name="bias", shape=(filters,), initializer="zeros")
        # Small at first, as vectors of ids are, so that neither drowns the other.
        small = tf.keras.initializers.RandomNormal(stddev=0.1 * filters**-0.5, seed=seed + 1)
        self.project = self.add_weight(name="project", shape=(filters, dim), initializer=small)

    def call(self, planes: tf.Tensor) -> tf.Tensor:
        """Return the vectors."""
        seen = tf.nn.relu(tf.nn.conv1d(planes, self.kernel, 1, "SAME") + self.bias)
        return tf.matmul(tf.reduce_max(seen, axis=1), self.project)
