"""A content run for people: in the terminal, and as ``report.md`` with pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from recsys_tfrs.evaluation.classification import ABSTAINS_ALWAYS, Classification
from recsys_tfrs.files import write_atomically
from recsys_tfrs.runs.content_data import ContentData
from recsys_tfrs.runs.content_fitting import FittedContent
from recsys_tfrs.runs.content_metrics import ContentMetrics
from recsys_tfrs.runs.display import duration
from recsys_tfrs.runs.markdown import markdown_table
from recsys_tfrs.runs.plots import plot_training
from recsys_tfrs.runs.prediction_plots import plot_reliability

#: The table of a run that other families read with ``--items``.
ITEMS_FILE = "items.parquet"


def print_content(console: Console, data: ContentData) -> None:
    """What was read and how it was split."""
    for note in data.notes:
        console.print(Panel(Text(note), border_style="yellow"))
    c = data.counts
    console.print(
        f"[bold]{data.name}[/]: {c['num_items_with_content']:,} items with content, {data.known.attribute} of "
        f"{len(data.classes)} values; {c['num_train']:,} items to train, {c['num_validation']:,} to validate, "
        f"{c['num_test']:,} to test"
    )


def print_content_figures(console: Console, metrics: ContentMetrics, run: Path) -> None:
    """How good the model is, and where everything lies."""
    m, (low, high) = metrics.metrics, metrics.accuracy_interval
    console.print(
        f"{metrics.attribute}: accuracy {m['accuracy']:.4f} ({low:.4f} to {high:.4f}) on "
        f"{metrics.counts['num_test']:,} test items, {metrics.chance:.4f} by chance; calibration error "
        f"{m['ece']:.4f}, {metrics.ece_by_chance:.4f} by chance",
        highlight=False,
    )
    console.print(_abstaining(metrics), highlight=False)
    console.print(
        f"trained {metrics.training.epochs} epochs in {duration(metrics.training.seconds)} "
        f"({metrics.training.examples_per_second:,.0f} items/s), peak memory "
        f"{metrics.peak_memory_bytes / 2**30:.1f} GiB"
    )
    console.print(
        f"\n{run}\n  report.md, metrics.json\n  {ITEMS_FILE}: for --items of any other family\n  saved_model/1",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )


def write_content_report(
    metrics: ContentMetrics, measured: Classification, fitted: FittedContent, folder: Path
) -> None:
    """Write ``report.md`` and its pictures into the run's folder."""
    figure = Figure(figsize=(1.6 + 0.55 * len(metrics.classes),) * 2, dpi=110, layout="constrained")
    plot_confusion(figure.add_subplot(), measured.confusion, metrics.classes)
    figure.savefig(folder / "confusion.png")
    plot_reliability({metrics.family: measured.calibration}, folder / "reliability.png")
    plot_training(fitted.state, fitted.metric, folder / "training.png")
    write_atomically(folder / "report.md", "\n".join(_lines(metrics)) + "\n")


def plot_confusion(axes: Axes, confusion: NDArray[np.integer], classes: Sequence[str]) -> None:
    """Draw shares of each true class by predicted class, and write the counts into the cells.

    Args:
      axes: to draw on.
      confusion: ``[num_classes, num_classes]`` items by true class (rows) and predicted one.
      classes: their names.
    """
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(confusion > 0).tolist():
        shade = "white" if shares[row, column] > 0.6 else "black"
        axes.text(column, row, str(confusion[row, column]), ha="center", va="center", fontsize=7, color=shade)
    axes.set_xticks(range(len(classes)), classes, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(classes)), classes, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")


def _abstaining(metrics: ContentMetrics) -> str:
    if metrics.threshold >= ABSTAINS_ALWAYS:
        return f"abstains always: no confidence reaches a precision of {metrics.precision:.2f} on validation items"
    m = metrics.metrics
    right = f", of which {m['accuracy_answered']:.4f} are right" if "accuracy_answered" in m else ""
    return f"abstains below a confidence of {metrics.threshold:.3f}: answers {m['answered']:.4f} of test items{right}"


def _lines(metrics: ContentMetrics) -> Iterator[str]:
    yield f"# {metrics.family}: {metrics.attribute} of {metrics.dataset}\n"
    yield ", ".join(f"{name.removeprefix('num_').replace('_', ' ')} {n:,}" for name, n in metrics.counts.items()) + "."
    for note in metrics.dataset_notes:
        yield f"\n> {note}"
    yield "\n## Test items\n"
    names = [
        name for name in ("accuracy", "logloss", "ece", "answered", "accuracy_answered") if name in metrics.metrics
    ]
    rows = [
        [part, *(f"{figures[n]:.4f}" if n in figures else "-" for n in names)]
        for part, figures in (("test", metrics.metrics), ("validation", metrics.validation))
    ]
    yield from markdown_table(["", *names], rows)
    low, high = metrics.accuracy_interval
    yield f"\nAccuracy, 95% interval: {low:.4f} to {high:.4f}; the commonest value always: {metrics.chance:.4f}."
    yield f"\nA perfectly calibrated model would show a calibration error of {metrics.ece_by_chance:.4f}."
    yield f"\nThe model {_abstaining(metrics)}. Temperature: {metrics.temperature:.3f}."
    yield f"\nIt knows {', '.join(f'`{name}`' for name in metrics.classes)}; no other value can be predicted."
    yield "\n![confusion](confusion.png)\n\n![reliability](reliability.png)\n\n![training](training.png)"
    yield f"\n`{ITEMS_FILE}`, for `--items`: the table of items, the attribute filled in, probabilities and vectors."
    yield f"\nTrain it again: `recsys-tfrs train {metrics.family} --config config.toml --out DIR`"
