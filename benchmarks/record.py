"""What every part of a benchmark shares: writing down its figures with where, when and how they were measured."""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recsys_tfrs import runtime

#: What was measured, by name; whatever JSON can hold.
Figures = dict[str, Any]

#: Markdown of figures and the machine they come from.
Lines = Callable[[Figures, Figures], list[str]]

_ROOT = Path(__file__).resolve().parent.parent


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of one part's options, which all can write their figures to a file."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, help="write the figures here, too")
    return made


def finish(figures: Figures, lines: list[str], path: Path | None) -> None:
    """Show the figures of a part and, where asked for, write them with the machine they come from."""
    print("\n".join(lines))
    if path is not None:
        path.write_text(json.dumps({"figures": figures, "environment": runtime.describe()}), encoding="utf-8")


#: What `keep_parts` is asked for to write the page again from its figures.
RENDER = "render"


def keep_parts(path: Path, parts: Mapping[str, Callable[[], object]], only: str | None, lines: Lines) -> None:
    """Measure parts of a benchmark in this process, or a single one; those measured before are kept.

    Args:
      path: of the results without an ending: ``.json`` for programs, ``.md`` for people.
      parts: what measures each.
      only: the part to measure; None: all; `RENDER`: none.
      lines: makes Markdown of figures and machine. Beside the parts, figures hold under ``measured`` when and at which
        commit each part was.
    """
    stored = path.with_suffix(".json")
    written: Figures = json.loads(stored.read_text("utf-8")) if stored.exists() else {"figures": {}}
    figures = written["figures"]
    for name, part in parts.items():
        if only in (None, name):
            print(f"{name} ...", flush=True)
            figures[name] = part()
            figures["measured"] = {**figures.get("measured", {}), name: f"{today()} at {commit()}"}
            written["environment"] = runtime.describe()
            stored.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
            _write_page(path, written, lines)
    if only == RENDER:
        _write_page(path, written, lines)


def _write_page(path: Path, written: Figures, lines: Lines) -> None:
    text = "\n".join(lines(written["figures"], written["environment"]))
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text, flush=True)


def origin(figures: Figures, environment: Figures) -> str:
    """A sentence that says when, at which commits and where parts were measured."""
    measured = figures["measured"]
    whens = {when: [name for name, at in measured.items() if at == when] for when in measured.values()}
    said = "; ".join(f"{', '.join(names)}: {when}" for when, names in sorted(whens.items()))
    return f"Measured {said}. {machine(environment)}."


def commit() -> str:
    """The commit measured, with ``+`` behind it where package or benchmarks differ from it."""
    git = ["git", "-C", str(_ROOT)]
    try:
        name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "recsys_tfrs", "benchmarks/*.py"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.stdout.strip() + ("+" if changed.stdout.strip() else "")


def today() -> str:
    """The date, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def machine(environment: Figures) -> str:
    """One line about a machine from `runtime.describe`."""
    packages = environment["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("tensorflow", "numpy") if name in packages)
    devices = environment["devices"]
    where = "" if devices is None else f", on {' and '.join(sorted(set(devices)))}"
    return (
        f"{environment['cpu']}, {environment['cores']} cores, {environment['memory_bytes'] / 2**30:.0f} GiB, "
        f"Python {environment['python']}, {versions}{where}"
    )


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def bounded(value: float, interval: Sequence[float] | None) -> str:
    """A figure with its interval, where one was measured: ``0.1025 [0.0877, 0.1180]``."""
    return f"{value:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def judged(value: float, bar: float, *, at_most: bool = False) -> str:
    """Whether a bar is reached."""
    return "reached" if (value <= bar if at_most else value >= bar) else "MISSED"
