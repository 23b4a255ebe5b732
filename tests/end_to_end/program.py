"""One small run of the main job, made once and looked at by every test here."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from recsys_tfrs.cli import main

Done = subprocess.CompletedProcess[str]

#: Enough training to tell the model from chance, little enough to wait for.
TRAIN = ["train", "two-tower", "--dataset", "simulated-tiny", "--set", "training.epochs=8", "--set", "model.dim=32"]


def program(*arguments: str | int | Path, cwd: Path) -> Done:
    """Call the program as a user does, in a process of its own."""
    command = [sys.executable, "-m", "recsys_tfrs", *map(str, arguments)]
    return _checked(subprocess.run(command, cwd=cwd, capture_output=True, text=True))


def recsys(*arguments: str | int | Path, cwd: Path, check: bool = True) -> Done:
    """Call the program in this process, which has TensorFlow already: that spares seconds."""
    command, before = ["recsys-tfrs", *map(str, arguments)], Path.cwd()
    out, err, code = io.StringIO(), io.StringIO(), 0
    os.chdir(cwd)
    try:
        with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", command):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        os.chdir(before)
    done = subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())
    return _checked(done) if check else done


def _checked(done: Done) -> Done:
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(done.args)} failed:\n{done.stdout}\n{done.stderr}")
    return done


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """``(folder of the run, what the command printed)``."""
    folder = tmp_path_factory.mktemp("main_job")
    done = program(*TRAIN, "--out", folder / "runs" / "first", cwd=folder)
    return folder / "runs" / "first", done
