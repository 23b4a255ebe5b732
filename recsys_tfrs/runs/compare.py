"""Several runs side by side: one table of everything measured, and which differences are more than luck."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from recsys_tfrs.errors import RunError
from recsys_tfrs.runs.comparison import METRIC, System, write_comparison
from recsys_tfrs.runs.display import print_systems
from recsys_tfrs.runs.folder import open_run, run_names
from recsys_tfrs.runs.metrics_file import RunMetrics, read_metrics
from recsys_tfrs.runs.per_user import read_per_user, read_rating_errors

#: What was measured on and by which rule on seen items: figures with different keys cannot be compared.
Key = tuple[str, str, str, str, int, str]


def compare_runs(paths: Sequence[Path], console: Console, out: Path | None = None) -> None:
    """Print one table per group of runs that were measured on the same test pairs, and write it if asked to.

    Args:
      paths: folders of complete runs.
      console: where the tables are shown.
      out: folder for ``comparison.md``, ``comparison.json`` and ``comparison.png``; wants a single group.

    Raises:
      RunError: a path is not a complete run, or `out` is asked for runs that cannot share a table.
    """
    groups: dict[Key, dict[str, System]] = {}
    oracles: dict[Key, dict[str, float] | None] = {}
    for path, name in zip(paths, run_names(paths), strict=True):
        run = open_run(path)
        metrics = read_metrics(run)
        on = (metrics.dataset, metrics.split, metrics.pairs, metrics.split_hash, metrics.num_test_measured)
        key: Key = (*on, metrics.seen)
        groups.setdefault(key, {}).update(_systems(run, name, metrics))
        oracles[key] = metrics.oracle
    for key, systems in groups.items():
        dataset, split, pairs, split_hash, measured, seen = key
        ordered = sorted(systems.values(), key=lambda system: -system.figures[METRIC])
        which = f"{'warm ' if pairs == 'warm' else ''}pairs{', seen items kept' if seen == 'kept' else ''}"
        title = f"{dataset}, {split} split, {measured:,} {which} (split {split_hash[:8]})"
        rows = {system.name: system.figures for system in ordered}
        oracle = oracles[key]
        print_systems(console, rows | ({} if oracle is None else {"oracle": oracle}), title)
    if len(groups) > 1:
        console.print(
            "Runs in different tables were measured on other test pairs or by another rule: they cannot be compared."
        )
        if out is not None:
            raise RunError(
                f"{out} would need one table: name runs of one data set, split, set of test pairs and evaluation.seen."
            )
    if out is not None:
        write_comparison(out, title, ordered, oracle, filters_seen=seen == "filtered")
        console.print(f"Written to {out / 'comparison.md'}, .json and .png")


def _systems(run: Path, name: str, metrics: RunMetrics) -> dict[str, System]:
    sums, errors = read_per_user(run), read_rating_errors(run)
    model = System(
        name=f"{name} ({metrics.family})" if name != metrics.family else metrics.family,
        figures=metrics.metrics,
        sums=sums[metrics.family],
        slices=metrics.slices_headline,
        seconds=metrics.training.seconds,
        is_baseline=False,
        memory=metrics.peak_memory_bytes,
        query_ms=metrics.query_ms,
        index_ms=metrics.index.get("p50_ms"),
        errors=errors.get(metrics.family),
    )
    baselines = {
        name: System(
            name=name,
            figures=figures,
            sums=sums[name],
            slices=details.slices,
            seconds=details.seconds,
            is_baseline=True,
            memory=details.peak_bytes,
            query_ms=details.query_ms,
            errors=errors.get(name),
        )
        for name, figures in metrics.baselines.items()
        for details in [metrics.baseline_details[name]]
    }
    return {**baselines, model.name: model}
