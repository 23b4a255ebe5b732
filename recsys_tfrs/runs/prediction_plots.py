"""The pictures of ranking models: whether probabilities hold, and for whom predictions are good."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from recsys_tfrs.evaluation.calibration import NUM_HISTOGRAM_BINS, Calibration
from recsys_tfrs.evaluation.prediction_slices import SliceFigures

_COLOURS = ("#1f6f8b", "#d9a441", "#a23b4a", "#6b8f3c", "#7a5c99")
_GREY = "#7d8b94"


def plot_reliability(systems: Mapping[str, Calibration], path: Path) -> None:
    """Share of positives against mean prediction by decile, over a histogram of the predictions.

    Args:
      systems: name -> its table; at most five, the first is the one of which the histogram is filled.
      path: of the picture.
    """
    figure = Figure(figsize=(5.6, 6.2), dpi=110, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    end = 0.0
    for colour, (name, table) in zip(_COLOURS, systems.items(), strict=False):
        shares = np.array([decile.share_positive for decile in table.deciles])
        means = [decile.mean_prediction for decile in table.deciles]
        bounds = np.array([decile.interval or [decile.share_positive] * 2 for decile in table.deciles])
        errors = np.maximum(np.abs(bounds - shares[:, None]).T, 0.0)
        upper.errorbar(means, shares, yerr=errors, fmt="o-", color=colour, ms=4, lw=1.2, capsize=2, label=name)
        end = max(end, bounds.max(), max(means))
        counts = np.array(table.histogram) / sum(table.histogram)
        edges = np.linspace(0, 1, NUM_HISTOGRAM_BINS + 1)
        first = name == next(iter(systems))
        lower.stairs(counts, edges, color=colour, fill=first, alpha=0.5 if first else 1.0)
        occupied = edges[1:][counts > 0.001]
        end = max(end, occupied.max(initial=0.0))
    upper.plot([0, 1], [0, 1], color=_GREY, lw=1, ls="--", label="calibrated")
    end = min(1.0, end * 1.05)
    upper.set_xlim(0, end)
    upper.set_ylim(0, end)
    upper.set_ylabel("share of positives; line: 95% interval")
    upper.legend(frameon=False, fontsize=8)
    lower.set_xlabel("prediction (above: mean of a tenth of the rows)")
    lower.set_ylabel("rows")
    lower.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def plot_groups(slices: Mapping[str, SliceFigures], metric: str, path: Path) -> None:
    """One line per group that has a figure, with its interval, and one for the gap of each slice.

    Dots and no bars: the axis begins where the figures do, as differences between groups are what is looked for.
    """
    rows: list[tuple[str, float, list[float], str, str]] = []
    for number, (name, of_slice) in enumerate(slices.items()):
        shown = {label: group for label, group in of_slice.groups.items() if metric in group.metrics}
        for label, group in shown.items():
            size = f"{group.num_users:,} users" if group.num_users else f"{group.num_rows:,} rows"
            value = group.metrics[metric]
            bounds = group.intervals.get(metric, [value, value])
            rows.append((f"{name}: {label}", value, bounds, size, _COLOURS[number % len(_COLOURS)]))
        if metric in of_slice.gaps:
            gap = of_slice.gaps[metric]
            low, high = gap.interval
            rows.append((f"{name}: gap {gap.difference:.4f} [{low:+.4f}, {high:+.4f}]", np.nan, [], "", ""))
    figure = Figure(figsize=(7.5, 0.25 * len(rows) + 1.0), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    if not rows:
        axes.text(0.5, 0.5, f"no group has {metric}", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        figure.savefig(path)
        return
    ends = [bound for _, _, bounds, _, _ in rows for bound in bounds]
    low, high = min(ends), max(ends)
    margin = max(high - low, 1e-6) * 0.08
    for place, (_, value, bounds, size, colour) in enumerate(reversed(rows)):
        if not bounds:
            continue
        axes.plot(bounds, [place, place], color=colour, lw=2.5, alpha=0.55)
        axes.plot(value, place, "o", color=colour, ms=5)
        axes.text(bounds[1] + margin / 4, place, f"{value:.4f}  ({size})", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), [label for label, *_ in reversed(rows)], fontsize=7)
    for tick, (_, _, bounds, _, _) in zip(axes.get_yticklabels(), reversed(rows), strict=True):
        if not bounds:
            tick.set_fontstyle("italic")
            tick.set_color(_GREY)
    axes.set_xlim(low - margin, high + 4.5 * margin)
    axes.margins(y=0.01)
    axes.grid(axis="x", color="#e6e9eb")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{metric}; line: 95% interval", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    figure.savefig(path)
