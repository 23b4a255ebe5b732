"""Sequential retrieval: accuracy on sessions and on users, events per second in training, one step of a live session.

    python benchmarks/sequential.py [--sessions FOLDER] [--data-dir FOLDER] [--movietweetings FOLDER] [--only PART]

FOLDER of sessions holds ``train_sessions.txt`` and ``test_cases.txt`` (also ``.gz``), as docs/data.md describes it;
that of --data-dir is MovieLens 100K. Models are trained by the command line with the settings of configs/gru/; nothing
is chosen here. Parts of which the data is not given are left out. Results go to benchmarks/results/sequential.md
and .json, those of a part that is not run stay.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from record import RENDER, Figures, bounded, judged, keep_parts, origin, table
from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.config import build
from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.sessions import split_interactions
from recsys_tfrs.data.sources import DataRequest, load
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.models import gru
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.fitting import validator
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.training.config import TrainingConfig
from recsys_tfrs.training.fit import Phase, fit, make_optimizer
from recsys_tfrs.training.sequences import next_item_batches

tf = runtime.import_tensorflow()

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "sequential"


#: Metrics that results hold.
_METRICS = ("hit@10", "ndcg@10", "hit@20", "mrr@20")


def trained(config: str, dataset: list[str]) -> Figures:
    """Train by the command line and report what the run measured, and one step of its export."""
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        command = ["train", "gru", "--config", str(ROOT / "configs" / "gru" / config), *dataset, "--out", str(run)]
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "recsys_tfrs", *command], check=True, cwd=place, stdout=subprocess.DEVNULL
        )
        return of_run(run, config) | {"seconds": time.perf_counter() - started}


def of_run(run: Path, config: str) -> Figures:
    """What a finished run measured, and one step of its export."""
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    return {
        "command": f"recsys-tfrs train gru --config configs/gru/{config}",
        "seconds": metrics["training"]["seconds"],
        "training": metrics["training"],
        "next_item": metrics["next_item"],
        "metrics": {name: metrics["metrics"][name] for name in _METRICS},
        "intervals": {name: metrics["intervals"][name] for name in _METRICS},
        "baselines": {
            name: {metric: figures[metric] for metric in _METRICS} for name, figures in metrics["baselines"].items()
        },
        "baseline_intervals": {
            name: {metric: details["intervals"][metric] for metric in _METRICS}
            for name, details in metrics["baseline_details"].items()
        },
        "step_ms": step_latency(run / "saved_model" / "1"),
        "step_scann_ms": step_latency(exported_with_scann(run)),
    }


def exported_with_scann(run: Path) -> Path:
    """The version folder of one more export of a run, its index built by ScaNN."""
    command = ["export", str(run), "--index", "scann", "--to", str(run / "scann"), "--name", "gru"]
    subprocess.run([sys.executable, "-m", "recsys_tfrs", *command], check=True, stdout=subprocess.DEVNULL)
    return next((run / "scann" / "gru").iterdir())


def step_latency(version: Path, calls: int = 500) -> dict[str, float]:
    """Milliseconds of one step of a live session through the exported model, a single session at a time."""
    loaded = tf.saved_model.load(str(version))
    step = loaded.signatures["recommend_step"]
    first = loaded.signatures["recommend_history"](history=tf.constant([[""]]))["item_id"].numpy()[0, 0]
    item, state = tf.constant([first]), step(item_id=tf.constant([first]), state=tf.constant([[0.0]]))["state"]
    taken = []
    for _ in range(calls):
        started = time.perf_counter()
        answer = step(item_id=item, state=state)
        answer["item_id"].numpy()
        taken.append(1e3 * (time.perf_counter() - started))
        state = answer["state"]
    return {"p50": statistics.median(taken), "p99": float(np.quantile(taken, 0.99))}


def matrix_rate(dtype: tf.DType) -> float:
    """Billions of operations per second of a large matrix product."""
    size = 2_048
    left = tf.cast(tf.random.stateless_normal([size, size], [1, 2]), dtype)
    product = tf.function(lambda: tf.reduce_sum(tf.cast(tf.matmul(left, left), tf.float32)))
    product()
    rates = []
    for _ in range(8):
        started = time.perf_counter()
        float(product())
        rates.append(2 * size**3 / (time.perf_counter() - started) / 1e9)
    return max(rates)


def speed(interactions: Interactions, rows: np.ndarray, batch_size: int, settings: Figures, lasts: float) -> Figures:
    """Events per second of training steps on some rows, optimizer included, and the operations of an event."""
    histories = build_histories(interactions, rows)
    config = gru.Config(**settings)
    model = gru.build(config, FeaturesConfig(), interactions, histories, 1)
    training = TrainingConfig(optimizer="adam" if model.scores_catalogue else "lazy-adam")
    model.compile(optimizer=make_optimizer(training))
    model.optimizer.build(model.trainable_variables)
    batches = next_item_batches(histories, batch_size=batch_size, seed=1, **config.sequences())
    step, stream = model.make_train_function(), iter(batches.dataset())
    for _ in range(30):
        step(stream)
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < lasts:
        float(step(stream)["loss"])
        steps += 1
    seconds = time.perf_counter() - started
    events = batches.examples_per_epoch / batches.steps_per_epoch
    scored = float(interactions.num_items)
    if not model.scores_catalogue:  # at most: an item that comes twice is scored once
        scored = min(scored, config.num_samples + (events if config.batch_negatives else 1))
    width = config.dim
    recurrence = sum(2 * units * 3 * units for units in config.units) + 2 * width * 3 * config.units[0]
    operations = 3 * (recurrence + 2 * config.units[-1] * width + 2 * width * scored)  # forward, and twice backward
    return {
        "settings": settings,
        "batch_size": batch_size,
        "events_per_second": steps * events / seconds,
        "events_per_step": events,
        "operations_per_event": operations,
        "of_them_output": 3 * 2 * width * scored / operations,
        "gflops": operations * steps * events / seconds / 1e9,
    }


def speed_of_sessions(folder: Path, lasts: float) -> Figures:
    """The setting of GRU4Rec: 100 units, 2,048 sampled items."""
    data, split = split_interactions(load(DataRequest(str(folder))))
    base = {"dim": 100, "units": [100], "input_dropout": 0.0, "objective": "cross-entropy", "num_samples": 2_048}
    base["most_batches"] = 0
    return {
        "session-parallel": speed(data, split.train, 512, {**base, "examples": "session-parallel", "rows": 512}, lasts),
        "sequences": speed(data, split.train, 2_048, base, lasts),
        "sequences, full softmax": speed(data, split.train, 2_048, {**base, "objective": "full-softmax"}, lasts),
    }


def speed_of_users(lasts: float) -> Figures:
    """Sequences as long as those of MovieLens 1M: 6,000 users, 3,400 items, up to 200 items each."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(4.5, 0.9, 6_000), 20, 200).astype(np.int64)
    popularity = 1 / np.arange(1, 3_401) ** 0.8
    items = rng.choice(3_400, lengths.sum(), p=popularity / popularity.sum()).astype(np.int32) + 1
    users = np.repeat(np.arange(1, 6_001, dtype=np.int32), lengths)
    names = [np.array(["", *map(str, range(1, count + 1))], dtype=object) for count in (6_000, 3_400)]
    data = Interactions("long-sequences", users, items, None, np.arange(len(users)), *names)
    base = {"dim": 128, "units": [256]}
    sampled = {**base, "objective": "cross-entropy"}
    ways: Figures = {
        "full softmax": {**base, "objective": "full-softmax"},
        "1,024 samples and the batch's targets": {**sampled, "num_samples": 1_024},
        "1,024 samples alone": {**sampled, "num_samples": 1_024, "batch_negatives": False},
        "512 samples alone": {**sampled, "num_samples": 512, "batch_negatives": False},
    }
    return {name: speed(data, np.arange(len(users)), 8_192, way, lasts) for name, way in ways.items()}


