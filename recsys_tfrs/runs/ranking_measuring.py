"""Everything that is measured of a ranking model, on the same rows by the same rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.evaluation.importance import permutation_importance
from recsys_tfrs.evaluation.intervals import Difference
from recsys_tfrs.evaluation.prediction_rows import Kind
from recsys_tfrs.evaluation.prediction_slices import RowGroups, SliceFigures, slice_predictions
from recsys_tfrs.evaluation.predictions import Predictions, evaluate_predictions, prediction_differences
from recsys_tfrs.features.fields import IDS, VALUES, EncodedExamples
from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.runs.metrics_file import Comparison, Figures
from recsys_tfrs.runs.ranking_data import Fold
from recsys_tfrs.runs.ranking_metrics import TargetFigures

#: Predictions of the first target on the test rows, beside ``metrics.json``.
PREDICTIONS = "predictions.npz"

#: Test rows on which fields are shuffled.
_IMPORTANCE_ROWS = 20_000


def measure_target(
    kind: Kind, predicted: NDArray[np.float32], examples: EncodedExamples, place: int, *, intervals: bool
) -> Predictions:
    """The figures of one target on the rows of which it is known."""
    known = np.isfinite(examples.targets[:, place])
    return evaluate_predictions(
        kind,
        predicted[known],
        examples.targets[known, place],
        weights=None if examples.weights is None else examples.weights[known],
        groups=None if examples.groups is None else examples.groups[known],
        intervals=intervals,
    )


class MeasuredTarget(NamedTuple):
    """Everything measured of one target.

    Attributes:
      figures: as recorded.
      predictions: what they come from.
      slices: likewise.
    """

    figures: TargetFigures
    predictions: Predictions
    slices: dict[str, SliceFigures]


def measure_fold(model: Ranker, fold: Fold) -> list[MeasuredTarget]:
    """Measure a model on the rows of a fold that are there for it, target by target, beside means alone."""
    predicted = model.predict_examples(fold.measured)
    return [_measured(fold, predicted, place) for place in range(len(fold.targets))]


def oracle_figures(fold: Fold) -> Figures | None:
    """The figures of the generator's own probabilities, where the data is simulated."""
    truth = fold.measured.probability
    if truth is None:
        return None
    return measure_target("binary", truth, fold.measured, 0, intervals=False).metrics


def importance_of_fields(model: Ranker, examples: EncodedExamples, seed: int) -> dict[str, dict[str, float]]:
    """What shuffling each field costs, in AUC or in RMSE of the first target."""
    chosen = np.random.default_rng(seed).permutation(len(examples))[:_IMPORTANCE_ROWS]
    rows = examples.take(np.sort(chosen))
    known = np.isfinite(rows.targets[:, 0])
    rows = rows.take(np.flatnonzero(known))
    layout = model.preprocessor.layout
    arrays: dict[str, NDArray[Any]] = {name: rows.columns[name] for name in layout.several}
    for place, name in enumerate(layout.single):
        arrays[name] = rows.columns[IDS][:, place]
    first = 0
    for name, width in layout.dense.items():
        arrays[name] = rows.columns[VALUES][:, first : first + width]
        first += width

    def predict(fields: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        columns = {name: fields[name] for name in layout.several}
        if layout.single:
            columns[IDS] = np.stack([fields[name] for name in layout.single], axis=1)
        if layout.dense:
            columns[VALUES] = np.concatenate([fields[name] for name in layout.dense], axis=1)
        return model.predict_examples(EncodedExamples(columns, rows.targets))[:, 0]

    found = permutation_importance(
        predict, arrays, rows.targets[:, 0], kind=model.targets[0].kind, weights=rows.weights, num_repeats=3, seed=seed
    )
    return {name: {"mean": one.loss, "deviation": one.spread} for name, one in found.importances.items()}


def write_predictions(model: Ranker, examples: EncodedExamples, folder: Path) -> None:
    """Record what a model predicts of the first target, so that runs can be compared row by row."""
    arrays: dict[str, Any] = {"predicted": model.predict_examples(examples)[:, 0], "labels": examples.targets[:, 0]}
    if examples.groups is not None:
        arrays["groups"] = examples.groups
    if examples.weights is not None:
        arrays["weights"] = examples.weights
    np.savez_compressed(folder / PREDICTIONS, **arrays)


def _measured(fold: Fold, predicted: NDArray[np.float32], place: int) -> MeasuredTarget:
    target, examples = fold.targets[place], fold.measured
    found = measure_target(target.kind, predicted[:, place], examples, place, intervals=True)
    means = {
        name: measure_target(target.kind, values[:, place], examples, place, intervals=False)
        for name, values in fold.mean_predictions.items()
    }
    known = np.isfinite(examples.targets[:, place])
    sliced = slice_predictions(
        target.kind,
        predicted[known, place],
        examples.targets[known, place],
        {name: RowGroups(groups.labels, groups.codes[known]) for name, groups in fold.slices.items()},
        weights=None if examples.weights is None else examples.weights[known],
        groups=None if examples.groups is None else examples.groups[known],
    )
    figures = TargetFigures(
        name=target.name,
        kind=target.kind,
        num_rows=found.num_rows,
        num_users=found.num_users,
        num_users_left_out=found.num_users_left_out,
        mean=target.mean,
        metrics=found.metrics,
        intervals={name: (low, high) for name, (low, high) in found.intervals.items()},
        undefined=found.undefined,
        baselines={name: one.metrics for name, one in means.items()},
        comparisons={
            name: {metric: _comparison(d) for metric, d in prediction_differences(found, one).items()}
            for name, one in means.items()
        },
        calibration=None if found.calibration is None else asdict(found.calibration),
        slices={name: {label: asdict(group) for label, group in one.groups.items()} for name, one in sliced.items()},
        gaps={name: {metric: asdict(gap) for metric, gap in one.gaps.items()} for name, one in sliced.items()},
    )
    return MeasuredTarget(figures, found, sliced)


def _comparison(found: Difference) -> Comparison:
    return Comparison(difference=found.difference, interval=(found.low, found.high), p_value=found.p_value)
