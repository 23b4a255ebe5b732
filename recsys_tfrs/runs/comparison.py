"""The files of a comparison: a table for people, the same for programs, a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_tfrs.evaluation.intervals import confidence_intervals, paired_differences
from recsys_tfrs.evaluation.metrics import UserSums
from recsys_tfrs.evaluation.rating_errors import rating_differences, rating_intervals
from recsys_tfrs.files import write_atomically
from recsys_tfrs.runs.display import duration, size
from recsys_tfrs.runs.markdown import markdown_table
from recsys_tfrs.runs.plots import Panel, plot_systems

#: The metric by which systems are ordered and compared in pairs.
METRIC = "ndcg@10"


@dataclass(frozen=True)
class System:
    """One row of the table.

    Attributes:
      name: the run's name and family, or the baseline's name.
      figures: metrics on the headline pairs.
      sums: accuracy by user.
      slices: accuracy by group.
      seconds: of training, or of a baseline's search and refit.
      is_baseline: whether it is one.
      memory: peak bytes: resident ones of the run, or those that a baseline's arrays held.
      query_ms: median time of one user's list from scratch.
      index_ms: median time of one query of the index; None for a baseline.
      errors: squared and absolute errors by user, where ratings are predicted.
    """

    name: str
    figures: dict[str, float]
    sums: UserSums
    slices: dict[str, dict[str, dict[str, float]]]
    seconds: float
    is_baseline: bool
    memory: int | None = None
    query_ms: float | None = None
    index_ms: float | None = None
    errors: UserSums | None = None


def write_comparison(
    out: Path, title: str, systems: list[System], oracle: dict[str, float] | None, *, filters_seen: bool = True
) -> None:
    """Write ``comparison.md``, ``comparison.json`` and ``comparison.png``.

    Args:
      out: folder for them.
      title: what was measured on.
      systems: measured on the same test pairs, best first.
      oracle: the best reachable figures, for simulated data.
      filters_seen: whether what a user had in training was no candidate.
    """
    out.mkdir(parents=True, exist_ok=True)
    intervals = {system.name: _intervals(system) for system in systems}
    p_values = {METRIC: _p_values(systems), "rmse": _p_values_of_errors(systems)}
    plot_systems(_panels(systems, intervals, oracle), {s.name for s in systems if s.is_baseline}, out / _PICTURE)
    facts = {system.name: _facts(system, intervals[system.name], p_values) for system in systems}
    write_atomically(out / "comparison.json", json.dumps(facts, indent=2) + "\n")
    seen = "left out" if filters_seen else "kept"
    lines = [f"# {title}", "", f"Full ranking, seen items {seen}, ties at their expected rank.", ""]
    with_ratings = any(system.errors is not None for system in systems)
    columns = [column for column in _COLUMNS if with_ratings or column != _RMSE]
    rows = [_row(system, intervals[system.name]) for system in systems]
    lines += markdown_table(columns, [[row[column] for column in columns] for row in rows])
    if oracle is not None:
        lines += ["", f"Best reachable, from the truth behind this simulated data: {METRIC} {oracle[METRIC]:.4f}."]
    lines += [
        "",
        _LEGEND + (f" {_RATINGS_LEGEND}" if with_ratings else ""),
        "",
        f"![every system's {METRIC}, recall by popularity and cost, baselines in grey]({_PICTURE})",
        "",
    ]
    for metric, values in p_values.items():
        if len(values) > 1:
            lines += [f"Two-sided p of no difference in {metric}, paired over users (bootstrap, 1,000 resamples):", ""]
            lines += _matrix(values)
            lines += [""]
    write_atomically(out / "comparison.md", "\n".join(lines))


_PICTURE = "comparison.png"
_BUCKETS = ("head", "mid", "tail")
_RMSE = "RMSE (95% interval)"
_COLUMNS = [
    "system",
    f"{METRIC} (95% interval)",
    "hit@10",
    "hit@100",
    "recall@10",
    "recall@10 of head / mid / tail",
    "coverage@10",
    "novelty@10",
    _RMSE,
    "training",
    "peak memory",
    "query",
    "index p50",
]
_LEGEND = (
    "Head: the most popular items that hold half of the training interactions; mid: those that hold the next 30%; "
    "tail: the rest. Their recall is the share of the test pairs with such an item that are found within ten. "
    "Training: selection and refit, of a baseline the search of its settings and refit. Peak memory: of a model's "
    "whole process, TensorFlow included; of a baseline only the arrays of its refit, beside the data. Query: median "
    "time of one user's ten items from scratch, all items scored in Python; index p50: median of one search of the "
    "model's index. Intervals and p come from users drawn anew and say nothing about other training seeds; of "
    "twenty p values of equal systems, one is below 0.05 by luck."
)
_RATINGS_LEGEND = (
    "Systems that have an RMSE rank by the rating they predict: they are trained to tell what people like of what they "
    "chose, not what they choose, so their lists are often worse than popularity."
)


def _intervals(system: System) -> dict[str, list[float]]:
    ranking = confidence_intervals(system.sums)
    return ranking if system.errors is None else ranking | rating_intervals(system.errors)


def _p_values(systems: list[System]) -> dict[str, dict[str, float]]:
    """System -> other system -> p."""
    return {
        a.name: {b.name: paired_differences(a.sums, b.sums)[METRIC].p_value for b in systems if b is not a}
        for a in systems
    }


def _p_values_of_errors(systems: list[System]) -> dict[str, dict[str, float]]:
    having = {system.name: system.errors for system in systems if system.errors is not None}
    return {
        a: {b: rating_differences(one, other)["rmse"].p_value for b, other in having.items() if b != a}
        for a, one in having.items()
    }


def _matrix(p_values: dict[str, dict[str, float]]) -> list[str]:
    rows = [[a, *("" if a == b else f"{p_values[a][b]:.3f}" for b in p_values)] for a in p_values]
    return list(markdown_table(["", *p_values], rows))


def _row(system: System, intervals: dict[str, list[float]]) -> dict[str, str]:
    figures = system.figures
    buckets = system.slices.get("item_popularity", {})
    cells = [
        system.name,
        _with_interval(figures[METRIC], intervals[METRIC]),
        f"{figures['hit@10']:.4f}",
        f"{figures['hit@100']:.4f}",
        f"{figures['recall@10']:.4f}",
        " / ".join(f"{buckets[b]['hit@10']:.3f}" if b in buckets else "-" for b in _BUCKETS),
        f"{figures['coverage@10']:.3f}",
        f"{figures['novelty@10']:.2f}",
        _with_interval(figures["rmse"], intervals["rmse"]) if system.errors is not None else "-",
        duration(system.seconds),
        "-" if system.memory is None else size(system.memory),
        "-" if system.query_ms is None else f"{system.query_ms:.2f} ms",
        "-" if system.index_ms is None else f"{system.index_ms:.2f} ms",
    ]
    return dict(zip(_COLUMNS, cells, strict=True))


def _with_interval(value: float, interval: list[float]) -> str:
    return f"{value:.4f} ({interval[0]:.4f} to {interval[1]:.4f})"


def _facts(
    system: System, intervals: dict[str, list[float]], p_values: dict[str, dict[str, dict[str, float]]]
) -> dict[str, Any]:
    return {
        "is_baseline": system.is_baseline,
        "metrics": system.figures,
        "intervals": intervals,
        "slices": system.slices,
        "seconds": system.seconds,
        "peak_memory_bytes": system.memory,
        "query_ms": system.query_ms,
        "index_p50_ms": system.index_ms,
        **{f"p_values_{metric}": of[system.name] for metric, of in p_values.items() if system.name in of},
    }


def _panels(
    systems: list[System], intervals: dict[str, dict[str, list[float]]], oracle: dict[str, float] | None
) -> list[Panel]:
    """What the picture shows, from left to right."""
    buckets = {
        bucket: {
            s.name: s.slices["item_popularity"][bucket]["hit@10"]
            for s in systems
            if bucket in s.slices.get("item_popularity", {})
        }
        for bucket in _BUCKETS
    }
    panels = [
        Panel(
            f"{METRIC}, 95% interval over users",
            {"": {s.name: s.figures[METRIC] for s in systems}},
            {s.name: intervals[s.name][METRIC] for s in systems},
            limit=None if oracle is None else oracle[METRIC],
        ),
        Panel("recall@10 by popularity of the item", buckets),
        Panel("seconds of training or tuning", {"": {s.name: s.seconds for s in systems}}, logarithmic=True),
    ]
    errors = {s.name: s.figures["rmse"] for s in systems if s.errors is not None}
    if errors:
        bounds = {name: intervals[name]["rmse"] for name in errors}
        panels.insert(1, Panel("RMSE (less is better), 95% interval", {"": errors}, bounds))
    return panels