#: Settings under which each loss is compared. Ranking losses compare scores themselves, not cosines, and as the papers
#: have them, they are not corrected for how likely an item was drawn.
_OF_RANKING = {"normalize": False, "temperature": 1.0, "log_q": False, "num_samples": 512}
_LOSSES: dict[str, Figures] = {
    "full-softmax": {},
    "cross-entropy": {"num_samples": 512},
    "cross-entropy, drawn alone": {"objective": "cross-entropy", "num_samples": 512, "batch_negatives": False},
    "bpr": _OF_RANKING,
    "top1": _OF_RANKING,
    "bpr-max": {**_OF_RANKING, "score_penalty": 0.1},
    "top1-max": _OF_RANKING,
    "gbce": {**_OF_RANKING, "log_q": True},
}


def losses(folder: Path, epochs: int = 6) -> Figures:
    """Validation of every loss on MovieLens 100K, at the best of a few epochs."""
    found: Figures = {}
    console = Console(quiet=True)
    for name in _LOSSES:
        layers = [
            {"family": "gru", "data": {"dataset": "movielens-100k", "data_dir": str(folder)}},
            {"split": {"method": "leave-last-out"}, "model": {"objective": name, **_LOSSES[name]}},
            {"training": {"epochs": epochs, "metric": "ndcg@10"}},
        ]
        prepared = prepare(build(family_config("gru"), layers))
        model = prepared.build_model(prepared.selection_train)
        seen: list[dict[str, float]] = []
        measured = validator(prepared, model)

        def look(seen: list[dict[str, float]] = seen, measured: Callable[[], Any] = measured) -> dict[str, float]:
            seen.append(measured())
            return seen[-1]

        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as place:
            phase = Phase("selection", epochs, look)
            batches = prepared.batches(prepared.selection_train)
            fit(model, batches, phase, prepared.config.training, Path(place), console)
        best = max(seen, key=lambda one: one["ndcg@10"])
        found[name] = {
            "settings": _LOSSES[name],
            "seconds": time.perf_counter() - started,
            "epoch": 1 + seen.index(best),
            "metrics": {metric: float(best[metric]) for metric in _METRICS},
        }
        print(name, found[name], flush=True)
    return found


