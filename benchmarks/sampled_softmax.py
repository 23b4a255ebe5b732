"""The sampled softmax beside the full one: accuracy on MovieLens 100K, and speed with a million items.

    python benchmarks/sampled_softmax.py [--data-dir FOLDER] [--items 1000000] [--seeds 3] [--only accuracy speed]

Accuracy: the softmax family on the random split, one member, everything else at its default but the loss; each is
selected on validation and measured on the test rows. Speed: one training step after another on interactions drawn at
random, which costs what real ones would; the first steps (tracing) are left out. Writes
`benchmarks/results/sampled_softmax.json` and, rendered from it, `sampled_softmax.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import Figures, commit, judged, machine, table, today
from rich.console import Console

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()

from recsys_tfrs.config import build  # noqa: E402
from recsys_tfrs.data.histories import build_histories  # noqa: E402
from recsys_tfrs.data.interactions import Interactions  # noqa: E402
from recsys_tfrs.features.config import FeaturesConfig  # noqa: E402
from recsys_tfrs.models import softmax  # noqa: E402
from recsys_tfrs.runs.config import family_config  # noqa: E402
from recsys_tfrs.runs.fitting import fit_run  # noqa: E402
from recsys_tfrs.runs.measuring import measure  # noqa: E402
from recsys_tfrs.runs.prepared import prepare  # noqa: E402
from recsys_tfrs.training.averaging import AveragedWeights  # noqa: E402
from recsys_tfrs.training.config import TrainingConfig  # noqa: E402
from recsys_tfrs.training.fit import averaging_interval, largest_table, make_optimizer  # noqa: E402
from recsys_tfrs.training.pipeline import user_batches  # noqa: E402

_RESULTS = Path(__file__).resolve().parent / "results"
_STORE, _REPORT = _RESULTS / "sampled_softmax.json", _RESULTS / "sampled_softmax.md"

NEGATIVES = 1_000
LOSSES: dict[str, dict[str, Any]] = {
    "full softmax": {"objective": "full-softmax", "members": 1},
    f"sampled, {NEGATIVES:,} uniform": {
        "objective": "sampled-softmax",
        "members": 1,
        "sampler": "uniform",
        "num_negatives": NEGATIVES,
    },
}
#: What the sampled softmax may lose of ndcg@10, and times as many examples per second it must train.
BAR_LOSS, BAR_SPEED = 0.02, 20.0
METRICS = ("hit@10", "hit@100", "ndcg@10")

USERS, HISTORY, BATCH, DIM = 100_000, 20, 8_192, 64


def accuracy(data_dir: Path | None, seeds: int) -> Figures:
    """Test figures of each loss, one list of seeds each."""
    figures: dict[str, list[Figures]] = {name: [] for name in LOSSES}
    for seed in range(42, 42 + seeds):
        for name, model in LOSSES.items():
            data = {"dataset": "movielens-100k", "data_dir": data_dir}
            settings = {"family": "softmax", "seed": seed, "data": data, "split": {"method": "random"}, "model": model}
            prepared = prepare(build(family_config("softmax"), [settings]))
            runtime.configure("auto", seed=seed)
            with tempfile.TemporaryDirectory() as work:
                fitted = fit_run(prepared, Path(work), Console(quiet=True))
            evaluation = measure(prepared, prepared.scorer(fitted.model, prepared.train, prepared.split.test))
            figures[name].append({metric: evaluation.metrics[metric] for metric in METRICS})
            print(f"seed {seed}, {name}: {figures[name][-1]}", flush=True)
    return {"seeds": seeds, "runs": figures}


def speed(items: int, rounds: int) -> Figures:
    """Examples per second of each loss, the two taking turns."""
    draw = np.random.default_rng(0)
    rows = USERS * HISTORY
    ids = {
        side: np.array(["", *(f"{side}-{n}" for n in range(1, count + 1))], dtype=object)
        for side, count in (("user", USERS), ("item", items))
    }
    # A power law, as catalogues have it: in-batch items repeat, and tables are met unevenly.
    chosen = np.minimum((items * draw.random(rows) ** 3).astype(np.int32) + 1, items)
    interactions = Interactions(
        name="speed",
        users=np.repeat(np.arange(1, USERS + 1, dtype=np.int32), HISTORY),
        items=chosen,
        ratings=None,
        timestamps=np.arange(rows, dtype=np.int64),
        user_ids=ids["user"],
        item_ids=ids["item"],
    )
    histories = build_histories(interactions, np.arange(rows))
    batches = user_batches(histories, batch_size=BATCH, seed=1)
    training = TrainingConfig()
    rates: dict[str, list[float]] = {name: [] for name in LOSSES}
    for turn in range(rounds):
        for name, settings in LOSSES.items():
            config = softmax.Config(hide="any", dim=DIM, **settings)
            model = softmax.build(config, FeaturesConfig(), interactions, histories, 1)
            model.compile(optimizer=make_optimizer(training, None, largest_table(model)))
            averages = AveragedWeights(model, training.average_decay, averaging_interval(model))
            step = tf.function(model.train_step)
            every = averaging_interval(model)
            timed = 4 * every if settings["objective"] != "full-softmax" else 2 * every
            seconds = 0.0
            for number, batch in enumerate(batches.dataset().take(2 + timed)):
                started = time.perf_counter()
                step(batch)
                averages.update()
                if number >= 2:
                    seconds += time.perf_counter() - started
            rates[name].append(timed * batches.examples_per_epoch / batches.steps_per_epoch / seconds)
            print(f"turn {turn + 1}, {name}: {rates[name][-1]:,.0f} examples/s", flush=True)
            del model, averages, step
    return {"items": items, "dim": DIM, "batch": BATCH, "rates": rates, "peak_bytes": runtime.peak_memory_bytes()}


def render(store: Figures) -> list[str]:
    """The report as lines of Markdown."""
    lines = [
        "# The sampled softmax beside the full one: measured figures",
        "",
        "Written by `make bench-sampled`; do not edit. For programs: `sampled_softmax.json`.",
    ]
    full, sampled = LOSSES
    for part, entry in store.items():
        of = entry["figures"]
        lines += ["", f"## {part.capitalize()}", "", f"{entry['date']}, commit {entry['commit']}  "]
        lines += [f"{machine(entry['environment'])}; load before the start {entry['load_before']:.1f}", ""]
        if part == "accuracy":
            means = {
                name: {metric: statistics.mean(run[metric] for run in runs) for metric in METRICS}
                for name, runs in of["runs"].items()
            }
            rows = [[name, *(f"{mean[metric]:.4f}" for metric in METRICS)] for name, mean in means.items()]
            lost = 1.0 - means[sampled]["ndcg@10"] / means[full]["ndcg@10"]
            lines += [f"MovieLens 100K, random split, seen items filtered, mean of {of['seeds']} seeds.", ""]
            lines += [*table(["", *METRICS], rows), ""]
            lines += [
                f"ndcg@10 lost by sampling: {lost:.1%}, at most {BAR_LOSS:.0%}: {judged(lost, BAR_LOSS, at_most=True)}."
            ]
        else:
            rates = {name: statistics.median(values) for name, values in of["rates"].items()}
            rows = [[name, f"{rate:,.0f}"] for name, rate in rates.items()]
            times = rates[sampled] / rates[full]
            lines += [
                f"{of['items']:,} items, {of['dim']} dimensions, {of['batch']:,} interactions in a batch, medians of "
                f"{len(of['rates'][full])} turns; peak memory {of['peak_bytes'] / 2**30:.1f} GiB.",
                "",
                *table(["", "examples/s"], rows),
                "",
                f"{times:.0f} times as fast, at least {BAR_SPEED:.0f}: {judged(times, BAR_SPEED)}.",
            ]
    return lines


def main() -> None:
    """Measure the parts asked for and write them down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder or zip of MovieLens 100K")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=["accuracy", "speed"], default=["accuracy", "speed"])
    options = parser.parse_args()
    store: Figures = json.loads(_STORE.read_text(encoding="utf-8")) if _STORE.exists() else {}
    for part in options.only:
        origin = {"date": today(), "commit": commit(), "load_before": os.getloadavg()[0]}
        figures = (
            accuracy(options.data_dir, options.seeds) if part == "accuracy" else speed(options.items, options.rounds)
        )
        store[part] = {**origin, "environment": runtime.describe(), "figures": figures}
        lines = render({name: store[name] for name in ("accuracy", "speed") if name in store})
        for path, text in ((_STORE, json.dumps(store, indent=1)), (_REPORT, "\n".join(lines))):
            path.write_text(text + "\n", encoding="utf-8")
    print(_REPORT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
