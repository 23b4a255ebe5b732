"""Hidden layers over what is known of a user and of an item together."""

from __future__ import annotations

from itertools import pairwise

import tensorflow as tf

from recsys_tfrs.layers.dropout import keep_mask


class PairMLP(tf.keras.layers.Layer):
    """``MLP([x_u, x_i])``, several independent networks side by side, with halves that can be computed apart.

    The first layer of a network over a concatenation is a sum, ``W [x_u, x_i] + o = W_u x_u + W_i x_i + o``. Its two
    halves depend on one side each, so that all pairs of many users and items share them. ReLU follows every layer but
    the last, whose output is one number per network.

    Reference: He et al., Neural collaborative filtering, WWW 2017, equation 10
    (https://doi.org/10.1145/3038912.3052569).

    Args:
      user_width: size of x_u, for each network.
      item_width: size of x_i, likewise.
      hidden: sizes of the hidden layers, at least one.
      networks: how many.
      dropout: share of hidden units left out in training.
      seed: of the initial weights.
    """

    def __init__(
        self, user_width: int, item_width: int, hidden: list[int], networks: int, *, dropout: float, seed: int
    ) -> None:
        super().__init__(name="pair_mlp")
        self._dropout = dropout
        first = (2 / (user_width + item_width)) ** 0.5
        self.user_kernel = self._weight("user_kernel", (networks, user_width, hidden[0]), first, seed)
        self.item_kernel = self._weight("item_kernel", (networks, item_width, hidden[0]), first, seed + 1)
        widths = [*hidden, 1]
        self.kernels = [
            # The last layer starts small, so that at first the network changes little of what it is added to.
            self._weight(f"kernel_{k}", (networks, a, b), (2 / a) ** 0.5 if b > 1 else 0.3 / a**0.5, seed + 2 + k)
            for k, (a, b) in enumerate(pairwise(widths))
        ]
        self.offsets = [
            self.add_weight(name=f"offset_{k}", shape=(networks, 1, width), initializer="zeros")
            for k, width in enumerate(hidden)
        ]

    def user_half(self, x: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """``[networks, num_users, hidden[0]]`` of ``[networks, num_users, user_width]``, what columns give added."""
        return tf.matmul(x, tf.cast(self.user_kernel, self.compute_dtype)) + columns

    def item_half(self, x: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """``[networks, num_items, hidden[0]]`` of ``[networks, num_items, item_width]``, what columns give added."""
        return tf.matmul(x, tf.cast(self.item_kernel, self.compute_dtype)) + columns

    def call(self, user_half: tf.Tensor, item_half: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Return ``[networks, num_pairs]``.

        Args:
          user_half: ``[networks, num_pairs, hidden[0]]``; a single row meets all items.
          item_half: likewise.
          seed: ``[2]`` int32 of the step, where units are to be left out; None: all speak.
        """
        x = user_half + item_half
        for k, (kernel, offset) in enumerate(zip(self.kernels, self.offsets, strict=True)):
            x = tf.nn.relu(x + tf.cast(offset, x.dtype))
            if seed is not None and self._dropout:
                keep = keep_mask(tf.shape(x), self._dropout, seed, salt=30 + k)
                x = tf.where(keep, x / (1.0 - self._dropout), tf.zeros([], x.dtype))
            x = tf.matmul(x, tf.cast(kernel, x.dtype))
        return x[..., 0]

    # A loop in a graph of its own: step by step, outside of one, it takes much longer.
    @tf.function(reduce_retracing=True, autograph=False)
    def against(self, halves: tf.Tensor, landmarks: tf.Tensor) -> tf.Tensor:
        """``[n, num_landmarks]`` mean outputs of the networks, each of one side with each of a few of the other.

        One landmark at a time, so that memory is that of n pairs.

        Args:
          halves: ``[networks, n, hidden[0]]`` of users, or of items.
          landmarks: ``[networks, num_landmarks, hidden[0]]`` of the other side.
        """
        each = tf.transpose(landmarks, [1, 0, 2])[:, :, None]
        return tf.transpose(tf.map_fn(lambda one: tf.reduce_mean(self(halves, one), axis=0), each))

    def squared_kernels(self) -> tf.Tensor:
        """Sum of the squared weights of all layers."""
        return tf.add_n([tf.reduce_sum(tf.square(k)) for k in (self.user_kernel, self.item_kernel, *self.kernels)])

    def _weight(self, name: str, shape: tuple[int, ...], deviation: float, seed: int) -> tf.Variable:
        initial = tf.keras.initializers.RandomNormal(stddev=deviation, seed=seed)
        return self.add_weight(name=name, shape=shape, initializer=initial)
