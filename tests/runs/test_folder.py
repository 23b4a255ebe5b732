"""A run is opened by what can do something with it; the others are told which command does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from recsys_tfrs.cli import cli
from recsys_tfrs.errors import RunError
from recsys_tfrs.runs.folder import CONFIG_FILE, open_run, read_config, removed_on_failure, start, write_config
from recsys_tfrs.training.config import TrainingConfig


@pytest.fixture
def retrieval(tmp_path: Path) -> Path:
    return written(tmp_path / "two-tower", {"family": "two-tower"})


@pytest.fixture
def ranking(tmp_path: Path) -> Path:
    return written(tmp_path / "fm", {"kind": "ranking", "family": "fm"})


def written(run: Path, metrics: dict[str, str]) -> Path:
    run.mkdir()
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return run


def refused(*arguments: str | Path) -> str:
    result: Result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert isinstance(result.exception, RunError), result.exception
    return str(result.exception)


def test_either_kind_is_opened_where_it_belongs(retrieval: Path, ranking: Path) -> None:
    assert [open_run(run) for run in (retrieval, ranking)] == [retrieval.resolve(), ranking.resolve()]
    assert open_run(retrieval, "retrieval") == retrieval.resolve()
    assert open_run(ranking, "ranking") == ranking.resolve()


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("recommend", ["--user", "1"]),
        ("batch-recommend", ["--users", "users.txt", "--out", "out.parquet"]),
        ("index", ["--remove", "users.txt"]),
        ("export-cascade", ["fm"]),
    ],
)
def test_what_retrieval_runs_do_says_so_of_ranking_runs(
    verb: str, options: list[str], ranking: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ranking.parent)
    Path("users.txt").write_text("1\n", encoding="utf-8")
    message = refused(verb, ranking, *options)
    assert f"{ranking} is a ranking run, and a retrieval run is needed" in message
    assert f"recsys-tfrs export-cascade RETRIEVAL_RUN {ranking}" in message


def test_what_only_lists_have_is_not_taken_for_a_ranking_run(ranking: Path) -> None:
    result = CliRunner().invoke(cli, ["export", str(ranking), "--max-k", "1000", "--index", "auto"])
    assert result.exit_code == 2
    assert "--index and --max-k go with lists of a retrieval run" in result.output


@pytest.mark.parametrize(("verb", "options"), [("explain", []), ("export-cascade", ["two-tower"])])
def test_what_ranking_runs_do_says_so_of_retrieval_runs(
    verb: str, options: list[str], retrieval: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(retrieval.parent)
    message = refused(verb, retrieval, *options)
    assert "is a retrieval run, and a ranking run is needed, as `recsys-tfrs train deepfm` makes" in message
    assert "`recsys-tfrs recommend " in message


@pytest.mark.parametrize("started", [False, True])
def test_a_run_that_cannot_read_its_data_leaves_nothing_unless_it_is_to_be_resumed(
    started: bool, tmp_path: Path
) -> None:
    folder = start(tmp_path / "run", "mf", resume=False)
    if started:
        (folder.work / CONFIG_FILE).touch()
    with pytest.raises(KeyboardInterrupt), removed_on_failure(folder):
        raise KeyboardInterrupt
    assert folder.work.exists() == started


def test_a_run_is_continued_with_the_configuration_it_was_started_with(tmp_path: Path) -> None:
    folder = start(tmp_path / "run", "mf", resume=False)
    for _ in range(2):
        write_config(TrainingConfig(epochs=3), folder)
    with pytest.raises(RunError, match=r"was started with another configuration \(its config\.toml\)"):
        write_config(TrainingConfig(epochs=4), folder)
    assert read_config(folder.work, TrainingConfig).epochs == 3
