"""Ranking: simulated clicks, likes and ratings beside references, training speed, and a table that streams.

    python benchmarks/ranking.py [--data-dir FOLDER] [--frappe FOLDER] [--fuxictr PYTHON] [--only PART] [--note TEXT]

--data-dir is MovieLens 100K; --frappe a folder with ``train.libfm``, ``valid.libfm`` and ``test.libfm`` of Frappe_x1;
PYTHON one that has fuxictr and PyTorch installed. Parts of which something is not given are left out, or leave out
what they compare with. Models are trained by the command line with the defaults of their families; nothing is chosen
here. Results go to benchmarks/results/ranking.md and .json, those of a part that is not run stay.
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

import ranking_speed
from ranking_likes import figures_of, fuxictr_likes, measured_run, paired
from ranking_lines import lines
from record import RENDER, Figures, keep_parts
from sequential import matrix_rate

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "ranking"

#: Official folds of MovieLens 100K.
_FOLDS = ("u1", "u2", "u3", "u4", "u5")


def train(family: str, options: Sequence[str], run: Path) -> Figures:
    """Train by the command line; what the run measured."""
    command = ["train", family, *options, "--set", "evaluation.importance=false", "--out", str(run)]
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "recsys_tfrs", *command], check=True, cwd=run.parent, stdout=subprocess.DEVNULL
    )
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    return {
        "metrics": metrics["metrics"],
        "intervals": metrics["intervals"],
        "oracle": metrics["oracle"],
        "training": metrics["training"],
        "num_rows": metrics["targets"][0]["num_rows"],
        "split": metrics["split"],
        "seconds": time.perf_counter() - started,
    }


def side_by_side(families: Sequence[str], options: Sequence[str], python: str | None = None) -> Figures:
    """Families on one data set, each less the last, and FuxiCTR's DeepFM where its Python is given."""
    with tempfile.TemporaryDirectory() as place:
        runs = {family: Path(place) / family for family in families}
        systems = {family: train(family, options, run) for family, run in runs.items()}
        measured = {family: measured_run(run) for family, run in runs.items()}
        if python is not None:
            others = fuxictr_likes(runs[families[-1]], python)
            systems |= {name: figures_of(found) for name, found in others.items()}
            measured |= others
        first = families[-1]
        return {
            "systems": systems,
            "first": first,
            "differences": paired(measured[first], {name: found for name, found in measured.items() if name != first}),
        }


def ratings(where: Sequence[str]) -> Figures:
    """RMSE on the official folds."""
    made: Figures = {"folds": {}}
    with tempfile.TemporaryDirectory() as place:
        for fold in _FOLDS:
            options = [*where, "--split", f"official:{fold}", "--set", "target=rating"]
            made["folds"][fold] = train("deepfm", options, Path(place) / fold)
    made["mean_rmse"] = statistics.mean(one["metrics"]["rmse"] for one in made["folds"].values())
    return made


def streaming(rows: Sequence[int]) -> list[Figures]:
    """Each number of rows in a process of its own."""
    made = []
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "figures.json"
        for count in rows:
            command = [sys.executable, str(HERE / "ranking_streaming.py"), "--rows", str(count), "--json", str(path)]
            subprocess.run(command, check=True)
            made.append(json.loads(path.read_text("utf-8"))["figures"])
    return made


def main() -> None:
    """Measure the parts asked for and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="MovieLens 100K")
    parser.add_argument("--frappe", type=Path, help="Frappe_x1")
    parser.add_argument("--fuxictr", help="a Python that has fuxictr and PyTorch")
    parser.add_argument(
        "--only",
        choices=["speed", "histories", "clicks", "likes", "ratings", "frappe", "streaming", RENDER],
        help="a single part, or the page anew",
    )
    parser.add_argument("--rounds", type=int, default=3, help="fits of which the speed is measured")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of each")
    parser.add_argument("--seconds", type=float, default=60.0, help="that steps with each history are measured for")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 4_000_000], help="of tables that stream")
    parser.add_argument("--note", default="", help="a sentence to stand in the results")
    options = parser.parse_args()
    parts: dict[str, Callable[[], object]] = {
        "speed": lambda: {
            "float32": matrix_rate(tf.float32),
            **ranking_speed.against_fuxictr(options.fuxictr, options.rounds, options.epochs),
        },
        "histories": lambda: ranking_speed.histories(options.seconds),
        "clicks": lambda: side_by_side(["lr", "fm", "deepfm"], ["--dataset", "simulated-clicks"]),
    }
    if options.data_dir:
        where = ["--dataset", "movielens-100k", "--data-dir", str(options.data_dir.absolute())]
        temporal = [*where, "--split", "temporal", "--set", "target=like"]
        parts["likes"] = lambda: side_by_side(["lr", "fm", "dnn", "dcn", "deepfm"], temporal, options.fuxictr)
        parts["ratings"] = lambda: ratings(where)
    if options.frappe:
        names = {"--train": "train", "--valid": "valid", "--test": "test"}
        folder = options.frappe.absolute()
        files = [text for flag, name in names.items() for text in (flag, str(folder / f"{name}.libfm"))]
        parts["frappe"] = lambda: side_by_side(["lr", "fm", "dnn", "deepfm"], files)
    parts["streaming"] = lambda: streaming(options.rows)
    keep_parts(RESULTS, parts, options.only, lambda figures, environment: lines(figures, environment, options.note))


if __name__ == "__main__":
    main()
