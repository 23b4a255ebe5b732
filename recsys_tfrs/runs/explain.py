"""``recsys-tfrs explain``: which fields carried a prediction, and what a ranking model rests on as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.pairs import PairRows
from recsys_tfrs.errors import UsageError
from recsys_tfrs.features.fields import EncodedExamples
from recsys_tfrs.features.pair_examples import encode_pairs
from recsys_tfrs.models.explanation import Explanation, explain_row, strongest_pairs
from recsys_tfrs.runs.ranking_pairs import PairData
from recsys_tfrs.runs.ranking_reopen import ReopenedRanker, reopen_ranker

#: Pairs of fields that are shown.
_SHOWN_PAIRS = 10


def explain_run(path: Path, console: Console, *, user: str | None, item: str | None, row: int | None) -> None:
    """Show why a ranking run predicts what it does.

    Args:
      path: the run.
      console: where it is shown.
      user: id, with `item`, of runs on interactions.
      item: id.
      row: number of a test row, of any run. Without any of these, the model as a whole is explained.

    Raises:
      RunError: see `reopen_ranker`.
      UsageError: an unknown item, a row that is not there, or a user and an item asked of a run on examples.
    """
    opened = reopen_ranker(path)
    if user is None and item is None and row is None:
        return _show_model(opened, console)
    example = _of_pair(opened, user, item) if row is None else _of_row(opened, row)
    return _show(opened, explain_row(opened.model, example), console)


def _of_row(opened: ReopenedRanker, row: int) -> EncodedExamples:
    if not 0 <= row < len(opened.fold.measured):
        raise UsageError(f"There is no test row {row}: rows are counted from 0 to {len(opened.fold.measured) - 1}.")
    return opened.fold.measured.take(slice(row, row + 1))


def _of_pair(opened: ReopenedRanker, user: str | None, item: str | None) -> EncodedExamples:
    data = opened.data
    if not isinstance(data, PairData):
        raise UsageError("This run is of a table of examples, which knows no users and items: name a test --row.")
    if user is None or item is None:
        raise UsageError("Name both a --user and an --item.")
    interactions = data.interactions
    users, items = (
        np.flatnonzero(ids == asked) for ids, asked in ((interactions.user_ids, user), (interactions.item_ids, item))
    )
    if not len(items) or not item:
        raise UsageError(f"There is no item {item!r} in {interactions.name}.")
    pair = PairRows(
        users[:1].astype(np.int32) if len(users) and user else np.zeros(1, np.int32),
        items[:1].astype(np.int32),
        np.array([-1]),
        np.full((1, len(opened.model.targets)), np.nan, np.float32),
    )
    known = build_histories(interactions, data.fitted_rows)
    return encode_pairs(data.encoded, opened.fold.preprocessor, pair, known, in_order=False)


def _show(opened: ReopenedRanker, found: Explanation, console: Console) -> None:
    target = opened.model.targets[0]
    console.print(f"{target.name}: {found.prediction:.4f}  (mean in training {target.mean:.4f})")
    unit = "log-odds" if target.kind == "binary" else "standard deviations"
    parts = ", ".join(f"{part} {value:+.3f}" for part, value in found.parts.items())
    console.print(f"parts, in {unit} before calibration: {parts}, bias {found.bias:+.3f}")
    table = Table("field", "effect on the prediction", *(["first-order weight"] if found.weights else []))
    for name, effect in sorted(found.effects.items(), key=lambda one: -abs(one[1])):
        table.add_row(name, f"{effect:+.4f}", *([f"{found.weights[name]:+.3f}"] if found.weights else []))
    console.print(table)
    console.print("effect: by how much the prediction is greater than it would be if nothing were known of the field")
    if found.pairs:
        strongest = sorted(found.pairs.items(), key=lambda one: -abs(one[1]))[:_SHOWN_PAIRS]
        console.print("strongest pairs: " + ", ".join(f"{a} x {b} {value:+.3f}" for (a, b), value in strongest))


def _show_model(opened: ReopenedRanker, console: Console) -> None:
    importance = opened.recorded.importance
    if importance:
        metric = "rmse" if opened.model.targets[0].kind == "rating" else "auc"
        table = Table("field", f"loss of {metric} when shuffled", "spread")
        for name, one in importance.items():
            table.add_row(name, f"{one['mean']:+.4f}", f"{one['deviation']:.4f}")
        console.print(table)
    pairs = strongest_pairs(opened.model, opened.fold.measured)
    if pairs:
        table = Table("pair of fields", "mean size of its product")
        for (first, second), value in list(pairs.items())[:_SHOWN_PAIRS]:
            table.add_row(f"{first} x {second}", f"{value:.4f}")
        console.print(table)
    if not importance and not pairs:
        console.print("Nothing was recorded of this run's fields, and it has no second-order part; name a --row.")
