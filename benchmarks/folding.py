"""Folding and accuracy of the softmax family under different negatives: `make bench-folding`.

    python benchmarks/folding.py [--data-dir FOLDER] [--seeds 10] [--epochs 20] [--only simulated-small ...]
        [--negatives uniform ...]

The same model, settings, split and number of epochs; only the negatives differ, and nothing is tuned for any of them.
A model without negatives gives everybody nearly the same list, and which list that is depends on its initial weights:
one training says little, so what is judged is the ratio of means over many seeds, with an interval over the seeds.
Writes `benchmarks/results/folding.json` and, rendered from it, `folding.md`. Without MovieLens 100K on this machine
only the simulated data is measured.
"""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from record import Figures, commit, judged, machine, table, today
from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.config import build
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DatasetNotFoundError
from recsys_tfrs.evaluation.folding import foreign_share
from recsys_tfrs.evaluation.ranking import Ranking
from recsys_tfrs.runs.config import RunConfig, family_config
from recsys_tfrs.runs.folding import LIST_LENGTH, LUCK, TRUE_GROUPS, item_groups, measure_folding
from recsys_tfrs.runs.measuring import OracleScorer, measure
from recsys_tfrs.runs.prepared import Prepared, prepare
from recsys_tfrs.schema import MOVIE_GENRES
from recsys_tfrs.training.fit import Phase, fit

_RESULTS = Path(__file__).resolve().parent / "results"
_STORE, _REPORT = _RESULTS / "folding.json", _RESULTS / "folding.md"

#: Data sets and the groups of items that are looked at.
GROUPS = {"simulated-small": (TRUE_GROUPS, MOVIE_GENRES), "movielens-100k": (MOVIE_GENRES,)}

#: What differs between the rows; `hard` keeps of the mixed negatives those that score highest.
NEGATIVES: dict[str, dict[str, Any]] = {
    "positives-only": {"objective": "positives-only"},
    "uniform": {"objective": "sampled-softmax", "sampler": "uniform"},
    "in-batch": {"objective": "sampled-softmax", "sampler": "in-batch"},
    "mixed": {"objective": "sampled-softmax", "sampler": "mixed"},
    "hard": {"objective": "sampled-softmax", "sampler": "mixed", "num_hard": 100},
    "all items": {"objective": "full-softmax"},
}
NUM_NEGATIVES = 500
METRICS = ("hit@10", "ndcg@10", "coverage@10")

#: Shares of lists that are looked at, and how improbable a miss by luck must be.
SHARES = {"never_touched": ("never touched", 1.0), "avoided": ("avoided", LUCK)}

#: Draws of seeds, for intervals.
RESAMPLES = 10_000

#: A model with negatives has to show at most this share of what positives alone show.
BAR, JUDGED = 0.2, ("uniform", "in-batch")


def configuration(dataset: str, data_dir: Path | None, negatives: str, seed: int) -> RunConfig:
    """The settings of one training: the family's defaults, but for the negatives."""
    place = {} if data_dir is None or dataset.startswith("simulated") else {"data_dir": str(data_dir)}
    model = {"hide": "any", "members": 1, "num_negatives": NUM_NEGATIVES, **NEGATIVES[negatives]}
    settings = {"family": "softmax", "seed": seed, "data": {"dataset": dataset, **place}, "model": model}
    return build(family_config("softmax"), [settings, {"split": {"method": "random"}}])


def train_and_measure(prepared: Prepared, epochs: int) -> Figures:
    """``{"metrics", "identical_lists", "folding": {groups: scores}}`` of one training."""
    runtime.configure(prepared.config.device, seed=prepared.config.seed)
    model = prepared.build_model(prepared.train)
    with tempfile.TemporaryDirectory() as place:
        phase = Phase("refit", epochs, None)
        batches = prepared.batches(prepared.train)
        fit(model, batches, phase, prepared.config.training, Path(place), Console(quiet=True))
    scorer = prepared.scorer(model, prepared.train, prepared.split.test)
    evaluation = measure(prepared, scorer)
    folding = {
        column: asdict(
            measure_folding(evaluation.ranking, scorer.candidates, prepared.train, item_groups(prepared, column))
        )
        for column in GROUPS[prepared.interactions.name]
    }
    return {
        "metrics": {name: evaluation.metrics[name] for name in METRICS},
        "identical_lists": evaluation.identical_lists,
        "folding": folding,
    }


def of_the_truth(prepared: Prepared) -> Figures | None:
    """The same of the generator's own preferences, as far as it has any; they have no embedding space."""
    if prepared.interactions.oracle is None:
        return None
    evaluation = measure(prepared, OracleScorer(prepared.interactions.oracle))
    folding = {
        column: _lists(evaluation.ranking, prepared.train, prepared, column)
        for column in GROUPS[prepared.interactions.name]
    }
    return {"metrics": {name: evaluation.metrics[name] for name in METRICS}, "folding": folding}


def _lists(ranking: Ranking, train: Histories, prepared: Prepared, column: str) -> Figures:
    groups = item_groups(prepared, column)
    return {
        name: asdict(foreign_share(ranking.list_users, ranking.top_items[:, :LIST_LENGTH], train, groups, luck))
        for name, (_, luck) in SHARES.items()
    }


