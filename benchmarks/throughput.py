"""Training speed: the TFRS basic retrieval tutorial with and without its metrics, and ours, in one run.

    python benchmarks/throughput.py [--data-dir FOLDER] [--dim 32] [--batch-size 8192] [--repeats 3]

Same interactions, same number of interactions in a batch, same size of vectors, the three taking turns. An example is
an interaction that was trained on. Seconds are those of training steps, the first one (tracing) left out, read off the
same stop watch for all three; the tutorial's cache is filled before it starts. The accuracy beside it is measured by
the same code, on the random split of the project.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from record import Figures, finish, judged, parser, table

from recsys_tfrs import runtime

if TYPE_CHECKING:
    from recsys_tfrs.evaluation.ranking import Scorer
    from recsys_tfrs.runs.prepared import Prepared

#: Times as many examples per second as the tutorial with and without its metrics.
BARS = {"tutorial": 20.0, "tutorial without metrics": 10.0}
OURS = "ours"
_METRICS = ("hit@10", "hit@100", "ndcg@10")
_SEED = 42


def measure(data_dir: Path | None, dim: int, batch_size: int, repeats: int) -> Figures:
    """Run the three in turns; the data set is MovieLens 100K where it can be found, else simulated."""
    runtime.configure("auto", seed=_SEED)
    prepared = _prepare(data_dir, dim, batch_size)
    runs: dict[str, list[Figures]] = {name: [] for name in (*BARS, OURS)}
    for turn in range(repeats):
        for name in runs:
            figures = _run_ours(prepared) if name == OURS else _run_tutorial(prepared, dim, name == "tutorial")
            runs[name].append(figures)
            print(f"turn {turn + 1}: {name}: {figures['examples_per_second']:,.0f} examples/s", flush=True)
    return {
        "dataset": prepared.interactions.name,
        "num_train": len(prepared.split.train),
        "num_test": len(prepared.split.test),
        "dim": dim,
        "batch_size": batch_size,
        "runs": runs,
        "ratios": {name: _median_ratio(runs, name, "examples_per_second") for name in BARS},
        "ratios_wall": {name: _median_ratio(runs, name, "examples_per_wall_second") for name in BARS},
    }


def _median_ratio(runs: dict[str, list[Figures]], name: str, key: str) -> float:
    """Of ours to another, each turn compared within itself, so that a slow moment of the machine slows down both."""
    return statistics.median(ours[key] / other[key] for ours, other in zip(runs[OURS], runs[name], strict=True))


def _prepare(data_dir: Path | None, dim: int, batch_size: int) -> Prepared:
    from recsys_tfrs.config import build
    from recsys_tfrs.errors import DatasetNotFoundError
    from recsys_tfrs.runs.config import family_config
    from recsys_tfrs.runs.prepared import prepare

    def configured(data: dict[str, str]) -> Prepared:
        settings = {
            "family": "two-tower",
            "seed": _SEED,
            "data": data,
            "split": {"method": "random", "seed": _SEED},
            # Random test rows are any of a user's; the other way of hiding would double the wall time for nothing.
            "model": {"dim": dim, "hide": "any"},
            "training": {"batch_size": batch_size},
        }
        return prepare(build(family_config("two-tower"), [settings]))

    try:
        place = {} if data_dir is None else {"data_dir": str(data_dir)}
        return configured({"dataset": "movielens-100k", **place})
    except DatasetNotFoundError:
        if data_dir is not None:
            raise
        return configured({"dataset": "simulated-small"})


def _accuracy(prepared: Prepared, scorer: Scorer) -> Figures:
    from recsys_tfrs.evaluation.protocol import evaluate

    split = prepared.split
    measured = evaluate(scorer, prepared.interactions, split.train, split.test, intervals=False)
    return {
        "metrics": {name: measured.metrics[name] for name in _METRICS},
        "metrics_seen_kept": {name: measured.metrics_seen_kept[name] for name in _METRICS},
    }


def _run_tutorial(prepared: Prepared, dim: int, metrics_in_fit: bool) -> Figures:
    import tutorial
    from evaluator import InnerProduct

    from recsys_tfrs.training.callbacks import Throughput
    from recsys_tfrs.training.checkpoints import LoopState

    interactions, rows = prepared.interactions, prepared.split.train
    started = time.perf_counter()
    batches = tutorial.training_batches(interactions, rows, prepared.config.training.batch_size)
    steps = sum(1 for _ in batches)
    state = LoopState()
    model = tutorial.BasicRetrieval(interactions, dim, metrics_in_fit)
    model.fit(batches, epochs=tutorial.EPOCHS, callbacks=[Throughput(state, len(rows), steps)], verbose=0)
    wall = time.perf_counter() - started
    return {
        "examples_per_second": state.examples / state.seconds,
        "examples_per_wall_second": tutorial.EPOCHS * len(rows) / wall,
        "wall_seconds": wall,
        "epochs": tutorial.EPOCHS,
        **_accuracy(prepared, InnerProduct(*tutorial.vectors(model, interactions))),
    }


def _run_ours(prepared: Prepared) -> Figures:
    from rich.console import Console

    from recsys_tfrs.models.scoring import RetrievalScorer
    from recsys_tfrs.runs.fitting import fit_run

    with tempfile.TemporaryDirectory() as work:
        fitted = fit_run(prepared, Path(work), Console(quiet=True))
    fits = {id(state): state for state in (fitted.selection, fitted.final)}.values()
    visited = fitted.selection.epoch * prepared.batches(prepared.selection_train).examples_per_epoch
    if fitted.final is not fitted.selection:
        visited += fitted.final.epoch * prepared.batches(prepared.train).examples_per_epoch
    return {
        "examples_per_second": sum(s.examples for s in fits) / sum(s.seconds for s in fits),
        "examples_per_wall_second": visited / fitted.seconds,
        "wall_seconds": fitted.seconds,
        "epochs": fitted.final.epoch,
        **_accuracy(prepared, RetrievalScorer(fitted.model, prepared.train)),
    }


def render(figures: Figures) -> list[str]:
    """Markdown."""
    rows = []
    for name, runs in figures["runs"].items():
        ratio = [f"{figures[key][name]:.1f}" if name in BARS else "" for key in ("ratios", "ratios_wall")]
        middle = {
            key: statistics.median(run[key] for run in runs)
            for key in ("examples_per_second", "examples_per_wall_second", "wall_seconds")
        }
        kept, filtered = (
            " / ".join(f"{statistics.median(run[key][m] for run in runs):.3f}" for m in _METRICS)
            for key in ("metrics_seen_kept", "metrics")
        )
        rows.append(
            [
                name,
                f"{middle['examples_per_second']:,.0f}",
                f"{middle['examples_per_wall_second']:,.0f}",
                f"{middle['wall_seconds']:.1f}",
                *ratio,
                kept,
                filtered,
            ]
        )
    verdicts = [
        f"- ours to {name}: {figures['ratios'][name]:.1f} times the examples per second, bar {bar:.0f}: "
        f"{judged(figures['ratios'][name], bar)}"
        for name, bar in BARS.items()
    ]
    header = ["", "examples/s", "per wall second", "wall s", "ratio", "wall ratio"]
    header += [f"seen kept: {' / '.join(_METRICS)}", "seen filtered"]
    return [
        f"{figures['dataset']}, random split, {figures['num_train']:,} training and {figures['num_test']:,} test "
        f"interactions, batches of {figures['batch_size']:,}, vectors of {figures['dim']}, medians of "
        f"{len(figures['runs'][OURS])} turns:",
        "",
        *table(header, rows),
        "",
        *verdicts,
        "",
        "`examples/s` counts training steps only, the first one (tracing) left out; `per wall second` counts "
        "everything from building the model to its last weights: tracing, caches, and for ours also "
        "validation, checkpoints and the second fit on training and validation rows together. The tutorial's "
        "epochs are those published. The tutorial computes a query per interaction and scores it against the batch; "
        "ours computes a query per user, for all of his interactions at once, and scores the whole catalogue.",
    ]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data-dir", type=Path, help="folder or zip of MovieLens 100K")
    arguments.add_argument("--dim", type=int, default=32)
    arguments.add_argument("--batch-size", type=int, default=8_192)
    arguments.add_argument("--repeats", type=int, default=3)
    args = arguments.parse_args()
    figures = measure(args.data_dir, args.dim, args.batch_size, args.repeats)
    finish(figures, render(figures), args.json)


if __name__ == "__main__":
    main()
