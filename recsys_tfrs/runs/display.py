"""What a person sees in the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from recsys_tfrs.evaluation.ranking import Ranking
from recsys_tfrs.evaluation.rating_errors import LOWER_IS_BETTER, METRICS
from recsys_tfrs.runs.metrics_file import RunMetrics

if TYPE_CHECKING:  # comparing runs needs no TensorFlow
    from recsys_tfrs.runs.prepared import Prepared

#: Metrics of the table, in order.
HEADLINE = ("hit@10", "ndcg@10", "mrr@10", "hit@100", "recall@10", "map@10", "coverage@10")
#: Share of equal lists above which a model is said to have collapsed.
_COLLAPSED = 0.5
_SAMPLES = 5
_LAST_SEEN = 3
_RECOMMENDED = 5


def duration(seconds: float) -> str:
    """Seconds for people.

    Example:
      >>> duration(4.16), duration(200)
      ('4.2 s', '3 min 20 s')
    """
    return f"{seconds:.1f} s" if seconds < 120 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def size(num_bytes: float) -> str:
    """Bytes for people.

    Example:
      >>> size(1_300_000_000), size(3_565_158), size(512)
      ('1.2 GiB', '3.4 MiB', '0.5 KiB')
    """
    unit, scale = ("GiB", 2**30) if num_bytes >= 2**30 else ("MiB", 2**20) if num_bytes >= 2**20 else ("KiB", 2**10)
    return f"{num_bytes / scale:.1f} {unit}"


def shown_metrics(systems: Iterable[Mapping[str, float]]) -> tuple[str, ...]:
    """`HEADLINE`, and the errors of predicted ratings where any of the systems has them."""
    return (*HEADLINE, *METRICS) if any("rmse" in figures for figures in systems) else HEADLINE


def rating_error_text(metrics: RunMetrics) -> str:
    """Errors of predicted ratings: ``RMSE 0.9139 (95% interval over users 0.9011 to 0.9268), MAE 0.7170``."""
    low, high = metrics.intervals["rmse"]
    errors = metrics.metrics
    return f"RMSE {errors['rmse']:.4f} (95% interval over users {low:.4f} to {high:.4f}), MAE {errors['mae']:.4f}"


def print_data(console: Console, prepared: Prepared) -> None:
    """What was read and how it was split."""
    data, split = prepared.interactions, prepared.split
    for note in data.notes:
        console.print(Panel(Text(note), border_style="yellow"))
    rows, users = len(data) - split.num_added_rows, data.num_users - split.num_added_users
    console.print(f"[bold]{data.name}[/]: {rows:,} interactions of {users:,} users with {data.num_items:,} items")
    validating = f"{split.num_withheld:,} of them to validate"
    if split.withheld is not None:
        validating += f" by {len(split.validation):,} cases"
    console.print(f"{split.name} split: {len(split.train):,} to train ({validating}), {len(split.test):,} to test")


def print_systems(console: Console, rows: Mapping[str, Mapping[str, float]], title: str) -> None:
    """A table of systems by headline metrics, the best value of each column bold; the oracle does not compete."""
    table = Table()
    table.add_column("")
    shown = shown_metrics(rows.values())
    for metric in shown:
        table.add_column(metric, justify="right")
    competing = [figures for name, figures in rows.items() if name != "oracle"]
    for name, figures in rows.items():
        cells = []
        for metric in shown:
            value = figures.get(metric)
            if value is None:
                cells.append("-")
                continue
            others = [f[metric] for f in competing if metric in f]
            best = name != "oracle" and value == (min(others) if metric in LOWER_IS_BETTER else max(others))
            cells.append(f"[bold]{value:.4f}[/]" if best else f"{value:.4f}")
        table.add_row(name, *cells)
    console.print(title, highlight=False)
    console.print(table)


def print_figures(console: Console, metrics: RunMetrics) -> None:
    """The model beside its baselines, with the interval of the leading metric."""
    which = "pairs of known users and items" if metrics.pairs == "warm" else "pairs"
    seen = "left out" if metrics.seen == "filtered" else "included"
    title = (
        f"{metrics.num_test_measured:,} test {which}, ranked among all {metrics.num_items:,} items, seen ones {seen}"
    )
    rows = {metrics.family: metrics.metrics, **metrics.baselines}
    if metrics.oracle is not None:
        rows["oracle"] = metrics.oracle
    print_systems(console, rows, title)
    low, high = metrics.intervals["ndcg@10"]
    console.print(f"ndcg@10 of {metrics.family}, 95% interval over users: {low:.4f} to {high:.4f}")
    if "rmse" in metrics.metrics:
        console.print(f"ratings predicted with {rating_error_text(metrics)}")
    if metrics.identical_lists > _COLLAPSED:
        console.print(
            f"[yellow]Collapsed: {metrics.identical_lists:.0%} of the test users get the same ten items, nothing "
            "they have seen left out. Look at the loss and the learning rate, and at what the query is made of.[/]"
        )
    for name, details in metrics.baseline_details.items():
        if details.skipped:
            console.print(f"{name} was not run: {details.skipped}")
    training = metrics.training
    console.print(
        f"trained {training.epochs} epochs in {duration(training.seconds)} "
        f"({training.examples_per_second:,.0f} interactions/s), peak memory {metrics.peak_memory_bytes / 2**30:.1f} GiB"
    )


def sample_users(ranking: Ranking) -> list[int]:
    """A few positions of ``ranking.list_users``, spread evenly and the same every time."""
    count = min(_SAMPLES, len(ranking.list_users))
    return [int(i) for i in np.linspace(0, len(ranking.list_users) - 1, count).round()]


def print_samples(console: Console, prepared: Prepared, ranking: Ranking) -> None:
    """Five users with what they last had and what they are recommended."""
    table = Table(title="Five of the test users", title_justify="left", show_lines=True)
    for column in ("user", "last in training", "recommended"):
        table.add_column(column)
    for user, last, recommended in samples(prepared, ranking):
        table.add_row(user, Text("\n".join(last) or "(nothing)"), Text("\n".join(recommended)))
    console.print(table)


def samples(prepared: Prepared, ranking: Ranking) -> Sequence[tuple[str, list[str], list[str]]]:
    """``(user id, last titles, recommended titles)`` of the sample users."""
    data = prepared.interactions
    titles = data.titles
    rows = []
    for position in sample_users(ranking):
        user = int(ranking.list_users[position])
        last = prepared.known.of(user)[-_LAST_SEEN:][::-1]
        best = ranking.top_items[position][:_RECOMMENDED]
        rows.append((str(data.user_ids[user]), [str(titles[i]) for i in last], [str(titles[i]) for i in best if i]))
    return rows


def print_places(console: Console, run: Path) -> None:
    """Where everything lies, and what to type next."""
    table = Table(show_header=False, box=None)
    for place, what in (
        ("report.md", "figures, plots, sample recommendations"),
        ("model_card.md", "what the model is for, and how good for whom"),
        ("metrics.json", "every figure, for programs"),
        ("config.toml", "complete; train again with --config"),
        ("saved_model/1/", "SavedModel for TensorFlow Serving, index inside"),
        ("checkpoints/", "weights"),
        ("logs/", "TensorBoard"),
    ):
        table.add_row(place, what)
    shown = run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run
    console.print(f"\nEverything lies in [bold]{shown}/[/]")
    console.print(table)
    console.print(f"Next: recsys-tfrs recommend {shlex.quote(str(shown))} --user ID", highlight=False)
