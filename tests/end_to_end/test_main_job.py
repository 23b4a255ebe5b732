"""The main job from the command line: what it leaves, what it prints, what can be done with it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from end_to_end.program import TRAIN, Done, program, recsys

from recsys_tfrs.config import read_toml

Trained = tuple[Path, Done]
KS = (1, 5, 10, 20, 50, 100)


def test_the_run_holds_everything(trained: Trained) -> None:
    run, _ = trained
    for name in ("metrics.json", "report.md", "config.toml", "logs", "checkpoints/model.index", "saved_model/1"):
        assert (run / name).exists(), name
    assert (run.parent / "latest").resolve() == run
    assert not run.with_name("first.incomplete").exists()


def test_metrics_hold_the_promised_keys(trained: Trained) -> None:
    run, _ = trained
    metrics = json.loads((run / "metrics.json").read_text())
    accuracy = {f"{name}@{k}" for name in ("hit", "ndcg", "mrr", "recall", "map") for k in KS}
    lists = {"coverage@10", "novelty@10", "gini@10"}
    assert set(metrics["baselines"]) == {"popularity", "item_knn", "ease", "ials"}
    for figures in (metrics["metrics"], metrics["metrics_seen_kept"], *metrics["baselines"].values()):
        assert accuracy | lists <= set(figures)
    assert set(metrics["intervals"]) >= accuracy
    assert {"seconds", "examples_per_second", "epochs"} <= set(metrics["training"])
    assert metrics["training"]["examples_per_second"] > 0
    assert metrics["family"] == "two-tower"
    assert metrics["dataset"] == "simulated-tiny"
    assert metrics["split"] == "temporal"
    assert metrics["peak_memory_bytes"] > 10**8
    assert metrics["oracle"]["ndcg@10"] > metrics["baselines"]["popularity"]["ndcg@10"]


def test_the_model_beats_popularity(trained: Trained) -> None:
    run, _ = trained
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["metrics"]["ndcg@10"] > metrics["baselines"]["popularity"]["ndcg@10"]


def test_the_report_shows_every_picture(trained: Trained) -> None:
    run, _ = trained
    report = (run / "report.md").read_text()
    for picture in ("comparison.png", "hits.png", "training.png", "slices.png"):
        assert f"({picture})" in report
        assert (run / picture).read_bytes().startswith(b"\x89PNG")


def test_nothing_is_printed_that_a_user_cannot_act_on(trained: Trained) -> None:
    _, done = trained
    assert done.stderr == ""
    for word in ("WARNING", "Traceback", "cuda", "oneDNN", "retracing"):
        assert word not in done.stdout
    assert "Everything lies in" in done.stdout
    assert "Five of the test users" in done.stdout


def test_recommend_answers_known_and_unknown_users(trained: Trained) -> None:
    run, _ = trained
    known = program("recommend", run, "--user", "7", "-k", "3", cwd=run.parent).stdout
    assert "does not occur" not in known
    unknown = recsys("recommend", run, "--user", "nobody", "-k", "3", cwd=run.parent).stdout
    assert "User nobody does not occur in the data" in unknown


def test_evaluate_measures_the_same_again(trained: Trained) -> None:
    run, _ = trained
    said = recsys("evaluate", run, "--folding", "true-groups", cwd=run.parent).stdout
    assert "metrics hold within" in said
    assert "folding over the 8 groups of true-groups, lists of 10 of" in said


def test_evaluate_notices_a_figure_that_does_not_hold(trained: Trained, tmp_path: Path) -> None:
    run, _ = trained
    forged = tmp_path / "forged"
    subprocess.run(["cp", "-r", run, forged], check=True)
    metrics = json.loads((forged / "metrics.json").read_text())
    metrics["metrics"]["hit@10"] += 0.01
    (forged / "metrics.json").write_text(json.dumps(metrics))
    done = recsys("evaluate", forged, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "hit@10 was" in done.stdout


def test_compare_shows_runs_side_by_side(trained: Trained) -> None:
    run, _ = trained
    shown = recsys("compare", run, cwd=run.parent).stdout
    assert "first (two-tower)" in shown
    assert "popularity" in shown


def test_compare_writes_one_table_of_everything(trained: Trained, tmp_path: Path) -> None:
    run, _ = trained
    recsys("compare", run, "--out", tmp_path / "table", cwd=run.parent)
    facts = json.loads((tmp_path / "table" / "comparison.json").read_text())
    assert set(facts) == {"first (two-tower)", "popularity", "item_knn", "ease", "ials"}
    recorded = json.loads((run / "metrics.json").read_text())
    own = facts["first (two-tower)"]
    assert own["metrics"] == recorded["metrics"]
    for metric, interval in recorded["intervals"].items():
        assert own["intervals"][metric] == pytest.approx(interval, abs=1e-6)
    # The run compared itself with its baselines on the same users and the same draws.
    assert own["p_values_ndcg@10"] == {
        name: pytest.approx(comparison["ndcg@10"]["p_value"]) for name, comparison in recorded["comparisons"].items()
    }
    text = (tmp_path / "table" / "comparison.md").read_text()
    assert "| first (two-tower) | " in text
    assert (tmp_path / "table" / "comparison.png").stat().st_size > 5_000
    assert 0 < recorded["identical_lists"] < 0.5


@pytest.mark.slow
def test_families_are_trained_once_and_compared(tmp_path: Path) -> None:
    settings = ["training.epochs=2", "model.dim=8", "model.hide=any", 'evaluation.baselines=["popularity"]']
    command = ["compare", "--families", "softmax", "--dataset", "simulated-tiny", "--out", tmp_path / "c"]
    command += [part for setting in settings for part in ("--set", setting)]
    first = program(*command, cwd=tmp_path).stdout  # families are trained in processes of their own
    assert "Everything lies in" in first
    again = program(*command, cwd=tmp_path).stdout
    assert "Everything lies in" not in again  # the run was there
    assert "Written to" in again
    assert set(json.loads((tmp_path / "c" / "comparison.json").read_text())) == {"softmax", "popularity"}


def test_the_written_configuration_is_complete(trained: Trained) -> None:
    run, _ = trained
    config = read_toml(run / "config.toml")
    assert config["family"] == "two-tower"
    assert config["model"]["hide"] in ("any", "newest")
    assert {"data", "split", "features", "model", "training", "evaluation", "index"} <= set(config)


@pytest.mark.slow
def test_a_run_killed_and_resumed_ends_with_the_same_weights(tmp_path: Path) -> None:
    import signal
    import sys
    import time

    settings = [*TRAIN, "--set", "training.checkpoint_seconds=0", "--set", "training.epochs=40"]
    program(*settings, "--out", tmp_path / "whole", cwd=tmp_path)
    killed = subprocess.Popen(
        [sys.executable, "-m", "recsys_tfrs", *settings, "--out", str(tmp_path / "killed")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    work = tmp_path / "killed.incomplete"
    deadline = time.monotonic() + 120
    while not list(work.glob("checkpoints/selection-*/epoch-*.json")):
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed").exists()
    program("train", "two-tower", "--resume", "--out", tmp_path / "killed", cwd=tmp_path)

    import tensorflow as tf

    whole = tf.train.load_checkpoint(str(tmp_path / "whole" / "checkpoints" / "model"))
    resumed = tf.train.load_checkpoint(str(tmp_path / "killed" / "checkpoints" / "model"))
    names = whole.get_variable_to_shape_map()
    assert len(names) > 5
    for name in names:
        a, b = whole.get_tensor(name), resumed.get_tensor(name)
        if isinstance(a, np.ndarray) and a.dtype.kind == "f":
            np.testing.assert_array_equal(a, b, err_msg=name)
