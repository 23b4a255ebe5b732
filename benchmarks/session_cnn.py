"""3-D convolutions over sessions with content: accuracy beside what they are compared with, cold items, speed.

    python benchmarks/session_cnn.py [--dataset simulated-shop] [--seed 7] [--only accuracy|speed] [--systems NAME ...]

Every system is trained on the same split in this process, with the settings of configs/session-cnn/simulated-shop.toml
where it is of that family, and ranks the whole catalogue, items included that occur in no training row. Results go to
benchmarks/results/session_cnn.md and .json; a system or a part that is not run keeps its line, and what session-cnn is
compared with is what has been measured after it in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from record import Figures, commit, judged, origin, table, today
from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.baselines.tuning import tuned_baselines
from recsys_tfrs.config import build, read_toml
from recsys_tfrs.evaluation.intervals import confidence_intervals, paired_differences
from recsys_tfrs.evaluation.metrics import UserSums, hit, user_sums
from recsys_tfrs.evaluation.ranking import Scorer, rank
from recsys_tfrs.runs.carts import cart_scorer, rank_carts
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.fitting import fit_run
from recsys_tfrs.runs.prepared import Prepared, prepare

tf = runtime.import_tensorflow()

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "session_cnn"


class System(NamedTuple):
    """A neural system: its family, and what is not at its default."""

    family: str
    model: Figures
    training: Figures


#: Baselines are tuned on validation. A GRU over ids is trained with the input dropout and the epochs with which its own
#: carts are foreseen best in shops of other seeds.
SYSTEMS: dict[str, System] = {
    "session-cnn": System("session-cnn", {}, {}),
    "GRU, same content": System("session-cnn", {"over_time": "gru"}, {}),
    "GRU, no content": System(
        "session-cnn", {"over_time": "gru", "content": False, "input_dropout": 0.1}, {"epochs": 8}
    ),
    "gru family, no content": System("gru", {"item_columns": False}, {}),
}
OWN = SYSTEMS["session-cnn"]
BASELINES = {"item-kNN": "item_knn", "Markov chain": "markov_chain"}

#: What is shown of the next click.
_METRICS = {"recall@20": "hit@20", "mrr@20": "mrr@20"}


def prepared_for(system: System, dataset: str, seed: int) -> Prepared:
    """Data, split and configuration of a system; the rest of its training is that of its family."""
    own = read_toml(ROOT / "configs" / "session-cnn" / "simulated-shop.toml")
    if system.family != "session-cnn":
        own = {"split": own["split"]}
    data = {"dataset": dataset, "seed": seed}
    layers = [own, {"family": system.family, "data": data, "model": system.model, "training": system.training}]
    return prepare(build(family_config(system.family), layers))


class Measured(NamedTuple):
    """A system's figures, and what its cases add to them, by task, to be compared case by case."""

    figures: Figures
    sums: dict[str, UserSums]


def measured(prepared: Prepared, scorer: Scorer, carts: Scorer) -> Measured:
    """Next click over the whole catalogue, of all and of cold targets, and what is carted."""
    data, split = prepared.interactions, prepared.split
    users, items = data.users[split.test], data.items[split.test]
    ranking = rank(scorer, users, items, seen=None, num_items=data.num_items)
    sums = user_sums(ranking)
    intervals = confidence_intervals(sums)
    means = dict(zip(sums.names, sums.means().tolist(), strict=True))
    cold = np.bincount(data.items[split.train], minlength=data.num_items + 1)[items] == 0
    hits = hit(ranking, 20)
    found: Figures = {
        name: {"mean": means[metric], "low": intervals[metric][0], "high": intervals[metric][1]}
        for name, metric in _METRICS.items()
    }
    ranked_carts = rank_carts(prepared, carts)
    if ranked_carts is None:
        raise SystemExit("Nothing is known of carts.")
    of_carts = user_sums(ranked_carts)
    low, high = confidence_intervals(of_carts)["recall@10"]
    mean = dict(zip(of_carts.names, of_carts.means().tolist(), strict=True))["recall@10"]
    found["add-to-cart recall@10"] = {"mean": mean, "low": low, "high": high}
    for kind, of_kind in (("cold", hits[cold]), ("warm", hits[~cold])):
        spread = 1.96 * float(of_kind.std()) / np.sqrt(len(of_kind))
        mean = float(of_kind.mean())
        found[f"{kind} recall@20"] = {"mean": mean, "low": mean - spread, "high": mean + spread}
    found |= {
        "chance": 20 / data.num_items,
        "num_cases": len(items),
        "num_cold": int(cold.sum()),
        "num_cart_cases": len(of_carts.users),
    }
    return Measured(found, {"next click": sums, "carts": of_carts})