#: Part, its title, what it is judged by under the names of the table, and what is to be reached.
_ACCURACY = (
    ("sessions", "RecSys Challenge 2015, 1/64", {"recall@20": "hit@20", "mrr@20": "mrr@20"}, (0.712, 0.312)),
    (
        "movielens-100k",
        "MovieLens 100K, leave-last-out",
        {"hit@10": "hit@10", "ndcg@10": "ndcg@10"},
        (None, 0.100),
    ),
    (
        "movietweetings",
        "MovieTweetings 5-core, leave-last-out",
        {"hit@10": "hit@10", "ndcg@10": "ndcg@10"},
        (None, None),
    ),
)


def _accuracy(found: Figures, metrics: dict[str, str], bars: Sequence[float | None]) -> list[str]:
    """One model beside its baselines, then what is to be reached, and what it costs."""
    of_baselines = found.get("baseline_intervals", {})
    systems = {"**gru**": (found["metrics"], found["intervals"])}
    systems |= {name: (figures, of_baselines.get(name, {})) for name, figures in found["baselines"].items()}
    rows = [
        [name, *(bounded(figures[metric], intervals.get(metric)) for metric in metrics.values())]
        for name, (figures, intervals) in systems.items()
    ]
    verdicts = [
        f"- {name}: {found['metrics'][metric]:.4f}, at least {bar:.3f}: {judged(found['metrics'][metric], bar)}"
        for (name, metric), bar in zip(metrics.items(), bars, strict=True)
        if bar is not None
    ]
    for measured, index in (("step_ms", "as exported"), ("step_scann_ms", "exported with ScaNN")):
        p50 = found[measured]["p50"]
        verdicts.append(f"- one step, {index}: p50 {p50:.2f} ms, at most 1.00: {judged(p50, 1.0, at_most=True)}")
    return [*table(["", *metrics], rows), "", *verdicts, f"- minutes in all: {found['seconds'] / 60:.1f}"]


