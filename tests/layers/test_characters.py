"""Convolutions over characters without planes of 1-of-N: the identities they rest on."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from recsys_tfrs.layers.characters import CharacterConvolution, TextVector

CODES = np.array([[3, 1, 4, 1, 5, 0, 0, 0], [2, 6, 5, 3, 5, 6, 4, 2], [0] * 8], dtype=np.uint8)


def layer(**changes: int) -> CharacterConvolution:
    return CharacterConvolution(
        **{"num_codes": 7, "dim": 4, "filters": 6, "width": 5, "seed": 1, "name": "characters", **changes}
    )


def test_looking_up_and_convolving_is_a_convolution_over_one_hot_planes() -> None:
    convolution = layer()
    planes = tf.one_hot(CODES, 7) * tf.cast(CODES > 0, tf.float32)[..., None]  # the padding is no character
    kernel = convolution.one_hot_kernel()
    assert kernel.shape == (5, 7, 6)
    expected = tf.nn.conv1d(planes, kernel, 1, "SAME")
    np.testing.assert_allclose(convolution.convolved(tf.constant(CODES)), expected, atol=1e-5)
    assert np.abs(expected[:2]).max() > 0.1


def test_a_filter_of_one_character_is_a_lookup_and_wider_ones_a_sum_of_them() -> None:
    """Written out: at place p the rows of the 1-of-N kernel for the characters at p - 1, p and p + 1."""
    convolution = layer(width=3)
    kernel = convolution.one_hot_kernel().numpy()
    found = convolution.convolved(tf.constant(CODES)).numpy()
    np.testing.assert_allclose(found[0, 2], kernel[0, 1] + kernel[1, 4] + kernel[2, 1], atol=1e-5)
    np.testing.assert_allclose(found[1, 0], kernel[1, 2] + kernel[2, 6], atol=1e-5)
    single = layer(width=1)
    np.testing.assert_allclose(
        single.convolved(tf.constant(CODES))[1], single.one_hot_kernel().numpy()[0][CODES[1]], atol=1e-5
    )


def test_pooling_keeps_the_strongest_of_four() -> None:
    convolution = layer()
    convolution.bias.assign(tf.fill([6], -0.1))
    seen = np.maximum(convolution.convolved(tf.constant(CODES)).numpy() - 0.1, 0)
    np.testing.assert_allclose(convolution(tf.constant(CODES)), seen.reshape(3, 2, 4, 6).max(axis=2), atol=1e-6)


def test_a_text_is_seen_alike_wherever_it_stands() -> None:
    """Moved by what one position of the pooling holds, the text's vector is the same."""
    text = [3, 1, 4, 1, 5, 2]
    codes = np.zeros((2, 24), dtype=np.uint8)
    codes[0, 4:10], codes[1, 12:18] = text, text
    planes = layer()(tf.constant(codes))
    vectors = TextVector(6, 8, 5, seed=1, name="text")(planes).numpy()
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert np.abs(vectors).max() > 1e-3
