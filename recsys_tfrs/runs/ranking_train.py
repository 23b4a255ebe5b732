"""The main job of ranking: data -> trained and calibrated model -> figures -> export -> report."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.config import to_toml
from recsys_tfrs.files import write_atomically
from recsys_tfrs.runs.folder import CONFIG_FILE, RunFolder, card_to, removed_on_failure, write_config
from recsys_tfrs.runs.metrics_file import TrainingFigures
from recsys_tfrs.runs.ranking_config import RankingRunConfig
from recsys_tfrs.runs.ranking_data import RankingData
from recsys_tfrs.runs.ranking_export import write_ranking_export
from recsys_tfrs.runs.ranking_fitting import FittedRanker, check_compilable, fit_ranker
from recsys_tfrs.runs.ranking_measuring import importance_of_fields, measure_fold, oracle_figures, write_predictions
from recsys_tfrs.runs.ranking_metrics import RankingMetrics, TargetFigures, write_ranking_metrics
from recsys_tfrs.runs.ranking_report import print_data, print_figures, write_report
from recsys_tfrs.runs.ranking_tables import open_data
from recsys_tfrs.serving.folders import IN_RUN


def train_ranker(config: RankingRunConfig, folder: RunFolder, console: Console) -> Path:
    """Run everything and return the folder of the complete run.

    Args:
      config: of the run.
      folder: from `recsys_tfrs.runs.folder.start`; a checkpoint in it is continued from.
      console: where progress and results are shown.

    Raises:
      RecsysError: anything a user can act on; an unfinished run keeps its checkpoints.
    """
    config = settled(config)
    runtime.configure(config.device, mixed_precision=config.training.mixed_precision, seed=config.seed)
    with removed_on_failure(folder):
        data = open_data(config)
    write_config(config, folder)
    print_data(console, data)
    fitted = fit_ranker(data, config, folder.work, console)
    with console.status("measuring"):
        measured = measure_fold(fitted.model, fitted.fold)
        importance = {}
        if config.evaluation.importance:
            importance = importance_of_fields(fitted.model, fitted.fold.measured, config.seed)
    metrics = _metrics(config, data, fitted, [one.figures for one in measured], importance)
    with console.status("exporting"):
        facts = metrics.model_dump(mode="json")
        version = write_ranking_export(fitted.model, data, fitted.fold, facts, folder.work / IN_RUN)
        card_to(version, folder.work)
    metrics = metrics.model_copy(update={"peak_memory_bytes": runtime.peak_memory_bytes()})
    write_ranking_metrics(metrics, folder.work)
    write_predictions(fitted.model, fitted.fold.measured, folder.work)
    write_report(metrics, measured, fitted, folder.work)
    write_atomically(folder.work / CONFIG_FILE, to_toml(fitted.config))
    path = folder.finish()
    print_figures(console, metrics, path)
    return path


def settled(config: RankingRunConfig) -> RankingRunConfig:
    """The same with what follows from it filled in: what is validated on a file of its own is not refitted on it.

    Raises:
      ConfigError: settings that exclude each other.
    """
    if config.objective != "auto":  # else it is decided when the data has been read
        check_compilable(config)
    if config.data.validation is None:
        return config
    return config.model_copy(update={"training": config.training.model_copy(update={"refit": False})})


def _metrics(
    config: RankingRunConfig,
    data: RankingData,
    fitted: FittedRanker,
    figures: list[TargetFigures],
    importance: dict[str, dict[str, float]],
) -> RankingMetrics:
    selection, final = fitted.selection, fitted.final
    chosen = next((e for e in selection.log if e["epoch"] == selection.best_epoch), {})
    timed = final if final.seconds else selection
    speed = timed.examples / timed.seconds if timed.seconds else 0.0
    first = figures[0]
    return RankingMetrics(
        family=config.family,
        dataset=data.name,
        dataset_notes=data.notes,
        split=data.split,
        split_hash=data.split_hash,
        seed=config.seed,
        counts=data.counts,
        fields=fitted.model.preprocessor.layout.names,
        parts=list(fitted.model.parts),
        objective=fitted.config.objective,
        metrics=first.metrics,
        intervals=first.intervals,
        baselines=first.baselines,
        comparisons=first.comparisons,
        oracle=oracle_figures(fitted.fold),
        targets=figures,
        importance=importance,
        validation={k.removeprefix("validation_"): v for k, v in chosen.items() if k.startswith("validation_")},
        training=TrainingFigures(
            seconds=fitted.seconds,
            examples_per_second=speed,
            validated=fitted.validated,
            events_per_second=speed,
            epochs=final.epoch if final is not selection else selection.best_epoch,
        ),
        peak_memory_bytes=runtime.peak_memory_bytes(),
        environment=runtime.describe(),
    )
