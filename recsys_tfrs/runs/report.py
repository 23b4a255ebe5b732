"""``report.md``: a run for people, with pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from recsys_tfrs.evaluation.rating_errors import METRICS
from recsys_tfrs.files import write_atomically
from recsys_tfrs.runs.display import HEADLINE, duration, rating_error_text, samples, shown_metrics
from recsys_tfrs.runs.fitting import Fitted
from recsys_tfrs.runs.markdown import markdown_table
from recsys_tfrs.runs.measuring import MODEL, Measured
from recsys_tfrs.runs.metrics_file import RunMetrics
from recsys_tfrs.runs.plots import plot_comparison, plot_hits, plot_slices, plot_training
from recsys_tfrs.runs.prepared import Prepared


def write_report(metrics: RunMetrics, prepared: Prepared, fitted: Fitted, measured: Measured, folder: Path) -> None:
    """Write ``report.md`` and its pictures into the run's folder."""
    metric = prepared.config.training.metric
    plot_comparison(metrics, folder / "comparison.png")
    plot_hits(metrics, folder / "hits.png")
    plot_training(fitted.selection, metric, folder / "training.png")
    plot_slices(metrics.slices, "hit@10", folder / "slices.png")
    write_atomically(folder / "report.md", "\n".join(_lines(metrics, prepared, measured, fitted)) + "\n")


def figures_rows(systems: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Rows of headline metrics by system, with rating errors where any of them has some."""
    shown = shown_metrics(systems.values())
    return [
        [name, *(f"{figures[metric]:.4f}" if metric in figures else "-" for metric in shown)]
        for name, figures in systems.items()
    ]


def _lines(metrics: RunMetrics, prepared: Prepared, measured: Measured, fitted: Fitted) -> Iterator[str]:
    yield f"# {metrics.family} on {metrics.dataset}"
    yield ""
    yield (
        f"{metrics.num_users:,} users, {metrics.num_items:,} items; {metrics.split} split: {metrics.num_train:,} "
        f"training rows ({metrics.num_validation:,} of them to validate), {metrics.num_test:,} test rows. "
        f"Split hash `{metrics.split_hash[:16]}`, seed {metrics.seed}."
    )
    for note in metrics.dataset_notes:
        yield f"\n> {note}"
    yield from _figures(metrics)
    yield from _comparisons(metrics)
    yield from _training(metrics, fitted, prepared)
    yield from _slices(metrics)
    yield "\n## Recommendations\n"
    rows = [
        [user, "<br>".join(last), "<br>".join(recommended)]
        for user, last, recommended in samples(prepared, measured.model.ranking)
    ]
    yield from markdown_table(["user", "last in training", "recommended"], rows)
    yield from _environment(metrics)


def _figures(metrics: RunMetrics) -> Iterator[str]:
    which = "whose user and item both occur in training" if metrics.pairs == "warm" else "of the split"
    among = "the user has not had in training" if metrics.seen == "filtered" else "with those the user had in training"
    fitted = (
        "refitted like the model"
        if metrics.refit
        else "refitted on the validation rows, too, which the model was not (`training.refit`)"
    )
    yield "\n## Figures\n"
    yield (
        f"{metrics.num_test_measured:,} test pairs {which}; each target is ranked among all items {among}, ties at "
        f"their expected rank. Baselines are tuned on validation and {fitted}."
    )
    yield ""
    systems = {f"**{metrics.family}**": metrics.metrics, **metrics.baselines}
    if metrics.oracle is not None:
        systems["oracle (best reachable)"] = metrics.oracle
    yield from markdown_table(["", *shown_metrics(systems.values())], figures_rows(systems))
    if metrics.add_to_cart:
        yield "\nWhat the rest of a session puts into the cart, found among the first ten of the whole catalogue:\n"
        rows = [
            [metrics.family if name == MODEL else name, f"{f['recall@10']:.4f}", f"{f['low']:.4f} to {f['high']:.4f}"]
            for name, f in metrics.add_to_cart.items()
        ]
        yield from markdown_table(["", "recall@10", "95% interval"], rows)
    if "rmse" in metrics.metrics:
        yield f"\nRatings of the same pairs are predicted with {rating_error_text(metrics)}."
    for name, details in metrics.baseline_details.items():
        if details.skipped:
            yield f"\n{name} was not run: {details.skipped}"
    yield "\n![ndcg@10 of every system](comparison.png)\n"
    yield "![hit@k by k](hits.png)\n"
    kept, everyone = metrics.metrics_seen_kept, metrics.metrics_all_pairs
    yield from markdown_table(
        ["the same model, other rules", *HEADLINE],
        figures_rows(
            {"seen items kept (as the TFRS tutorials measure)": kept, "all test rows, cold ones included": everyone}
        ),
    )


def _comparisons(metrics: RunMetrics) -> Iterator[str]:
    yield "\n### Difference to each baseline, paired over users\n"
    rows = []
    for name, comparison in metrics.comparisons.items():
        for metric in ("hit@10", "ndcg@10", *(m for m in METRICS if m in comparison)):
            c = comparison[metric]
            rows.append(
                [
                    name,
                    metric,
                    f"{c.difference:+.4f}",
                    f"{c.interval[0]:+.4f} to {c.interval[1]:+.4f}",
                    f"{c.p_value:.3f}",
                ]
            )
    yield from markdown_table(["baseline", "metric", "difference", "95% interval", "p"], rows)


def _training(metrics: RunMetrics, fitted: Fitted, prepared: Prepared) -> Iterator[str]:
    training = metrics.training
    yield "\n## Training\n"
    yield (
        f"{training.epochs} epochs chosen by validation {prepared.config.training.metric} "
        f"({fitted.selection.best_value:.4f}); {duration(training.seconds)} in all, "
        f"{training.examples_per_second:,.0f} interactions per second, peak memory "
        f"{metrics.peak_memory_bytes / 2**30:.1f} GiB."
    )
    yield "\n![loss and validation metric by epoch](training.png)"


def _slices(metrics: RunMetrics) -> Iterator[str]:
    yield "\n## Who is served how well\n"
    yield "All test rows, cold users and items included."
    yield "\n![hit@10 by group](slices.png)\n"
    rows = [
        [name, group, f"{int(f['num_pairs']):,}", f"{f['hit@10']:.4f}", f"{f['ndcg@10']:.4f}"]
        for name, groups in metrics.slices.items()
        for group, f in groups.items()
    ]
    yield from markdown_table(["slice", "group", "pairs", "hit@10", "ndcg@10"], rows)


def _environment(metrics: RunMetrics) -> Iterator[str]:
    yield "\n## Index and machine\n"
    for key, value in metrics.index.items():
        yield f"- {key}: {value:.4g}" if isinstance(value, float) else f"- {key}: {value}"
    environment = metrics.environment
    yield f"- machine: {environment['cpu']}, {environment['cores']} cores, Python {environment['python']}"
    versions = environment["packages"]
    yield "- versions: " + ", ".join(f"{name} {version}" for name, version in versions.items())
    yield "\nTrain it again: `recsys-tfrs train " + metrics.family + " --config config.toml --out DIR`"
