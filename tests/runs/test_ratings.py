"""A run of a family that predicts ratings: what is chosen for it, selected by, measured and said."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from recsys_tfrs.config import build, read_toml
from recsys_tfrs.errors import ConfigError, UsageError
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.folder import start
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.runs.train import train

SMALL = {
    "family": "mf",
    "data": {"dataset": "simulated-tiny"},
    "split": {"method": "random"},
    "model": {"dim": 8, "blocks": 2},
    "training": {"epochs": 4, "batch_size": 500, "learning_rate": 0.01},
    "evaluation": {"baselines": ["popularity", "biased_mf"]},
}


def test_ratings_are_predicted_measured_and_reported(tmp_path: Path) -> None:
    config = build(family_config("mf"), [SMALL])
    console = Console(file=io.StringIO(), width=200)
    path = train(config, start(tmp_path / "run", "mf", resume=False), console)
    written = read_toml(path / "config.toml")
    assert written["model"]["objective"] == "explicit"
    assert written["training"]["metric"] == "rmse"
    metrics = json.loads((path / "metrics.json").read_text("utf-8"))

    # Better than the best constant, and the validation figure is that of the best epoch.
    prepared = prepare(config)
    ratings = prepared.interactions.ratings
    constant = np.std(ratings[prepared.split.test])
    low, high = metrics["intervals"]["rmse"]
    assert low < metrics["metrics"]["rmse"] < high < constant
    assert metrics["metrics"]["mae"] < metrics["metrics"]["rmse"]
    assert 0 < metrics["validation"]["rmse"] == pytest.approx(*metrics["training"]["validated"].values())

    # The baseline of ratings stands beside the model, that of lists has no such figures.
    baseline = metrics["baselines"]["biased_mf"]
    assert baseline["rmse"] < constant
    assert "rmse" not in metrics["baselines"]["popularity"]
    difference = metrics["comparisons"]["biased_mf"]["rmse"]
    assert difference["difference"] == pytest.approx(metrics["metrics"]["rmse"] - baseline["rmse"])
    assert "rmse" not in metrics["comparisons"]["popularity"]
    lines = (path / "report.md").read_text("utf-8").splitlines()
    rows = {line.split(" | ")[0]: line for line in reversed(lines)}  # the first table wins
    assert f" {baseline['rmse']:.4f} | {baseline['mae']:.4f} |" in rows["| biased_mf"]
    assert rows["| popularity"].endswith("| - | - |")
    assert f"{baseline['rmse']:.4f}" in console.file.getvalue()

    # How far the figures of both may be chance, of lists and of ratings.
    for name, figures in metrics["baselines"].items():
        bounds = metrics["baseline_details"][name]["intervals"]
        assert {"ndcg@10", "hit@10"} <= set(bounds)
        assert ("rmse" in bounds) == (name == "biased_mf")
        assert all(low <= figures[metric] <= high for metric, (low, high) in bounds.items())

    # What a list and a fit cost is known of both.
    assert metrics["query_ms"] > 0
    assert all(details["query_ms"] > 0 for details in metrics["baseline_details"].values())
    assert (
        metrics["baseline_details"]["biased_mf"]["peak_bytes"] > metrics["baseline_details"]["popularity"]["peak_bytes"]
    )

    said = f"RMSE {metrics['metrics']['rmse']:.4f} (95% interval over users {low:.4f} to {high:.4f}), MAE"
    assert said in console.file.getvalue()
    assert said in (path / "report.md").read_text("utf-8")


def test_what_does_not_go_together_is_refused_before_training() -> None:
    data = {"dataset": "simulated-tiny"}
    config = build(family_config("mf"), [{"family": "mf", "data": data, "model": {"dim": 10, "blocks": 4}}])
    with pytest.raises(ConfigError, match="does not split into"):
        prepare(config)


def test_the_baseline_of_ratings_goes_with_models_that_are_chosen_by_rmse() -> None:
    data = {"dataset": "simulated-tiny", "core": 5}
    for objective, expected in (("explicit", True), ("bpr", False)):
        config = build(family_config("mf"), [{"family": "mf", "data": data, "model": {"objective": objective}}])
        prepared = prepare(config)
        assert ("biased_mf" in prepared.config.evaluation.baselines) is expected
        assert prepared.config.evaluation.baselines[:4] == ["popularity", "item_knn", "ease", "ials"]
        assert "5-core" in prepared.interactions.notes[-1]
    with pytest.raises(UsageError, match="Unknown baselines"):
        prepare(build(family_config("mf"), [{"family": "mf", "data": data, "evaluation": {"baselines": ["svd"]}}]))
