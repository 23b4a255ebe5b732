"""Members: an ensemble that averages scores is one dot product."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.layers.members import Members, side_by_side


class Times(tf.keras.layers.Layer):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self._factor = factor

    def call(self, vectors: tf.Tensor, plus: float = 0.0) -> tf.Tensor:
        return self._factor * vectors + plus


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_dot_product_of_members_is_the_mean_of_theirs(number: int) -> None:
    random = np.random.default_rng(number)
    queries = [tf.constant(random.normal(size=(4, 5)), tf.float32) for _ in range(number)]
    candidates = [tf.constant(random.normal(size=(6, 5)), tf.float32) for _ in range(number)]
    together = side_by_side(queries).numpy() @ side_by_side(candidates).numpy().T
    expected = sum(q.numpy() @ c.numpy().T for q, c in zip(queries, candidates, strict=True)) / number
    np.testing.assert_allclose(together, expected, rtol=1e-5, atol=1e-6)


def test_every_tower_is_asked_the_same() -> None:
    members = Members([Times(1.0), Times(-2.0)], "both")
    found = members(tf.constant([[1.0, 2.0]]), plus=3.0).numpy() * np.sqrt(2)
    np.testing.assert_allclose(found, [[4.0, 5.0, 1.0, -1.0]], rtol=1e-6)
