"""Finished runs -> a cascade in one SavedModel: retrieved by some, ranked by another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from recsys_tfrs.errors import RunError, UsageError
from recsys_tfrs.runs.cascade_measuring import CascadeFigures
from recsys_tfrs.runs.cascade_stages import POPULARITY, OpenedCascade
from recsys_tfrs.runs.catalogue import read_changes, with_catalogue
from recsys_tfrs.runs.export import Choice
from recsys_tfrs.runs.folder import open_run
from recsys_tfrs.runs.ranking_pairs import PairData
from recsys_tfrs.runs.ranking_reopen import ReopenedRanker, reopen_ranker
from recsys_tfrs.runs.reopen import Reopened, reopen

#: Name of a cascade; what clients ask a server for, and its folder in the ranking run.
NAME = "cascade"


@dataclass(frozen=True)
class CascadeOptions:
    """What `export_cascade_run` makes.

    Attributes:
      candidates: that are ranked, of all sources together.
      sources: further sources and their quotas, a run or ``popularity``; None: an even share.
      retrieval_weight: how much the first source's score counts in the order, 0 to 1; ``auto``: as validation likes it.
      diversify: trade-off of maximal marginal relevance; None: no such stage.
      index: of the first source; the others' is exact.
      max_k: longest list a request may ask for; None: all candidates.
    """

    candidates: int = 200
    sources: tuple[tuple[str, int | None], ...] = ()
    retrieval_weight: float | Literal["auto"] = 0.0
    diversify: float | None = None
    index: Choice = "exact"
    max_k: int | None = None


def parse_source(text: str) -> tuple[str, int | None]:
    """``RUN:QUOTA`` or ``RUN``.

    Raises:
      UsageError: a quota of 0.
    """
    name, colon, quota = text.rpartition(":")
    if not colon or not quota.isdecimal():
        return text, None
    if not int(quota):
        raise UsageError(f"--source {text}: a source that brings nothing is none.")
    return name, int(quota)


def export_cascade_run(
    retrieval: Path, ranking: Path, options: CascadeOptions, console: Console, *, to: Path | None = None
) -> Path:
    """Export two finished runs as one model.

    Args:
      retrieval: run of the first source.
      ranking: run of the ranking model, on interactions.
      options: see `CascadeOptions`.
      console: where the figures are shown.
      to: folder of all models; None: the ranking run.

    Returns:
      ``<to>/cascade/<version>``.

    Raises:
      RunError: a run is unfinished, damaged, of another kind, or of another data set or split.
      UsageError: quotas, weights or lengths that are not possible.
    """
    with console.status("opening the runs"):
        cascade = open_cascade(retrieval, ranking, options)
    weight, tried = options.retrieval_weight, dict[float, float]()
    with console.status("measuring"):
        if weight == "auto":
            weight, tried = cascade.validated_weight()
        figures = cascade.figures(weight)
    _show(console, cascade, figures, weight, tried)
    if options.diversify is not None:
        console.print("These are the figures of the order before it is diversified.")
    with console.status("exporting"):
        return cascade.export(
            (to or open_run(ranking)) / NAME,
            figures,
            weight=weight,
            diversify=options.diversify,
            index=options.index,
            max_k=options.max_k,
        )


def open_cascade(retrieval: Path, ranking: Path, options: CascadeOptions) -> OpenedCascade:
    """Reopen the runs of a cascade, to measure or to export.

    Args:
      retrieval: run of the first source.
      ranking: run of the ranking model, on interactions.
      options: see `CascadeOptions`.

    Raises:
      RunError: a run is unfinished, damaged, of another kind, or of another data set or split.
      UsageError: quotas that are not possible.
    """
    names = [name for name, _ in options.sources if name != POPULARITY]
    for path in (retrieval, *map(Path, names)):
        open_run(path, "retrieval")  # refused before anything is read
    ranker = reopen_ranker(ranking)
    first = _with_changes(reopen(retrieval))
    others = [None if name == POPULARITY else _with_changes(reopen(Path(name))) for name, _ in options.sources]
    for opened, _ in (first, *filter(None, others)):
        check_same_data(opened, ranker)
    quotas = shares(options.candidates, [None, *(quota for _, quota in options.sources)])
    return OpenedCascade(ranker, *first, others, quotas)


def check_same_data(retrieval: Reopened, ranking: ReopenedRanker) -> None:
    """See that two runs are of one data set, split alike.

    Raises:
      RunError: they are not.
    """
    if not isinstance(ranking.data, PairData):
        raise RunError(
            f"{ranking.run} was trained on a table of examples, which knows no users and items to retrieve: train it "
            f"on the interactions of {retrieval.run}."
        )
    then, now = retrieval.recorded, ranking.recorded
    if (then.dataset, then.split_hash) != (now.dataset, now.split_hash):
        raise RunError(
            f"{retrieval.run} is of {then.dataset}, {then.split} split {then.split_hash[:16]}, and {ranking.run} of "
            f"{now.dataset}, {now.split} split {now.split_hash[:16]}. What one was tested on the other may have been "
            f"trained on: train both with the same --dataset, --split and split settings."
        )
    columns = [
        {**data.user_features, **data.context_features}
        for data in (retrieval.prepared.interactions, ranking.data.interactions)
    ]
    for name in sorted(columns[0].keys() & columns[1].keys()):
        kinds = [side[name].kind.value for side in columns]
        if kinds[0] != kinds[1]:
            raise RunError(
                f"Column {name!r} is {kinds[0]} in {retrieval.run} and {kinds[1]} in {ranking.run}, and a request can "
                f"tell it in one way only: train both with the same --columns {name}=KIND."
            )


def shares(candidates: int, quotas: Sequence[int | None]) -> list[int]:
    """Candidates of each source: its quota, or an even share of what the quotas leave, the first taking the rest.

    Example:
      >>> shares(200, [None, 50, None])
      [75, 50, 75]
      >>> shares(200, [None, None, None])
      [68, 66, 66]

    Raises:
      UsageError: a source would bring none.
    """
    left = candidates - sum(quota or 0 for quota in quotas)
    open_ = sum(quota is None for quota in quotas)
    share = left // max(open_, 1)
    if share < 1:
        raise UsageError(
            f"{candidates} candidates do not go round: quotas of {candidates - left} leave {left} for {open_} sources. "
            "Raise --candidates or lower the quotas."
        )
    made = [share if quota is None else quota for quota in quotas]
    made[0] += candidates - sum(made)
    return made


def _with_changes(opened: Reopened) -> tuple[Reopened, NDArray[np.bool_]]:
    return with_catalogue(opened, read_changes(opened.run))


def _show(
    console: Console, cascade: OpenedCascade, figures: CascadeFigures, weight: float, tried: dict[float, float]
) -> None:
    if tried:
        shown = ", ".join(f"{value:g} {figure:.4f}" for value, figure in tried.items())
        console.print(f"ndcg@10 on validation by weight of retrieval: {shown}; chosen: {weight:g}", highlight=False)
    table = Table("", "cascade", f"{cascade.names[0]} alone", "difference")
    facts = figures.facts()
    for name, figure in facts["metrics"].items():
        found = facts["comparison"][name]
        low, high = found["interval"]
        difference = f"{found['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
        table.add_row(name, f"{figure:.4f}", f"{facts['retrieval_metrics'][name]:.4f}", difference.replace("[", "\\["))
    console.print(table)
