"""A finished ranking run, opened again: its data encoded anew, its model built from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.errors import RunError
from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.runs.evaluate import TOLERANCE
from recsys_tfrs.runs.export import check_place
from recsys_tfrs.runs.fitting import WEIGHTS
from recsys_tfrs.runs.folder import open_run, read_config
from recsys_tfrs.runs.ranking_config import RankingRunConfig, ranking_config
from recsys_tfrs.runs.ranking_data import Fold
from recsys_tfrs.runs.ranking_export import write_ranking_export
from recsys_tfrs.runs.ranking_fitting import build_ranker
from recsys_tfrs.runs.ranking_measuring import measure_fold
from recsys_tfrs.runs.ranking_metrics import RankingMetrics, read_ranking_metrics
from recsys_tfrs.runs.ranking_pairs import PairData
from recsys_tfrs.runs.ranking_tables import TableData, is_table
from recsys_tfrs.serving.folders import IN_RUN

#: Name of a ranking model outside its run; what clients ask a server for.
NAME = "ranking"


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
    data = TableData(config) if is_table(config.data) else PairData(config)
    fold = data.final(data.selection())
    if data.split_hash != recorded.split_hash:
        raise RunError(
            f"The data of {path} has changed since it was trained: its split had the hash {recorded.split_hash[:16]}, "
            f"now it has {data.split_hash[:16]}. Bring the old data back, or train again."
        )
    model = build_ranker(config, fold)
    try:
        model.load_weights(run / WEIGHTS).expect_partial()
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"The weights of {path} cannot be read ({reason}): train the run again.") from None
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


def export_ranking_run(path: Path, *, to: Path | None, name: str | None, store_histories: bool) -> Path:
    """Export a finished ranking run once more.

    Args:
      path: the run.
      to: folder of all models; None: the run itself.
      name: of the model; None: ``saved_model`` in the run, `NAME` elsewhere.
      store_histories: False leaves the users' histories out of the graph.

    Returns:
      The version folder.

    Raises:
      RunError: see `reopen_ranker`.
      UsageError: a place that cannot hold folders.
    """
    base = (to or open_run(path, "ranking")) / (name or (NAME if to else IN_RUN))
    check_place(base)
    opened = reopen_ranker(path)
    facts = opened.recorded.model_dump(mode="json")
    return write_ranking_export(opened.model, opened.data, opened.fold, facts, base, store_histories=store_histories)
