"""Several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from recsys_tfrs.runs.display import print_systems
from recsys_tfrs.runs.folder import open_run
from recsys_tfrs.runs.metrics_file import read_metrics


def compare_runs(paths: Sequence[Path], console: Console) -> None:
    """Print one table per group of runs that were measured on the same test pairs.

    Figures on different data, splits or pairs cannot be compared, so they never share a table.

    Raises:
      RunError: a path is not a complete run.
    """
    groups: dict[tuple[str, str, str, str], dict[str, dict[str, float]]] = {}
    baselines: dict[tuple[str, str, str, str], dict[str, dict[str, float]]] = {}
    for path in paths:
        run = open_run(path)
        metrics = read_metrics(run)
        key = (metrics.dataset, metrics.split, metrics.pairs, metrics.split_hash)
        groups.setdefault(key, {})[f"{run.name} ({metrics.family})"] = metrics.metrics
        baselines.setdefault(key, {}).update(metrics.baselines)
    for key, systems in groups.items():
        dataset, split, pairs, split_hash = key
        title = f"{dataset}, {split} split, {pairs} pairs (split {split_hash[:8]})"
        print_systems(console, {**systems, **baselines[key]}, title)
    if len(groups) > 1:
        console.print("Runs in different tables were measured on different test pairs and cannot be compared.")
