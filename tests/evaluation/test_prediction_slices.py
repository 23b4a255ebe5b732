from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.evaluation.prediction_slices import RowGroups, slice_predictions
from recsys_tfrs.evaluation.predictions import evaluate_predictions


def simulated(seed=0, num_users=120, rows_each=20, noise=(0.0, 0.6)):
    """Predictions that are good for users of group 0 and noisy for those of group 1."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(num_users), rows_each)
    truth = rng.uniform(0.05, 0.95, len(users))
    labels = (rng.random(len(users)) < truth).astype(int)
    group = users % 2
    predicted = np.clip(truth + rng.normal(0, 1, len(users)) * np.array(noise)[group], 0, 1)
    return predicted, labels, users, group


def test_a_group_has_the_figures_of_its_rows_alone():
    predicted, labels, users, group = simulated()
    weights = np.random.default_rng(1).uniform(0.5, 2, len(users))
    sliced = slice_predictions(
        "binary", predicted, labels, {"kind": RowGroups(["good", "noisy"], group)}, weights=weights, groups=users
    )["kind"]
    assert list(sliced.groups) == ["good", "noisy"]
    for code, found in enumerate(sliced.groups.values()):
        mine = group == code
        alone = evaluate_predictions(
            "binary", predicted[mine], labels[mine], weights=weights[mine], groups=users[mine], intervals=False
        )
        assert found.metrics == pytest.approx(alone.metrics)
        assert (found.num_rows, found.num_users) == (1200, 60)
        assert found.mean_label == pytest.approx(np.average(labels[mine], weights=weights[mine]))
        assert found.mean_prediction == pytest.approx(np.average(predicted[mine], weights=weights[mine]))
        assert all(low <= found.metrics[name] <= high for name, (low, high) in found.intervals.items())


def test_gap_is_of_the_best_and_the_worst_whichever_way_the_metric_points():
    predicted, labels, users, group = simulated()
    gaps = slice_predictions("binary", predicted, labels, {"kind": group}, groups=users)["kind"].gaps
    assert set(gaps) == {"auc", "gauc", "logloss", "rmse", "ece", "ndcg@5", "ndcg@10", "ndcg@20"}
    for name in ("auc", "logloss", "rmse", "gauc"):
        assert (gaps[name].best, gaps[name].worst) == ("0", "1"), name
        low, high = gaps[name].interval
        assert 0 < low < gaps[name].difference < high


def test_two_groups_need_the_room_of_one_difference():
    """Of two groups the simultaneous interval is that of the difference of two independent means."""
    rng = np.random.default_rng(0)
    labels = rng.normal(3, 1, 2000)
    group = np.arange(2000) % 2
    gap = slice_predictions("rating", np.zeros(2000), labels, {"g": group})["g"].gaps["mae"]
    absolute = [np.abs(labels[group == code]) for code in (0, 1)]
    half = 1.96 * sum(values.var() / 1000 for values in absolute) ** 0.5
    low, high = gap.interval
    assert gap.difference == pytest.approx(abs(absolute[0].mean() - absolute[1].mean()))
    assert (low + high) / 2 == pytest.approx(gap.difference)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def test_many_groups_that_do_not_differ_are_not_told_apart():
    """Of 12 groups drawn from one distribution, the extremes seldom lie outside the simultaneous interval.

    An interval of that pair alone would miss 0 nearly every time.
    """
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        gaps = slice_predictions("rating", np.zeros(1800), rng.normal(3, 1, 1800), {"g": np.arange(1800) % 12})[
            "g"
        ].gaps
        found.append(gaps["mae"].interval[0] > 0)
    assert sum(found) <= 2


def test_rows_of_one_user_in_two_groups_are_drawn_together():
    """Each user adds the same error to both groups: their difference is known better than either."""
    rng = np.random.default_rng(0)
    users, group = np.repeat(np.arange(200), 2), np.tile([0, 1], 200)
    labels = 10 + np.repeat(rng.normal(0, 2, 200), 2) + 0.5 * group + rng.normal(0, 0.1, 400)
    sliced = slice_predictions("rating", np.zeros(400), labels, {"g": group}, groups=users)["g"]
    low, high = sliced.gaps["mae"].interval
    assert 0 < low < high
    assert high - low < 0.2 * np.ptp(sliced.groups["0"].intervals["mae"])


def test_small_groups_and_one_class_are_reported_as_such():
    predicted, labels, users, group = simulated()
    rare, single = np.where(np.arange(len(users)) < 50, "rare", "all"), np.where(users < 9, "nine", "others")
    sliced = slice_predictions(
        "binary",
        predicted,
        labels,
        {"rare": rare, "single": single, "class": labels, "none": RowGroups(["x", "y"], np.where(group, 1, -1))},
        groups=users,
    )
    small = sliced["rare"].groups["rare"]
    assert small.undefined == {"all": "50 rows, fewer than 100"}
    assert (small.metrics, small.intervals, small.mean_label, small.mean_prediction) == ({}, {}, None, None)
    assert sliced["rare"].gaps == {}
    assert sliced["single"].groups["nine"].undefined == {"all": "9 users, fewer than 10"}
    ones = sliced["class"].groups["1"]
    assert ones.undefined["auc"] == f"all {labels.sum():,} labels are 1"
    assert "logloss" in ones.metrics
    assert "auc" not in sliced["class"].gaps
    assert "logloss" in sliced["class"].gaps
    assert list(sliced["none"].groups) == ["y"]
    assert sliced["none"].groups["y"].num_rows == 1200


def test_a_slice_of_another_length_is_refused():
    predicted, labels, users, group = simulated()
    with pytest.raises(ValueError, match=r"Slice 'g' has groups of shape \[2399\]"):
        slice_predictions("binary", predicted, labels, {"g": group[1:]}, groups=users)