def differences(own: Measured, other: Measured) -> Figures:
    """What the first has more than the second, case by case, with its 95% bootstrap interval."""
    clicks = paired_differences(own.sums["next click"], other.sums["next click"])
    carts = paired_differences(own.sums["carts"], other.sums["carts"])
    found = {name: clicks[metric] for name, metric in _METRICS.items()} | {"add-to-cart recall@10": carts["recall@10"]}
    return {name: {"mean": one.difference, "low": one.low, "high": one.high} for name, one in found.items()}


def of_network(name: str, dataset: str, seed: int) -> Measured:
    """Train a network as the command line does, and measure it."""
    system = SYSTEMS[name]
    prepared = prepared_for(system, dataset, seed)
    with tempfile.TemporaryDirectory() as place:
        fitted = fit_run(prepared, Path(place), Console(quiet=True))
    scorer = fitted.prepared.scorer(fitted.model, prepared.known, prepared.split.test)
    found = measured(prepared_for(OWN, dataset, seed), scorer, cart_scorer(prepared, fitted.model))
    epochs = fitted.final.epoch if fitted.final is not fitted.selection else fitted.selection.best_epoch
    settings = {**system.model, **{f"training.{name}": value for name, value in system.training.items()}}
    found.figures.update(family=system.family, settings=settings, seconds=fitted.seconds, epochs=epochs)
    return found


def of_baseline(name: str, dataset: str, seed: int) -> Measured:
    """Tune a baseline on validation, refit it, and measure it."""
    prepared = prepared_for(OWN, dataset, seed)
    tuned = tuned_baselines(
        prepared.interactions, prepared.split, names=[BASELINES[name]], pairs="all", filter_seen=False, seed=42
    )[BASELINES[name]]
    if tuned.scorer is None:
        raise SystemExit(f"{name} was not run: {tuned.skipped}")
    found = measured(prepared, tuned.scorer, tuned.scorer)
    found.figures.update(settings=tuned.config, seconds=tuned.seconds)
    return found


def matrix_rate() -> float:
    """Billions of operations per second of a large float32 product."""
    left = tf.random.stateless_normal([2_048, 2_048], [1, 2])
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(left, left)))
    product()
    rates = []
    for _ in range(6):
        started = time.perf_counter()
        float(product())
        rates.append(2 * 2_048**3 / (time.perf_counter() - started) / 1e9)
    return max(rates)


