from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.evaluation.predictions import evaluate_predictions, prediction_differences


def simulated(seed, num_users=60, rows_each=25):
    """Probabilities, labels drawn from them with an effect of the user, and users."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(1, num_users + 1), rows_each)
    predicted = rng.uniform(0.05, 0.95, len(users))
    shifted = np.clip(predicted + rng.normal(0, 0.2, num_users)[users - 1], 0, 1)
    return predicted, (rng.random(len(users)) < shifted).astype(int), users


def test_binary_by_hand():
    found = evaluate_predictions("binary", np.array([0.8, 0.4, 0.4, 0.1]), np.array([1, 1, 0, 0]))
    assert found.metrics["auc"] == pytest.approx(3.5 / 4)
    assert found.metrics["logloss"] == pytest.approx(-(log(0.8) + log(0.4) + log(0.6) + log(0.9)) / 4)
    assert found.metrics["rmse"] == pytest.approx(((0.04 + 0.36 + 0.16 + 0.01) / 4) ** 0.5)
    # The two predictions of .4 share a bin in which they cancel but for .2.
    assert found.metrics["ece"] == pytest.approx((0.2 + 0.2 + 0.1) / 4)
    assert set(found.metrics) == {"auc", "logloss", "rmse", "ece"}
    assert (found.num_rows, found.num_users, found.undefined) == (4, 0, {})


def test_rating_by_hand():
    found = evaluate_predictions(
        "rating",
        np.array([4.0, 2, 5]),
        np.array([3.0, 3, 3.5]),
        weights=np.array([1, 1, 2]),
        groups=np.array([1, 1, 2]),
    )
    assert found.metrics["rmse"] == pytest.approx(((1 + 1 + 2 * 2.25) / 4) ** 0.5)
    assert found.metrics["mae"] == pytest.approx((1 + 1 + 2 * 1.5) / 4)
    assert found.calibration is None
    assert "ndcg@5" in found.undefined
    assert set(found.metrics) == {"rmse", "mae"}


def test_certain_and_wrong_costs_what_the_clip_says():
    found = evaluate_predictions("binary", np.array([1.0, 0.0]), np.array([0, 1]))
    assert found.metrics["logloss"] == pytest.approx(-log(1e-7))


def test_labels_of_one_class_leave_auc_undefined_and_measure_the_rest():
    found = evaluate_predictions("binary", np.array([0.5, 0.25]), np.array([1, 1]), groups=np.array([1, 2]))
    assert found.undefined["auc"] == "all 2 labels are 1"
    assert "gauc" in found.undefined
    assert found.metrics["logloss"] == pytest.approx((log(2) + log(4)) / 2)
    assert set(found.metrics) == set(found.intervals) == {"logloss", "rmse", "ece"}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=40))
def test_auc_depends_on_the_order_alone_and_turns_round_with_it(rows):
    levels, labels = (np.array(column) for column in zip(*rows, strict=True))
    if labels.all() or not labels.any():
        return
    auc = evaluate_predictions("binary", levels / 8, labels, intervals=False).metrics["auc"]
    bent = evaluate_predictions("binary", (levels / 8) ** 3 / 2, labels, intervals=False).metrics["auc"]
    turned = evaluate_predictions("binary", 1 - levels / 8, labels, intervals=False).metrics["auc"]
    constant = evaluate_predictions("binary", np.full(len(labels), 0.3), labels, intervals=False).metrics["auc"]
    assert bent == pytest.approx(auc)
    assert turned == pytest.approx(1 - auc)
    assert constant == pytest.approx(0.5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.integers(0, 3)), min_size=1, max_size=25))
def test_a_row_of_weight_k_counts_as_k_rows(rows):
    predicted, labels, weights = (np.array(column) for column in zip(*rows, strict=True))
    if weights.sum() == 0:
        return
    users = np.arange(len(rows)) % 3
    weighted = evaluate_predictions("binary", predicted / 8, labels, weights=weights, groups=users, intervals=False)
    copies = np.repeat(np.arange(len(rows)), weights)
    repeated = evaluate_predictions(
        "binary", predicted[copies] / 8, labels[copies], groups=users[copies], intervals=False
    )
    for name in ("auc", "gauc", "logloss", "rmse", "ece"):
        assert weighted.metrics.get(name) == pytest.approx(repeated.metrics.get(name))


@pytest.mark.parametrize("by_user", [True, False])
def test_intervals_are_those_of_drawing_the_rows_themselves(by_user):
    """Against a bootstrap that draws users (or rows) and measures anew each time."""
    predicted, labels, users = simulated(0)
    found = evaluate_predictions("binary", predicted, labels, groups=users if by_user else None)
    units = users if by_user else np.arange(len(users))
    rows_of = [np.flatnonzero(units == unit) for unit in np.unique(units)]
    rng = np.random.default_rng(5)
    drawn = []
    for _ in range(250):
        rows = np.concatenate([rows_of[unit] for unit in rng.integers(0, len(rows_of), len(rows_of))])
        drawn.append(evaluate_predictions("binary", predicted[rows], labels[rows], intervals=False).metrics)
    for name in ("auc", "logloss", "rmse"):
        width = np.subtract(*np.percentile([metrics[name] for metrics in drawn], (97.5, 2.5)))
        low, high = found.intervals[name]
        assert high - low == pytest.approx(width, rel=0.2), name
        assert low < found.metrics[name] < high


def test_drawing_users_is_not_drawing_rows():
    """All 25 rows of a user are the same: 60 users tell what 60 rows would, and intervals are 5 times as wide."""
    users = np.repeat(np.arange(60), 25)
    predicted, labels = np.full(1500, 0.8), users % 2
    widths = [
        np.ptp(evaluate_predictions("binary", predicted, labels, groups=groups).intervals["logloss"])
        for groups in (users, None)
    ]
    assert widths[0] / widths[1] == pytest.approx(5, rel=0.2)


def test_intervals_of_perfect_order_stay_at_one():
    found = evaluate_predictions("binary", np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1]))
    assert found.metrics["auc"] == 1.0
    assert found.intervals["auc"] == [1.0, 1.0]


def test_one_user_has_no_interval_and_intervals_can_be_left_out():
    predicted, labels, users = simulated(1)
    assert evaluate_predictions("binary", predicted, labels, groups=np.ones(len(users), int)).intervals == {}
    assert evaluate_predictions("binary", predicted, labels, groups=users, intervals=False).intervals == {}


def test_differences_are_paired_and_signed():
    predicted, labels, users = simulated(2)
    noisy = np.clip(predicted + np.random.default_rng(1).normal(0, 0.2, len(users)), 0, 1)
    a = evaluate_predictions("binary", predicted, labels, groups=users)
    b = evaluate_predictions("binary", noisy, labels, groups=users)
    found = prediction_differences(a, b)
    assert set(found) == {"auc", "gauc", "logloss", "rmse", "ece", "ndcg@5", "ndcg@10", "ndcg@20"}
    for name, difference in found.items():
        assert difference.difference == pytest.approx(a.metrics[name] - b.metrics[name])
        assert difference.low < difference.difference < difference.high
    assert found["auc"].low > 0 > found["logloss"].high
    assert found["auc"].p_value < 0.01
    # Paired: narrower than two intervals side by side.
    assert found["auc"].high - found["auc"].low < np.ptp(a.intervals["auc"]) + np.ptp(b.intervals["auc"])
    assert prediction_differences(a, a)["auc"].p_value == 1.0


def test_other_rows_cannot_be_compared():
    predicted, labels, users = simulated(2)
    a = evaluate_predictions("binary", predicted, labels, groups=users, intervals=False)
    other_labels = evaluate_predictions("binary", predicted, 1 - labels, groups=users, intervals=False)
    fewer = evaluate_predictions("binary", predicted[:-25], labels[:-25], groups=users[:-25], intervals=False)
    for b in (other_labels, fewer):
        with pytest.raises(ValueError, match="same rows"):
            prediction_differences(a, b)
