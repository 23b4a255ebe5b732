"""Membership of pairs, against Python's sets."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from contracts.tiny_data import all_rows, random_interactions

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.objectives.known_pairs import KnownPairs


def test_known_pairs_are_those_of_the_training_rows() -> None:
    data = random_interactions(12, 9, 40)
    known = KnownPairs(all_rows(data))
    users, items = (x.ravel().astype(np.int32) for x in np.meshgrid(np.arange(13), np.arange(10), indexing="ij"))
    pairs = set(zip(data.users.tolist(), data.items.tolist(), strict=True))
    expected = [pair in pairs for pair in zip(users.tolist(), items.tolist(), strict=True)]
    assert known(tf.constant(users), tf.constant(items)).numpy().tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_without_rows_nothing_is_known() -> None:
    empty = build_histories(random_interactions(12, 9, 40), np.zeros(0, dtype=np.int64))
    assert KnownPairs(empty)(tf.constant([1, 2]), tf.constant([1, 9])).numpy().tolist() == [False, False]
