"""The card of a ranking model states figures with intervals, calibration and gaps, and leaves out what is not there."""

from __future__ import annotations

from typing import Any

from recsys_tfrs.serving.ranking_card import ranking_card

BARE: dict[str, Any] = {
    "parts": ["linear", "fm"],
    "fields": ["user_id", "genres"],
    "versions": {"tensorflow": "2.20.0"},
    "targets": [{"name": "like", "kind": "binary", "output": "like", "first": True}],
}
MEASURED: dict[str, Any] = BARE | {
    "family": "fm",
    "dataset": "movies",
    "dataset_notes": ["3 rows were left out."],
    "split": "temporal",
    "split_hash": "abcdef0123456789" * 4,
    "counts": {"num_train": 12345},
    "stored_histories": True,
    "seed": 7,
    "targets": [
        BARE["targets"][0]
        | {
            "num_rows": 2000,
            "num_users": 30,
            "metrics": {"auc": 0.75, "logloss": 0.5, "ece": 0.01},
            "intervals": {"auc": [0.7, 0.8]},
            "undefined": {"gauc": "every user has one kind of row"},
            "baselines": {"mean": {"auc": 0.5, "logloss": 0.6}},
            "comparisons": {
                "mean": {
                    "auc": {"difference": 0.25, "interval": [0.2, 0.3], "p_value": 0.0},
                    "logloss": {"difference": -0.1, "interval": [-0.2, -0.05], "p_value": 0.0},
                    "ece": {"difference": 0.001, "interval": [-0.01, 0.01], "p_value": 0.8},
                }
            },
            "calibration": {
                "ece_by_chance": 0.005,
                "deciles": [
                    {"num_rows": 200, "mean_prediction": 0.1, "share_positive": 0.12, "interval": [0.1, 0.14]},
                    {"num_rows": 200, "mean_prediction": 0.9, "share_positive": 0.88, "interval": None},
                ],
            },
            "slices": {
                "gender": {
                    "F|x": {"num_rows": 500, "num_users": 10, "metrics": {"auc": 0.7}},
                    "M": {"num_rows": 1500, "num_users": 20, "metrics": {"auc": 0.77}},
                }
            },
            "gaps": {"gender": {"auc": {"best": "M", "worst": "F|x", "difference": 0.07, "interval": [-0.01, 0.15]}}},
        }
    ],
}


def test_what_is_not_there_is_left_out() -> None:
    card = ranking_card(BARE)
    assert "Nothing was measured" in card
    assert "Personal data" not in card
    assert "Calibration drifts" in card
    assert not [line for line in card.splitlines() if line.startswith("### ")]


def test_figures_with_intervals_and_verdicts() -> None:
    lines = ranking_card(MEASURED).splitlines()
    assert "| **fm** | 0.7500 [0.7000, 0.8000] | 0.5000 | 0.0100 |" in lines
    assert "| mean | 0.5000 | 0.6000 |  |" in lines
    # Less log-loss is better.
    verdicts = "+0.2500 [+0.2000, +0.3000], better | -0.1000 [-0.2000, -0.0500], better | +0.0010 [-0.0100, +0.0100]"
    assert f"| mean | {verdicts}, not told apart |" in lines
    assert "gauc has no value: every user has one kind of row." in lines
    assert "- train: 12,345" in lines


def test_calibration_and_gaps() -> None:
    lines = ranking_card(MEASURED).splitlines()
    assert "Expected calibration error 0.0100; a perfectly calibrated model would show 0.0050 on as many rows." in lines
    assert "| 1 | 200 | 0.1000 | 0.1200 [0.1000, 0.1400] |" in lines
    assert "| 2 | 200 | 0.9000 | 0.8800 |" in lines
    assert "| F\\|x | 500 | 10 | 0.7000 |" in lines
    assert "Gap in auc: 0.0700 [-0.0100, 0.1500], groups not told apart (M best, F|x worst)." in lines


def test_worse_is_said_too() -> None:
    comparison = {"mean": {"logloss": {"difference": 0.1, "interval": [0.05, 0.2], "p_value": 0.0}}}
    target = MEASURED["targets"][0] | {"comparisons": comparison}
    assert "+0.1000 [+0.0500, +0.2000], worse" in ranking_card(MEASURED | {"targets": [target]})
