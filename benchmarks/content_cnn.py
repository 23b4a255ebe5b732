"""content-cnn: what it hears, how far its confidence holds, what noise does to it, and what cold items gain by it.

    python benchmarks/content_cnn.py [--only content|noise|cold] [--json FILE]

No data is needed: clips are rendered for simulated items. Models are trained with the defaults of
`recsys-tfrs train content-cnn`. Results go to benchmarks/results/content_cnn.md and .json; those of a part that is not
run stay.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from record import Figures, commit, finish, judged, machine, parser, table, today
from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.data.simulated_catalogue import GENRE, NUM_GENRES, simulate_catalogue
from recsys_tfrs.data.simulated_content import render_clips
from recsys_tfrs.evaluation.classification import classification

tf = runtime.import_tensorflow()

from recsys_tfrs.runs.cold_items import (  # noqa: E402
    ColdItems,
    item_columns,
    measure_cold_items,
    share_of_gain,
    with_columns,
)

RESULTS = Path(__file__).resolve().parent / "results" / "content_cnn"

#: Clips that no run has seen, measured beside the test items of the run.
_FRESH, _FRESH_SEED = 4_000, 2_000

#: Signal-to-noise ratios in decibels; at the last there is noise alone.
_NOISE = (-5.0, -10.0, -15.0, -200.0)

_K = 50


def trained(run: Path, *options: str) -> Figures:
    """Train by the command line; figures of the run, and its wall time from the start of Python on."""
    command = [sys.executable, "-m", "recsys_tfrs", "train", "content-cnn", *options, "--out", str(run)]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    kept = "metrics accuracy_interval chance ece_by_chance temperature threshold counts training peak_memory_bytes"
    return {"seconds": seconds, **{name: metrics[name] for name in kept.split()}}


def fresh(run: Path) -> Figures:
    """Figures of the export on clips of other items than the run's."""
    genres = np.random.default_rng(_FRESH_SEED).integers(0, NUM_GENRES, _FRESH)
    clips = render_clips(genres, NUM_GENRES, seed=_FRESH_SEED).astype(np.float32) / 32_768
    describe = tf.saved_model.load(str(run / "saved_model" / "1")).signatures["decoded"]
    parts = [describe(wave=tf.constant(clips[low : low + 250])) for low in range(0, _FRESH, 250)]
    probabilities = np.concatenate([part["probability"].numpy() for part in parts])
    measured = classification(probabilities, genres)  # genres are the classes, in alphabetical order
    return {
        **measured.metrics,
        "accuracy_interval": measured.accuracy_interval,
        "ece_by_chance": measured.calibration.ece_by_chance,
    }


def cold(run: Path, seed: int = 42) -> Figures:
    """Recall of cold items by what is known of items."""
    catalogue = simulate_catalogue()
    columns = item_columns(run / "items.parquet", catalogue.interactions)
    vector = {name: column for name, column in columns.items() if name.startswith(f"{GENRE}_vector_")}
    chances = {n: c for n, c in columns.items() if n.startswith(f"{GENRE}_") and n not in vector}
    known = {
        "(a) ids only": {},
        "(b) true attribute": {GENRE: catalogue.true_genres},
        "(c) predicted attribute": {GENRE: columns[GENRE]},
        "(c') predicted probabilities": chances,
        "(d) vector of the CNN": vector,
    }
    split, console = catalogue.split(), Console(quiet=True)
    measured: dict[str, ColdItems] = {}
    for name, given in known.items():
        measured[name] = measure_cold_items(with_columns(catalogue.interactions, split, given, seed), console)
        print(name, measured[name].among_cold.metrics[f"recall@{_K}"], flush=True)
    nothing, everything = measured["(a) ids only"].among_cold, measured["(b) true attribute"].among_cold
    return {
        "split_hash": split.hash,
        "num_cold_items": measured["(a) ids only"].num_cold,
        "num_test": len(split.test),
        "models": {
            name: {
                "among_cold": one.among_cold.metrics[f"recall@{_K}"],
                "interval": one.among_cold.intervals[f"recall@{_K}"],
                "among_all": one.among_all.metrics[f"recall@{_K}"],
                "epochs": one.epochs,
                "share_of_gain": share_of_gain(nothing, everything, one.among_cold),
            }
            for name, one in measured.items()
        },
    }