def measure_dataset(
    dataset: str, data_dir: Path | None, chosen: list[str], seeds: list[int], epochs: int
) -> tuple[Figures | None, dict[str, list[Figures]]]:
    """What the truth has, and of each of the chosen negatives one entry per seed."""
    runs: dict[str, list[Figures]] = {}
    prepared = prepare(configuration(dataset, data_dir, "positives-only", seeds[0]))
    for negatives in chosen:
        for seed in seeds:
            config = configuration(dataset, data_dir, negatives, seed)
            found = train_and_measure(Prepared(config, prepared.interactions, prepared.split), epochs)
            runs.setdefault(negatives, []).append({"seed": seed, **found})
            shares = ", ".join(
                f"{column} {f['never_touched']['share']:.4f} and {f['avoided']['share']:.4f}"
                for column, f in found["folding"].items()
            )
            accuracy = ", ".join(f"{name} {value:.4f}" for name, value in found["metrics"].items())
            print(f"{dataset}, {negatives}, seed {seed}: {accuracy}; {shares}", flush=True)
    return of_the_truth(prepared), runs


def render(dataset: str, figures: Figures) -> list[str]:
    """The tables of one data set."""
    runs, oracle = figures["runs"], figures["oracle"]
    rows = [
        [
            name,
            *(f"{mean(entries, 'metrics', metric):.4f}" for metric in METRICS),
        ]
        for name, entries in runs.items()
    ]
    if oracle is not None:
        rows.append(["*the truth*", *(f"{oracle['metrics'][metric]:.4f}" for metric in METRICS)])
    seeds = ", ".join(f"{name} {len(entries)}" for name, entries in runs.items())
    lines = [f"Means over seeds: {seeds}.", "", *table(["negatives", *METRICS], rows)]
    for column in GROUPS[dataset]:
        lines += ["", f"### {dataset}, groups: {column}", "", *_render_groups(column, runs, oracle)]
    return lines


def _render_groups(column: str, runs: dict[str, list[Figures]], oracle: Figures | None) -> list[str]:
    rows = []
    for name, entries in runs.items():
        of = [f"{_share(entries, column, kind):.4f}" for kind in SHARES]
        nearest = mean(entries, "folding", column, "overlap", "neighbour_share")
        cosine = mean(entries, "folding", column, "overlap", "centroid_cosine")
        rows.append([name, *of, f"{nearest:.3f}", f"{cosine:.3f}"])
    if oracle is not None:
        rows.append(["*the truth*", *(f"{oracle['folding'][column][kind]['share']:.4f}" for kind in SHARES), "", ""])
    first = runs["positives-only"][0]["folding"][column]
    chance = [f"{first[kind]['chance']:.4f}" for kind in SHARES]
    rows.append(["*items at random*", *chance, f"{first['overlap']['neighbour_chance']:.3f}", ""])
    header = ["negatives", *(said for said, _ in SHARES.values()), "neighbours unrelated", "cosine of centroids"]
    lines = [*table(header, rows), "", "Of what positives alone show, with 95% intervals over seeds:", ""]
    rows = [
        [name, *(f"{r:.2f} ({low:.2f} to {high:.2f})" for r, low, high in ratios)]
        for name, ratios in (
            (name, [ratio(entries, runs["positives-only"], column, kind) for kind in SHARES])
            for name, entries in runs.items()
            if name != "positives-only"
        )
    ]
    if oracle is not None:
        truth = [oracle["folding"][column][kind]["share"] for kind in SHARES]
        alone = [_share(runs["positives-only"], column, kind) for kind in SHARES]
        rows.append(["*the truth*", *(f"{a / b:.2f}" for a, b in zip(truth, alone, strict=True))])
    lines += [*table(["negatives", *(said for said, _ in SHARES.values())], rows), ""]
    for kind, (said, _) in SHARES.items():
        verdicts = "; ".join(f"{name} {_verdict(runs, name, column, kind)}" for name in JUDGED if name in runs)
        lines.append(f"- {said}, at most {BAR:.0%} of positives-only: {verdicts}")
    return lines


def ratio(own: list[Figures], worst: list[Figures], column: str, kind: str) -> tuple[float, float, float]:
    """Mean share over seeds, divided by that of positives alone, with a bootstrap interval over both sets of seeds."""
    draw = np.random.default_rng(0)
    shares = [np.array([entry["folding"][column][kind]["share"] for entry in entries]) for entries in (own, worst)]
    drawn = [draw.choice(values, (RESAMPLES, len(values))).mean(axis=1) for values in shares]
    low, high = np.quantile(drawn[0] / np.maximum(drawn[1], 1e-12), [0.025, 0.975])
    return float(shares[0].mean() / max(shares[1].mean(), 1e-12)), float(low), float(high)


