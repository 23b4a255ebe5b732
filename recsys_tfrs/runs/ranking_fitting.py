"""The fits of a ranking run: one that validation stops, and one on everything known before testing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from recsys_tfrs.data.sources import AUTO
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.fields import EncodedExamples
from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.models.registry import family_module
from recsys_tfrs.runs.fitting import WEIGHTS
from recsys_tfrs.runs.ranking_config import RankingRunConfig
from recsys_tfrs.runs.ranking_data import Fold, RankingData
from recsys_tfrs.runs.ranking_measuring import measure_target
from recsys_tfrs.training.callbacks import is_better
from recsys_tfrs.training.checkpoints import LoopState
from recsys_tfrs.training.choices import ChoiceBatches
from recsys_tfrs.training.examples import ExampleBatches
from recsys_tfrs.training.fit import Phase, fit, largest_table, make_optimizer
from recsys_tfrs.training.lists import ListBatches
from recsys_tfrs.training.platt import fit_platt

#: Steps of an epoch that batches are made smaller for, and rows below which they are not.
_LEAST_STEPS, _LEAST_ROWS = 64, 256

#: What validation goes by where order within lists is all that is learned.
_OF_LISTS = "ndcg@10"

#: Training rows that the mean output of each part is taken over.
_MEAN_ROWS = 100_000


@dataclass(frozen=True)
class FittedRanker:
    """A trained ranking model and how it came to be.

    Attributes:
      config: of the run, what validation chose filled in.
      fold: what `model` was fitted on, and what it is measured on.
      model: trained and calibrated.
      selection: the fit that validation stopped.
      final: the fit `model` comes from.
      metric: what validation went by.
      validated: its best value for each variant tried, by name.
      seconds: wall time of all fits.
    """

    config: RankingRunConfig
    fold: Fold
    model: Ranker
    selection: LoopState
    final: LoopState
    metric: str
    validated: dict[str, float]
    seconds: float


def fit_ranker(data: RankingData, config: RankingRunConfig, work: Path, console: Console) -> FittedRanker:
    """Select on validation, calibrate there, and refit where asked for; a killed run continues."""
    started = time.perf_counter()
    fold = data.selection()
    config = config.model_copy(update={"objective": fold.targets[0].objective})
    check_compilable(config)
    training = config.training
    if training.metric == AUTO:
        metric = "rmse" if fold.targets[0].kind == "rating" else "auc"
        if config.objective != "pointwise":
            metric = _OF_LISTS
        training = training.model_copy(update={"metric": metric})
    best: tuple[RankingRunConfig, Ranker, LoopState] | None = None
    validated = {}
    variants = config.model.variants(has_times=True)
    for name, settings in variants.items():
        tried = config.model_copy(update={"model": settings})
        candidate = build_ranker(tried, fold)
        label = "selection" if len(variants) == 1 else f"selection-{name}"
        phase = Phase(label, training.epochs, _validator(candidate, fold))
        state = fit(candidate, _batches(config, fold), phase, training, work, console)
        validated[name] = state.best_value
        if best is None or is_better(training.metric, state.best_value, best[2].best_value):
            best = tried, candidate, state
    if best is None:
        raise ValueError(f"{config.family} offers no variant to train.")
    config, model, selection = best
    if config.evaluation.calibrate:
        calibrate(model, fold.measured)
    calibration = model.calibration.numpy()
    last = data.final(fold)
    final = selection
    if training.refit:
        model = build_ranker(config, last)
        phase = Phase("refit", selection.best_epoch, None)
        final = fit(model, _batches(config, last), phase, training, work, console)
        model.calibration.assign(calibration)
    model.take_part_means(_first_rows(_batches(config, last), last))
    model.save_weights(work / WEIGHTS)
    seconds = time.perf_counter() - started
    return FittedRanker(config, last, model, selection, final, training.metric, validated, seconds)


def build_ranker(config: RankingRunConfig, fold: Fold) -> Ranker:
    """An untrained, compiled model, corrected for negatives that were left out."""
    module = family_module(config.family)
    model: Ranker = module.build(config.model, fold.preprocessor, fold.targets, config.seed)
    # Of p(1) among all negatives and p_s(1) among a share of them, the odds are share times as large (He et al.,
    # Practical lessons from predicting clicks on ads at Facebook, ADKDD 2014, section 6.3).
    unit = np.array([[1.0, math.log(fold.negative_rate)]] * len(fold.targets), np.float32)
    model.calibration.assign(unit)
    training = config.training
    steps = None if training.learning_rate_decay == "none" else _batches(config, fold).steps_per_epoch
    optimizer = make_optimizer(training, steps, largest_table(model))
    model.compile(optimizer=optimizer, jit_compile=training.jit_compile)
    return model


def calibrate(model: Ranker, examples: EncodedExamples) -> None:
    """Fit factor and shift of the outputs on rows that the model was not fitted on.

    Log-odds of binary targets are fitted by Platt's method; ratings that were trained by lists, whose scores have no
    unit, by least squares.
    """
    totals = model.totals_of(examples)
    calibration = model.calibration.numpy()
    for place, target in enumerate(model.targets):
        labels = examples.targets[:, place]
        known = np.isfinite(labels)
        if target.kind == "binary" and len(np.unique(labels[known])) == 2:
            weights = None if examples.weights is None else examples.weights[known]
            groups = None if examples.groups is None else examples.groups[known]
            calibration[place] = fit_platt(totals[known, place], labels[known], weights, groups)
        elif target.kind == "rating" and target.objective != "pointwise" and known.any():
            weights = None if examples.weights is None else np.sqrt(examples.weights[known])
            standard = (labels[known] - target.mean) / target.deviation
            calibration[place] = np.polyfit(totals[known, place], standard, 1, w=weights)
    model.calibration.assign(calibration)


def _validator(model: Ranker, fold: Fold) -> Callable[[], dict[str, float]]:
    def validate() -> dict[str, float]:
        predicted = model.predict_examples(fold.measured)[:, 0]
        return measure_target(fold.targets[0].kind, predicted, fold.measured, 0, intervals=False).metrics

    return validate


def check_compilable(config: RankingRunConfig) -> None:
    """See that XLA is asked to compile what it can.

    Raises:
      ConfigError: it cannot.
    """
    if config.objective != "pointwise" and config.training.jit_compile:
        raise ConfigError(
            f"objective={config.objective} makes batches of lists of any length, which XLA cannot compile: set "
            "training.jit_compile=false, or objective=pointwise."
        )


def _first_rows(batches: ExampleBatches | ListBatches, fold: Fold) -> EncodedExamples:
    """Some of the rows that are fitted on."""
    if isinstance(batches, ChoiceBatches):
        rows = np.arange(min(_MEAN_ROWS // (1 + batches.alternatives.count), batches.num_rows))
        return batches.beside(rows, batches.drawn(rows, 0))
    return fold.train.take(slice(0, _MEAN_ROWS) if fold.kept is None else fold.kept[:_MEAN_ROWS])


def _batches(config: RankingRunConfig, fold: Fold) -> ExampleBatches | ListBatches:
    """Of the size configured, or of fewer rows where an epoch would have too few steps to learn in."""
    most = max(_LEAST_ROWS, fold.num_fitted // _LEAST_STEPS)
    size = min(config.training.batch_size, most)
    if fold.alternatives is not None:
        choices = max(1, size // (1 + fold.alternatives.count))
        return ChoiceBatches(fold.train, choices, config.seed, alternatives=fold.alternatives)
    if config.objective != "pointwise":
        return ListBatches(fold.train, size, config.list_length, config.seed, fold.kept)
    return ExampleBatches(fold.train, size, config.seed, fold.kept)
