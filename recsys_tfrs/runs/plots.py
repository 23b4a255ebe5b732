"""The pictures of a report."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recsys_tfrs.evaluation.metrics import KS
from recsys_tfrs.runs.metrics_file import RunMetrics

if TYPE_CHECKING:  # comparing runs needs no TensorFlow
    from recsys_tfrs.training.checkpoints import LoopState

_MODEL, _BASELINE, _ORACLE = "#1f6f8b", "#b8c4cc", "#d9a441"
_GREY = "#7d8b94"
_SERIES = ("#1f6f8b", "#d9a441", "#a23b4a")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plot_comparison(metrics: RunMetrics, path: Path) -> None:
    """One bar of ndcg@10 per system, the model's with its interval."""
    metric = "ndcg@10"
    rows = {metrics.family: metrics.metrics, **metrics.baselines}
    if metrics.oracle is not None:
        rows["oracle"] = metrics.oracle
    names = list(rows)[::-1]
    values = [rows[name][metric] for name in names]
    colours = [_MODEL if n == metrics.family else _ORACLE if n == "oracle" else _BASELINE for n in names]
    figure, axes = _figure(7.0, 0.5 * len(names) + 1.2)
    labels = [f"{name}  {value:.4f}" for name, value in zip(names, values, strict=True)]
    axes.barh(labels, values, color=colours)
    low, high = metrics.intervals[metric]
    value = metrics.metrics[metric]
    axes.errorbar(
        value, names.index(metrics.family), xerr=[[value - low], [high - value]], color="black", capsize=3, lw=1
    )
    axes.set_xlim(0, max(*values, high) * 1.05)
    axes.set_xlabel(f"{metric} on {metrics.dataset}, {metrics.split} split; line: 95% interval over users")
    figure.savefig(path)


@dataclass(frozen=True)
class Panel:
    """One figure of all systems, side by side with others.

    Attributes:
      label: what it is.
      series: name (empty if there is one only) -> system -> value; a system without a value is left out.
      intervals: system -> ``[low, high]`` of the only series.
      limit: the best value reachable, if it is known.
      logarithmic: whether values are of different orders of magnitude.
    """

    label: str
    series: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, list[float]] = field(default_factory=dict)
    limit: float | None = None
    logarithmic: bool = False


def plot_systems(panels: Sequence[Panel], baselines: Collection[str], path: Path) -> None:
    """One line per system, best on top, and one panel per figure.

    Args:
      panels: from left to right; the first has every system, best first.
      baselines: names of the systems that are written and drawn in grey.
      path: of the picture.
    """
    names = list(next(iter(panels[0].series.values())))[::-1]
    figure = Figure(figsize=(3.4 * len(panels) + 1.2, 0.36 * len(names) + 1.3), dpi=110, layout="constrained")
    for axes, panel in zip(np.ravel(figure.subplots(1, len(panels), sharey=True)), panels, strict=True):
        for number, (series, values) in enumerate(panel.series.items()):
            for position, name in enumerate(names):
                if name not in values:
                    continue
                colour = _SERIES[number] if series else _GREY if name in baselines else _MODEL
                axes.plot(values[name], position, "o", color=colour, ms=5)
                if name in panel.intervals:
                    low, high = panel.intervals[name]
                    middle, half = (low + high) / 2, (high - low) / 2
                    axes.errorbar(middle, position, xerr=half, fmt="none", ecolor=colour, capsize=3, elinewidth=1.2)
            if series:
                axes.plot([], [], "o", color=_SERIES[number], ms=5, label=series)
        if panel.limit is not None:
            axes.axvline(panel.limit, color=_ORACLE, lw=1.2, ls="--", label=f"best reachable {panel.limit:.3f}")
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
        if panel.logarithmic:
            axes.set_xscale("log")
        axes.set_xlabel(panel.label, fontsize=8)
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(axis="x", color="#e6e9eb")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    first = figure.axes[0]
    first.set_yticks(range(len(names)), names)
    for label in first.get_yticklabels():
        label.set_color(_GREY if label.get_text() in baselines else _MODEL)
    figure.savefig(path)


def plot_hits(metrics: RunMetrics, path: Path) -> None:
    """Share of test pairs found within k, by k."""
    figure, axes = _figure(7.0, 4.0)
    for name, figures in {**metrics.baselines, metrics.family: metrics.metrics}.items():
        own = name == metrics.family
        axes.plot(
            KS,
            [figures[f"hit@{k}"] for k in KS],
            marker="o",
            ms=4,
            lw=2.5 if own else 1.3,
            color=_MODEL if own else None,
            label=name,
        )
    axes.set_xscale("log")
    axes.set_xticks(KS, [str(k) for k in KS])
    axes.minorticks_off()
    axes.set_xlabel("k")
    axes.set_ylabel("hit@k")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.savefig(path)


def plot_training(selection: LoopState, metric: str, path: Path) -> None:
    """Loss and validation metric by epoch."""
    figure, axes = _figure(7.0, 3.6)
    axes.plot([e["epoch"] for e in selection.log], [e["loss"] for e in selection.log], color="#888888", label="loss")
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss")
    looked = [e for e in selection.log if f"validation_{metric}" in e]
    twin = axes.twinx()
    twin.spines[["top"]].set_visible(False)
    twin.plot([e["epoch"] for e in looked], [e[f"validation_{metric}"] for e in looked], color=_MODEL, lw=2)
    twin.axvline(selection.best_epoch, color=_MODEL, lw=0.8, ls=":")
    twin.set_ylabel(f"validation {metric}", color=_MODEL)
    figure.savefig(path)


def plot_slices(slices: Mapping[str, Mapping[str, Mapping[str, float]]], metric: str, path: Path) -> None:
    """One bar per group, grouped by slice."""
    labels, values, colours, counts = [], [], [], []
    palette = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
    for number, (name, groups) in enumerate(slices.items()):
        for group, figures in groups.items():
            labels.append(f"{name}: {group}")
            values.append(figures[metric])
            counts.append(int(figures["num_pairs"]))
            colours.append(palette[number % len(palette)])
    figure, axes = _figure(7.5, 0.24 * len(labels) + 1.0)
    bars = axes.barh(labels[::-1], values[::-1], color=colours[::-1])
    axes.bar_label(
        bars,
        labels=[f"{v:.3f}  ({n:,} pairs)" for v, n in zip(values[::-1], counts[::-1], strict=True)],
        fontsize=7,
        padding=3,
    )
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlim(0, max(values, default=1.0) * 1.3 + 1e-9)
    axes.set_xlabel(metric)
    axes.margins(y=0.01)
    figure.savefig(path)
