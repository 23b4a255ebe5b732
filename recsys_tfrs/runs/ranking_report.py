"""A ranking run for people: in the terminal, and as ``report.md``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from recsys_tfrs.evaluation.rating_errors import LOWER_IS_BETTER
from recsys_tfrs.files import write_atomically
from recsys_tfrs.runs.display import duration
from recsys_tfrs.runs.markdown import markdown_table
from recsys_tfrs.runs.metrics_file import Figures
from recsys_tfrs.runs.plots import plot_training
from recsys_tfrs.runs.prediction_plots import plot_groups, plot_reliability
from recsys_tfrs.runs.ranking_data import RankingData
from recsys_tfrs.runs.ranking_fitting import FittedRanker
from recsys_tfrs.runs.ranking_measuring import MeasuredTarget
from recsys_tfrs.runs.ranking_metrics import RankingMetrics, TargetFigures

#: Metrics of the tables, in order; those that a target has.
SHOWN = ("auc", "gauc", "logloss", "rmse", "mae", "ndcg@10", "ece")


def print_data(console: Console, data: RankingData) -> None:
    """What was read and how it was split."""
    for note in data.notes:
        console.print(Panel(Text(note), border_style="yellow"))
    c = data.counts
    console.print(
        f"[bold]{data.name}[/], {data.split} split: {c['num_train']:,} rows to train ({c['num_validation']:,} of them "
        f"to validate), {c['num_test']:,} to test"
    )


def print_figures(console: Console, metrics: RankingMetrics, run: Path) -> None:
    """The model beside its baselines, and where everything lies."""
    for target in metrics.targets:
        rows = systems(metrics, target)
        shown = [m for m in SHOWN if any(m in figures for figures in rows.values())]
        table = Table()
        table.add_column("")
        for metric in shown:
            table.add_column(metric, justify="right")
        for name, figures in rows.items():
            table.add_row(name, *(f"{figures[m]:.4f}" if m in figures else "-" for m in shown))
        console.print(f"{target.name}: {target.num_rows:,} test rows", highlight=False)
        console.print(table)
        leading = _leading(target)
        if leading in target.intervals:
            low, high = target.intervals[leading]
            over = "users" if target.num_users else "rows"
            console.print(f"{leading} of {metrics.family}, 95% interval over {over}: {low:.4f} to {high:.4f}")
        for metric, why in target.undefined.items():
            console.print(f"[yellow]{metric} has no value on these rows: {why}[/]")
    training = metrics.training
    console.print(
        f"trained {training.epochs} epochs in {duration(training.seconds)} "
        f"({training.examples_per_second:,.0f} examples/s), peak memory {metrics.peak_memory_bytes / 2**30:.1f} GiB"
    )
    console.print(f"\n{run}\n  report.md, metrics.json", soft_wrap=True, highlight=False, markup=False)


def systems(metrics: RankingMetrics, target: TargetFigures) -> dict[str, Figures]:
    """The model, its baselines and, where it is known, the truth."""
    rows = {metrics.family: target.metrics, **target.baselines}
    if metrics.oracle is not None and target is metrics.targets[0]:
        rows["oracle"] = metrics.oracle
    return rows


def write_report(
    metrics: RankingMetrics, measured: Sequence[MeasuredTarget], fitted: FittedRanker, folder: Path
) -> None:
    """Write ``report.md`` and its pictures into the run's folder."""
    for one in measured:
        name = one.figures.name
        if one.predictions.calibration is not None:
            plot_reliability({metrics.family: one.predictions.calibration}, folder / f"reliability-{name}.png")
        if _told_apart(one.slices, one.figures):
            plot_groups(one.slices, _leading(one.figures), folder / f"groups-{name}.png")
    plot_training(fitted.selection, fitted.metric, folder / "training.png")
    write_atomically(folder / "report.md", "\n".join(_lines(metrics, fitted)) + "\n")


def _lines(metrics: RankingMetrics, fitted: FittedRanker) -> Iterator[str]:
    yield f"# {metrics.family} on {metrics.dataset}\n"
    counts = ", ".join(f"{name.removeprefix('num_')} {value:,}" for name, value in metrics.counts.items())
    yield f"{metrics.split} split: {counts}. Split hash `{metrics.split_hash[:16]}`, seed {metrics.seed}."
    for note in metrics.dataset_notes:
        yield f"\n> {note}"
    yield f"\nFields: {', '.join(metrics.fields)}. The prediction is the sum of: {', '.join(metrics.parts)}."
    if metrics.objective != "pointwise":
        yield (
            f"Trained by lists ({metrics.objective}): scores order the rows of one user. Only calibration on "
            "validation rows makes probabilities of them, right on average, not user by user."
        )
    for target in metrics.targets:
        yield from _target(metrics, target)
    yield from _importance(metrics)
    yield from _training(metrics, fitted)
    environment = metrics.environment
    yield "\n## Machine\n"
    yield f"- {environment['cpu']}, {environment['cores']} cores, Python {environment['python']}"
    yield "- " + ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    yield f"\nTrain it again: `recsys-tfrs train {metrics.family} --config config.toml --out DIR`"


def _leading(target: TargetFigures) -> str:
    return "rmse" if target.kind == "rating" else "auc"


