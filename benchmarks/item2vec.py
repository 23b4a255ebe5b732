"""Item2vec on data with genres: how far it places films of one genre together, and what it knows of the next film.

    python benchmarks/item2vec.py --data-dir FOLDER [--dataset movielens-100k] [--set model.window=5 ...]

Nothing is chosen here: the number of epochs is that which validation chose (see docs/item2vec.md), the rest are the
defaults. Genres are looked at for measuring only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.baselines.tuning import tuned_baselines
from recsys_tfrs.config import build, parse_assignment
from recsys_tfrs.evaluation.folding import multi_hot, overlap
from recsys_tfrs.evaluation.protocol import evaluate
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.prepared import prepare
from recsys_tfrs.schema import MOVIE_GENRES
from recsys_tfrs.training.fit import Phase, fit

#: Films with fewer training rows are not asked about: little is known of where they belong.
_LEAST_ROWS = 5


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--dataset", default="movielens-100k", help="with genres")
    parser.add_argument("--set", nargs="+", default=[], metavar="SECTION.KEY=VALUE", help="other than the defaults")
    options = parser.parse_args()
    settings = {
        "family": "item2vec",
        "data": {"dataset": options.dataset, "data_dir": options.data_dir},
        "split": {"method": "leave-last-out"},
        "model": {"context": "window"},
    }
    config = build(family_config("item2vec"), [settings, *(parse_assignment(one) for one in options.set)])
    runtime.configure(config.device, seed=config.seed)
    prepared = prepare(config)
    data, train = prepared.interactions, prepared.train
    model = prepared.build_model(train)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        phase = Phase("refit", options.epochs, None)
        fit(model, prepared.batches(train), phase, prepared.config.training, Path(place), Console(quiet=True))
    print(
        f"{options.dataset} {' '.join(options.set)}: {options.epochs} epochs in {time.perf_counter() - started:.0f} s"
    )

    names, belongs = multi_hot(data.item_features[MOVIE_GENRES])
    belongs &= (np.bincount(train.items, minlength=data.num_items + 1) >= _LEAST_ROWS)[:, None]
    vectors = model.directions()
    found = overlap(vectors, belongs, np.eye(len(names), dtype=bool))
    nearest, at_random = 1 - found.neighbour_share, 1 - found.neighbour_chance
    print(f"share a genre: ten nearest {nearest:.3f}, random pairs {at_random:.3f}, ratio {nearest / at_random:.2f}")
    # Most films are dramas or comedies, so sharing just any genre is common; by genre it says more.
    usual = np.flatnonzero(belongs.any(axis=1))
    cosines = vectors[usual] @ vectors[usual].T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1)[:, :10]
    for genre in {"Animation", "Children", "Horror", "Sci-Fi", "War", "Drama"} & set(names):
        column = belongs[usual, names.index(genre)]
        print(f"   {genre:10s} ten nearest {column[order[column]].mean():.3f}, all films {column.mean():.3f}")

    systems = {"popularity": tuned_baselines(data, prepared.split, names=["popularity"])["popularity"].scorer}
    systems["item2vec"] = RetrievalScorer(model, train)
    for name, system in systems.items():
        e = evaluate(system, data, prepared.split.train, prepared.split.test)
        low, high = e.intervals["ndcg@10"]
        metrics = "  ".join(
            f"{m} {e.metrics[m]:.4f}" for m in e.metrics if m in ("hit@10", "recall@20", "hit@20", "ndcg@10")
        )
        print(f"{name:11s} {metrics} ({low:.4f}-{high:.4f})")


if __name__ == "__main__":
    main()
