"""Comparing runs: made-up runs whose table can be checked by hand, and the order in which families are trained."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from recsys_tfrs.baselines.tuning import BASELINES
from recsys_tfrs.config import read_toml
from recsys_tfrs.errors import RunError
from recsys_tfrs.evaluation.metrics import UserSums, accuracy_columns, as_dict
from recsys_tfrs.evaluation.rating_errors import RatingErrors, rating_errors
from recsys_tfrs.runs import families
from recsys_tfrs.runs.compare import compare_runs
from recsys_tfrs.runs.config import RunConfig
from recsys_tfrs.runs.display import print_figures, print_systems, size
from recsys_tfrs.runs.families import train_and_compare
from recsys_tfrs.runs.metrics_file import BaselineDetails, RunMetrics, TrainingFigures, read_metrics, write_metrics
from recsys_tfrs.runs.per_user import read_rating_errors, write_per_user
from recsys_tfrs.runs.report import _figures as report_figures

NUM_USERS = 40
NAMES = accuracy_columns()
LISTS = {"coverage@10": 0.5, "novelty@10": 6.0, "gini@10": 0.5}


def sums(level: float, seed: int) -> UserSums:
    """Made-up users with two test pairs each, of whom a share of about `level` is served."""
    values = (np.random.default_rng(seed).random((NUM_USERS, len(NAMES))) < level).astype(np.float64)
    weights = np.full_like(values, 2.0)
    weights[:, [name.startswith(("recall", "map")) for name in NAMES]] = 1.0
    return UserSums(NAMES, np.arange(1, NUM_USERS + 1, dtype=np.int32), values * weights, weights)


def errors(spread: float) -> RatingErrors:
    users = np.repeat(np.arange(1, NUM_USERS + 1, dtype=np.int32), 2)
    return rating_errors(spread * (1 + users / NUM_USERS), np.zeros(len(users)), users)


def slices(tail: float) -> dict[str, dict[str, dict[str, float]]]:
    groups = {"head": 0.5, "mid": 0.25, "tail": tail}
    return {"item_popularity": {name: {"num_pairs": 9, "hit@10": hit, "ndcg@10": hit} for name, hit in groups.items()}}


def make_run(path: Path, family: str, level: float, **more: Any) -> Path:
    """A complete run as far as a comparison looks at it, with EASE and a biased MF that predicts ratings."""
    systems = {family: sums(level, 1), "ease": sums(0.5, 2), "biased_mf": sums(0.2, 3)}
    predicted = {family: errors(0.9), "biased_mf": errors(1.0)}
    figures = {
        name: as_dict(of) | LISTS | (predicted[name].metrics if name in predicted else {})
        for name, of in systems.items()
    }
    given: dict[str, Any] = {
        "family": family,
        "dataset": "made-up",
        "dataset_notes": [],
        "split": "random",
        "split_hash": "0123456789abcdef",
        "seed": 42,
        **dict.fromkeys(("num_users", "num_items", "num_train", "num_validation", "num_test", "num_test_measured"), 80),
        "pairs": "all",
        "metrics": figures.pop(family),
        "metrics_seen_kept": {},
        "metrics_all_pairs": {},
        "identical_lists": 0.1,
        "intervals": {},
        "baselines": figures,
        "baseline_details": {
            "ease": BaselineDetails(seconds=3.0, peak_bytes=3 * 2**20, query_ms=0.25, slices=slices(0.1)),
            "biased_mf": BaselineDetails(seconds=4.0, peak_bytes=2**11, query_ms=0.5, slices=slices(0.2)),
        },
        "comparisons": {},
        "oracle": as_dict(sums(0.9, 4)) | LISTS,
        "slices": {},
        "slices_headline": slices(0.05),
        "validation": {},
        "training": TrainingFigures(seconds=61.0, examples_per_second=1.0, validated={}, epochs=1),
        "query_ms": 2.5,
        "index": {"p50_ms": 0.75},
        "peak_memory_bytes": 2**30,
        "environment": {},
    }
    path.mkdir(parents=True)
    write_metrics(RunMetrics(**given | more), path)
    measured: Any = SimpleNamespace(
        model=SimpleNamespace(user_sums=systems[family]),
        baselines={name: SimpleNamespace(user_sums=systems[name]) for name in ("ease", "biased_mf")},
        ratings=predicted[family],
        baseline_ratings={"biased_mf": predicted["biased_mf"]},
    )
    write_per_user(measured, family, path)
    return path


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def test_the_table_has_every_figure_of_models_and_baselines(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, "mf", level) for name, level in (("a", 0.3), ("b", 0.6))]
    compare_runs(runs, console(), tmp_path / "out")
    lines = (tmp_path / "out" / "comparison.md").read_text().splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    header = table[0]
    rows = {row[0]: dict(zip(header, row, strict=True)) for row in table[2:6]}
    facts = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert list(rows) == list(facts) == sorted(facts, key=lambda name: -facts[name]["metrics"]["ndcg@10"])
    assert set(rows) == {"a (mf)", "b (mf)", "ease", "biased_mf"}
    for name, recall, cost in (
        ("ease", "0.500 / 0.250 / 0.100", ["3.0 s", "3.0 MiB", "0.25 ms", "-"]),
        ("biased_mf", "0.500 / 0.250 / 0.200", ["4.0 s", "2.0 KiB", "0.50 ms", "-"]),
        ("b (mf)", "0.500 / 0.250 / 0.050", ["61.0 s", "1.0 GiB", "2.50 ms", "0.75 ms"]),
    ):
        assert rows[name]["recall@10 of head / mid / tail"] == recall
        assert [rows[name][column] for column in ("training", "peak memory", "query", "index p50")] == cost
    assert rows["ease"]["RMSE (95% interval)"] == "-"
    errors_of = errors(1.0)
    low, high = errors_of.intervals["rmse"]
    expected = f"{errors_of.metrics['rmse']:.4f} ({low:.4f} to {high:.4f})"
    assert rows["biased_mf"]["RMSE (95% interval)"] == expected
    assert facts["biased_mf"]["is_baseline"]
    assert not facts["a (mf)"]["is_baseline"]
    assert any(line.startswith("Best reachable") for line in lines)
    assert any("rank by the rating they predict" in line for line in lines)


def test_any_two_rows_are_compared_in_both_kinds_of_figures(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, "mf", level) for name, level in (("a", 0.3), ("b", 0.6))]
    compare_runs(runs, console(), tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "comparison.json").read_text())
    for name, of in facts.items():
        assert set(of["p_values_ndcg@10"]) == set(facts) - {name}
    assert facts["ease"]["p_values_ndcg@10"]["biased_mf"] < 0.01  # half of the users against a fifth
    assert "p_values_rmse" not in facts["ease"]
    assert facts["a (mf)"]["p_values_rmse"] == {"b (mf)": 1.0, "biased_mf": 2 / 1001}
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert text.count("Two-sided p of no difference in") == 2


def test_runs_measured_on_other_pairs_get_a_table_of_their_own(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a", "mf", 0.3), make_run(tmp_path / "b", "mf", 0.6, num_test_measured=79)]
    shown = console()
    compare_runs(runs, shown)
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "made-up, random split, 80 pairs (split 01234567)" in text
    assert "made-up, random split, 79 pairs (split 01234567)" in text
    assert "cannot be compared" in text
    with pytest.raises(RunError, match="would need one table"):
        compare_runs(runs, shown, tmp_path / "out")


def test_runs_that_keep_seen_items_get_a_table_of_their_own(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a", "mf", 0.3), make_run(tmp_path / "b", "mf", 0.6, seen="kept", refit=False)]
    shown = console()
    compare_runs(runs, shown)
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "80 pairs (split 01234567)" in text
    assert "80 pairs, seen items kept (split 01234567)" in text
    for run, seen in zip(runs, ("left out", "kept"), strict=True):
        compare_runs([run], shown, tmp_path / "out")
        assert f"Full ranking, seen items {seen}," in (tmp_path / "out" / "comparison.md").read_text()


def test_the_terminal_and_the_report_say_by_which_rules(tmp_path: Path) -> None:
    interval = {"intervals": {"ndcg@10": (0.1, 0.2), "rmse": (0.9, 1.0)}}
    texts = []
    for name, rules in ("a", {}), ("b", {"seen": "kept", "refit": False}):
        metrics = read_metrics(make_run(tmp_path / name, "mf", 0.3, **interval, **rules))
        shown = console()
        print_figures(shown, metrics)
        texts.append(shown.file.getvalue() + "\n".join(report_figures(metrics)))  # type: ignore[attr-defined]
    filtered, kept = texts
    assert "seen ones left out" in filtered
    assert "all items the user has not had in training" in filtered
    assert "refitted like the model" in filtered
    assert "seen ones included" in kept
    assert "all items with those the user had in training" in kept
    assert "refitted on the validation rows, too, which the model was not" in kept


def test_errors_come_back_from_the_file_as_they_were(tmp_path: Path) -> None:
    got = read_rating_errors(make_run(tmp_path / "a", "mf", 0.3))
    assert set(got) == {"mf", "biased_mf"}
    np.testing.assert_allclose(got["mf"].means(), errors(0.9).user_sums.means(), rtol=1e-6)


def test_without_ratings_there_is_no_column_of_errors(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", "softmax", 0.3)
    with np.load(run / "per_user.npz") as file:
        arrays = {name: file[name] for name in file.files if not name.startswith("errors")}
    np.savez(run / "per_user.npz", **arrays)
    compare_runs([run], console(), tmp_path / "out")
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert "RMSE" not in text
    assert text.count("Two-sided p of no difference in") == 1


def test_the_smallest_error_is_best_and_the_truth_does_not_compete() -> None:
    shown = console()
    base = dict.fromkeys(("hit@10", "ndcg@10", "mrr@10", "hit@100", "recall@10", "map@10", "coverage@10"), 0.5)
    styled = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="truecolor")
    rows = {"a": base | {"rmse": 0.9111, "mae": 0.7}, "b": base | {"rmse": 0.9222, "mae": 0.8}, "oracle": base}
    for where in (shown, styled):
        print_systems(where, rows, "title")
    assert "rmse" in shown.file.getvalue()  # type: ignore[attr-defined]
    text = styled.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[1m0.9111" in text
    assert "\x1b[1m0.9222" not in text


def test_sizes_for_people() -> None:
    assert [size(n) for n in (512, 3 * 2**19, 5 * 2**29)] == ["0.5 KiB", "1.5 MiB", "2.5 GiB"]


class Trainer:
    """Stands for the processes that train: notes each one's configuration, and makes its run or fails."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.baselines: dict[str, list[str]] = {}

    @classmethod
    def instead(cls, monkeypatch: pytest.MonkeyPatch, failing: str = "") -> Trainer:
        trainer = cls(failing)
        monkeypatch.setattr(families, "subprocess", SimpleNamespace(run=trainer.run))
        monkeypatch.setattr(families, "family_config", lambda family: RunConfig)  # no family, no TensorFlow
        return trainer

    def run(self, command: list[str]) -> Any:
        family = command[command.index("train") + 1]
        config = read_toml(Path(command[command.index("--config") + 1]))
        self.baselines[family] = config["evaluation"]["baselines"]
        if family == self.failing:
            return subprocess.CompletedProcess(command, 1)
        make_run(Path(command[command.index("--out") + 1]), family, 0.4)
        return subprocess.CompletedProcess(command, 0)


