"""Everything that README and docs say about retrieval, measured: `make bench-retrieval`.

    python benchmarks/retrieval.py [--data-dir FOLDER] [--only PART ...] [--seeds 1] [--repeats 3]

Parts: accuracy (MovieLens 100K beside its baselines), throughput (against the TFRS tutorial), evaluator (against
FactorizedTopK), scale (1 and 25 million simulated rows). Each runs in a process of its own, so that neither memory nor
threads of one are left to the next. Figures go to `benchmarks/results/retrieval.json`, part by part, with date, commit
and machine; `retrieval.md` beside it is rendered from that file. Without MovieLens 100K on this machine, accuracy is
left out and throughput uses simulated data.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import accuracy
import evaluator
import scale
import throughput
from record import Figures, commit, machine, today

from recsys_tfrs.data.sources import DataRequest, load
from recsys_tfrs.errors import DatasetNotFoundError

_HERE = Path(__file__).resolve().parent
_RESULTS = _HERE / "results"
_STORE, _REPORT = _RESULTS / "retrieval.json", _RESULTS / "retrieval.md"

#: Title and renderer of each part, in the order of the report.
PARTS: dict[str, tuple[str, Callable[[Figures], list[str]]]] = {
    "accuracy": ("Accuracy", accuracy.render),
    "throughput": ("Training speed against the TFRS tutorial", throughput.render),
    "evaluator": ("Evaluation speed against FactorizedTopK", evaluator.render),
    "scale": ("Speed and memory at 1 and 25 million interactions", scale.render),
}


def child(script: str, *options: object) -> tuple[Figures, Figures]:
    """Run one measurement in its own process; ``(figures, environment)``."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "figures.json"
        command = [sys.executable, str(_HERE / script), *map(str, options), "--json", str(result)]
        done = subprocess.run(command, check=False)
        if done.returncode != 0:
            sys.exit(f"benchmarks/{script} failed (exit code {done.returncode}); parts measured before it are kept.")
        read = json.loads(result.read_text(encoding="utf-8"))
    return read["figures"], read["environment"]


def measure(part: str, args: argparse.Namespace) -> tuple[Figures, Figures]:
    """The figures of one part and the machine they come from."""
    place = [] if args.data_dir is None else ["--data-dir", args.data_dir]
    if part == "accuracy":
        return child("accuracy.py", *place, "--seeds", args.seeds)
    if part == "throughput":
        return child("throughput.py", *place, "--repeats", args.repeats)
    if part == "evaluator":
        return child("evaluator.py", "--repeats", args.repeats)
    measured = [child("scale.py", "--rows", rows) for rows in scale.SIZES]
    return {"sizes": [figures for figures, _ in measured]}, measured[-1][1]


def why_no_movielens(data_dir: Path | None) -> str | None:
    """None if MovieLens 100K can be read, else why not; a folder that was named has to hold it."""
    try:
        load(DataRequest("movielens-100k", data_dir=data_dir))
    except DatasetNotFoundError as error:
        if data_dir is not None:
            sys.exit(str(error))
        return str(error)
    return None


def typed(arguments: list[str]) -> str:
    """The command as somebody else would type it: the folder of the data is his own."""
    shown = list(arguments)
    for i, word in enumerate(shown):
        if word == "--data-dir" and i + 1 < len(shown):
            shown[i + 1] = "FOLDER"
        elif word.startswith("--data-dir="):
            shown[i] = "--data-dir=FOLDER"
    return shlex.join(["python", "benchmarks/retrieval.py", *shown])


def read_store() -> Figures:
    """What earlier runs left, by part."""
    return json.loads(_STORE.read_text(encoding="utf-8")) if _STORE.exists() else {}


def write_store(store: Figures) -> None:
    """The JSON file and the report rendered from it."""
    _RESULTS.mkdir(exist_ok=True)
    ordered = {part: store[part] for part in PARTS if part in store}
    for path, text in ((_STORE, json.dumps(ordered, indent=1)), (_REPORT, "\n".join(report(ordered)))):
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)


def report(store: Figures) -> list[str]:
    """The whole report as lines of Markdown."""
    lines = [
        "# Retrieval: measured figures",
        "",
        "Written by `make bench-retrieval DATA_DIR=FOLDER` (FOLDER holds MovieLens 100K); do not edit. Each part names "
        "its date, commit (`+`: with uncommitted changes) and machine, because parts can be run one at a time: "
        '`ARGS="--only scale"`. The same figures for programs: `retrieval.json`.',
    ]
    for part, entry in store.items():
        title, render = PARTS[part]
        lines += [
            "",
            f"## {title}",
            "",
            f"{entry['date']}, commit {entry['commit']}, `{entry['command']}`  ",
            f"{machine(entry['environment'])}; load of others before the start {entry['load_before']:.1f}",
            "",
            *render(entry["figures"]),
        ]
    return lines


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data-dir", type=Path, help="folder or zip of MovieLens 100K")
    arguments.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to measure")
    arguments.add_argument("--seeds", type=int, default=1, help="seeds of the accuracy part, from 42 on")
    arguments.add_argument("--repeats", type=int, default=3, help="turns of the speed parts; medians are reported")
    arguments.add_argument("--render", action="store_true", help="only write retrieval.md again from retrieval.json")
    args = arguments.parse_args()
    store = read_store()
    parts = [] if args.render else args.only
    missing = why_no_movielens(args.data_dir) if {"accuracy", "throughput"} & set(parts) else None
    for part in parts:
        if part == "accuracy" and missing:
            print(f"\n== accuracy is left out: {missing}", flush=True)
            continue
        print(f"\n== {part}", flush=True)
        origin = {"date": today(), "commit": commit(), "load_before": os.getloadavg()[0]}
        figures, environment = measure(part, args)
        store[part] = {
            **origin,
            "command": typed(sys.argv[1:]),
            "environment": environment,
            "figures": figures,
        }
        write_store(store)
    write_store(store)
    print(f"\nReport: {_REPORT}")


if __name__ == "__main__":
    main()
