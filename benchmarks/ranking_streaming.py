"""A table of clicks that is larger than what is kept in memory: read, encoded and trained on, with the memory it takes.

    python benchmarks/ranking_streaming.py [--rows 3000000] [--json FILE]

The file is made up in the layout of Criteo's: a label, 13 counts and 26 fields of strings, of which the largest have a
million different values. Run for itself, in a process of its own, because memory is measured at its peak.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv
from record import Figures, finish, parser, table
from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.config import build
from recsys_tfrs.runs.ranking_config import RankingRunConfig, ranking_config
from recsys_tfrs.runs.ranking_fitting import build_ranker
from recsys_tfrs.runs.ranking_tables import TableData
from recsys_tfrs.training.examples import ExampleBatches
from recsys_tfrs.training.fit import Phase, fit

tf = runtime.import_tensorflow()

#: Rows written at a time.
_BLOCK = 1 << 18

#: Different values of the 26 fields, of Criteo's order of magnitude; the largest are cut at a million.
_SIZES = (
    *(1_460, 583, 1_000_000, 1_000_000, 305, 24, 12_517, 633, 3, 93_145, 5_683, 1_000_000, 3_194),
    *(27, 14_992, 1_000_000, 10, 5_652, 2_173, 4, 1_000_000, 18, 15, 286_181, 105, 142_572),
)


class Memory:
    """Follows how much memory this process has to itself, what it has mapped from files left out."""

    def __init__(self) -> None:
        self.peak, self._stopped = 0, threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def stop(self) -> None:
        """Stop following."""
        self._stopped.set()

    def taken(self) -> int:
        """The peak in bytes since it was last asked for."""
        peak, self.peak = max(self.peak, self._now()), 0
        return peak

    def _follow(self) -> None:
        while not self._stopped.wait(0.02):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now() -> int:
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        return 0


def write_clicks(path: Path, rows: int, seed: int) -> None:
    """Rows in Criteo's layout; the label depends on two counts and three fields."""
    rng = np.random.default_rng(seed)
    names = [np.array([f"{v:08x}" for v in rng.integers(0, 1 << 32, size)], dtype=object) for size in _SIZES]
    effects = [rng.normal(0, 0.5, size) for size in _SIZES[:3]]
    options = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    with path.open("wb") as file:
        for low in range(0, rows, _BLOCK):
            count = min(_BLOCK, rows - low)
            numbers = np.floor(np.exp(rng.normal(2, 2, (count, 13)))).astype(np.int64)
            missing = rng.random((count, 13)) < 0.2
            codes = [np.minimum(size - 1, (size ** rng.random(count)).astype(np.int64) - 1) for size in _SIZES]
            logits = -1.5 + 0.2 * np.log1p(numbers[:, 0]) - 0.2 * np.log1p(numbers[:, 1])
            logits += sum(effect[code] for effect, code in zip(effects, codes, strict=False))
            columns: dict[str, Any] = {"label": (rng.random(count) < 1 / (1 + np.exp(-logits))).astype(np.int8)}
            for place in range(13):
                columns[f"I{place}"] = pa.array(numbers[:, place], mask=missing[:, place])
            for place, code in enumerate(codes):
                values = names[place][code]
                values[rng.random(count) < 0.03] = ""
                columns[f"C{place}"] = pa.array(values, pa.string())
            csv.write_csv(pa.table(columns), file, options)


def measure(rows: int) -> Figures:
    """Seconds and peak memory of each stage."""
    memory, stages = Memory(), {}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "clicks.tsv"
        write_clicks(path, rows, 1)
        size, at_rest = path.stat().st_size, memory.taken()

        def timed(name: str, do: Callable[[], Any]) -> Any:
            started, used = time.perf_counter(), time.process_time()
            result = do()
            seconds = time.perf_counter() - started
            stages[name] = {
                "seconds": seconds,
                "cpu_seconds": time.process_time() - used,
                "peak_bytes": memory.taken(),
            }
            return result

        settings = {
            "family": "deepfm",
            "data": {"dataset": f"criteo:{path}"},
            "features": {"numeric": "log", "min_frequency": 10, "max_vocabulary": 1_000_000},
            "model": {"dim": 10, "regularization": "lookups", "embedding_l2": 0.0},
        }
        config: RankingRunConfig = build(ranking_config("deepfm"), [settings])
        data = timed("read: count the rows and see what the columns are", lambda: TableData(config))
        fold = timed("encode: vocabularies from the training rows, then all rows", data.selection)
        model = build_ranker(config, fold)
        batches = ExampleBatches(fold.train, config.training.batch_size, config.seed)
        training = config.training.model_copy(update={"epochs": 1})
        phase = Phase("epoch", 1, None)
        state = timed("train", lambda: fit(model, batches, phase, training, Path(place) / "run", Console(quiet=True)))
        predicted = timed("predict", lambda: model.predict_examples(fold.measured))
    memory.stop()
    return {
        "rows": rows,
        "bytes": size,
        "train_rows": len(fold.train),
        "measured_rows": len(predicted),
        "at_rest": at_rest,
        "table_rows": int(model.embeddings.table.shape[0]),
        "stages": stages,
        "examples_per_second": state.examples / state.seconds,
    }


def lines(figures: Figures) -> list[str]:
    """The results as Markdown."""
    made = [
        f"{figures['rows']:,} made-up rows in Criteo's layout, {figures['bytes'] / 1e6:,.0f} MB, "
        f"{figures['table_rows']:,} rows of embeddings:",
        "",
    ]
    rows = []
    for name, stage in figures["stages"].items():
        counts = {"train": figures["train_rows"], "predict": figures["measured_rows"]}
        count = counts.get(name, figures["rows"])
        rows.append(
            [
                name,
                f"{stage['seconds']:.0f}",
                f"{60 * count / stage['seconds']:,.0f}",
                f"{stage['peak_bytes'] / 1e6:,.0f}",
            ]
        )
    made += table(["stage", "seconds", "rows a minute", "memory of its own, peak MB"], rows)
    return made


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=3_000_000)
    given = options.parse_args()
    figures = measure(given.rows)
    finish(figures, lines(figures), given.json)


if __name__ == "__main__":
    main()
