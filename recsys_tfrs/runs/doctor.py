"""What this machine has and lacks for the main job, in one table."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys_tfrs import runtime
from recsys_tfrs.data.sources import find_local
from recsys_tfrs.errors import RecsysError
from recsys_tfrs.runs.folder import LATEST, METRICS_FILE, RUNS, is_complete
from recsys_tfrs.version import __version__

#: A run of the main job writes about 0.1 GB; less than this and checkpoints may not fit.
MIN_FREE_BYTES = 10**9
#: TensorFlow alone holds 0.6 GB; the main job on MovieLens 100K peaks below this.
MIN_MEMORY_BYTES = 2 * 10**9


@dataclass(frozen=True)
class Finding:
    """One line of the report; `remedy` says what to do where something is wrong, and is empty where nothing is."""

    subject: str
    text: str
    remedy: str = ""
    #: Whether the main job cannot run like this.
    fatal: bool = False


def doctor(console: Console | None = None, root: Path = Path()) -> int:
    """Print versions, devices, ScaNN, memory, disk, data sets and the newest run.

    Args:
      console: Where to print; standard output by default.
      root: The folder that holds, or will hold, `runs/`.

    Returns:
      The exit code: 0 when the main job can run on this machine, 1 when not.
    """
    findings = examine(root)
    console = console or Console()
    table = Table(title=f"recsys-tfrs {__version__}", title_justify="left", show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark = "[red]missing[/]" if finding.fatal else "[yellow]note[/]" if finding.remedy else "[green]ok[/]"
        # Text, not str: in paths and messages rich must not look for markup.
        table.add_row(mark, finding.subject, Text(finding.text))
    console.print(table)
    for finding in findings:
        if finding.remedy:
            console.print(f"{finding.subject}: {finding.remedy}", markup=False, highlight=False, soft_wrap=True)
    fatal = any(finding.fatal for finding in findings)
    verdict = "The main job cannot run here yet." if fatal else "The main job can run: make train-retrieval"
    console.print(verdict, highlight=False)
    return int(fatal)


def examine(root: Path = Path()) -> list[Finding]:
    """Look at everything the main job depends on; see `doctor`."""
    findings = [_guarded("machine", _machine)]
    # Without AVX the import would kill this process before it could report anything.
    if not findings[0].fatal:
        findings += [_guarded("TensorFlow", _tensorflow), _guarded("ScaNN", _scann)]
    return [
        *findings,
        _guarded("packages", _packages),
        _guarded("memory", _memory),
        _guarded("disk", lambda: _disk(root)),
        _guarded("data", _data),
        _guarded("latest run", lambda: _latest_run(root)),
    ]


def _guarded(subject: str, look: Callable[[], Finding]) -> Finding:
    """Turn whatever goes wrong while looking into a finding: a broken installation is what a doctor is for."""
    try:
        return look()
    except RecsysError as error:
        return Finding(subject, "not usable", str(error), fatal=True)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return Finding(subject, "broken", f"{reason}. Install again: rm -rf .venv && make setup", fatal=True)


def _machine() -> Finding:
    runtime.check_machine()
    facts = runtime.describe()
    return Finding("machine", f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}, {facts['platform']}")


def _tensorflow() -> Finding:
    tf = runtime.import_tensorflow()
    facts = runtime.describe()
    keras = f"Keras {facts['packages'].get('tf-keras', '2')}"
    return Finding("TensorFlow", f"{tf.__version__} on {', '.join(facts['devices'])}, {keras}")


def _scann() -> Finding:
    """Search a small index: an import alone does not show that ScaNN's ops fit this TensorFlow."""
    remedy = "indexes fall back to exact search, which is fast up to about 100,000 items. ScaNN needs Linux and "
    remedy += "TensorFlow 2.20: rm -rf .venv && make setup"
    try:
        with runtime.quiet():
            found = _search_with_scann()
    except Exception as error:
        return Finding("ScaNN", f"not usable ({type(error).__name__}: {error})".splitlines()[0], remedy)
    if found != list(range(8)):
        return Finding("ScaNN", f"wrong neighbours: {found}", remedy)
    return Finding("ScaNN", f"{runtime.package_versions()['scann']}, searches correctly")


def _search_with_scann() -> list[int]:
    from scann import scann_ops

    vectors = np.eye(8, dtype=np.float32)
    searcher: Any = scann_ops.builder(vectors, 1, "dot_product").score_brute_force().build()
    neighbours, _ = searcher.search_batched(vectors)
    return [int(row) for row in neighbours[:, 0]]


def _packages() -> Finding:
    versions = runtime.package_versions()
    return Finding("packages", ", ".join(f"{name} {version}" for name, version in versions.items()))


def _memory() -> Finding:
    memory = runtime.memory_bytes()
    remedy = "the main job may run out of memory; close other programs or use a larger machine"
    return Finding("memory", f"{memory / 1e9:.1f} GB", remedy if memory < MIN_MEMORY_BYTES else "")


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free
    enough = free >= MIN_FREE_BYTES
    remedy = f"free some space, at least {MIN_FREE_BYTES / 1e9:.0f} GB, or write runs elsewhere with --out"
    return Finding("disk", f"{free / 1e9:.1f} GB free", "" if enough else remedy, fatal=not enough)


def _data() -> Finding:
    found = find_local()
    if not found:
        text = "no data set on this machine; `auto` tries to download MovieLens 100K, else it simulates"
        return Finding("data", text)
    return Finding("data", ", ".join(f"{name} in {path}" for name, path in found))


def _latest_run(root: Path) -> Finding:
    latest = root / RUNS / LATEST
    if not latest.exists():
        return Finding("latest run", "none yet")
    state = "" if is_complete(latest) else f", without {METRICS_FILE}: interrupted?"
    return Finding("latest run", f"{latest.resolve()}{state}")
