"""Ranking runs side by side, on the same test rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from recsys_tfrs.errors import RunError
from recsys_tfrs.evaluation.predictions import Predictions, prediction_differences
from recsys_tfrs.evaluation.rating_errors import LOWER_IS_BETTER
from recsys_tfrs.features.fields import EncodedExamples
from recsys_tfrs.files import write_atomically
from recsys_tfrs.runs.folder import open_run, run_names
from recsys_tfrs.runs.markdown import markdown_table
from recsys_tfrs.runs.ranking_measuring import PREDICTIONS, measure_target
from recsys_tfrs.runs.ranking_metrics import RankingMetrics, read_ranking_metrics
from recsys_tfrs.runs.ranking_report import SHOWN


def compare_rankings(paths: Sequence[Path], console: Console, out: Path | None = None) -> None:
    """Show ranking runs side by side, and the first against each other one, paired over users.

    Args:
      paths: the runs; the first is the one the others are compared with.
      console: where the table is shown.
      out: folder for ``comparison.md`` and ``comparison.json``; None: they are not written.

    Raises:
      RunError: a run is unfinished, or they are not of the same target and test rows.
    """
    names = run_names(paths)
    runs = {name: open_run(path) for name, path in zip(names, paths, strict=True)}
    recorded = {name: read_ranking_metrics(run) for name, run in runs.items()}
    _check_same(recorded)
    measured = {name: _measured(runs[name], recorded[name]) for name in names}
    first = names[0]
    differences = {
        name: {metric: asdict(found) for metric, found in prediction_differences(measured[first], other).items()}
        for name, other in measured.items()
        if name != first
    }
    systems = {name: one.metrics for name, one in recorded.items()} | recorded[first].baselines
    shown = [m for m in SHOWN if any(m in figures for figures in systems.values())]
    table = Table()
    for heading in ("", *shown):
        table.add_column(heading)
    for name, figures in systems.items():
        table.add_row(name, *(_bold(figures, m, systems) for m in shown))
    target = recorded[first].targets[0]
    console.print(
        f"{target.name} on {recorded[first].dataset}, {recorded[first].split} split, {target.num_rows:,} rows"
    )
    console.print(table)
    leading = "rmse" if target.kind == "rating" else "auc"
    for name, found in differences.items():
        d = found[leading]
        console.print(
            f"{leading} of {first} less that of {name}: {d['difference']:+.4f} ({d['low']:+.4f} to {d['high']:+.4f})"
        )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        written = {"systems": systems, "differences": differences, "first": first}
        write_atomically(out / "comparison.json", json.dumps(written, indent=2) + "\n")
        write_atomically(out / "comparison.md", "\n".join(_lines(recorded, systems, differences, first, shown)) + "\n")


def _check_same(recorded: dict[str, RankingMetrics]) -> None:
    first_name, first = next(iter(recorded.items()))
    for name, one in recorded.items():
        if (one.split_hash, one.targets[0].name) != (first.split_hash, first.targets[0].name):
            raise RunError(
                f"{first_name} predicts {first.targets[0].name} on the rows {first.split_hash[:8]} of {first.dataset}, "
                f"{name} {one.targets[0].name} on {one.split_hash[:8]} of {one.dataset}: train them with the same "
                "data, split and target to compare them."
            )


def _measured(run: Path, metrics: RankingMetrics) -> Predictions:
    try:
        with np.load(run / PREDICTIONS) as arrays:
            examples = EncodedExamples({}, arrays["labels"][:, None], arrays.get("weights"), arrays.get("groups"))
            return measure_target(metrics.targets[0].kind, arrays["predicted"], examples, 0, intervals=False)
    except (OSError, KeyError, ValueError) as error:
        raise RunError(f"{run / PREDICTIONS} cannot be read ({error}): train the run again.") from None


def _bold(figures: dict[str, float], metric: str, systems: dict[str, dict[str, float]]) -> str:
    if metric not in figures:
        return "-"
    values = [other[metric] for other in systems.values() if metric in other]
    best = min(values) if metric in LOWER_IS_BETTER else max(values)
    text = f"{figures[metric]:.4f}"
    return f"[bold]{text}[/]" if figures[metric] == best else text


def _lines(
    recorded: dict[str, RankingMetrics],
    systems: dict[str, dict[str, float]],
    differences: dict[str, dict[str, Any]],
    first: str,
    shown: list[str],
) -> Iterator[str]:
    one = recorded[first]
    yield f"# {one.targets[0].name} on {one.dataset}\n"
    yield f"{one.split} split, {one.targets[0].num_rows:,} test rows, hash `{one.split_hash[:16]}`.\n"
    yield from markdown_table(
        ["", *shown], [[name, *(f"{f[m]:.4f}" if m in f else "-" for m in shown)] for name, f in systems.items()]
    )
    yield f"\n## {first} less each other run, paired over users (rows where nobody is known)\n"
    yield from markdown_table(
        ["run", "metric", "difference", "95% interval", "p"],
        [
            [name, m, f"{d['difference']:+.4f}", f"{d['low']:+.4f} to {d['high']:+.4f}", f"{d['p_value']:.3f}"]
            for name, found in differences.items()
            for m, d in found.items()
            if m in shown
        ],
    )
