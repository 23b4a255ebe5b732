"""From a trained run to a version folder: the one place that exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from recsys_tfrs.errors import DataError
from recsys_tfrs.index.audit import audit
from recsys_tfrs.index.chooser import FLAT_BELOW, build_index
from recsys_tfrs.index.config import IndexConfig
from recsys_tfrs.index.interface import Index
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.runs.catalogue import changed, read_changes, with_catalogue, write_changes
from recsys_tfrs.runs.folder import card_to, check_place, open_run
from recsys_tfrs.runs.index import settings_for
from recsys_tfrs.runs.metrics_file import RunMetrics
from recsys_tfrs.runs.prepared import Prepared
from recsys_tfrs.runs.reopen import reopen
from recsys_tfrs.serving.export import export_retrieval
from recsys_tfrs.serving.folders import IN_RUN

Choice = Literal["auto", "exact", "scann"]

#: Name of a model outside its run; what clients ask a server for.
NAME = "retrieval"

MAX_K, DEFAULT_K = 1_000, 10

#: Test users whose queries an index is audited with.
_AUDITED_USERS = 1_000


def export_run(
    path: Path,
    console: Console,
    *,
    index: Choice = "auto",
    to: Path | None = None,
    name: str | None = None,
    max_k: int = MAX_K,
    store_histories: bool = True,
    items: Path | None = None,
    remove: Path | None = None,
) -> Path:
    """Export a finished run, with the settings that ``recsys-tfrs index`` chose where it was asked.

    Args:
      path: the run.
      console: where the result is shown.
      index: ``auto``: as the run's configuration says, which by default goes by the size of the catalogue.
      to: folder of all models; left out: the run itself.
      name: of the model; left out: ``saved_model`` in the run, ``retrieval`` elsewhere.
      max_k: longest list a request may ask for.
      store_histories: False leaves the users' histories out; see `export_retrieval`.
      items: table of items to add, or to describe anew; see `recsys_tfrs.runs.catalogue.changed`.
      remove: file of items never to be returned again. Both are recorded in the run, and later exports start from them.

    Returns:
      ``<to>/<name>/<version>``.

    Raises:
      RunError: the run is unfinished, damaged, or its data is gone.
      UsageError: impossible `max_k`, or a place that cannot hold folders.
      MissingExtraError: ScaNN was asked for and cannot be imported.
    """
    base = (to or open_run(path)) / (name or (NAME if to else IN_RUN))
    check_place(base)
    opened = reopen(path)
    trained_on = opened.prepared.interactions
    id_column = opened.prepared.config.data.columns.get("item")
    changes = changed(read_changes(opened.run), trained_on, items=items, remove=remove, id_column=id_column)
    opened, allowed = with_catalogue(opened, changes)
    with console.status("building the index and exporting"):
        settings = settings_for(opened, index)
        built = choose_index(opened.scorer, settings, index, allowed)
        folder = write_export(
            opened.prepared,
            opened.model,
            built,
            audited(opened.prepared, opened.scorer, built, allowed),
            opened.recorded,
            base,
            max_k=max_k,
            store_histories=store_histories,
            allowed=allowed,
        )
    if items is not None or remove is not None:
        write_changes(changes, trained_on, opened.run)
    if base.parent == opened.run:
        card_to(folder, opened.run)
    return folder


def choose_index(
    scorer: RetrievalScorer, config: IndexConfig, choice: Choice, allowed: NDArray[np.bool_] | None = None
) -> Index:
    """Index the model's candidate vectors, those of items never to be returned left out.

    Raises:
      DataError: the vectors are not finite.
      MissingExtraError: see `export_run`.
    """
    if choice != "scann":
        return build_index(scorer.candidates, config, kind=choice, allowed=allowed)
    if config.kind == "scann-flat" or config.kind == "scann-tree":
        return build_index(scorer.candidates, config, allowed=allowed)
    flat = len(scorer.candidates) - 1 < FLAT_BELOW
    return build_index(scorer.candidates, config, kind="scann-flat" if flat else "scann-tree", allowed=allowed)


def audited(
    prepared: Prepared, scorer: RetrievalScorer, index: Index, allowed: NDArray[np.bool_] | None = None
) -> dict[str, Any]:
    """Figures of an index on queries of test users.

    Args:
      prepared: data and split.
      scorer: of the vectors the index holds.
      index: to be audited.
      allowed: ``[num_items + 1]`` False for items the index leaves out; None: it holds all.

    Raises:
      DataError: the split has no test users.
    """
    users = np.unique(prepared.interactions.users[prepared.split.test])[:_AUDITED_USERS]
    if not len(users):
        raise DataError("The split has no test users to audit the index with: choose a larger test part.")
    return audit(index, scorer.candidates, scorer.queries(users), allowed=allowed)


def write_export(
    prepared: Prepared,
    model: Any,
    index: Index,
    index_figures: dict[str, Any],
    metrics: RunMetrics,
    base: Path,
    *,
    max_k: int = MAX_K,
    store_histories: bool = True,
    allowed: NDArray[np.bool_] | None = None,
) -> Path:
    """Write the next version below `base`, with everything known about the model.

    Args:
      prepared: data, split and configuration.
      model: trained.
      index: over the model's candidate vectors.
      index_figures: its audit.
      metrics: what the run measured.
      base: folder of the versions.
      max_k: longest list a request may ask for.
      store_histories: see `export_retrieval`.
      allowed: ``[num_items + 1]`` False for items the index leaves out; None: it holds all.
    """
    return export_retrieval(
        model,
        prepared.interactions,
        prepared.train,
        index,
        base,
        max_k=max_k,
        default_k=min(DEFAULT_K, max_k),
        store_histories=store_histories,
        manifest=_facts(prepared, metrics, index_figures),
        answering=model,
        allowed=allowed,
    )


def _facts(prepared: Prepared, metrics: RunMetrics, index_figures: dict[str, Any]) -> dict[str, Any]:
    recorded = metrics.model_dump(mode="json")
    names = (
        "family dataset dataset_notes split split_hash seed num_train num_validation num_test num_test_measured pairs "
        "seen refit metrics metrics_all_pairs intervals baselines comparisons slices"
    )
    return {
        **{name: recorded[name] for name in names.split()},
        "config": prepared.config.model_dump(mode="json"),
        "history_items": prepared.config.model.history_items(prepared.config.features),
        "index_audit": index_figures,
    }