def lines(figures: Figures, environment: Figures, note: str) -> list[str]:
    """The results as Markdown."""
    made = [
        "# Sequential retrieval",
        "",
        origin(figures, environment),
        "",
        "Accuracy: full ranking, ties at their expected rank; baselines tuned on validation; in brackets 95% bootstrap "
        "intervals over users or sessions, where they were measured.",
        "",
    ]
    made += [note, ""] if note else []
    for name, title, metrics, bars in _ACCURACY:
        if name in figures:
            made += [
                f"## {title}",
                "",
                f"`{figures[name]['command']}`",
                "",
                *_accuracy(figures[name], metrics, bars),
                "",
            ]
    if "losses" in figures:
        made += ["## Losses", "", "MovieLens 100K, last item but one of everybody, best of six epochs.", ""]
        rows = [
            [name, *(f"{one['metrics'][metric]:.4f}" for metric in _METRICS), str(one["epoch"])]
            for name, one in figures["losses"].items()
        ]
        made += [*table(["loss", *_METRICS, "epoch"], rows), ""]
    if "speed" in figures:
        found = figures["speed"]
        made += ["## Speed of training", ""]
        made += [
            f"Matrix products of this machine: {found['float32']:.0f} GFLOP/s in float32, {found['bfloat16']:.0f} in "
            "bfloat16.",
            "",
        ]
        bars = {("sessions", "session-parallel"): 20_000, ("users", "512 samples alone"): 25_000}
        rows = [
            [
                f"{group}: {name}",
                f"{one['events_per_second']:,.0f}",
                f"{bars[group, name]:,}" if (group, name) in bars else "",
                f"{one['operations_per_event'] / 1e6:.1f}",
                f"{one['of_them_output']:.0%}",
                f"{one['gflops']:.0f}",
                f"{one['gflops'] / found['float32']:.0%}",
            ]
            for group in ("sessions", "users")
            for name, one in found.get(group, {}).items()
        ]
        made += table(
            ["layout", "events/s", "bar", "Mflop per event", "output layer", "GFLOP/s", "of float32 rate"], rows
        )
    return [*made, ""]


def main() -> None:
    """Measure the parts asked for and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=Path, help="folder of prepared sessions")
    parser.add_argument("--data-dir", type=Path, help="MovieLens 100K")
    parser.add_argument(
        "--only",
        choices=["sessions", "movielens-100k", "movietweetings", "losses", "speed", RENDER],
        help="a single part, or the page anew",
    )
    parser.add_argument("--movietweetings", type=Path, help="folder of MovieTweetings")
    parser.add_argument("--seconds", type=float, default=20.0, help="that each speed is measured for")
    parser.add_argument("--note", default="", help="a sentence to stand in the results")
    options = parser.parse_args()
    parts: dict[str, Callable[[], Figures]] = {}
    if options.sessions:
        folder = options.sessions.absolute()
        parts["sessions"] = lambda: trained("sessions.toml", ["--dataset", str(folder)])
    if options.data_dir:
        where = ["--data-dir", str(options.data_dir.absolute())]
        parts["movielens-100k"] = lambda: trained("movielens-100k.toml", where)
        parts["losses"] = lambda: losses(options.data_dir)
    if options.movietweetings:
        there = ["--data-dir", str(options.movietweetings.absolute())]
        parts["movietweetings"] = lambda: trained("movietweetings.toml", there)
    parts["speed"] = lambda: {
        "float32": matrix_rate(tf.float32),
        "bfloat16": matrix_rate(tf.bfloat16),
        "sessions": speed_of_sessions(options.sessions, options.seconds) if options.sessions else {},
        "users": speed_of_users(options.seconds),
    }
    keep_parts(RESULTS, parts, options.only, lambda figures, environment: lines(figures, environment, options.note))


if __name__ == "__main__":
    main()
