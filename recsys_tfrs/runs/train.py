"""The main job: data -> trained model -> figures beside the baselines' -> index -> export -> report."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.config import to_toml
from recsys_tfrs.evaluation.tie_rules import by_tie_rule
from recsys_tfrs.files import write_atomically
from recsys_tfrs.runs import display
from recsys_tfrs.runs.config import RunConfig
from recsys_tfrs.runs.export import audited, choose_index, write_export
from recsys_tfrs.runs.fitting import Fitted, fit_run
from recsys_tfrs.runs.folder import CONFIG_FILE, RunFolder, card_to, removed_on_failure, write_config
from recsys_tfrs.runs.measuring import MODEL, Measured, measure_all
from recsys_tfrs.runs.metrics_file import RunMetrics, TrainingFigures, write_metrics
from recsys_tfrs.runs.per_user import write_per_user
from recsys_tfrs.runs.prepared import Prepared, prepare
from recsys_tfrs.runs.report import write_report
from recsys_tfrs.serving.folders import IN_RUN


def train(config: RunConfig, folder: RunFolder, console: Console) -> Path:
    """Run everything and return the folder of the complete run.

    Args:
      config: of the run.
      folder: from `recsys_tfrs.runs.folder.start`; a checkpoint in it is continued from.
      console: where progress and results are shown.

    Raises:
      RecsysError: anything a user can act on; an unfinished run keeps its checkpoints.
    """
    runtime.configure(config.device, mixed_precision=config.training.mixed_precision, seed=config.seed)
    with removed_on_failure(folder):
        prepared = prepare(config)
    write_config(prepared.config, folder)
    display.print_data(console, prepared)
    fitted = fit_run(prepared, folder.work, console)
    prepared = fitted.prepared
    scorer = prepared.scorer(fitted.model, prepared.known, prepared.split.test)
    with console.status("tuning the baselines on validation and measuring") as status:
        measured = measure_all(prepared, fitted.model, scorer, status.update)
    with console.status("building the index and exporting"):
        index = choose_index(scorer, prepared.config.index, "auto")
        figures = audited(prepared, scorer, index)
        metrics = _metrics(prepared, fitted, measured, figures)
        version = write_export(prepared, fitted.model, index, figures, metrics, folder.work / IN_RUN)
        card_to(version, folder.work)
    metrics = metrics.model_copy(update={"peak_memory_bytes": runtime.peak_memory_bytes()})
    write_metrics(metrics, folder.work)
    write_per_user(measured, config.family, folder.work)
    write_report(metrics, prepared, fitted, measured, folder.work)
    write_atomically(folder.work / CONFIG_FILE, to_toml(prepared.config))
    path = folder.finish()
    display.print_figures(console, metrics)
    display.print_samples(console, prepared, measured.model.ranking)
    display.print_places(console, path)
    return path


def _metrics(prepared: Prepared, fitted: Fitted, measured: Measured, index_figures: dict[str, object]) -> RunMetrics:
    config, interactions, split = prepared.config, prepared.interactions, prepared.split
    chosen = next((e for e in fitted.selection.log if e["epoch"] == fitted.selection.best_epoch), {})
    figures, intervals = measured.figures()
    timed = fitted.final if fitted.final.seconds else fitted.selection
    return RunMetrics(
        family=config.family,
        dataset=interactions.name,
        dataset_notes=list(interactions.notes),
        split=split.name,
        split_hash=split.hash,
        seed=config.seed,
        num_users=interactions.num_users - split.num_added_users,
        num_items=interactions.num_items,
        num_train=len(split.train),
        num_validation=split.num_withheld,
        num_test=len(split.test),
        num_test_measured=measured.model.num_pairs,
        pairs=config.pairs,
        num_pairs_seen=measured.model.num_pairs_seen,
        seen="filtered" if config.filters_seen else "kept",
        refit=bool(config.training.refit),
        metrics=figures,
        metrics_seen_kept=measured.model.metrics_seen_kept,
        metrics_all_pairs=measured.model_all_pairs.metrics,
        next_item=by_tie_rule(measured.model.ranking),
        add_to_cart=measured.carts,
        identical_lists=measured.model.identical_lists,
        intervals={name: (low, high) for name, (low, high) in intervals.items()},
        baselines=measured.baseline_figures(),
        baseline_details=measured.details(),
        comparisons=measured.comparisons(),
        oracle=None if measured.oracle is None else measured.oracle.metrics,
        slices=measured.model_all_pairs.slices,
        slices_headline=measured.model.slices,
        validation={k.removeprefix("validation_"): v for k, v in chosen.items() if k.startswith("validation_")},
        training=TrainingFigures(
            seconds=fitted.seconds,
            examples_per_second=timed.examples / timed.seconds if timed.seconds else 0.0,
            validated=fitted.validated,
            events_per_second=timed.examples / timed.seconds if timed.seconds else 0.0,
            epochs=fitted.final.epoch if fitted.final is not fitted.selection else fitted.selection.best_epoch,
        ),
        query_ms=measured.query_ms[MODEL],
        index=index_figures,
        peak_memory_bytes=runtime.peak_memory_bytes(),
        environment=runtime.describe(),
    )
