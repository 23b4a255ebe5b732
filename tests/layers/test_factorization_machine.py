"""Second-order interactions, against the double sum they stand for."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys_tfrs.layers.factorization_machine import pairwise_interactions

_SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 4))


@given(_SHAPES.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(-4, 4, width=16))))
def test_the_linear_time_form_is_the_double_sum(vectors: np.ndarray) -> None:
    double_sum = np.zeros(len(vectors))
    for i in range(vectors.shape[1]):
        for j in range(i + 1, vectors.shape[1]):
            double_sum += (vectors[:, i] * vectors[:, j]).sum(axis=1)
    np.testing.assert_allclose(pairwise_interactions(tf.constant(vectors)), double_sum, atol=1e-9)


def test_three_fields_written_out() -> None:
    vectors = tf.constant([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    assert float(pairwise_interactions(vectors)[0]) == (1 * 3 + 2 * 4) + (1 * 5 + 2 * 6) + (3 * 5 + 4 * 6)
