"""Everything that is measured of a ranking model, on the same rows by the same rules."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.evaluation.intervals import Difference
from recsys_tfrs.evaluation.prediction_slices import RowGroups, slice_predictions
from recsys_tfrs.evaluation.predictions import Predictions, evaluate_predictions, prediction_differences
from recsys_tfrs.features.fields import EncodedExamples
from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.runs.metrics_file import Comparison, Figures
from recsys_tfrs.runs.ranking_data import Fold
from recsys_tfrs.runs.ranking_metrics import TargetFigures


def measure_target(
    kind: str, predicted: NDArray[np.float32], examples: EncodedExamples, place: int, *, intervals: bool
) -> Predictions:
    """The figures of one target on the rows of which it is known."""
    known = np.isfinite(examples.targets[:, place])
    return evaluate_predictions(
        "rating" if kind == "rating" else "binary",
        predicted[known],
        examples.targets[known, place],
        weights=None if examples.weights is None else examples.weights[known],
        groups=None if examples.groups is None else examples.groups[known],
        intervals=intervals,
    )


def measure_fold(model: Ranker, fold: Fold) -> list[TargetFigures]:
    """Measure a model on the rows of a fold that are there for it, target by target, beside means alone."""
    predicted = model.predict_examples(fold.measured)
    return [_figures(model, fold, predicted, place) for place in range(len(fold.targets))]


def oracle_figures(fold: Fold) -> Figures | None:
    """The figures of the generator's own probabilities, where the data is simulated."""
    truth = fold.measured.probability
    if truth is None:
        return None
    return measure_target("binary", truth, fold.measured, 0, intervals=False).metrics


def _figures(model: Ranker, fold: Fold, predicted: NDArray[np.float32], place: int) -> TargetFigures:
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
    return TargetFigures(
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


def _comparison(found: Difference) -> Comparison:
    return Comparison(difference=found.difference, interval=(found.low, found.high), p_value=found.p_value)
