"""Does an export stand on its own? A stranger's process finds out; see `recsys_tfrs.serving.stranger`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recsys_tfrs.serving.folders import newest_version

_STRANGER = Path(__file__).with_name("stranger.py")

#: As a module of a package made up of this folder alone: under its own name it would import all of ours.
_START = """
import os, runpy, sys, types
package = types.ModuleType("checks")
package.__path__ = [os.path.dirname(sys.argv[1])]
sys.modules["checks"] = package
sys.argv = sys.argv[1:]
runpy.run_module("checks.stranger", run_name="__main__")
"""


@dataclass(frozen=True)
class Verdict:
    """One check.

    Attributes:
      check: its name.
      passed: the verdict.
      detail: what was found.
    """

    check: str
    passed: bool
    detail: str


def check_export(path: Path, python: str = sys.executable) -> Iterator[Verdict]:
    """Check an export in a fresh process, one verdict after the other.

    Args:
      path: a version folder, a base path (its newest version, as TensorFlow Serving chooses) or a run.
      python: interpreter to check with.

    Raises:
      RunError: there is no export at `path`.
    """
    folder = newest_version(path)
    # Keras 2 is this package's own choice; a stranger's process has TensorFlow as it comes.
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        command = [python, "-c", _START, str(_STRANGER), str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment)
        last = "start"
        try:
            for line in process.stdout or ():
                if line.startswith("{"):
                    verdict = Verdict(**json.loads(line))
                    last = verdict.check
                    yield verdict
            if process.wait() != 0:
                said.seek(0)
                words = (said.read().strip().splitlines() or ["it said nothing"])[-1]
                yield Verdict("process", False, f"died with exit code {process.returncode} after {last}: {words}")
        finally:
            process.kill()
            process.communicate()
