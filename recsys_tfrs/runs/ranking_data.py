"""What a ranking run learns from and is measured on: once to select, once for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.errors import ConfigError, DataError
from recsys_tfrs.evaluation.prediction_slices import RowGroups
from recsys_tfrs.evaluation.slices import Grouping
from recsys_tfrs.evaluation.within_users import MAX_GAIN_RATING
from recsys_tfrs.features.fields import EncodedExamples, ExamplePreprocessor
from recsys_tfrs.objectives.prediction import Target
from recsys_tfrs.schema import Objective
from recsys_tfrs.training.choices import Alternatives


@dataclass(frozen=True)
class Fold:
    """Rows to fit on and rows to measure on, encoded by what was learned from the former.

    Attributes:
      preprocessor: of the fields.
      targets: what is predicted, with the statistics of the rows to fit on.
      train: to fit on; of clicks, those alone.
      measured: to measure on.
      kept: numbers of the rows of `train` that are fitted on; None: all of them.
      negative_rate: share of the negative rows that is among those.
      alternatives: of clicks, the items that are drawn beside them in each epoch.
      slices: by name, the group of each measured row.
      mean_predictions: ``[num_measured, num_targets]`` by name of a baseline that takes means alone.
    """

    preprocessor: ExamplePreprocessor
    targets: list[Target]
    train: EncodedExamples
    measured: EncodedExamples
    kept: NDArray[np.int64] | None = None
    negative_rate: float = 1.0
    alternatives: Alternatives | None = None
    slices: Mapping[str, RowGroups] = field(default_factory=dict)
    mean_predictions: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def num_fitted(self) -> int:
        """Rows that are fitted on, those that are drawn included."""
        rows = len(self.train) if self.kept is None else len(self.kept)
        return rows if self.alternatives is None else rows * (1 + self.alternatives.count)


class RankingData(Protocol):
    """A data set as a ranking run sees it.

    Attributes:
      name, split, split_hash, notes: as reports show them.
      counts: of rows, by what they are for.
    """

    name: str
    split: str
    split_hash: str
    notes: list[str]
    counts: dict[str, int]

    def selection(self) -> Fold:
        """To fit on while selecting, measured on the validation part."""

    def final(self, selection: Fold) -> Fold:
        """To fit on for good, or what was fitted on while selecting, measured on the test part."""


def targets_of(
    names: Sequence[str],
    weights: Sequence[float],
    labels: NDArray[np.float32],
    kinds: Sequence[str] | None = None,
    objective: Objective = "pointwise",
) -> list[Target]:
    """What is predicted, from the labels of the rows to fit on.

    Args:
      names: of the targets.
      weights: of their losses; none: 1 each.
      labels: ``[num_rows, num_targets]``.
      kinds: ``binary`` or ``rating`` each; None: binary where labels are 0 and 1.
      objective: what they are trained for.

    Raises:
      ConfigError: another number of weights than of targets, or labels that have no gain.
      DataError: labels that are all the same or not known, so that there is nothing to learn.
    """
    if weights and len(weights) != len(names):
        raise ConfigError(
            f"target_weights has {len(weights)} values and there are {len(names)} targets ({', '.join(names)}): give "
            "one each."
        )
    targets = []
    for place, name in enumerate(names):
        known = labels[:, place][np.isfinite(labels[:, place])]
        if not len(known):
            raise DataError(f"No row to fit on says what {name} is: check the column.")
        low, high = float(known.min()), float(known.max())
        if low == high:
            raise DataError(
                f"{name} is {low:g} in all {len(known):,} rows to fit on, so there is nothing to learn: bring rows of "
                "both kinds, or check which column is the label."
            )
        binary = low == 0 and high == 1 and bool(np.isin(known, (0, 1)).all())
        kind: Any = kinds[place] if kinds else ("binary" if binary else "rating")
        if kind == "binary" and not binary:
            raise DataError(f"{name} holds values from {low:g} to {high:g} where 0 and 1 are expected.")
        if objective == "softmax" and low < 0:
            raise ConfigError(
                f"objective=softmax takes labels for shares of a list, which are not negative; {name} begins at "
                f"{low:g}. Set objective=listmle, which needs their order alone."
            )
        if objective == "approx-ndcg" and (low < 0 or high > MAX_GAIN_RATING):
            raise ConfigError(
                f"objective=approx-ndcg takes 2^label - 1 for the gain of a label, which needs labels in 0 to "
                f"{MAX_GAIN_RATING:g}; {name} has {low:g} to {high:g}. Set objective=listmle, which needs no gain."
            )
        targets.append(
            Target(
                name=name,
                kind=kind,
                mean=float(known.mean(dtype=np.float64)),
                deviation=float(known.std(dtype=np.float64)),
                low=low,
                high=high,
                weight=weights[place] if weights else 1.0,
                objective=objective,
            )
        )
    return targets


def fewer_negatives(examples: EncodedExamples, rate: float, seed: int) -> NDArray[np.int64] | None:
    """Numbers of the rows to fit on where a share of those whose target is 0 is kept; None: all.

    Numbers alone, so that arrays that lie on disk stay there: 8 bytes for each row that is kept.

    Raises:
      ConfigError: the first of several targets, or one that is no yes or no, would be thinned out.
    """
    if rate == 1.0:
        return None
    if examples.targets.shape[1] > 1 or not np.isin(examples.targets, (0, 1)).all():
        raise ConfigError("data.negative_rate goes with a single target of 0 and 1: leave it at 1.")
    drawn = np.random.default_rng(seed).random(len(examples))
    return np.flatnonzero((examples.targets[:, 0] > 0) | (drawn < rate))


def labels_of(examples: EncodedExamples, kept: NDArray[np.int64] | None) -> NDArray[np.float32]:
    """``[num_kept, num_targets]`` labels of the rows to fit on."""
    return examples.targets if kept is None else examples.targets[kept]


def grouped(grouping: Grouping, users: NDArray[np.int32], items: NDArray[np.int32]) -> RowGroups:
    """The group of each pair."""
    return RowGroups(grouping.labels, grouping.codes[users if grouping.of_users else items])
