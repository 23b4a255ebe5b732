"""Samplers of the catalogue: what they draw is what they state."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from scipy import stats

from recsys_tfrs.errors import ConfigError
from recsys_tfrs.objectives import samplers
from recsys_tfrs.objectives.samplers import LogUniformSampler, Sampler, UniformSampler, UnigramSampler

NOTHING = tf.RaggedTensor.from_row_lengths(tf.zeros([0], tf.int32), [0])


def draw_often(sampler: Sampler, num_batches: int) -> NDArray[np.int32]:
    """``[num_batches, num_negatives]`` ids, batch i being drawn with seed (i, 7)."""

    def one(step: tf.Tensor) -> tf.Tensor:
        return sampler.sample(NOTHING, tf.stack([step, 7]), training=True).ids

    return tf.function(lambda: tf.map_fn(one, tf.range(num_batches)))().numpy()


def stated(sampler: Sampler) -> NDArray[np.float64]:
    """``[num_items]`` expected number of times each item is in a batch."""
    return np.exp(sampler.log_q(tf.range(1, sampler.num_items + 1), tf.constant(0)).numpy().astype(np.float64))


@pytest.mark.parametrize(
    ("num_items", "num_negatives", "shuffle_below"),
    [
        pytest.param(30, 23, 4, id="shuffle"),
        pytest.param(30, 3, 4, id="first distinct draws"),
        pytest.param(5, 4, 1, id="often too few distinct draws"),
    ],
)
def test_uniform_draws_every_item_and_every_pair_alike(
    num_items: int, num_negatives: int, shuffle_below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samplers, "_SHUFFLE_BELOW", shuffle_below)
    num_batches = 3_000
    sampler = UniformSampler(num_items, num_negatives)
    drawn = draw_often(sampler, num_batches)
    assert drawn.shape == (num_batches, num_negatives)
    is_in = np.zeros((num_batches, num_items + 1))
    is_in[np.arange(num_batches)[:, None], drawn] = 1
    assert is_in.sum() == num_batches * num_negatives  # distinct
    assert is_in[:, 0].sum() == 0
    q = num_negatives / num_items
    np.testing.assert_allclose(stated(sampler), q, rtol=1e-6)
    # Inclusions of a simple random sample: covariance q(1-q) N/(N-1) (I - 1/N), so this is chi-square with N-1.
    observed = is_in[:, 1:].sum(0)
    chi_square = ((observed - num_batches * q) ** 2).sum() / (num_batches * q * (1 - q)) * (num_items - 1) / num_items
    assert 0.001 < stats.chi2.cdf(chi_square, num_items - 1) < 0.999
    pair = num_negatives * (num_negatives - 1) / (num_items * (num_items - 1))
    together = (is_in[:, 1:].T @ is_in[:, 1:])[np.triu_indices(num_items, 1)] / num_batches
    assert np.abs(together - pair).max() < 4.5 * np.sqrt(pair * (1 - pair) / num_batches)
    # Their order says nothing either.
    assert stats.chisquare(np.bincount(drawn[:, 0], minlength=num_items + 1)[1:]).pvalue > 0.001


def test_uniform_can_draw_the_whole_catalogue() -> None:
    negatives = UniformSampler(5, 5).sample(NOTHING, tf.constant([1, 2]), training=True)
    assert sorted(negatives.ids.numpy()) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(negatives.log_q, np.zeros(5), atol=1e-7)


def test_uniform_refuses_more_negatives_than_items() -> None:
    with pytest.raises(ConfigError, match=r"1,001 distinct negatives .* 1,000 items: ask for at most 1,000"):
        UniformSampler(1_000, 1_001)


@pytest.mark.parametrize("alpha", [0.0, 0.75, 1.0])
def test_unigram_draws_by_powered_counts(alpha: float) -> None:
    counts = np.array([99, 1, 0, 16, 81, 256, 5])  # entry 0 is no item, item 2 is unseen and counts as one
    sampler = UnigramSampler(counts, num_negatives=500, alpha=alpha)
    powered = np.array([1, 1, 16, 81, 256, 5.0]) ** alpha
    expected = 500 * powered / powered.sum()
    np.testing.assert_allclose(stated(sampler), expected, rtol=1e-5)
    observed = np.bincount(draw_often(sampler, 100).ravel(), minlength=7)
    assert observed[0] == 0
    assert stats.chisquare(observed[1:], 100 * expected).pvalue > 0.001


def test_unigram_keeps_the_digits_of_rare_items() -> None:
    """In float32 the cumulative sum stops growing long before a catalogue like this one ends."""
    counts = np.ones(2_000_001)
    counts[1] = 1e8
    sampler = UnigramSampler(counts, num_negatives=4_000, alpha=1.0)
    assert float(sampler.log_q(tf.constant([2_000_000]), tf.constant(0))[0]) == pytest.approx(
        np.log(4_000 / (1e8 + 2e6 - 1)), rel=1e-6
    )
    drawn = draw_often(sampler, 50).ravel()
    rare = drawn[drawn > 1]
    assert len(rare) == pytest.approx(200_000 * 2e6 / 1.02e8, rel=0.1)
    assert stats.kstest(rare / 2e6, "uniform").pvalue > 0.001
    assert len(np.unique(rare)) > 0.99 * len(rare)


def test_log_uniform_draws_by_popularity_rank() -> None:
    counts = np.array([0, 3, 50, 7, 50, 1])  # ranks: item 2, item 4 (the tie by id), 3, 1, 5
    sampler = LogUniformSampler(counts, num_negatives=400)
    rank = np.array([4, 1, 3, 2, 5])
    expected = 400 * np.log((rank + 1) / rank) / np.log(6)
    assert expected.sum() == pytest.approx(400)
    np.testing.assert_allclose(stated(sampler), expected, rtol=1e-5)
    observed = np.bincount(draw_often(sampler, 100).ravel(), minlength=6)
    assert observed[0] == 0
    assert stats.chisquare(observed[1:], 100 * expected).pvalue > 0.001


@pytest.mark.parametrize(
    "sampler", [UniformSampler(1_000, 20), UnigramSampler(np.ones(1_001), 20), LogUniformSampler(np.ones(1_001), 20)]
)
def test_draws_are_a_function_of_the_seed(sampler: Sampler) -> None:
    first = sampler.sample(NOTHING, tf.constant([3, 4]), training=True)
    again = sampler.sample(NOTHING, tf.constant([3, 4]), training=False)
    other = sampler.sample(NOTHING, tf.constant([3, 5]), training=True)
    np.testing.assert_array_equal(first.ids, again.ids)
    assert set(first.ids.numpy()) != set(other.ids.numpy())
    np.testing.assert_array_equal(first.log_q, sampler.log_q(first.ids, tf.constant(0)))
    assert (first.ids.dtype, first.log_q.dtype) == (tf.int32, tf.float32)
    assert sampler.weights == []


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least one negative .* not 0"):
        UniformSampler(5, 0)
    with pytest.raises(ConfigError, match=r"at least one negative"):
        UnigramSampler([0, 1, 2], 0)
    with pytest.raises(ConfigError, match=r"at least one negative"):
        LogUniformSampler([0, 1, 2], -1)
    with pytest.raises(ConfigError, match=r"exponent .* not -0\.5"):
        UnigramSampler([0, 1, 2], 5, alpha=-0.5)


@pytest.mark.usefixtures("mixed_precision")
def test_probabilities_stay_in_float32_under_mixed_precision() -> None:
    assert UniformSampler(5, 2).compute_dtype == "float32"


def test_the_item_that_is_none_is_never_to_be_expected() -> None:
    for sampler in (UnigramSampler([9, 1, 2], 5), LogUniformSampler([9, 1, 2], 5)):
        assert float(sampler.log_q(tf.constant([0]), tf.constant(0))[0]) == -np.inf
