"""Training speed of DeepFM: beside FuxiCTR's, epoch by epoch in turn, and with histories of several widths."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from record import Figures
from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.config import build
from recsys_tfrs.features.encoders import Encoder
from recsys_tfrs.features.fields import IDS, EncodedExamples, ExamplePreprocessor, FieldLayout
from recsys_tfrs.runs.ranking_config import RankingRunConfig, ranking_config
from recsys_tfrs.runs.ranking_data import Fold, targets_of
from recsys_tfrs.runs.ranking_fitting import build_ranker
from recsys_tfrs.runs.ranking_tables import TableData
from recsys_tfrs.training.examples import ExampleBatches
from recsys_tfrs.training.fit import Phase, fit

tf = runtime.import_tensorflow()

#: What both sides are: the shape of Frappe_x1, in which 288,609 rows of 10 fields hold about 5,400 different values.
ROWS, SIZES = 288_609, (957, 4_082, 7, 7, 2, 3, 2, 9, 80, 233)
BATCH, DIM, HIDDEN = 4_096, 10, [400, 400, 400]

#: Settings both sides share, by name. The first is what FuxiCTR's benchmark publishes for Frappe_x1, the other the
#: bare network.
SETTINGS: dict[str, Figures] = {
    "as published": {"dropout": 0.2, "batch_norm": True, "embedding_regularizer": 0.05},
    "bare": {"dropout": 0.0, "batch_norm": False, "embedding_regularizer": 0.0},
}


class Fuxi:
    """A process that trains FuxiCTR's DeepFM when told to.

    Args:
      python: that has fuxictr and PyTorch.
      folder: see `ranking_fuxictr`.
      settings: likewise.
    """

    def __init__(self, python: str, folder: Path, settings: Figures) -> None:
        script = Path(__file__).with_name("ranking_fuxictr.py")
        self._process = subprocess.Popen(
            [python, str(script), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._say(settings)

    def orders(self, *whats: Figures) -> list[Figures]:
        """Have several things done, and end."""
        try:
            return [self.order(what) for what in whats]
        finally:
            self.close()

    def order(self, what: Figures) -> Figures:
        """Have something done and return what it answers.

        Raises:
          RuntimeError: the process has ended.
        """
        self._say(what)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("FuxiCTR's process ended; what it said stands above.")
        answer: Figures = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _say(self, what: Figures) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()


def fuxictr_settings(**settings: Any) -> Figures:
    """What FuxiCTR's benchmark publishes for DeepFM on Frappe_x1 (BARS, DeepFM_frappe_x1_001), unless told otherwise.

    Batches are read in the process itself: on two cores each worker process costs more than it saves.
    """
    published = {
        "dim": DIM,
        "hidden": HIDDEN,
        "dropout": 0.2,
        "batch_norm": True,
        "embedding_regularizer": 0.05,
        "learning_rate": 1e-3,
        "batch_size": BATCH,
        "epochs": 100,
        "patience": 2,
        "seed": 2021,
        "workers": 0,
        "threads": runtime.usable_cores(),
    }
    return published | settings


def write_npz(path: Path, examples: EncodedExamples, layout: FieldLayout) -> None:
    """Encoded fields of single ids as FuxiCTR reads them."""
    columns = {name: examples.columns[IDS][:, place] for place, name in enumerate(layout.single)}
    np.savez(path, label=examples.targets[:, 0], **columns)


def against_fuxictr(python: str | None, rounds: int, epochs: int) -> Figures:
    """Examples per second of whole epochs, one side after the other; ours alone without a Python for the other."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _write_libfm(folder)
        fold = TableData(_config(folder, "bare")).selection()
        write_npz(folder / "train.npz", fold.train, fold.preprocessor.layout)
        fields = {
            name: {"type": "categorical", "vocab_size": size, "source": ""}
            for name, size in fold.preprocessor.layout.single.items()
        }
        (folder / "fields.json").write_text(json.dumps(fields))
        made: Figures = {"rows": len(fold.train), "operations_per_example": operations(len(SIZES) * DIM)}
        for name, settings in SETTINGS.items():
            made[name] = _in_turn(python, folder, fold, name, settings, rounds, epochs)
    return made


