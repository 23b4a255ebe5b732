from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.evaluation.calibration import calibration, calibration_error, equal_mass_bins
from recsys_tfrs.evaluation.tied_lists import tie_blocks


def table(predicted, labels, weights=None, **options):
    predicted, labels = np.array(predicted, float), np.array(labels, bool)
    weights = np.ones(len(labels)) if weights is None else np.array(weights, float)
    blocks = tie_blocks(predicted)
    return calibration(blocks, predicted, labels, weights, np.arange(len(labels)), len(labels), **options)


def error(predicted, labels, weights=None):
    predicted, labels = np.array(predicted, float), np.array(labels, bool)
    weights = np.ones(len(labels)) if weights is None else np.array(weights, float)
    bins = equal_mass_bins(tie_blocks(predicted), weights, 15)
    return calibration_error(bins, weights * (predicted - labels), weights, np.arange(len(labels)), len(labels))


def test_error_by_hand():
    """Two blocks of predictions: 4 rows at .25 of which half are positive, 1 at .9 which is not."""
    found = error([0.25] * 4 + [0.9], [1, 1, 0, 0, 0])
    assert found.value == pytest.approx((4 * 0.25 + 0.9) / 5)
    assert error([0.25] * 4 + [0.9], [1, 1, 0, 0, 0], [1, 1, 1, 1, 6]).value == pytest.approx((4 * 0.25 + 6 * 0.9) / 10)


def test_a_constant_at_the_share_of_positives_has_no_error():
    assert error([0.25] * 8, [1, 0, 0, 0, 1, 0, 0, 0]).value == pytest.approx(0, abs=1e-15)


def test_errors_within_a_bin_cancel_and_between_bins_do_not():
    """30 distinct predictions make 15 bins of two: each over by .1 and under by .1, or all over."""
    predicted = np.linspace(0.2, 0.8, 30)
    residual = np.tile([0.1, -0.1], 15)
    bins = equal_mass_bins(tie_blocks(predicted), np.ones(30), 15)
    assert bins.tolist() == [b for b in range(15) for _ in range(2)]
    args = (np.ones(30), np.arange(30), 30)
    assert calibration_error(bins, residual, *args).value == pytest.approx(0, abs=1e-15)
    assert calibration_error(bins, np.abs(residual), *args).value == pytest.approx(0.1)


def test_bins_hold_equal_weight_and_do_not_split_equal_predictions():
    predicted, weights = np.array([0.1, 0.2, 0.3, 0.4]), np.array([3.0, 1, 1, 1])
    assert equal_mass_bins(tie_blocks(predicted), weights, 2).tolist() == [0, 1, 1, 1]
    assert equal_mass_bins(tie_blocks(np.array([0.1, 0.5, 0.5, 0.5])), np.ones(4), 2).tolist() == [0, 1, 1, 1]


def test_table_by_hand():
    """20 rows, two to a decile; positives are the upper row of each of the last five."""
    predicted = np.arange(20) / 20
    labels = [False] * 10 + [False, True] * 5
    found = table(predicted, labels, [1, 3] * 10)
    assert [decile.num_rows for decile in found.deciles] == [2] * 10
    assert [decile.share_positive for decile in found.deciles] == [0.0] * 5 + [0.75] * 5
    assert [decile.mean_prediction for decile in found.deciles] == pytest.approx([0.1 * d + 0.0375 for d in range(10)])
    assert (found.deciles[3].low, found.deciles[3].high) == (0.3, 0.35)
    assert found.mean_prediction == pytest.approx(0.4875)
    assert found.share_positive == pytest.approx(15 / 40)
    assert found.histogram[:6] == [1, 0, 1, 0, 0, 1]
    assert sum(found.histogram) == 20


def test_intervals_of_deciles_hold_the_share_and_can_be_left_out():
    rng = np.random.default_rng(0)
    predicted = np.sort(rng.random(3000))
    labels = rng.random(3000) < predicted
    for decile in table(predicted, labels).deciles:
        low, high = decile.interval
        assert low <= decile.share_positive <= high
        half = 1.96 * (decile.share_positive * (1 - decile.share_positive) / 300) ** 0.5
        assert high - low == pytest.approx(2 * half, rel=0.25)
    assert table(predicted, labels, with_intervals=False).deciles[0].interval is None


def test_error_by_chance_is_what_calibrated_predictions_show():
    rng = np.random.default_rng(0)
    predicted = np.sort(rng.beta(2, 5, 2000))
    seen = [error(predicted, rng.random(2000) < predicted).value for _ in range(300)]
    assert table(predicted, rng.random(2000) < predicted).ece_by_chance == pytest.approx(np.mean(seen), rel=0.05)


def test_a_single_prediction_makes_one_bin():
    found = table([0.3] * 5, [1, 0, 0, 1, 0])
    assert found.num_ece_bins == 1
    assert [(decile.num_rows, decile.share_positive) for decile in found.deciles] == [(5, 0.4)]
