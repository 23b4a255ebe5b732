"""Measure a finished run again."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.config import build, read_toml
from recsys_tfrs.errors import RunError
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.display import print_systems
from recsys_tfrs.runs.fitting import WEIGHTS
from recsys_tfrs.runs.folder import open_run
from recsys_tfrs.runs.measuring import measure
from recsys_tfrs.runs.metrics_file import read_metrics
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.runs.train import CONFIG_FILE

#: Figures further apart than this are not the same measurement; other processors round differently.
TOLERANCE = 1e-3


def evaluate_run(path: Path, console: Console) -> bool:
    """Rebuild the model from its weights, measure it, and compare with what was recorded.

    Returns:
      Whether every recorded metric was met within `TOLERANCE`.

    Raises:
      RunError: the run is unfinished, or its data is no longer the same.
    """
    run = open_run(path)
    recorded = read_metrics(run)
    config = build(family_config(recorded.family), [read_toml(run / CONFIG_FILE)])
    runtime.configure(config.device, seed=config.seed)
    prepared = prepare(config)
    if prepared.split.hash != recorded.split_hash:
        raise RunError(
            f"The data of {path} has changed since it was trained: its split had the hash {recorded.split_hash[:16]}, "
            f"now it has {prepared.split.hash[:16]}. Bring the old data back, or train again."
        )
    model = prepared.build_model(prepared.train)
    model.load_weights(run / WEIGHTS).expect_partial()
    now = measure(prepared, RetrievalScorer(model, prepared.train)).metrics
    print_systems(console, {"recorded": recorded.metrics, "measured now": now}, run.name)
    apart = {name: (value, now[name]) for name, value in recorded.metrics.items() if abs(value - now[name]) > TOLERANCE}
    for name, (then, value) in apart.items():
        console.print(f"[red]{name} was {then:.5f} and is {value:.5f}[/]")
    if not apart:
        console.print(f"All {len(recorded.metrics)} metrics hold within {TOLERANCE}.")
    return not apart
