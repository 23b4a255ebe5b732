"""Ranking models trained by lists beside the same trained row by row: likes of MovieLens 100K, temporal split.

    python benchmarks/ranking_lists.py --data-dir FOLDER [--family NAME] [--seeds 1 2 3] [--json FILE]

Everything else is the default of the family. Row by row stands here twice: stopped by AUC, as it is by default, and by
ndcg@10, as models trained by lists are. Differences are paired over users, seed by seed, with 95% bootstrap intervals.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from ranking_likes import paired
from record import Figures, finish, parser
from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.config import build
from recsys_tfrs.evaluation.predictions import Predictions, evaluate_predictions
from recsys_tfrs.runs.ranking_config import ranking_config
from recsys_tfrs.runs.ranking_fitting import fit_ranker
from recsys_tfrs.runs.ranking_pairs import PairData

#: Name -> objective and what validation goes by.
WAYS = {
    "pointwise": ("pointwise", "auto"),
    "pointwise, by ndcg@10": ("pointwise", "ndcg@10"),
    "listmle": ("listmle", "auto"),
    "approx-ndcg": ("approx-ndcg", "auto"),
}
SHOWN = ("ndcg@5", "ndcg@10", "gauc", "auc", "logloss", "ece")


def measure(data_dir: Path, family: str, seeds: list[int]) -> Figures:
    """Figures of every way and seed, and what each way gains on the first, seed by seed."""
    made: Figures = {name: [] for name in WAYS}
    found: dict[str, list[Predictions]] = {name: [] for name in WAYS}
    for name, (objective, metric) in WAYS.items():
        for seed in seeds:
            settings = {
                "family": family,
                "seed": seed,
                "target": "like",
                "objective": objective,
                "data": {"dataset": "movielens-100k", "data_dir": str(data_dir)},
                "split": {"method": "temporal"},
                "training": {"metric": metric},
            }
            config = build(ranking_config(family), [settings])
            runtime.configure(config.device, seed=seed)
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as place:
                fitted = fit_ranker(PairData(config), config, Path(place), Console(quiet=True))
            rows = fitted.fold.measured
            predicted = fitted.model.predict_examples(rows)[:, 0]
            one = evaluate_predictions("binary", predicted, rows.targets[:, 0], groups=rows.groups)
            found[name].append(one)
            made[name].append(
                {
                    "seed": seed,
                    "metrics": one.metrics,
                    "seconds": time.perf_counter() - started,
                    "variant": fitted.config.model.regularization,
                }
            )
            print(
                name,
                seed,
                {m: round(one.metrics[m], 4) for m in SHOWN},
                f"{made[name][-1]['seconds']:.0f} s",
                flush=True,
            )
    first = next(iter(WAYS))
    differences = [
        paired(found[first][turn], {name: of[turn] for name, of in found.items() if name != first})
        for turn in range(len(seeds))
    ]
    return {"family": family, "ways": made, "differences_of_first": differences}


def lines(figures: Figures) -> list[str]:
    """Means over seeds, and the spread."""
    made = ["| trained | " + " | ".join(SHOWN) + " |", "| --- |" + " ---: |" * len(SHOWN)]
    for name, runs in figures["ways"].items():
        cells = []
        for metric in SHOWN:
            values = [run["metrics"][metric] for run in runs]
            spread = f" ({np.std(values):.4f})" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.4f}{spread}")
        made.append(f"| {name} | " + " | ".join(cells) + " |")
    for turn, of_seed in enumerate(figures["differences_of_first"]):
        for name, metrics in of_seed.items():
            d = metrics["ndcg@10"]
            made.append(f"pointwise less {name}, run {turn}: ndcg@10 {d}")
    return made


def main() -> None:
    """Measure and show."""
    made = parser(__doc__)
    made.add_argument("--data-dir", type=Path, required=True, help="MovieLens 100K")
    made.add_argument("--family", default="deepfm", help="of ranking models")
    made.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of weights, order and dropout")
    options = made.parse_args()
    figures = measure(options.data_dir.absolute(), options.family, options.seeds)
    finish(figures, lines(figures), options.json)


if __name__ == "__main__":
    main()