def _verdict(runs: dict[str, list[Figures]], name: str, column: str, kind: str) -> str:
    """By the upper end of the interval; beside it, how many seeds reach the bar, each by its own."""
    found, low, high = ratio(runs[name], runs["positives-only"], column, kind)
    pairs = [
        (own["folding"][column][kind]["share"], worst["folding"][column][kind]["share"])
        for own, worst in zip(runs[name], runs["positives-only"], strict=False)
    ]
    reached = sum(own <= BAR * worst for own, worst in pairs)
    verdict = judged(high, BAR, at_most=True)
    return f"{verdict} at {found:.2f} ({low:.2f} to {high:.2f}), seed by seed {reached} of {len(pairs)}"


def mean(entries: list[Figures], *keys: str) -> float:
    """Mean over seeds of what lies below some keys."""
    values = []
    for entry in entries:
        value: Any = entry
        for key in keys:
            value = value[key]
        values.append(value)
    return statistics.mean(values)


def _share(entries: list[Figures], column: str, kind: str) -> float:
    return mean(entries, "folding", column, kind, "share")


def report(store: Figures) -> list[str]:
    """The whole report as lines of Markdown."""
    lines = [
        "# Folding: measured figures",
        "",
        "Written by `make bench-folding DATA_DIR=FOLDER` (FOLDER holds MovieLens 100K); do not edit. The softmax "
        f"family, random 80/20 split; {NUM_NEGATIVES} negatives where any are drawn, `hard` keeping the "
        f"{NEGATIVES['hard']['num_hard']} hardest of the mixed ones; all else equal and nothing tuned. Accuracy per "
        "test interaction, full ranking, seen items filtered.",
        "",
        "- *never touched*: share of the test users' lists of ten from groups they never touched in training.",
        "- *avoided*: the same from groups that they left alone although they would have missed them by luck with a "
        f"probability of at most {LUCK:.0%}, had their items been drawn as everybody's are.",
        "- *neighbours unrelated*: share of items' ten nearest items (cosine) that have no group in common with them.",
        "- *cosine of centroids*: mean over pairs of groups; 1: they lie on top of each other.",
        "- *the truth*: the generator's own preferences, ranked as a model is.",
    ]
    for dataset, entry in store.items():
        lines += [
            "",
            f"## {dataset}",
            "",
            f"{machine(entry['environment'])}",
            "",
            *(
                f"- {', '.join(names)}: {of['date']}, commit {of['commit']}, {of['epochs']} epochs, `{of['command']}`"
                for names, of in _by_origin(entry["origins"])
            ),
            "",
            *render(dataset, entry["figures"]),
        ]
    return lines


def _by_origin(origins: dict[str, Figures]) -> list[tuple[list[str], Figures]]:
    """The rows that one command measured, and that command."""
    found: list[tuple[list[str], Figures]] = []
    for name in (name for name in NEGATIVES if name in origins):
        for names, of in found:
            if of == origins[name]:
                names.append(name)
                break
        else:
            found.append(([name], origins[name]))
    return found


def typed(arguments: list[str]) -> str:
    """The command as somebody else would type it: the folder of the data is his own."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return shlex.join(["python", "benchmarks/folding.py", *("FOLDER" if b == "--data-dir" else a for b, a in pairs)])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data-dir", type=Path, help="folder or zip of MovieLens 100K")
    arguments.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="data sets to measure")
    arguments.add_argument("--negatives", nargs="+", choices=list(NEGATIVES), default=list(NEGATIVES), help="rows")
    arguments.add_argument("--seeds", type=int, default=10, help="seeds, from 42 on")
    arguments.add_argument("--epochs", type=int, default=20)
    arguments.add_argument("--render", action="store_true", help="only write folding.md again from folding.json")
    args = arguments.parse_args()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # every model is traced, which looks like too often to it
    store = json.loads(_STORE.read_text(encoding="utf-8")) if _STORE.exists() else {}
    for dataset in [] if args.render else args.only:
        origin = {"date": today(), "commit": commit(), "epochs": args.epochs, "command": typed(sys.argv[1:])}
        seeds = list(range(42, 42 + args.seeds))
        try:
            oracle, runs = measure_dataset(dataset, args.data_dir, args.negatives, seeds, args.epochs)
        except DatasetNotFoundError as error:
            if args.data_dir is not None:
                sys.exit(str(error))
            print(f"{dataset} is left out: {error}")
            continue
        entry = store.setdefault(dataset, {"origins": {}, "figures": {"runs": {}}})
        entry["environment"] = runtime.describe()
        entry["origins"] |= dict.fromkeys(args.negatives, origin)
        rows = entry["figures"]["runs"] | runs
        entry["figures"] = {"oracle": oracle, "runs": {name: rows[name] for name in NEGATIVES if name in rows}}
        _write(store)
    _write(store)
    print(f"\nReport: {_REPORT}")


def _write(store: Figures) -> None:
    _RESULTS.mkdir(exist_ok=True)
    ordered = {dataset: store[dataset] for dataset in GROUPS if dataset in store}
    for path, lines in ((_STORE, lambda: [json.dumps(ordered, indent=1)]), (_REPORT, lambda: report(ordered))):
        temporary = path.with_suffix(".tmp")
        temporary.write_text("\n".join(lines()) + "\n", encoding="utf-8")
        temporary.replace(path)


if __name__ == "__main__":
    main()