def operations(inputs: int) -> float:
    """Multiplications and additions of the hidden layers for an example: forward, and twice as many backward."""
    widths = [inputs, *HIDDEN, 1]
    return 3 * sum(2.0 * a * b for a, b in pairwise(widths))


def _in_turn(
    python: str | None, folder: Path, fold: Fold, name: str, settings: Figures, rounds: int, epochs: int
) -> Figures:
    theirs: list[Figures] = []
    ours: list[Figures] = []
    other = Fuxi(python, folder, fuxictr_settings(**settings)) if python else None
    config = _config(folder, name)
    for turn in range(rounds):
        model = build_ranker(config, fold)
        clock = _Clock()

        def between(clock: _Clock = clock) -> dict[str, float]:
            """Called after each of our epochs, outside the time that `fit` counts."""
            clock.note()
            if other is not None:
                theirs.append(other.order({"do": "epoch"}))
            clock.start()
            return {"auc": float(clock.count)}  # rises, so that nothing stops early

        phase = Phase(f"speed-{turn}", epochs, between)
        training = config.training.model_copy(update={"epochs": epochs, "metric": "auc"})
        batches = ExampleBatches(fold.train, BATCH, turn)
        clock.start()
        state = fit(model, batches, phase, training, folder / f"run-{name}", Console(quiet=True))
        # `fit` counts neither the step that traces the graph nor validation, which here is the other side's turn.
        ours.append({"rows": state.examples, "seconds": state.seconds, "cpu_seconds": clock.mean})
    if other is not None:
        other.close()
    made: Figures = {
        "examples_per_second": sum(o["rows"] for o in ours) / sum(o["seconds"] for o in ours),
        "cpu_seconds_per_million": 1e6 * statistics.median(o["cpu_seconds"] for o in ours) / len(fold.train),
        "rounds": ours,
    }
    if theirs:
        seconds, used = sum(t["seconds"] for t in theirs), statistics.median(t["cpu_seconds"] for t in theirs)
        rate = sum(t["rows"] for t in theirs) / seconds
        by_round = [
            (o["rows"] / o["seconds"]) / (sum(t["rows"] for t in part) / sum(t["seconds"] for t in part))
            for o, part in zip(ours, _chunks(theirs, epochs), strict=True)
        ]
        made |= {
            "fuxictr": {
                "examples_per_second": rate,
                "cpu_seconds_per_million": 1e6 * used / len(fold.train),
                "epochs": theirs,
            },
            "ratio": made["examples_per_second"] / rate,
            "ratio_by_round": by_round,
            "cpu_ratio": 1e6 * used / len(fold.train) / made["cpu_seconds_per_million"],
        }
    return made


class _Clock:
    """Processor seconds of epochs, those of the first left out."""

    def __init__(self) -> None:
        self.count, self._used, self._since = 0, 0.0, 0.0

    def start(self) -> None:
        self._since = time.process_time()

    def note(self) -> None:
        self.count += 1
        if self.count > 1:
            self._used += time.process_time() - self._since

    @property
    def mean(self) -> float:
        return self._used / max(1, self.count - 1)


