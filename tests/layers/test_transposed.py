"""Transposed values, whatever their type."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.layers.transposed import transposed


@pytest.mark.parametrize("dtype", [np.int32, np.bool_, np.float32])
@pytest.mark.parametrize("shape", [(2, 3), (3, 1), (0, 4)])
def test_rows_become_columns(shape: tuple[int, int], dtype: type) -> None:
    values = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    found = transposed(tf.constant(values)).numpy()
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values.T)