def _told_apart(slices: Mapping[str, Any], target: TargetFigures) -> bool:
    """Whether any group has the leading figure."""
    return any(_leading(target) in group.metrics for one in slices.values() for group in one.groups.values())


def _target(metrics: RankingMetrics, target: TargetFigures) -> Iterator[str]:
    yield f"\n## {target.name}\n"
    over = f"{target.num_users:,} users" if target.num_users else "rows"
    yield f"{target.num_rows:,} test rows; intervals are 95% bootstraps over {over}.\n"
    rows = systems(metrics, target)
    shown = [m for m in SHOWN if any(m in figures for figures in rows.values())]
    yield from markdown_table(
        ["", *shown], [[n, *(f"{f[m]:.4f}" if m in f else "-" for m in shown)] for n, f in rows.items()]
    )
    yield ""
    yield from markdown_table(
        ["metric", "value", "95% interval"],
        [
            [m, f"{target.metrics[m]:.4f}", f"{target.intervals[m][0]:.4f} to {target.intervals[m][1]:.4f}"]
            for m in shown
            if m in target.intervals
        ],
    )
    for metric, why in target.undefined.items():
        yield f"\n{metric} has no value on these rows: {why}."
    yield "\n### Difference to each baseline\n"
    yield from markdown_table(
        ["baseline", "metric", "difference", "95% interval", "p"],
        [
            [name, m, f"{c.difference:+.4f}", f"{c.interval[0]:+.4f} to {c.interval[1]:+.4f}", f"{c.p_value:.3f}"]
            for name, comparison in target.comparisons.items()
            for m, c in comparison.items()
            if m in shown
        ],
    )
    if target.calibration is not None:
        yield from _calibration(target)
    yield from _slices(target)


def _calibration(target: TargetFigures) -> Iterator[str]:
    table = target.calibration or {}
    yield "\n### Predictions beside what came\n"
    yield f"![share of positives by prediction](reliability-{target.name}.png)\n"
    yield (
        f"Predicted on average {table['mean_prediction']:.4f}, positive {table['share_positive']:.4f}. Expected "
        f"calibration error {target.metrics.get('ece', float('nan')):.4f}; a perfectly calibrated model would show "
        f"{table['ece_by_chance']:.4f} on these rows by chance.\n"
    )
    yield from markdown_table(
        ["predicted", "rows", "mean prediction", "share of positives"],
        [
            [
                f"{d['low']:.3f} to {d['high']:.3f}",
                f"{d['num_rows']:,}",
                f"{d['mean_prediction']:.4f}",
                f"{d['share_positive']:.4f}",
            ]
            for d in table["deciles"]
        ],
    )


def _slices(target: TargetFigures) -> Iterator[str]:
    leading = _leading(target)
    if any(leading in group["metrics"] for groups in target.slices.values() for group in groups.values()):
        yield f"\n![{leading} by group](groups-{target.name}.png)"
    for name, groups in target.slices.items():
        yield f"\n### By {name.replace('_', ' ')}\n"
        yield from markdown_table(
            ["group", "rows", leading, "mean label", "mean prediction"],
            [
                [
                    label,
                    f"{group['num_rows']:,}",
                    _interval(group["metrics"], group["intervals"], leading),
                    _number(group["mean_label"]),
                    _number(group["mean_prediction"]),
                ]
                for label, group in groups.items()
            ],
        )
        gap = target.gaps.get(name, {}).get(leading)
        if gap is not None:
            low, high = gap["interval"]
            verdict = "told apart" if low > 0 else "not told apart"
            yield (
                f"\nGap in {leading}: {gap['difference']:.4f} between {gap['best']} and {gap['worst']} "
                f"({low:+.4f} to {high:+.4f}, {verdict})."
            )


def _interval(metrics: Mapping[str, float], intervals: Mapping[str, list[float]], metric: str) -> str:
    if metric not in metrics:
        return "-"
    if metric not in intervals:
        return f"{metrics[metric]:.4f}"
    return f"{metrics[metric]:.4f} ({intervals[metric][0]:.4f} to {intervals[metric][1]:.4f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _importance(metrics: RankingMetrics) -> Iterator[str]:
    if not metrics.importance:
        return
    leading = "rmse" if metrics.targets[0].kind == "rating" else "auc"
    yield "\n## What the predictions rest on\n"
    yield f"How much worse {leading} becomes when a field is shuffled among test rows, and the spread over repeats.\n"
    rows = [[name, f"{one['mean']:+.4f}", f"{one['deviation']:.4f}"] for name, one in metrics.importance.items()]
    yield from markdown_table(["field", "loss", "spread"], rows)


def _training(metrics: RankingMetrics, fitted: FittedRanker) -> Iterator[str]:
    training = metrics.training
    better = "least" if fitted.metric in LOWER_IS_BETTER else "greatest"
    yield "\n## Training\n"
    yield (
        f"{training.epochs} epochs, chosen by the {better} validation {fitted.metric} "
        f"({fitted.selection.best_value:.4f}); {duration(training.seconds)} in all, "
        f"{training.examples_per_second:,.0f} examples per second, peak memory "
        f"{metrics.peak_memory_bytes / 2**30:.1f} GiB."
    )
    yield "\n![loss and validation metric by epoch](training.png)"
