"""Folding and accuracy of the softmax family under different negatives: `make bench-folding`.

    python benchmarks/folding.py [--data-dir FOLDER] [--seeds 3] [--epochs 20] [--only simulated-small ...]

The same model, settings, split and number of epochs; only the negatives differ, and nothing is tuned for any of them.
Writes `benchmarks/results/folding.json` and, rendered from it, `folding.md`. Without MovieLens 100K on this machine
only the simulated data is measured.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

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

#: A model with negatives has to show at most this share of what positives alone show.
BAR, JUDGED = 0.2, ("uniform", "in-batch")


def configuration(dataset: str, data_dir: Path | None, negatives: str, seed: int) -> RunConfig:
    """The settings of one training: the family's defaults, but for the negatives."""
    place = {} if data_dir is None or dataset.startswith("simulated") else {"data_dir": str(data_dir)}
    model = {"hide": "any", "num_negatives": NUM_NEGATIVES, **NEGATIVES[negatives]}
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
    groups, top_items = item_groups(prepared, column), ranking.top_items[:, :LIST_LENGTH]
    return {
        name: asdict(foreign_share(ranking.list_users, top_items, train, groups, luck))
        for name, luck in (("never_touched", 1.0), ("avoided", LUCK))
    }


def measure_dataset(dataset: str, data_dir: Path | None, seeds: list[int], epochs: int) -> Figures:
    """``{"epochs", "oracle", "runs": {negatives: [one per seed]}}``."""
    runs: dict[str, list[Figures]] = {}
    prepared = prepare(configuration(dataset, data_dir, "positives-only", seeds[0]))
    for negatives in NEGATIVES:
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
    return {"epochs": epochs, "oracle": of_the_truth(prepared), "runs": runs}


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
    number = len(runs["positives-only"])
    lines = [f"{figures['epochs']} epochs; means of {number} seed{'s' if number > 1 else ''}.", ""]
    lines += table(["negatives", *METRICS], rows)
    for column in GROUPS[dataset]:
        lines += ["", f"### {dataset}, groups: {column}", "", *_render_groups(column, runs, oracle)]
    return lines


def _render_groups(column: str, runs: dict[str, list[Figures]], oracle: Figures | None) -> list[str]:
    worst = {kind: _share(runs["positives-only"], column, kind) for kind in ("never_touched", "avoided")}
    rows = []
    for name, entries in runs.items():
        cells = []
        for kind in ("never_touched", "avoided"):
            share = _share(entries, column, kind)
            cells += [f"{share:.4f}", f"{share / worst[kind]:.2f}" if worst[kind] else "-"]
        cosine = mean(entries, "folding", column, "overlap", "centroid_cosine")
        rows.append(
            [name, *cells, f"{mean(entries, 'folding', column, 'overlap', 'neighbour_share'):.3f}", f"{cosine:.3f}"]
        )
    if oracle is not None:
        shares = [oracle["folding"][column][kind]["share"] for kind in worst]
        cells = [
            cell
            for kind, share in zip(worst, shares, strict=True)
            for cell in (f"{share:.4f}", f"{share / worst[kind]:.2f}")
        ]
        rows.append(["*the truth*", *cells, "", ""])
    first = runs["positives-only"][0]["folding"][column]
    chance = [first["never_touched"]["chance"], first["avoided"]["chance"], first["overlap"]["neighbour_chance"]]
    rows.append(["*items at random*", f"{chance[0]:.4f}", "", f"{chance[1]:.4f}", "", f"{chance[2]:.3f}", ""])
    header = ["negatives", "never touched", "of positives-only", "avoided", "of positives-only"]
    lines = table([*header, "neighbours unrelated", "cosine of centroids"], rows)
    lines.append("")
    for kind, said in (("never_touched", "never touched"), ("avoided", "avoided")):
        verdicts = "; ".join(f"{name} {_verdict(runs, name, column, kind)}" for name in JUDGED)
        lines.append(f"- {said}, at most {BAR:.0%} of positives-only: {verdicts}")
    return lines


def _verdict(runs: dict[str, list[Figures]], name: str, column: str, kind: str) -> str:
    """The bar is reached where it is in every seed: a collapsed model's one list may be foreign to all or to none."""
    pairs = [
        (own["folding"][column][kind]["share"], worst["folding"][column][kind]["share"])
        for own, worst in zip(runs[name], runs["positives-only"], strict=True)
    ]
    reached = sum(own <= BAR * worst for own, worst in pairs)
    shown = ", ".join(f"{own:.4f} of {worst:.4f}" for own, worst in pairs)
    return f"{judged(reached, len(pairs))}: {reached} of {len(pairs)} seeds reach it ({shown})"


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
        f"- *never touched*: share of the test users' lists of {LIST_LENGTH} from groups they never touched in "
        "training.",
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
            f"{entry['date']}, commit {entry['commit']}, `{entry['command']}`  ",
            f"{machine(entry['environment'])}; load of others before the start {entry['load_before']:.1f}",
            "",
            *render(dataset, entry["figures"]),
        ]
    return lines


def typed(arguments: list[str]) -> str:
    """The command as somebody else would type it: the folder of the data is his own."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return shlex.join(["python", "benchmarks/folding.py", *("FOLDER" if b == "--data-dir" else a for b, a in pairs)])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data-dir", type=Path, help="folder or zip of MovieLens 100K")
    arguments.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="data sets to measure")
    arguments.add_argument("--seeds", type=int, default=3, help="seeds, from 42 on")
    arguments.add_argument("--epochs", type=int, default=20)
    arguments.add_argument("--render", action="store_true", help="only write folding.md again from folding.json")
    args = arguments.parse_args()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # every model is traced, which looks like too often to it
    store = json.loads(_STORE.read_text(encoding="utf-8")) if _STORE.exists() else {}
    for dataset in [] if args.render else args.only:
        origin = {"date": today(), "commit": commit(), "load_before": os.getloadavg()[0]}
        try:
            figures = measure_dataset(dataset, args.data_dir, list(range(42, 42 + args.seeds)), args.epochs)
        except DatasetNotFoundError as error:
            if args.data_dir is not None:
                sys.exit(str(error))
            print(f"{dataset} is left out: {error}")
            continue
        command = typed(sys.argv[1:])
        store[dataset] = {**origin, "command": command, "environment": runtime.describe(), "figures": figures}
        _write(store)
    _write(store)
    print(f"\nReport: {_REPORT}")


def _write(store: Figures) -> None:
    _RESULTS.mkdir(exist_ok=True)
    ordered = {dataset: store[dataset] for dataset in GROUPS if dataset in store}
    for path, text in ((_STORE, json.dumps(ordered, indent=1)), (_REPORT, "\n".join(report(ordered)))):
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)


if __name__ == "__main__":
    main()
