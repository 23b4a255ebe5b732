"""What a model's predictions rest on: permutation importance.

A field is shuffled among the rows, which breaks its tie to the label and leaves its distribution as it is; what the
metric loses is the field's importance (Breiman, "Random Forests", Machine Learning 2001, section 10). It is that of the
model, not of the world: of two fields that say the same, a model may use either, and shuffling one alone makes rows
that cannot occur. Such fields belong together, shuffled with one permutation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.errors import DataError
from recsys_tfrs.evaluation.prediction_rows import Kind
from recsys_tfrs.evaluation.predictions import evaluate_predictions
from recsys_tfrs.evaluation.rating_errors import LOWER_IS_BETTER

Columns = Mapping[str, NDArray[Any]]
Predict = Callable[[Columns], NDArray[Any]]

#: Shufflings of each field.
NUM_REPEATS = 5

#: Metric by kind of prediction, where none is named.
_METRICS: dict[Kind, str] = {"binary": "auc", "rating": "rmse"}


@dataclass(frozen=True)
class Importance:
    """What shuffling some fields costs.

    Attributes:
      fields: shuffled together.
      loss: mean over the shufflings of how much worse the metric became; near or below 0: not needed.
      spread: standard deviation over the shufflings (0 of a single one). It says how exactly the loss on these rows
        is known, not how it would vary on others.
      losses: of each shuffling.
    """

    fields: tuple[str, ...]
    loss: float
    spread: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Importances:
    """What shuffling costs, field by field.

    Attributes:
      metric: what is lost or, where less is better, gained.
      value: the metric with nothing shuffled.
      importances: by name, the greatest loss first.
    """

    metric: str
    value: float
    importances: dict[str, Importance]


def permutation_importance(
    predict: Predict,
    columns: Columns,
    labels: NDArray[Any],
    *,
    kind: Kind,
    metric: str | None = None,
    fields: Mapping[str, Sequence[str]] | None = None,
    weights: NDArray[Any] | None = None,
    groups: NDArray[np.integer] | None = None,
    num_repeats: int = NUM_REPEATS,
    seed: int = 0,
) -> Importances:
    """Shuffle one field after the other and measure.

    Every field sees the same permutations, so that fields are compared under the same luck.

    Args:
      predict: columns -> ``[num_rows]`` predictions; called once, and `num_repeats` times for each entry of `fields`.
      columns: by name, ``[num_rows]`` or ``[num_rows, ...]``, a row being shuffled as a whole.
      labels: as for `evaluate_predictions`.
      kind: as there.
      metric: one of its metrics; None: AUC, of ratings RMSE.
      fields: name -> the columns to be shuffled together; None: each alone.
      weights: as for `evaluate_predictions`.
      groups: as there.
      num_repeats: shufflings of each.
      seed: of the permutations.

    Raises:
      ValueError: a field that is no column, columns of different lengths, a metric that is not measured, no repeats.
      DataError: a metric without a value on these rows, and as `evaluate_predictions`.
      TrainingError: a prediction that is not finite.
    """
    if num_repeats < 1:
        raise ValueError(f"num_repeats is at least 1, not {num_repeats}.")
    num_rows = len(labels)
    lengths = {name: len(values) for name, values in columns.items() if len(values) != num_rows}
    if lengths:
        raise ValueError(f"Expected columns of {num_rows} rows like the labels, got {lengths}.")
    together = {name: (name,) for name in columns} if fields is None else {k: tuple(v) for k, v in fields.items()}
    unknown = sorted({column for members in together.values() for column in members} - set(columns))
    if unknown:
        raise ValueError(f"No columns {unknown} to shuffle; there are {sorted(columns)}.")
    name = _METRICS[kind] if metric is None else metric

    def measure(predicted: NDArray[Any]) -> float:
        found = evaluate_predictions(kind, predicted, labels, weights=weights, groups=groups, intervals=False)
        if name in found.undefined:
            raise DataError(f"{name} has no value here: {found.undefined[name]}. Name another metric, or more rows.")
        if name not in found.metrics:
            raise ValueError(f"No metric {name!r} for {kind} predictions; there are {sorted(found.metrics)}.")
        return found.metrics[name]

    value = measure(predict(columns))
    worse = 1.0 if name in LOWER_IS_BETTER else -1.0
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(num_rows) for _ in range(num_repeats)]
    found = {}
    for label, members in together.items():
        losses = tuple(
            worse * (measure(predict({**columns, **{column: columns[column][order] for column in members}})) - value)
            for order in orders
        )
        spread = float(np.std(losses, ddof=1)) if num_repeats > 1 else 0.0
        found[label] = Importance(members, float(np.mean(losses)), spread, losses)
    ranked = sorted(found.items(), key=lambda entry: -entry[1].loss)
    return Importances(name, value, dict(ranked))
