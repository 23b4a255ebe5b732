from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.evaluation import intervals as bootstrap
from recsys_tfrs.evaluation import resampling
from recsys_tfrs.evaluation.resampling import (
    Statistic,
    assign_clusters,
    differences,
    intervals,
    ratio,
    resample,
    sum_by_cluster,
)


def mean_of(values):
    return Statistic(np.stack([values, np.ones(len(values))], axis=1), ratio)


def test_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(size=4000)
    low, high = intervals({"mean": mean_of(values)})["mean"]
    half = 1.96 * values.std() / 4000**0.5
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_one_draw_serves_all_statistics_and_seeds_repeat_it():
    values = np.arange(20.0)
    found = resample({"once": mean_of(values), "twice": mean_of(2 * values)}, num_resamples=7)
    assert found["once"].shape == (7,)
    assert len(set(found["once"])) > 1
    assert found["twice"] == pytest.approx(2 * found["once"])
    assert (resample({"once": mean_of(values)}, num_resamples=7)["once"] == found["once"]).all()
    assert resample({}) == {}


def test_draws_are_the_same_whatever_the_size_of_a_block(monkeypatch):
    values = np.random.default_rng(1).normal(size=50)
    whole = resample({"mean": mean_of(values)}, num_resamples=9)
    monkeypatch.setattr(bootstrap, "_BLOCK_DRAWS", 100)
    assert resample({"mean": mean_of(values)}, num_resamples=9)["mean"] == pytest.approx(whole["mean"])


def test_nothing_to_draw_has_no_interval():
    assert intervals({"single": mean_of(np.ones(1)), "none": Statistic(np.zeros((5, 2)), ratio)}) == {}
    assert differences({"single": mean_of(np.ones(1))}, {"single": mean_of(np.ones(1))}) == {}


def test_resamples_without_a_figure_are_left_out():
    """Only the first of two clusters counts: a quarter of the draws lack it."""
    statistic = Statistic(np.array([[3.0, 1.0], [0.0, 0.0]]), ratio)
    drawn = resample({"x": statistic})["x"]
    assert 0.15 < np.isnan(drawn).mean() < 0.35
    assert intervals({"x": statistic})["x"] == [3.0, 3.0]


def test_a_biased_figure_is_mirrored_but_stays_in_its_interval():
    """The size of a mean that is 0: resamples lie above the figure, which lies above the truth."""
    values = np.random.default_rng(3).normal(size=500)
    values += 0.001 - values.mean()

    def size(sums):
        return np.abs(ratio(sums))

    plain = Statistic(mean_of(values).totals, size)
    assert intervals({"x": plain})["x"][0] > 0
    assert intervals({"x": Statistic(plain.totals, size, biased=True)})["x"] == [0.0, pytest.approx(0.001)]
    far = values + 10
    low, high = intervals({"x": Statistic(mean_of(far).totals, size, biased=True)})["x"]
    assert low < far.mean() < high


def test_differences_are_paired():
    rng = np.random.default_rng(0)
    values = rng.normal(size=300)
    worse = values - 0.01
    found = differences({"x": mean_of(values), "only_a": mean_of(values)}, {"x": mean_of(worse)})
    # Apart, the means are known to within 0.1; the difference is the same for every cluster.
    assert list(found) == ["x"]
    assert (found["x"].difference, found["x"].low, found["x"].high) == pytest.approx((0.01, 0.01, 0.01))
    assert found["x"].p_value == pytest.approx(2 / 1001)
    noise = differences({"x": mean_of(values)}, {"x": mean_of(values + rng.normal(size=300))})["x"]
    assert noise.low < 0 < noise.high
    assert noise.p_value > 0.05


def test_many_rows_are_put_together_at_random(monkeypatch):
    assert assign_clusters(7).tolist() == list(range(7))
    monkeypatch.setattr(resampling, "MAX_CLUSTERS", 100)
    clusters = assign_clusters(20_000)
    assert (np.bincount(clusters) == 200).all()
    assert (clusters == assign_clusters(20_000)).all()
    # A trend along the rows would be all of the variance if neighbours came together.
    values = np.linspace(-1, 1, 20_000)
    sums = sum_by_cluster(clusters, 100, values, np.ones(20_000))
    low, high = intervals({"x": Statistic(sums, ratio)})["x"]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20_000**0.5, rel=0.3)
