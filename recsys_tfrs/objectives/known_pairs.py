"""Whether a user is known to have chosen an item, for pairs drawn one by one."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from recsys_tfrs.data.histories import Histories


class KnownPairs:
    """Membership in the training pairs: a binary search per pair asked for, 8 bytes per training row.

    `recsys_tfrs.objectives.positives` answers the same for items that all users of a batch share.

    Args:
      histories: the training rows, grouped by user.
    """

    def __init__(self, histories: Histories) -> None:
        users = np.repeat(np.arange(histories.num_users + 1, dtype=np.int64), histories.lengths)
        self._stride = histories.num_items + 1
        self._keys = tf.constant(np.unique(users * self._stride + histories.items))

    def __call__(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """``[num_pairs]`` bool of internal user ids and item ids."""
        asked = tf.cast(users, tf.int64) * self._stride + tf.cast(items, tf.int64)
        return tf.searchsorted(self._keys, asked, side="right") > tf.searchsorted(self._keys, asked, side="left")
