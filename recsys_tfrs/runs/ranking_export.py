"""From a trained ranking model to a version folder: the one place that exports it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from recsys_tfrs.data.examples import ExampleParts
from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.features.example_encoding import encode_column
from recsys_tfrs.features.fields import EncodedExamples
from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.runs.folder import check_place, open_run
from recsys_tfrs.runs.ranking_data import Fold
from recsys_tfrs.runs.ranking_pairs import PairData
from recsys_tfrs.runs.ranking_reopen import reopen_ranker
from recsys_tfrs.serving.export import catalogue_facts
from recsys_tfrs.serving.folders import IN_RUN
from recsys_tfrs.serving.made_up import made_up
from recsys_tfrs.serving.ranking_export import export_ranking
from recsys_tfrs.serving.ranking_inputs import PairInputs, TableInputs
from recsys_tfrs.serving.ranking_rows import PairRequests, example_rows

#: Name of a ranking model outside its run; what clients ask a server for.
NAME = "ranking"

#: Rows of a table that are recorded with their answers.
_ANSWERED = 32

#: Of ``metrics.json``, what the manifest holds too.
_FACTS = (
    *("family", "objective", "dataset", "dataset_notes", "split", "split_hash", "seed", "counts"),
    *("metrics", "intervals", "baselines", "comparisons", "targets"),
)


class _Tables(Protocol):
    """A data set of examples."""

    parts: ExampleParts


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


def write_ranking_export(
    model: Ranker,
    data: PairData | _Tables,
    fold: Fold,
    facts: Mapping[str, Any],
    base: Path,
    *,
    store_histories: bool = True,
) -> Path:
    """Write the next version below `base`, with everything known about the model.

    Args:
      model: trained.
      data: what it was trained on.
      fold: the last one made of `data`, which `model` was fitted on.
      facts: what was measured, as ``metrics.json`` has it (``RankingMetrics.model_dump(mode="json")``).
      base: folder of the versions.
      store_histories: False leaves the histories of a data set of interactions out, and requests bring them.

    Returns:
      The version folder.
    """
    manifest = {name: facts[name] for name in _FACTS if name in facts}
    if isinstance(data, PairData):
        interactions, encoded = data.interactions, data.encoded
        histories = build_histories(interactions, data.fitted_rows)
        pairs = PairInputs(interactions, encoded, fold.preprocessor, histories, store_histories=store_histories)
        shown = histories if store_histories else made_up(histories)
        requests = PairRequests(pairs, interactions, encoded, shown, stored_histories=store_histories)
        manifest |= {**catalogue_facts(interactions), "stored_histories": store_histories}
        return export_ranking(
            model, pairs, base, rows=requests.to_warm_up(), answered=requests.answered(model), manifest=manifest
        )
    table = TableInputs(fold.preprocessor)
    few = next(iter(data.parts.test.chunks())).take(slice(0, _ANSWERED))
    rows = example_rows(table, few.columns)
    columns = {name: encode_column(encoder, few.columns[name]) for name, encoder in fold.preprocessor.encoders.items()}
    made = {name: np.asarray(values) for name, values in fold.preprocessor.assemble(columns).items()}
    predicted = model.predict_examples(EncodedExamples(made, np.zeros((len(few), len(model.targets)), np.float32)))
    return export_ranking(
        model, table, base, rows={"known": rows, "nothing": {}}, answered=(rows, predicted), manifest=manifest
    )
