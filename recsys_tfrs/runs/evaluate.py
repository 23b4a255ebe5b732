"""Measure a finished run again."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from recsys_tfrs.runs.display import print_systems
from recsys_tfrs.runs.folding import item_groups, measure_folding, print_folding
from recsys_tfrs.runs.measuring import headline_ratings, measure
from recsys_tfrs.runs.metrics_file import TOLERANCE
from recsys_tfrs.runs.reopen import reopen


def evaluate_run(path: Path, console: Console, folding: str | None = None) -> bool:
    """Rebuild the model from its weights, measure it, and compare with what was recorded.

    Args:
      path: the run.
      console: where the figures are shown.
      folding: groups of items over which folding is measured, too, see `item_groups`; None: it is not.

    Returns:
      Whether every recorded metric was met within `TOLERANCE`.

    Raises:
      RunError: the run is unfinished, or its data is no longer the same.
      UsageError: there are no such groups.
      DataError: they are no categories.
    """
    opened = reopen(path)
    recorded = opened.recorded
    groups = None if folding is None else item_groups(opened.prepared, folding)  # refused before anything is measured
    evaluation = measure(opened.prepared, opened.scorer)
    now = evaluation.metrics
    if (ratings := headline_ratings(opened.prepared, opened.model)) is not None:
        now |= ratings.metrics
    print_systems(console, {"recorded": recorded.metrics, "measured now": now}, opened.run.name)
    apart = {name: (value, now[name]) for name, value in recorded.metrics.items() if abs(value - now[name]) > TOLERANCE}
    for name, (then, value) in apart.items():
        console.print(f"[red]{name} was {then:.5f} and is {value:.5f}[/]")
    if not apart:
        console.print(f"All {len(recorded.metrics)} metrics hold within {TOLERANCE}.")
    if folding is not None and groups is not None:
        found = measure_folding(evaluation.ranking, opened.scorer.candidates, opened.prepared.train, groups)
        print_folding(console, folding, found)
    return not apart