def histories(seconds: float) -> list[Figures]:
    """Rows per second of training steps with a history as a field: its known ids added up, or all rows gathered."""
    made = []
    for width in (30, 200):
        examples, layout = _with_history(width)
        chosen = {"dim": DIM, "regularization": "rows"}
        config = build(ranking_config("deepfm"), [{"family": "deepfm", "model": chosen}])
        fold = _plain_fold(examples, layout)
        steps = {}
        for way in ("added up", "gathered"):
            model = build_ranker(config, fold)
            model.embeddings.compiled = way == "gathered"
            batches = iter(ExampleBatches(examples, BATCH, 1).dataset())
            steps[way] = (model.make_train_function(), batches)
            for _ in range(3):
                steps[way][0](batches)
        taken: dict[str, list[float]] = {way: [] for way in steps}
        used: dict[str, list[float]] = {way: [] for way in steps}
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            for way, (step, batches) in steps.items():
                since, cpu = time.perf_counter(), time.process_time()
                float(step(batches)["loss"])
                taken[way].append(time.perf_counter() - since)
                used[way].append(time.process_time() - cpu)
        known = float((examples.columns["history"] > 0).sum(axis=1).mean())
        made.append(
            {
                "width": width,
                "known": known,
                **{way: BATCH / statistics.median(values) for way, values in taken.items()},
                "cpu": {way: 1e3 * statistics.median(values) for way, values in used.items()},
                "ratio": statistics.median(a / b for a, b in zip(taken["gathered"], taken["added up"], strict=True)),
            }
        )
    return made


class _Plain(Encoder):
    """An encoder of ids that are encoded already."""

    raw_dtype = tf.int32
    missing = 0

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.vocabulary_size, self.width, self.raw_rank = size, width, 1 if width == 1 else 2

    def call(self, raw: tf.Tensor) -> tf.Tensor:
        return raw


def _with_history(width: int) -> tuple[EncodedExamples, dict[str, _Plain]]:
    rng = np.random.default_rng(width)
    rows, items = 20 * BATCH, 1_682
    ids = np.stack([_skewed(rng, size, rows) for size in SIZES], axis=1)
    # Half the places are taken, as where users are at all stages of their histories.
    lengths = np.minimum(width, (rng.random(rows) * width).astype(np.int64))
    history = 1 + _skewed(rng, items, rows * width).reshape(rows, width)
    history[np.arange(width) >= lengths[:, None]] = 0
    targets = (rng.random((rows, 1)) < 0.5).astype(np.float32)
    encoders = {f"field_{place}": _Plain(size, 1) for place, size in enumerate(SIZES)}
    return EncodedExamples({IDS: ids, "history": history}, targets), encoders | {"history": _Plain(items + 1, width)}


def _plain_fold(examples: EncodedExamples, encoders: dict[str, _Plain]) -> Fold:
    return Fold(ExamplePreprocessor(encoders), targets_of(["click"], [], examples.targets), examples, examples)


def _config(folder: Path, name: str) -> RankingRunConfig:
    settings = SETTINGS[name]
    model = {
        "regularization": "normalized" if settings["batch_norm"] else "rows",
        "dim": DIM,
        "hidden": HIDDEN,
        "dropout": settings["dropout"],
        "embedding_decay": settings["embedding_regularizer"],
    }
    data = {part: str(folder / f"{part}.libfm") for part in ("train", "validation", "test")}
    training = {"batch_size": BATCH, "learning_rate": 1e-3, "patience": 1_000}
    made: RankingRunConfig = build(
        ranking_config("deepfm"), [{"family": "deepfm", "model": model, "data": data, "training": training}]
    )
    return made


def _write_libfm(folder: Path) -> None:
    """Rows whose values are as unevenly frequent as those of real fields, label by chance."""
    rng = np.random.default_rng(0)
    firsts = np.concatenate([[0], np.cumsum(SIZES[:-1])])
    ids = np.stack([_skewed(rng, size, ROWS) for size in SIZES], axis=1) + firsts
    labels = (rng.random(ROWS) < 1 / 3).astype(int)
    lines = [f"{label} " + " ".join(f"{i}:1" for i in row) for label, row in zip(labels, ids.tolist(), strict=True)]
    cuts = [0, round(0.7 * ROWS), round(0.9 * ROWS), ROWS]
    for part, (low, high) in zip(("train", "validation", "test"), pairwise(cuts), strict=True):
        (folder / f"{part}.libfm").write_text("\n".join(lines[low:high]) + "\n")


def _skewed(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    return np.minimum(size - 1, size * rng.random(count) ** 2).astype(np.int32)


def _chunks(values: list[Figures], size: int) -> Iterator[list[Figures]]:
    for low in range(0, len(values), size):
        yield values[low : low + size]
