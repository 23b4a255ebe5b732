"""Part `accuracy` of the cascade benchmark: the cascade beside retrieval alone, MovieLens 100K, leave-last-out.

    python benchmarks/cascade_accuracy.py [--data-dir FOLDER] [--json FILE]

Retrieval is the two-tower model with default settings, whose 200 candidates are ranked by a model of clicks
(interactions beside items drawn at random), settings below. Both are trained twice: once without the validation part,
on which the weight of retrieval in the order is chosen, and once as runs are, with it; these are measured on the test
part, all users.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from record import Figures, finish, parser, table

from recsys_tfrs import runtime

runtime.import_tensorflow()

from recsys_tfrs.runs.cascade import CascadeOptions, open_cascade  # noqa: E402

DATA = ["--dataset", "movielens-100k", "--split", "leave-last-out"]
RETRIEVAL = ["two-tower", "--set", "evaluation.baselines=[]"]
# The last and quickest of the three ways that `model.regularization = "auto"` tries.
RANKING = shlex.split(
    "deepfm --set target=click --set model.regularization=lookups --set model.embedding_l2=0.003 --set model.dim=64 "
    "--set model.initial_scale=0.1 --set model.hidden=[128] --set model.dropout=0.5 --set evaluation.importance=false"
)
SELECTION = ["--set", "training.refit=false"]
SHOWN = ("hit@10", "ndcg@10", "mrr@10", "hit@100")


def measure(data_dir: str | None) -> Figures:
    """Train, choose the weight on validation, measure on test."""
    started = time.perf_counter()
    data = [*DATA, *(["--data-dir", data_dir] if data_dir else [])]
    with tempfile.TemporaryDirectory() as folder:
        runs = {}
        for part, options in (("validation", SELECTION), ("test", [])):
            for stage, family in (("retrieval", RETRIEVAL), ("ranking", RANKING)):
                out = runs[part, stage] = Path(folder) / f"{part}-{stage}"
                command = [sys.executable, "-m", "recsys_tfrs", "train", *family, *data, *options, "--out", str(out)]
                subprocess.run(command, check=True)
        chosen = open_cascade(runs["validation", "retrieval"], runs["validation", "ranking"], CascadeOptions())
        weight, tried = chosen.validated_weight()
        final = open_cascade(runs["test", "retrieval"], runs["test", "ranking"], CascadeOptions())
        blended, ranked = final.figures(weight, max_users=None), final.figures(0.0, max_users=None)
    return {
        "retrieval": " ".join(RETRIEVAL),
        "ranking": " ".join(RANKING),
        "weight": weight,
        "validation": {str(value): figure for value, figure in tried.items()},
        "users": blended.num_pairs,
        "retrieval_metrics": {name: blended.retrieval[name] for name in SHOWN},
        "orders": {
            name: {
                "metrics": {metric: figures.metrics[metric] for metric in SHOWN},
                "comparison": {metric: asdict(figures.comparison[metric]) for metric in SHOWN},
            }
            for name, figures in (("cascade, weight as chosen", blended), ("cascade, ranking model alone", ranked))
        },
        "seconds": time.perf_counter() - started,
    }


def render(figures: Figures) -> list[str]:
    """Lines of Markdown."""
    rows = [["retrieval alone", *(f"{figures['retrieval_metrics'][name]:.4f}" for name in SHOWN)]]
    for order, of in figures["orders"].items():
        cells = []
        for name in SHOWN:
            found = of["comparison"][name]
            low, high = found["low"], found["high"]
            cells.append(f"{of['metrics'][name]:.4f} ({found['difference']:+.4f} [{low:+.4f}, {high:+.4f}])")
        rows.append([order, *cells])
    tried = figures["validation"]
    return [
        f"{figures['users']:,} users; retrieval `{figures['retrieval']}`, ranking `{figures['ranking']}`. In brackets: "
        "difference to retrieval alone and its 95% bootstrap interval, paired over users.",
        "",
        *table(["", *SHOWN], rows),
        "",
        f"Weight of retrieval chosen on validation: {figures['weight']:g} (ndcg@10 there "
        f"{tried[str(figures['weight'])]:.4f}; retrieval alone {tried['1.0']:.4f}, ranking model alone "
        f"{tried['0.0']:.4f}). {figures['seconds']:.0f} s in all.",
    ]


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--data-dir", help="folder or zip of MovieLens 100K")
    args = arguments.parse_args()
    result = measure(args.data_dir)
    finish(result, render(result), args.json)
