"""Everything that README and docs say about the cascade, measured: `make bench-cascade`.

    python benchmarks/cascade.py [--only PART ...] [--data-dir FOLDER]

Parts: latency (one request through retrieval and ranking), accuracy (the cascade beside retrieval alone on MovieLens
100K, leave-last-out). Each runs in a process of its own. Figures go to `benchmarks/results/cascade.json`, part by part,
with date, commit and machine; `cascade.md` beside it is rendered from that file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from record import Figures, commit, machine, today

_HERE = Path(__file__).resolve().parent
_STORE, _REPORT = _HERE / "results" / "cascade.json", _HERE / "results" / "cascade.md"

#: Title of each part, in the order of the report; part x is measured and rendered by `cascade_x.py`.
PARTS = {"latency": "One request through retrieval and ranking", "accuracy": "Beside retrieval alone"}


def measure(part: str, options: list[str]) -> tuple[Figures, Figures]:
    """The figures of one part, from a process of its own, and the machine they come from."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "figures.json"
        command = [sys.executable, str(_HERE / f"cascade_{part}.py"), *options, "--json", str(result)]
        if subprocess.run(command, check=False).returncode != 0:
            sys.exit(f"Part {part} failed; parts measured before it are kept.")
        read = json.loads(result.read_text(encoding="utf-8"))
    return read["figures"], read["environment"]


def report(store: Figures) -> list[str]:
    """The whole report as lines of Markdown."""
    lines = ["# The cascade: measured figures", "", "Written by `make bench-cascade`; do not edit."]
    for part, entry in store.items():
        lines += [
            "",
            f"## {PARTS[part]}",
            "",
            f"{entry['date']}, commit {entry['commit']}, `python benchmarks/cascade_{part}.py`  ",
            f"{machine(entry['environment'])}; load of others before the start {entry['load_before']:.1f}",
            "",
            *importlib.import_module(f"cascade_{part}").render(entry["figures"]),
        ]
    return lines


def write(store: Figures) -> None:
    """The JSON file and the report rendered from it."""
    _STORE.parent.mkdir(exist_ok=True)
    ordered = {part: store[part] for part in PARTS if part in store}
    for path, text in ((_STORE, json.dumps(ordered, indent=1)), (_REPORT, "\n".join(report(ordered)))):
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data-dir", help="folder or zip of MovieLens 100K, for the part accuracy")
    arguments.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to measure")
    args = arguments.parse_args()
    store: Figures = json.loads(_STORE.read_text(encoding="utf-8")) if _STORE.exists() else {}
    for part in args.only:
        print(f"\n== {part}", flush=True)
        origin = {"date": today(), "commit": commit(), "load_before": os.getloadavg()[0]}
        options = ["--data-dir", args.data_dir] if part == "accuracy" and args.data_dir else []
        figures, environment = measure(part, options)
        store[part] = {**origin, "environment": environment, "figures": figures}
        write(store)
    print(f"\nReport: {_REPORT}")


if __name__ == "__main__":
    main()
