"""One level of folders, files that can be read in one sitting, a package that is cheap to import."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import recsys_tfrs

PACKAGE = Path(recsys_tfrs.__file__).parent
MAX_LINES = 400


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_folders_nest_one_level_deep() -> None:
    deep = [
        str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if len(path.relative_to(PACKAGE).parts) > 2
    ]
    assert deep == []


def test_no_file_outgrows_a_sitting() -> None:
    lengths = {str(path.relative_to(PACKAGE)): path.read_text("utf-8").count("\n") for path in PACKAGE.rglob("*.py")}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_every_folder_says_what_it_is() -> None:
    silent = [
        path.parent.name for path in PACKAGE.glob("*/__init__.py") if not path.read_text("utf-8").startswith('"""')
    ]
    assert silent == []


def test_importing_the_package_does_not_import_tensorflow() -> None:
    started = time.monotonic()
    result = run_python(
        """
        import sys, recsys_tfrs, recsys_tfrs.runtime
        print(sorted({"tensorflow", "tf_keras", "keras", "numpy", "pandas"} & set(sys.modules)))
        """
    )
    assert result.stdout.strip() == "[]", result.stderr
    # An interpreter starts in 0.05 s; TensorFlow alone would take 4 s and more.
    assert time.monotonic() - started < 3


def test_keras_3_already_imported_is_refused_with_the_remedy() -> None:
    result = run_python(
        """
        import sys, types
        sys.modules["keras"] = types.ModuleType("keras")
        sys.modules["keras"].__version__ = "3.11.1"
        try:
            import recsys_tfrs
        except ImportError as error:
            print(type(error).__name__, error)
        """
    )
    assert result.stdout.startswith("KerasVersionError "), result.stderr
    assert "Keras 3.11.1 is already imported" in result.stdout
    assert "import recsys_tfrs before tensorflow" in result.stdout


@pytest.mark.parametrize("loaded", ["", "2.15.0"])
def test_keras_2_and_no_keras_are_accepted(loaded: str) -> None:
    result = run_python(
        f"""
        import os, sys, types
        if {loaded!r}:
            sys.modules["keras"] = types.ModuleType("keras")
            sys.modules["keras"].__version__ = {loaded!r}
        import recsys_tfrs
        print(os.environ["TF_USE_LEGACY_KERAS"])
        """
    )
    assert result.stdout.strip() == "1", result.stderr
