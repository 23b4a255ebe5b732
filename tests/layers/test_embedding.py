"""Embeddings of encoded columns, against sums written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoders import CategoricalEncoder, Encoder, MultiCategoricalEncoder, NormalizedNumericEncoder
from recsys_tfrs.layers.embedding import SummedFeatures

DIM = 3


def encoder_of_ids(size: int = 4) -> Encoder:
    encoder = CategoricalEncoder(FeaturesConfig(min_frequency=1), name="colour")
    encoder.adapt(np.array([f"value {i}" for i in range(size - 2)], dtype=object))
    assert encoder.vocabulary_size == size
    return encoder


def encoder_of_several() -> Encoder:
    encoder = MultiCategoricalEncoder(FeaturesConfig(min_frequency=1, max_values=4), name="tags")
    encoder.adapt(np.array([("a",), ("b",)], dtype=object))
    assert encoder.vocabulary_size == 4
    return encoder


def summed(encoders: dict[str, Encoder], seed: int = 1, scale: float = 0.1) -> SummedFeatures:
    return SummedFeatures(encoders, DIM, seed=seed, scale=scale)


def test_one_id_a_row_is_looked_up_and_the_padding_row_contributes_nothing() -> None:
    layer = summed({"colour": encoder_of_ids()})
    table = layer.table.numpy()
    assert table.shape == (4, DIM)
    assert np.abs(table[0]).min() > 0  # row 0 has weights, and they are never read
    vectors = layer({"colour": tf.constant([2, 0, 3])}).numpy()
    np.testing.assert_allclose(vectors, [table[2], np.zeros(DIM), table[3]], rtol=1e-6)


def test_several_ids_are_averaged_over_those_there_are() -> None:
    layer = summed({"tags": encoder_of_several()})
    table = layer.table.numpy()
    encoded = {"tags": tf.constant([[1, 3, 0, 0], [2, 2, 1, 0], [0, 0, 0, 0], [0, 3, 0, 0]])}
    expected = [(table[1] + table[3]) / 2, (2 * table[2] + table[1]) / 3, np.zeros(DIM), table[3]]
    np.testing.assert_allclose(layer(encoded).numpy(), expected, rtol=1e-6)


def test_dense_columns_pass_through_a_linear_map() -> None:
    layer = summed({"price": NormalizedNumericEncoder(name="price")})
    table = layer.table.numpy()
    assert table.shape == (2, DIM)
    vectors = layer({"price": tf.constant([[2.0, 0.0], [0.0, 1.0]])}).numpy()
    np.testing.assert_allclose(vectors, [2 * table[0], table[1]], rtol=1e-6)


ALL_KINDS = {
    "colour": encoder_of_ids(),
    "price": NormalizedNumericEncoder(name="price"),
    "tags": encoder_of_several(),
}


def test_columns_have_rows_of_their_own_and_add_up() -> None:
    layer = summed(ALL_KINDS)
    table = layer.table.numpy()
    assert table.shape == (4 + 2 + 4, DIM)
    colours, prices, tags = table[:4], table[4:6], table[6:]
    encoded = {
        "tags": tf.constant([[1, 2, 0, 0], [3, 0, 0, 0]]),
        "colour": tf.constant([2, 0]),
        "price": tf.constant([[-1.5, 0.0], [0.0, 1.0]]),
    }
    expected = [colours[2] - 1.5 * prices[0] + (tags[1] + tags[2]) / 2, prices[1] + tags[3]]
    np.testing.assert_allclose(layer(encoded).numpy(), expected, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.lists(st.integers(0, 3), min_size=4, max_size=4),
            st.tuples(st.floats(-3, 3, width=32), st.sampled_from([0.0, 1.0])),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_the_product_over_all_entities_equals_the_layer(rows: list) -> None:
    layer = summed(ALL_KINDS)
    colours, tags, prices = zip(*rows, strict=True)
    encoded = {"colour": tf.constant(colours), "tags": tf.constant(tags), "price": tf.constant(prices, tf.float32)}
    product = layer.embed(layer.matrix(encoded)).numpy()
    np.testing.assert_allclose(product, layer(encoded).numpy(), atol=1e-6)


def test_weights_depend_on_the_seed_and_have_the_scale_asked_for() -> None:
    big = {"colour": encoder_of_ids(3_000)}
    one = summed(big, seed=1, scale=0.5).table.numpy()
    np.testing.assert_array_equal(one, summed(big, seed=1, scale=0.5).table.numpy())
    assert (one != summed(big, seed=2, scale=0.5).table.numpy()).all()
    assert one.std() == pytest.approx(0.5, rel=0.05)


def test_without_columns_the_sum_is_nothing() -> None:
    nothing = summed({})({})
    np.testing.assert_array_equal((tf.ones([2, DIM]) + nothing).numpy(), np.ones((2, DIM)))
