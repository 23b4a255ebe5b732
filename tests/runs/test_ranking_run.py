"""Ranking runs from beginning to end, on little data."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from recsys_tfrs.config import build
from recsys_tfrs.errors import ConfigError, DataError, RunError, UsageError
from recsys_tfrs.runs.explain import explain_run
from recsys_tfrs.runs.folder import is_ranking, start
from recsys_tfrs.runs.ranking_compare import compare_rankings
from recsys_tfrs.runs.ranking_config import RankingRunConfig, ranking_config
from recsys_tfrs.runs.ranking_export import export_ranking_run
from recsys_tfrs.runs.ranking_fitting import fit_ranker
from recsys_tfrs.runs.ranking_measuring import measure_fold
from recsys_tfrs.runs.ranking_metrics import read_ranking_metrics
from recsys_tfrs.runs.ranking_pairs import PairData
from recsys_tfrs.runs.ranking_reopen import evaluate_ranking
from recsys_tfrs.runs.ranking_train import train_ranker

TRAINING = {"epochs": 2, "batch_size": 500, "jit_compile": False}
QUICK = {"importance": False}


def configured(family: str = "fm", **settings: object) -> RankingRunConfig:
    model = {"regularization": "rows"}
    layers = [{"family": family, "data": {"dataset": "simulated-tiny"}, "training": TRAINING, "model": model}, settings]
    return build(ranking_config(family), layers)


def trained(out: Path, family: str = "fm", **settings: object) -> Path:
    config = configured(family, **settings)
    return train_ranker(config, start(out, family, resume=False), Console(quiet=True))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {
        "fm": trained(folder / "fm"),
        "lr": trained(folder / "lr", "lr", objective="listmle", list_length=20, evaluation=QUICK),
        "ratings": trained(folder / "ratings", "lr", target="rating", evaluation=QUICK),
    }


def said(console: Console) -> str:
    return console.export_text()


def test_a_run_is_complete(runs: dict[str, Path]) -> None:
    names = {path.name for path in runs["fm"].iterdir()}
    assert {"metrics.json", "report.md", "model_card.md", "predictions.npz", "saved_model", "config.toml"} <= names
    assert {"training.png", "reliability-like.png"} <= names
    metrics = read_ranking_metrics(runs["fm"])
    assert {"auc", "gauc", "logloss", "rmse", "ndcg@10", "ece"} <= set(metrics.metrics)
    assert set(metrics.baselines) == {"mean", "user_and_item_means"}
    assert metrics.baselines["mean"]["auc"] == 0.5
    assert set(metrics.importance) == set(metrics.fields)
    assert is_ranking(runs["fm"])
    for picture in ("training.png", "reliability-like.png"):
        assert f"]({picture})" in (runs["fm"] / "report.md").read_text("utf-8")


def test_ratings_are_measured_as_ratings(runs: dict[str, Path]) -> None:
    metrics = read_ranking_metrics(runs["ratings"])
    assert {"rmse", "mae", "ndcg@10"} <= set(metrics.metrics)
    assert "auc" not in metrics.metrics
    with np.load(runs["ratings"] / "predictions.npz") as arrays:
        assert arrays["predicted"].min() >= arrays["labels"].min()
        error = np.sqrt(np.mean((arrays["predicted"] - arrays["labels"]) ** 2))
    assert error == pytest.approx(metrics.metrics["rmse"], abs=1e-5)


def test_a_model_trained_by_lists_says_so(runs: dict[str, Path]) -> None:
    metrics = read_ranking_metrics(runs["lr"])
    assert metrics.objective == "listmle"
    assert read_ranking_metrics(runs["fm"]).objective == "pointwise"
    assert "Trained by lists (listmle)" in (report := (runs["lr"] / "report.md").read_text("utf-8"))
    assert "chosen by the greatest validation ndcg@10" in report
    assert "trained by lists (listmle)" in (runs["lr"] / "model_card.md").read_text("utf-8")
    for file in ("report.md", "model_card.md"):
        assert "by lists" not in (runs["fm"] / file).read_text("utf-8")
    mean = metrics.baselines["mean"]
    assert metrics.metrics["ndcg@10"] > mean["ndcg@10"]
    assert metrics.metrics["logloss"] < mean["logloss"] + 0.02  # Platt scaling makes probabilities of its scores


def test_the_same_configuration_gives_the_same_figures(runs: dict[str, Path], tmp_path: Path) -> None:
    config = configured()
    again = fit_ranker(PairData(config), config, tmp_path, Console(quiet=True))
    assert measure_fold(again.model, again.fold)[0].figures.metrics == read_ranking_metrics(runs["fm"]).metrics


def test_figures_hold_when_a_run_is_measured_again(runs: dict[str, Path]) -> None:
    console = Console(record=True, quiet=True)
    assert evaluate_ranking(runs["fm"], console)


def test_a_run_with_settings_that_are_gone_is_to_be_trained_again(runs: dict[str, Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs["lr"], tmp_path / "lr"))
    text = (run / "config.toml").read_text("utf-8")
    (run / "config.toml").write_text(text.replace("[evaluation]\n", "[evaluation]\nbaselines = true\n"), "utf-8")
    with pytest.raises(RunError, match=r"Unknown setting 'evaluation\.baselines'.*: train the run again"):
        evaluate_ranking(run, Console(quiet=True))


def test_figures_that_do_not_hold_are_told(runs: dict[str, Path], tmp_path: Path) -> None:
    recorded = json.loads((runs["lr"] / "metrics.json").read_text())
    original = json.dumps(recorded)
    recorded["targets"][0]["metrics"]["auc"] += 0.01
    (runs["lr"] / "metrics.json").write_text(json.dumps(recorded))
    try:
        assert not evaluate_ranking(runs["lr"], Console(quiet=True))
    finally:
        (runs["lr"] / "metrics.json").write_text(original)


def test_runs_are_compared_on_the_same_rows(runs: dict[str, Path], tmp_path: Path) -> None:
    console = Console(record=True, width=120, file=io.StringIO())
    compare_rankings([runs["fm"], runs["lr"]], console, tmp_path)
    text = said(console)
    assert "auc of fm less that of lr" in text
    written = json.loads((tmp_path / "comparison.json").read_text())
    found, figures = written["differences"]["lr"]["auc"], written["systems"]
    assert found["difference"] == pytest.approx(figures["fm"]["auc"] - figures["lr"]["auc"], abs=1e-6)
    assert found["low"] <= found["difference"] <= found["high"]
    with pytest.raises(RunError, match=r"predicts like .* rating on"):
        compare_rankings([runs["fm"], runs["ratings"]], console)


def test_a_prediction_is_explained(runs: dict[str, Path]) -> None:
    console = Console(record=True, width=120, file=io.StringIO())
    explain_run(runs["fm"], console, user=None, item=None, row=3)
    text = said(console)
    assert "like: 0." in text
    assert "item_id" in text
    assert "strongest pairs" in text
    explain_run(runs["fm"], console, user=None, item=None, row=None)
    assert "loss of auc when shuffled" in said(console)
    with pytest.raises(UsageError, match="There is no item 'nothing'"):
        explain_run(runs["fm"], console, user="1", item="nothing", row=None)
    with pytest.raises(UsageError, match="There is no test row 1000000000"):
        explain_run(runs["fm"], console, user=None, item=None, row=10**9)


def test_a_run_is_exported_once_more(runs: dict[str, Path]) -> None:
    folder = export_ranking_run(runs["lr"], to=None, name=None, store_histories=False)
    assert folder == runs["lr"].resolve() / "saved_model" / "2"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"target": "stars"}, ConfigError, "target = 'stars' is not possible"),
        ({"target": "like", "data": {"like_from": 99.0}}, DataError, "None of .* ratings are 99 or more"),
        ({"target": "like,rating", "target_weights": [1.0]}, ConfigError, "target_weights has 1 values"),
        ({"target": "click", "data": {"negative_rate": 0.5}}, ConfigError, "those beside clicks are drawn"),
        ({"target": "rating", "data": {"negative_rate": 0.5}}, ConfigError, "negative_rate goes with a single target"),
    ],
)
def test_what_cannot_be_learned_is_refused(settings: dict, error: type[Exception], message: str) -> None:
    layers = [{"family": "fm", "data": {"dataset": "simulated-tiny"}}, settings]
    with pytest.raises(error, match=message):
        PairData(build(ranking_config("fm"), layers)).selection()


def test_likes_may_begin_at_zero(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    rows = [f"u{i % 9},i{i % 7},{i % 5 - 2},{1_000_000 + i}" for i in range(60)]  # ratings of -2 to 2
    table.write_text("\n".join(["user,item,rating,timestamp", *rows]), encoding="utf-8")
    for asked, expected, liked in ({}, 1, 0.4), ({"like_from": 0}, 0, 0.6):
        layer = {"family": "fm", "target": "like", "data": {"dataset": str(table), **asked}}
        data = PairData(build(ranking_config("fm"), [layer]))
        assert data.like_from == expected
        assert data.final(data.selection()).measured.targets.mean() == pytest.approx(liked, abs=0.1)


def test_weights_and_data_that_are_not_those_of_the_run_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs["lr"], tmp_path / "lr"))
    weights = run / "checkpoints" / "model.index"
    weights.write_bytes(weights.read_bytes()[:20])
    with pytest.raises(RunError, match=r"The weights of .*lr cannot be read .*: train the run again"):
        evaluate_ranking(run, Console(quiet=True))
    text = (run / "metrics.json").read_text("utf-8")
    (run / "metrics.json").write_text(text.replace(json.loads(text)["split_hash"], "0" * 64), "utf-8")
    with pytest.raises(RunError, match=r"split had the hash 0000000000000000, now it has .*Bring the old data back"):
        evaluate_ranking(run, Console(quiet=True))