def operations(prepared: Prepared, rows: int, items: int) -> dict[str, float]:
    """Multiplications and additions of one training step, forwards and twice that backwards, by part."""
    c = prepared.config.model
    positions, half = -(-c.characters // 4), -(-c.window // 2)
    text = c.characters * c.character_width * c.character_dim * c.channels
    text += positions * 3 * c.channels * c.text_filters + c.text_filters * c.dim
    first, second = c.filters
    block = c.window * c.dim * c.channels + c.window * positions * 9 * c.channels * first
    block += half * -(-positions // 2) * 9 * first * second
    hidden = (half * second + 3 * c.dim + 2 * c.gated_filters) * c.units + 2 * c.units * c.dim
    gated = 2 * c.window * 3 * c.dim * c.gated_filters
    parts = {"texts": items * text, "block": rows * block, "gated convolution": rows * gated}
    parts["hidden layer"] = rows * hidden
    carted = 0.5  # windows after which something is carted, about
    parts["scores"] = (1 + carted) * rows * items * c.dim
    return {name: 6.0 * count for name, count in parts.items()}


def speed(dataset: str, lasts: float) -> Figures:
    """Windows per second of training steps of 8 clicks x 64 characters, the optimizer included."""
    prepared = prepared_for(OWN, dataset, 42)
    config = prepared.config.model
    model = prepared.build_model(prepared.train)
    model.optimizer.build(model.trainable_variables)
    batches = prepared.batches(prepared.train)
    step, stream = model.make_train_function(), iter(batches.dataset())
    for _ in range(3):
        step(stream)
    taken: list[float] = []
    computing = time.process_time()
    while sum(taken) < lasts:
        started = time.perf_counter()
        float(step(stream)["loss"])
        taken.append(time.perf_counter() - started)
    computing = (time.process_time() - computing) / len(taken)
    items = int((np.bincount(prepared.train.items) > 0).sum()) + 1
    counted = operations(prepared, batches.rows, items)
    return {
        "clicks": config.window,
        "characters": config.characters,
        "rows": batches.rows,
        "items": items,
        "sessions_per_second": batches.rows * len(taken) / sum(taken),
        "sessions_per_second_median": batches.rows / float(np.median(taken)),
        "sessions_per_second_fastest_quarter": batches.rows / float(np.quantile(taken, 0.25)),
        "processor_seconds_per_step": computing,
        "processors": os.cpu_count(),
        "operations": counted,
        "gflops": sum(counted.values()) / float(np.median(taken)) / 1e9,
        "matrix_gflops": matrix_rate(),
        "peak_memory_bytes": runtime.peak_memory_bytes(),
    }


def _cell(figures: Figures) -> str:
    return f"{figures['mean']:.4f} ({figures['low']:.4f} to {figures['high']:.4f})"


def verdicts(figures: Figures) -> list[list[str]]:
    """The bars, as far as session-cnn was measured beside the systems they speak of."""
    rows = []
    for other, found in figures.get("differences", {}).items():
        for metric, one in found.items():
            if other == "GRU, same content":
                level = "reached" if one["mean"] >= 0 else "lower, level" if one["high"] >= 0 else "MISSED"
                if metric.startswith("add-to-cart"):
                    rows.append([f"{metric} not below {other}", _cell(one), level])
            else:
                rows.append([f"{metric} above {other}", _cell(one), judged(one["low"], 0.0)])
    if own := figures["accuracy"].get("session-cnn"):
        bar, cold = 10 * own["chance"], own["cold recall@20"]
        rows.append([f"targets not in training, recall@20 above {bar:.2f}", _cell(cold), judged(cold["low"], bar)])
    return rows


def lines(figures: Figures, environment: Figures, note: str) -> list[str]:
    """The results as Markdown."""
    made = ["# Sessions with content: 3-D convolutions", ""]
    made += [origin(figures, environment), ""]
    made += [note, ""] if note else []
    systems = figures.get("accuracy", {})
    if systems:
        any_system = next(iter(systems.values()))
        made += [
            f"`{figures['dataset']}`: {any_system['num_cases']:,} next clicks, {any_system['num_cold']:,} of them on "
            f"items in no training row, {any_system['num_cart_cases']:,} cases after which something is carted. The "
            "whole catalogue is ranked. Intervals are 95% bootstrap over cases. Cold: of the former alone; warm: of "
            "the others, among which a system that knows no cold items has fewer to choose from.",
            "",
        ]
        metrics = ("recall@20", "mrr@20", "add-to-cart recall@10", "cold recall@20", "warm recall@20")
        rows = [
            [name, *(_cell(found[metric]) for metric in metrics), f"{found['seconds']:.0f}"]
            for name, found in systems.items()
        ]
        made += [*table(["", *metrics, "seconds"], rows), ""]
        made += [
            "What session-cnn has more than the others, case by case, with its interval; *above* is reached where the "
            "interval lies above 0:",
            "",
            *table(["bar", "session-cnn less it", ""], verdicts(figures)),
            "",
        ]
    if "speed" in figures:
        found = figures["speed"]
        total = sum(found["operations"].values())
        parts = ", ".join(f"{name} {count / total:.0%}" for name, count in found["operations"].items())
        verdict = judged(found["sessions_per_second"], 1_500)
        computing, cores = found["processor_seconds_per_step"], found["processors"]
        made += [
            "## Speed of training",
            "",
            f"{found['clicks']} clicks x {found['characters']} characters, {found['rows']} windows a step beside a "
            f"catalogue of {found['items'] - 1:,}: {found['sessions_per_second']:,.0f} sessions per second on average, "
            f"{found['sessions_per_second_median']:,.0f} at the median step, "
            f"{found['sessions_per_second_fastest_quarter']:,.0f} in the fastest quarter (bar 1,500: {verdict}).",
            "",
            f"A step takes {computing:.2f} s of processor time. Were all {cores} cores free and busy, that would be "
            f"{found['rows'] * cores / computing:,.0f} sessions per second: what "
            "the rate above lacks of it is time in which cores waited or did other work.",
            "",
            f"A step is {total / 1e9:.1f} billion operations ({parts}), {found['gflops']:.0f} GFLOP/s at the median "
            f"against {found['matrix_gflops']:.0f} of a large matrix product. Peak memory "
            f"{found['peak_memory_bytes'] / 2**30:.1f} GiB.",
            "",
        ]
    return made


def main() -> None:
    """Measure the parts asked for and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*SYSTEMS, *BASELINES]
    parser.add_argument("--dataset", default="simulated-shop", help="simulated-shop or simulated-shop-small")
    parser.add_argument("--seed", type=int, default=42, help="of the shop; figures of others are printed, not kept")
    parser.add_argument("--only", choices=["accuracy", "speed"], help="a single part")
    parser.add_argument("--systems", nargs="+", choices=names, default=names, help="of the accuracy")
    parser.add_argument("--seconds", type=float, default=30.0, help="that the speed is measured for")
    parser.add_argument("--note", default="", help="a sentence to stand in the results")
    options = parser.parse_args()
    kept = RESULTS if options.seed == 42 else Path(tempfile.mkdtemp()) / RESULTS.name
    path = kept.with_suffix(".json")
    figures: dict[str, Any] = json.loads(path.read_text("utf-8"))["figures"] if path.exists() else {}

    def write(measured: str) -> None:
        environment = runtime.describe()
        figures["dataset"] = options.dataset
        figures["measured"] = {**figures.get("measured", {}), measured: f"{today()} at {commit()}"}
        written = {"figures": figures, "environment": environment}
        path.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
        kept.with_suffix(".md").write_text("\n".join(lines(figures, environment, options.note)), encoding="utf-8")

    if options.only in (None, "speed"):
        figures["speed"] = speed(options.dataset, options.seconds)
        write("speed")
    own: Measured | None = None
    for name in options.systems if options.only in (None, "accuracy") else []:
        print(f"{name} ...", flush=True)
        found = (of_network if name in SYSTEMS else of_baseline)(name, options.dataset, options.seed)
        accuracy = {**figures.get("accuracy", {}), name: found.figures}
        figures["accuracy"] = {key: accuracy[key] for key in names if key in accuracy}
        if name == "session-cnn":
            own, figures["differences"] = found, {}
        elif own is not None:
            figures["differences"][name] = differences(own, found)
        write(name)
    print(kept.with_suffix(".md").read_text("utf-8"))


if __name__ == "__main__":
    main()
