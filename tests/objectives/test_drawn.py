"""Samples in which every item is there by itself: as often as is stated, whatever is stated."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.errors import ConfigError
from recsys_tfrs.objectives.drawn import PoissonSample, _inclusion


def test_probabilities_by_hand() -> None:
    """Of sizes 8, 4, 2, 1, 1 and two to be drawn: 8 is certain, and c = 1 / 8 of the others."""
    np.testing.assert_allclose(_inclusion(np.array([1.0, 8.0, 2.0, 4.0, 1.0]), 2), [1 / 8, 1, 1 / 4, 1 / 2, 1 / 8])
    # Three: both 8 and 4 are certain, c = 1 / 4.
    np.testing.assert_allclose(_inclusion(np.array([1.0, 8.0, 2.0, 4.0, 1.0]), 3), [1 / 4, 1, 1 / 2, 1, 1 / 4])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=30), st.integers(1, 40))
def test_probabilities_sum_to_the_size(weights: list[float], size: int) -> None:
    found = _inclusion(np.array(weights), size)
    assert found.sum() == pytest.approx(min(size, len(weights)), rel=1e-6)
    assert (found > 0).all()
    assert found.max() <= 1
    # Below the certain ones, proportional to the weights.
    free = found < 1 - 1e-9
    ratio = found[free] / np.array(weights)[free]
    np.testing.assert_allclose(ratio, ratio[:1].repeat(len(ratio)), rtol=1e-6)


def test_items_are_there_as_often_as_stated() -> None:
    counts = np.array([99, 5, 0, 30, 2, 1, 9])
    sample = PoissonSample(counts, 3, 0.5)
    rounds = 3_000
    there = np.zeros(7)
    for step in range(rounds):
        drawn = sample.draw(tf.constant([7, step])).numpy()
        assert len(set(drawn)) == len(drawn)
        there[drawn] += 1
    stated = np.exp(sample.log_q(tf.range(7)).numpy())
    np.testing.assert_allclose(there / rounds, stated, atol=0.035)
    assert stated[0] == 0
    assert stated[3] == 1
    # An item never seen counts as one seen once; one seen five times is there sqrt(5) times as often.
    assert stated[2] == stated[5]
    np.testing.assert_allclose(stated[1] / stated[5], 5**0.5, rtol=1e-5)


def test_the_same_step_draws_the_same() -> None:
    sample = PoissonSample(np.arange(200), 20, 0.0)
    one, again, other = (sample.draw(tf.constant(seed)).numpy().tolist() for seed in ([1, 2], [1, 2], [1, 3]))
    assert one == again != other


def test_no_sample_is_empty_and_a_large_one_is_the_catalogue() -> None:
    counts = np.array([0, 1, 1, 4, 1])
    tiny = PoissonSample(np.append(0, np.append(np.ones(500), 2)), 1, 0.0)
    assert all(501 in tiny.draw(tf.constant([0, step])).numpy() for step in range(20))
    for size in (4, 9):
        assert PoissonSample(counts, size, 1.0).draw(tf.constant([1, 1])).numpy().tolist() == [1, 2, 3, 4]


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="at least one item"):
        PoissonSample([0, 1], 0, 1.0)
    with pytest.raises(ConfigError, match="exponent"):
        PoissonSample([0, 1], 1, -0.5)


@pytest.mark.usefixtures("mixed_precision")
def test_probabilities_stay_in_float32_under_mixed_precision() -> None:
    assert PoissonSample([0, 1, 2], 1, 0.5).compute_dtype == "float32"
