"""Bad input from the command line: one clear message, the exit code, nothing left behind."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from click.testing import CliRunner

from recsys_tfrs import cli
from recsys_tfrs.errors import RecsysError
from recsys_tfrs.serving import check


def fails(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and message of a call that must fail in a way a user can act on."""
    result = CliRunner().invoke(cli.cli, [str(a) for a in arguments])
    if isinstance(result.exception, RecsysError):
        return result.exception.exit_code, str(result.exception)
    assert isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "no-such-family"], "is not one of"),
        (["train", "two-tower", "--dataset", "no-such-data"], "no-such-data"),
        (
            ["train", "two-tower", "--dataset", "simulated-tiny", "--set", "model.dims=3"],
            "Unknown setting 'model.dims'",
        ),
        (["train", "two-tower", "--dataset", "simulated-tiny", "--set", "model.dim=0"], "Setting model.dim = 0"),
        (["train", "two-tower", "--dataset", "simulated-tiny", "--set", "model"], "expects section.key=value"),
        (["train", "two-tower", "--dataset", "simulated-tiny", "--split", "weekly"], "'weekly' is not known"),
        (["train", "two-tower", "--dataset", "simulated-tiny", "--split", "official:u1"], "has no official fold 'u1'"),
        (
            ["train", "two-tower", "--train", "a.csv", "--test", "b.csv"],
            "--train, --test: files of examples go with lr, fm",
        ),
        (["train", "lr", "--valid", "a.csv"], "give the training rows with --train"),
        (["train", "two-tower", "--config", "missing.toml"], "No configuration file at missing.toml"),
        (["train", "two-tower", "--columns", "user"], "expected user=NAME"),
        (["train", "two-tower", "--columns", "user=a", "--columns", "item=c,user=b"], "user is given twice"),
        (["settings", "no-such-family"], "is not one of"),
        (["settings", "gru", "modle"], "no section 'modle': there are run, data, split"),
        (["recommend", "no-run", "--user", "1"], "There is no run at no-run"),
        (["evaluate", "no-run"], "There is no run at no-run"),
        (["compare", "no-run"], "There is no run at no-run"),
        (["compare"], "Name runs to compare, or families to train with --families"),
        (["compare", "no-run", "--families", "softmax"], "Name runs to compare, or families"),
        (["compare", "no-run", "--dataset", "simulated"], "they go with --families"),
        (["compare", "--families", "three-tower"], "There is no family 'three-tower'"),
        (["export", "no-run"], "There is no run at no-run"),
        (["export", "no-run", "--index", "hnsw"], "'hnsw' is not one of 'auto', 'exact', 'scann'"),
        (["export", "no-run", "--max-k", "0"], "0 is not in the range x>=1"),
        (["serve-check", "no-run"], "There is no exported model in no-run"),
        (["batch-recommend", "no-run", "--users", "users.txt", "--out", "o"], "users.txt cannot be read"),
    ],
)
def test_a_clear_message_and_nothing_left(
    arguments: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = ["--out", "run"] if arguments[0] == "train" else []
    code, message = fails(*arguments, *out)
    assert code != 0
    assert expected in message
    assert not list(tmp_path.iterdir()), "a failed start leaves nothing to resume"


def test_an_existing_run_is_not_overwritten(tmp_path: Path) -> None:
    precious = tmp_path / "run"
    precious.mkdir()
    (precious / "results.txt").write_text("mine")
    _, message = fails("train", "two-tower", "--dataset", "simulated-tiny", "--out", precious)
    assert "is not overwritten" in message
    assert (precious / "results.txt").read_text() == "mine"


def test_an_unfinished_run_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "run.incomplete").mkdir()
    _, message = fails("train", "two-tower", "--dataset", "simulated-tiny", "--out", tmp_path / "run")
    assert "--resume" in message
    for verb in (["recommend", tmp_path / "run", "--user", "1"], ["export", tmp_path / "run"]):
        _, message = fails(*verb)
        assert "is unfinished" in message


@pytest.mark.parametrize(
    ("metrics", "name", "other"), [("{}", "retrieval", "ranking"), ('{"kind": "ranking"}', "ranking", "retrieval")]
)
def test_a_place_that_cannot_hold_an_export(metrics: str, name: str, other: str, tmp_path: Path) -> None:
    run, models = tmp_path / "run", tmp_path / "models"
    run.mkdir()
    (run / "metrics.json").write_text(metrics)
    models.mkdir()
    (models / name).write_text("mine")
    for options in (["--to", models], ["--to", models / name], ["--to", models, "--name", name]):
        _, message = fails("export", run, *options)
        assert f"{name} is a file: choose another --to" in message
    assert (models / name).read_text() == "mine"
    (models / name).rename(models / other)  # where models of the other kind would lie is of no matter
    _, message = fails("export", run, "--to", models)
    assert "is a file" not in message


def test_a_check_that_fails_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [check.Verdict("files", True, "complete"), check.Verdict("scores", False, "differ by 0.1")]
    monkeypatch.setattr(check, "check_export", lambda folder: iter(found))
    result = CliRunner().invoke(cli.cli, ["serve-check", "anything"])
    assert (result.exit_code, result.output) == (
        1,
        "ok    files           complete\nFAIL  scores          differ by 0.1\n",
    )
    found.pop()
    assert CliRunner().invoke(cli.cli, ["serve-check", "anything"]).exit_code == 0
    found.pop()
    assert CliRunner().invoke(cli.cli, ["serve-check", "anything"]).exit_code == 1, "nothing was checked"


class ResourceExhaustedError(Exception):
    """By the name of TensorFlow's."""


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), ResourceExhaustedError("x; No space left on device")]
)
def test_a_full_disk_is_named(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise error

    monkeypatch.setattr(cli, "cli", full)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 1
    assert "the disk is full" in capsys.readouterr().err


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_place_that_cannot_be_written_is_named(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def locked() -> None:
        raise OSError(code, "Not for you", "/sys/models")

    monkeypatch.setattr(cli, "cli", locked)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 1
    assert (
        capsys.readouterr().err == "Error: /sys/models cannot be read or written: Not for you. Choose another place.\n"
    )


def test_other_errors_of_files_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(cli, "cli", broken)
    with pytest.raises(OSError, match="Input/output"):
        cli.main()


def test_a_lack_of_memory_is_not_taken_for_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def starved() -> None:
        raise ResourceExhaustedError("OOM when allocating tensor")

    monkeypatch.setattr(cli, "cli", starved)
    with pytest.raises(ResourceExhaustedError):
        cli.main()


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    _, message = fails("train", "two-tower", "--resume", "--out", tmp_path / "run")
    assert "nothing to resume" in message


def test_a_table_of_ones_own_with_a_bad_row_names_the_line(tmp_path: Path) -> None:
    rows = ["user,item,rating,timestamp", *(f"u{i % 9},i{i % 7},{1 + i % 5},{1_000_000 + i}" for i in range(60))]
    rows[31] = "u1,i1,lots,5"
    table = tmp_path / "mine.csv"
    table.write_text("\n".join(rows))
    _, message = fails("train", "two-tower", "--dataset", table, "--out", tmp_path / "run")
    assert "32" in message
    assert "lots" in message
