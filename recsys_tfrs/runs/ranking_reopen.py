"""A finished ranking run, opened again: its data encoded anew, its model built from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.runs.fitting import load_weights
from recsys_tfrs.runs.folder import check_split_unchanged, open_run, read_config
from recsys_tfrs.runs.metrics_file import TOLERANCE
from recsys_tfrs.runs.ranking_config import RankingRunConfig, ranking_config
from recsys_tfrs.runs.ranking_data import Fold
from recsys_tfrs.runs.ranking_fitting import build_ranker
from recsys_tfrs.runs.ranking_measuring import measure_fold
from recsys_tfrs.runs.ranking_metrics import RankingMetrics, read_ranking_metrics
from recsys_tfrs.runs.ranking_pairs import PairData
from recsys_tfrs.runs.ranking_tables import TableData, open_data


@dataclass(frozen=True)
class ReopenedRanker:
    """What training left behind, ready to compute with.

    Attributes:
      run: folder of the run.
      config: of the run.
      recorded: its ``metrics.json``.
      data: the data set.
      fold: what the model was fitted on, and its test rows.
      model: with the run's weights.
    """

    run: Path
    config: RankingRunConfig
    recorded: RankingMetrics
    data: PairData | TableData
    fold: Fold
    model: Ranker


def reopen_ranker(path: Path) -> ReopenedRanker:
    """Read the data of a run, encode it and rebuild the model.

    Raises:
      RunError: there is no complete ranking run at `path`, its weights cannot be read, or its data is no longer the
        same.
    """
    run = open_run(path, "ranking")
    recorded = read_ranking_metrics(run)
    config = read_config(run, ranking_config(recorded.family))
    runtime.configure(config.device, seed=config.seed)
    data = open_data(config)
    fold = data.final(data.selection())
    check_split_unchanged(path, recorded.split_hash, data.split_hash)
    model = build_ranker(config, fold)
    load_weights(model, path)
    return ReopenedRanker(run, config, recorded, data, fold, model)


def evaluate_ranking(path: Path, console: Console) -> bool:
    """Measure a ranking run again from its weights and its data.

    Returns:
      Whether every recorded metric was met within `TOLERANCE`.

    Raises:
      RunError: see `reopen_ranker`.
    """
    opened = reopen_ranker(path)
    holds = True
    measured = [one.figures for one in measure_fold(opened.model, opened.fold)]
    for then, now in zip(opened.recorded.targets, measured, strict=True):
        for name, value in then.metrics.items():
            if abs(value - now.metrics[name]) > TOLERANCE:
                holds = False
                console.print(f"[red]{name} of {then.name} was {value:.5f} and is {now.metrics[name]:.5f}[/]")
        shown = ", ".join(f"{name} {value:.4f}" for name, value in now.metrics.items())
        console.print(f"{then.name}: {shown}")
    if holds:
        console.print(f"All metrics hold within {TOLERANCE}.")
    return holds
