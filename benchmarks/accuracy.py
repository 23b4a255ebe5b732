"""Accuracy of the default two-tower model on MovieLens 100K, beside tuned baselines and the figures it is to reach.

    python benchmarks/accuracy.py [--data-dir FOLDER] [--seeds 1] [--first-seed 42] [--splits random ...]

Runs the command that people run, `recsys-tfrs train two-tower`, with nothing but split and seed set, and reads its
`metrics.json`. Wall seconds are those of the whole command: reading, training, tuning the baselines, measuring, index,
export and report. The split stays the same when the seed varies.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import Figures, bounded, finish, judged, parser, table

METRICS = ("hit@10", "hit@100", "ndcg@10")
SPLITS = ("random", "leave-last-out", "temporal")
BASELINES = {"popularity": "popularity", "item_knn": "item-kNN", "ease": "EASE", "ials": "iALS"}

#: What the project set itself before it was built: at least, and the goal. `temporal` has to beat every baseline.
TARGETS: dict[str, dict[str, dict[str, float]]] = {
    "random": {
        "at least": {"hit@10": 0.172, "hit@100": 0.630, "ndcg@10": 0.086},
        "goal": {"hit@10": 0.180, "hit@100": 0.640, "ndcg@10": 0.090},
    },
    "leave-last-out": {
        "at least": {"hit@10": 0.148, "ndcg@10": 0.075},
        "goal": {"hit@10": 0.155, "ndcg@10": 0.080},
    },
    "temporal": {},
}
#: Metrics in which the model has to beat the best baseline where there is no figure to reach.
_BEATEN_IN = ("hit@10", "ndcg@10")


def measure(data_dir: Path | None, splits: list[str], seeds: list[int]) -> Figures:
    """``{"splits": {split: {"pairs", "num_test", "baselines", "runs": [one per seed]}}}``."""
    figures: Figures = {}
    for split in splits:
        for seed in seeds:
            metrics, wall = _train(data_dir, split, seed)
            entry = figures.setdefault(
                split,
                {
                    "dataset": metrics["dataset"],
                    "pairs": metrics["pairs"],
                    "num_test_measured": metrics["num_test_measured"],
                    "split_hash": metrics["split_hash"],
                    "baselines": {n: {m: v[m] for m in METRICS} for n, v in metrics["baselines"].items()},
                    "baseline_intervals": {
                        n: {m: d["intervals"][m] for m in METRICS} for n, d in metrics["baseline_details"].items()
                    },
                    "baseline_settings": {n: d["config"] for n, d in metrics["baseline_details"].items()},
                    "runs": [],
                },
            )
            entry["runs"].append(_run(metrics, seed, wall))
            print(f"{split}, seed {seed}: {_cells(entry['runs'][-1]['metrics'])} in {wall:.0f} s", flush=True)
    return {"splits": figures}


def _train(data_dir: Path | None, split: str, seed: int) -> tuple[Figures, float]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "recsys_tfrs", "train", "two-tower", "--dataset", "movielens-100k"]
        command += ["--split", split, "--seed", str(seed), "--out", str(out)]
        if data_dir is not None:
            command += ["--data-dir", str(data_dir)]
        started = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        wall = time.perf_counter() - started
        if done.returncode != 0:
            sys.exit(f"Training on the {split} split failed (exit code {done.returncode}); its message is above.")
        return json.loads((out / "metrics.json").read_text(encoding="utf-8")), wall


def _run(metrics: Figures, seed: int, wall: float) -> Figures:
    return {
        "seed": seed,
        "metrics": {name: metrics["metrics"][name] for name in METRICS},
        "intervals": {name: metrics["intervals"][name] for name in METRICS},
        "comparisons": {
            baseline: {name: figures[name] for name in METRICS} for baseline, figures in metrics["comparisons"].items()
        },
        "validated": metrics["training"]["validated"],
        "epochs": metrics["training"]["epochs"],
        "training_seconds": metrics["training"]["seconds"],
        "examples_per_second": metrics["training"]["examples_per_second"],
        "peak_memory_bytes": metrics["peak_memory_bytes"],
        "wall_seconds": wall,
    }


def _cells(values: Figures) -> str:
    return " / ".join(f"{values[name]:.4f}" if name in values else "-" for name in METRICS)


def render(figures: Figures) -> list[str]:
    """Markdown."""
    lines: list[str] = []
    for split, entry in figures["splits"].items():
        lines += ["", *_render_split(split, entry)]
    header = ["split", "seed", "training s", "epochs", "examples/s", "whole command s", "peak GB", "chosen among"]
    rows = [
        [
            split,
            str(run["seed"]),
            f"{run['training_seconds']:.1f}",
            str(run["epochs"]),
            f"{run['examples_per_second']:,.0f}",
            f"{run['wall_seconds']:.1f}",
            f"{run['peak_memory_bytes'] / 1e9:.1f}",
            ", ".join(f"{name} {value:.4f}" for name, value in run["validated"].items()),
        ]
        for split, entry in figures["splits"].items()
        for run in entry["runs"]
    ]
    explained = "`whole command` is reading, training, tuning the baselines, measuring, index, export and report; "
    explained += "`chosen among` are the variants tried, with the validation metric that decided."
    return [
        "Full ranking over the whole catalogue, seen items filtered, ties at their expected rank, per test "
        "interaction. Baselines are tuned on validation and fitted again on all training rows. In brackets: 95% "
        "bootstrap interval over users. Rows marked *target* are not measurements: they are what "
        "the project set itself to reach.",
        *lines,
        "",
        *table(header, rows),
        "",
        explained,
    ]


def _render_split(split: str, entry: Figures) -> list[str]:
    runs = entry["runs"]
    known = entry.get("baseline_intervals", {})
    rows = [
        [label, *(bounded(entry["baselines"][name][m], known.get(name, {}).get(m)) for m in METRICS)]
        for name, label in BASELINES.items()
        if name in entry["baselines"]
    ]
    for run in runs:
        low_high = run["intervals"]
        cells = [f"**{run['metrics'][m]:.4f}** [{low_high[m][0]:.4f}, {low_high[m][1]:.4f}]" for m in METRICS]
        rows.append([f"**two-tower**, seed {run['seed']}", *cells])
    if len(runs) > 1:
        columns = {m: [run["metrics"][m] for run in runs] for m in METRICS}
        rows.append(
            [
                f"**two-tower**, mean of {len(runs)} seeds ± standard deviation",
                *(f"{statistics.mean(v):.4f} ± {statistics.stdev(v):.4f}" for v in columns.values()),
            ]
        )
    rows += [[f"*target: {name}*", *_row(values)] for name, values in TARGETS[split].items()]
    return [
        f"### {entry['dataset']}, {split} split, {entry['num_test_measured']:,} test pairs ({entry['pairs']})",
        "",
        *table(["", *METRICS], rows),
        "",
        *_verdicts(split, entry),
    ]


def _row(values: Figures) -> list[str]:
    return [f"{values[name]:.4f}" if name in values else "" for name in METRICS]


def _verdicts(split: str, entry: Figures) -> list[str]:
    runs = entry["runs"]
    means = {m: statistics.mean(run["metrics"][m] for run in runs) for m in METRICS}
    lines = [
        f"- {name}: " + ", ".join(f"{m} {judged(round(means[m], 4), bar)}" for m, bar in bars.items())
        for name, bars in TARGETS[split].items()
    ]
    if not TARGETS[split]:
        best = {m: max(v[m] for v in entry["baselines"].values()) for m in _BEATEN_IN}
        lines.append(
            "- above every baseline: "
            + ", ".join(f"{m} {means[m]:.4f} against {best[m]:.4f}: {judged(means[m], best[m])}" for m in _BEATEN_IN)
        )
    for metric in _BEATEN_IN:
        strongest = max(entry["baselines"], key=lambda name: entry["baselines"][name][metric])
        found = runs[0]["comparisons"][strongest][metric]
        low, high = found["interval"]
        lines.append(
            f"- {metric} minus that of {BASELINES[strongest]}, paired over users, seed {runs[0]['seed']}: "
            f"{found['difference']:+.4f} [{low:+.4f}, {high:+.4f}], p = {found['p_value']:.3f}"
        )
    return lines


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data-dir", type=Path, help="folder or zip of MovieLens 100K")
    arguments.add_argument("--seeds", type=int, default=1, help="how many seeds of the model")
    arguments.add_argument("--first-seed", type=int, default=42)
    arguments.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    args = arguments.parse_args()
    seeds = list(range(args.first_seed, args.first_seed + args.seeds))
    figures = measure(args.data_dir, args.splits, seeds)
    finish(figures, render(figures), args.json)


if __name__ == "__main__":
    main()
