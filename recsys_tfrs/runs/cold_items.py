"""What knowledge about items is worth where nobody has touched them: recall of cold items by what is known of items.

The two-tower model is trained on the interactions of warm items, once for each set of item columns; the epoch is chosen
on some warm items that are held out as the cold ones are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from recsys_tfrs.config import build
from recsys_tfrs.data.interactions import FeatureColumn, Interactions, missing_value
from recsys_tfrs.data.splits import Split
from recsys_tfrs.data.table_features import read_feature_table
from recsys_tfrs.evaluation.metrics import accuracy, recall
from recsys_tfrs.evaluation.protocol import Evaluation, evaluate
from recsys_tfrs.evaluation.ranking import rank
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.prepared import Prepared
from recsys_tfrs.training.fit import Phase, fit

#: Of the two-tower model: numbers enter as they are, so that vectors do, and the epoch is chosen by what is measured.
SETTINGS = {
    "family": "two-tower",
    "model": {"hide": "any"},
    "features": {"numeric": "normalized"},
    "evaluation": {"pairs": "all"},
    "training": {"metric": "recall@50", "epochs": 20},
}

_RESAMPLES = 1_000


@dataclass(frozen=True)
class ColdItems:
    """Figures of one model.

    Attributes:
      among_cold: cold items alone are candidates.
      among_all: the whole catalogue is.
      num_cold: cold items that anybody asked for, the candidates of `among_cold`.
      epochs: passes over the training rows, as validation chose.
    """

    among_cold: Evaluation
    among_all: Evaluation
    num_cold: int
    epochs: int


def item_columns(table: Path, interactions: Interactions) -> dict[str, FeatureColumn]:
    """Columns of a table of items, such as a content run writes, in the order of a data set's items.

    Raises:
      DataError: the table cannot be read.
    """
    read = read_feature_table(table, "item", None, {})
    place = {item: row for row, item in enumerate(read.ids.tolist())}
    rows = np.array([place.get(item, -1) for item in interactions.item_ids.tolist()])
    columns = {}
    for name, (kind, values) in read.columns.items():
        placed = values[rows]
        placed[rows < 0] = missing_value(kind)
        columns[name] = FeatureColumn(name, kind, placed)
    return columns


def measure_cold_items(prepared: Prepared, console: Console) -> ColdItems:
    """Train on warm items and measure cold ones.

    Args:
      prepared: data whose split trains on warm items, tests on cold ones, and selects on warm ones held out alike.
      console: where progress is shown.
    """
    data, split, training = prepared.interactions, prepared.split, prepared.config.training
    model = prepared.build_model(prepared.selection_train)
    users, items = data.users[split.validation], data.items[split.validation]

    def validate() -> dict[str, float]:
        scorer = prepared.scorer(model, prepared.selection_known, split.validation)
        held_out = _only(data, items)
        seen = prepared.selection_known
        return accuracy(rank(scorer, users, items, seen=seen, num_items=data.num_items, catalogue=held_out))

    with tempfile.TemporaryDirectory() as folder:
        batches = prepared.batches(prepared.selection_train)
        phase = Phase("selection", training.epochs, validate)
        chosen = fit(model, batches, phase, training, Path(folder), console)
    final = prepared.build_model(prepared.train)
    with tempfile.TemporaryDirectory() as folder:
        phase = Phase("refit", chosen.best_epoch, None)
        fit(final, prepared.batches(prepared.train), phase, training, Path(folder), console)
    scorer = prepared.scorer(final, prepared.known, split.test)
    cold = _only(data, data.items[split.test])
    among_cold = evaluate(scorer, data, split.train, split.test, catalogue=cold)
    among_all = evaluate(scorer, data, split.train, split.test, intervals=False)
    return ColdItems(among_cold, among_all, int(cold.sum()), chosen.best_epoch)


def with_columns(interactions: Interactions, split: Split, columns: Mapping[str, FeatureColumn], seed: int) -> Prepared:
    """A data set of which certain columns are known about items, ready to train the two-tower model on."""
    known = replace(interactions, item_features=dict(columns))
    return Prepared(build(family_config("two-tower"), [SETTINGS, {"seed": seed}]), known, split)


def share_of_gain(
    nothing: Evaluation, everything: Evaluation, some: Evaluation, k: int = 50, seed: int = 0
) -> tuple[float, float, float]:
    """How much of what knowledge gains in recall@k is recovered: ``(some - nothing) / (everything - nothing)``.

    Returns:
      The share, and its 95% interval by the bootstrap over users, who are the same in all three.
    """
    low, high, middle = (recall(one.ranking, k) for one in (nothing, everything, some))
    draws = np.random.default_rng(seed).multinomial(len(low), np.full(len(low), 1 / len(low)), size=_RESAMPLES)
    gains = (draws @ (middle - low)) / (draws @ (high - low))
    bounds = np.percentile(gains, [2.5, 97.5])
    return float((middle - low).sum() / (high - low).sum()), float(bounds[0]), float(bounds[1])


def _only(data: Interactions, items: NDArray[np.int32]) -> NDArray[np.bool_]:
    """``[num_items + 1]`` True for the items that occur among `items`."""
    return np.bincount(items, minlength=data.num_items + 1) > 0