def lines(figures: Figures, environment: Figures) -> list[str]:
    """The results as Markdown."""
    made = ["# content-cnn", "", f"Measured {figures['date']} at {figures['commit']}: {machine(environment)}.", ""]
    if "content" in figures:
        one, other = figures["content"], figures["fresh"]
        rows = []
        for name, of, count in (("cold items", one, one["counts"]["num_test"]), ("fresh clips", other, _FRESH)):
            metrics = of.get("metrics", of)
            low, high = of["accuracy_interval"]
            rows += [
                [
                    f"accuracy, {count:,} {name}",
                    f"{metrics['accuracy']:.4f} [{low:.4f}, {high:.4f}]",
                    "at least 0.90",
                    judged(metrics["accuracy"], 0.9),
                ],
                [
                    f"calibration error, {name}",
                    f"{metrics['ece']:.4f} ({of['ece_by_chance']:.4f} by chance)",
                    "below 0.03",
                    judged(metrics["ece"], 0.03, at_most=True),
                ],
            ]
        minutes, memory = one["seconds"] / 60, one["peak_memory_bytes"] / 2**30
        rows += [
            ["minutes of the command", f"{minutes:.1f}", "below 4", judged(minutes, 4, at_most=True)],
            ["memory in GiB", f"{memory:.2f}", "below 3", judged(memory, 3, at_most=True)],
            ["clips per second in training", f"{one['training']['examples_per_second']:,.0f}", "", ""],
        ]
        made += ["`recsys-tfrs train content-cnn`: 8 genres, 0 dB.", ""]
        made += [*table(["", "measured", "bar", ""], rows), ""]
    if "noise" in figures:
        rows = [
            [
                "noise alone" if level == "-200" else f"{level} dB",
                f"{of['metrics']['accuracy']:.4f} [{of['accuracy_interval'][0]:.4f}, {of['accuracy_interval'][1]:.4f}]",
                f"{of['metrics']['ece']:.4f}",
                f"{of['metrics']['answered']:.4f}",
                f"{of['metrics']['accuracy_answered']:.4f}" if "accuracy_answered" in of["metrics"] else "-",
            ]
            for level, of in {**({"0": figures["content"]} if "content" in figures else {}), **figures["noise"]}.items()
        ]
        header = ["signal to noise", "accuracy", "calibration error", "answered", "of them right"]
        made += ["By noise (chance: 0.125); the model abstains where fewer than 0.95 would be right.", ""]
        made += [*table(header, rows), ""]
    if "cold" in figures:
        of = figures["cold"]
        rows = []
        for name, one in of["models"].items():
            share, low, high = one["share_of_gain"]
            verdict = judged(share, 0.8) if name.startswith("(c)") else ""
            rows.append(
                [
                    name,
                    f"{one['among_cold']:.4f} [{one['interval'][0]:.4f}, {one['interval'][1]:.4f}]",
                    f"{share:.3f} [{low:.3f}, {high:.3f}]",
                    verdict,
                    f"{one['among_all']:.4f}",
                ]
            )
        made += [
            f"Two-tower, recall@{_K} of {of['num_cold_items']} cold items, {of['num_test']:,} test interactions; "
            f"chance among cold items: {_K / of['num_cold_items']:.4f}.",
            "Bar: (c) recovers 0.8 of the gain of (b) over (a).",
            "",
            *table(["known of items", "among cold items", "share of the gain", "", "among all items"], rows),
            "",
        ]
    return made


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--only", choices=["content", "noise", "cold"])
    given = options.parse_args()
    path = RESULTS.with_suffix(".json")
    stored = json.loads(path.read_text("utf-8")) if path.exists() else {"figures": {}}
    figures: Figures = stored["figures"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        if given.only in (None, "content", "cold"):
            figures["content"] = trained(run)
            figures["fresh"] = fresh(run)
        if given.only in (None, "noise"):
            figures["noise"] = {
                f"{level:g}": trained(Path(folder) / f"noise{level:g}", "--set", f"data.snr_db={level}")
                for level in _NOISE
            }
        if given.only in (None, "cold"):
            figures["cold"] = cold(run)
    figures |= {"date": today(), "commit": commit()}
    environment = runtime.describe()
    made = lines(figures, environment)
    RESULTS.with_suffix(".md").write_text("\n".join(made), encoding="utf-8")
    path.write_text(json.dumps({"figures": figures, "environment": environment}, indent=1) + "\n", encoding="utf-8")
    finish(figures, made, given.json)


if __name__ == "__main__":
    main()