def test_all_baselines_run_once_beside_the_first_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer.instead(monkeypatch)
    train_and_compare(["mf", "softmax"], [{"data": {"dataset": "simulated-tiny"}}], tmp_path / "c", console())
    assert trainer.baselines == {"mf": list(BASELINES), "softmax": []}
    asked = Trainer.instead(monkeypatch)
    chosen = {"evaluation": {"baselines": ["popularity"]}}
    train_and_compare(["mf", "softmax"], [chosen], tmp_path / "d", console())
    assert asked.baselines == {"mf": ["popularity"], "softmax": []}


def test_runs_of_other_settings_are_not_taken_for_those_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trainer.instead(monkeypatch)
    settings = {"data": {"dataset": "simulated-tiny"}}
    train_and_compare(["mf"], [settings], tmp_path / "c", console())
    # One more family is no other setting, though its baselines run beside the first.
    train_and_compare(["mf", "softmax"], [settings], tmp_path / "c", console())
    other = {"data": {"dataset": "simulated-small"}, "training": {"epochs": 7}}
    with pytest.raises(
        RunError, match=r"mf was trained with other settings .*\(data\.dataset, training\.epochs\): choose"
    ):
        train_and_compare(["mf", "softmax"], [other], tmp_path / "c", console())


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [make_run(tmp_path / place / "mf", "mf", level) for place, level in (("a", 0.3), ("b", 0.6))]
    compare_runs(paths, console(), tmp_path / "c")
    written = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert {f"{path} (mf)" for path in paths} < set(written)
    with pytest.raises(RunError, match="named twice"):
        compare_runs([paths[0], paths[0]], console(), None)


def test_a_family_that_fails_leaves_the_others_their_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer.instead(monkeypatch, failing="mf")
    with pytest.raises(RunError, match="mf could not be trained"):
        train_and_compare(["mf", "softmax"], [], tmp_path / "c", console())
    assert trainer.baselines["softmax"] == list(BASELINES)
    assert set(json.loads((tmp_path / "c" / "comparison.json").read_text())) == {"softmax", "ease", "biased_mf"}
    again = Trainer.instead(monkeypatch)
    train_and_compare(["mf", "softmax"], [], tmp_path / "c", console())
    assert again.baselines == {"mf": []}
