"""Counts of what has streamed by, and the probability of being in a batch."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.objectives.frequency import StreamedFrequency


def test_before_anything_streams_all_items_are_equally_likely() -> None:
    frequency = StreamedFrequency(4)
    # One draw of four items: 1/4; two draws: 1 - (3/4)^2 = 7/16.
    np.testing.assert_allclose(np.exp(frequency(tf.constant([1, 4]), tf.constant(1))), [1 / 4, 1 / 4], rtol=1e-5)
    np.testing.assert_allclose(np.exp(frequency(tf.constant([2]), tf.constant(2))), [7 / 16], rtol=1e-5)


def test_probability_of_being_in_the_batch_from_streamed_counts() -> None:
    rng = np.random.default_rng(1)
    num_items, num_drawn = 50, 300
    streamed = [np.minimum(rng.geometric(0.08, num_drawn), num_items).astype(np.int32) for _ in range(5)]
    frequency = StreamedFrequency(num_items)
    for batch in streamed:
        frequency.observe(tf.constant(batch))
    counts = np.bincount(np.concatenate(streamed), minlength=num_items + 1)[1:] + 1.0
    expected = 1 - (1 - counts / counts.sum()) ** num_drawn
    log_q = frequency(tf.range(1, num_items + 1), tf.constant(num_drawn)).numpy()
    np.testing.assert_allclose(np.exp(log_q), expected, rtol=1e-4)
    assert expected.max() > 0.99
    assert expected.min() < 0.5


def test_probability_of_rare_items_keeps_its_digits() -> None:
    """1 - (1 - q)^n is about nq; computed as it stands, float32 would round it to nothing."""
    frequency = StreamedFrequency(1_000_000)
    frequency.observe(tf.constant([1] * 5))
    log_q = float(frequency(tf.constant([2]), tf.constant(3))[0])
    assert log_q == pytest.approx(np.log(3 / 1_000_005), rel=1e-5)


def test_counts_are_kept_with_the_model_and_not_trained() -> None:
    frequency = StreamedFrequency(3)
    frequency.observe(tf.constant([3, 3, 1]))
    assert frequency.trainable_variables == []
    np.testing.assert_array_equal(frequency.weights[0].numpy(), [0, 1, 0, 2])


@pytest.mark.usefixtures("mixed_precision")
def test_counts_stay_in_float32_under_mixed_precision() -> None:
    assert StreamedFrequency(5).compute_dtype == "float32"
