"""A benchmark of several parts: each measured in a process of its own, all of them one page.

Part ``x`` of the benchmark ``name`` is `benchmarks/name_x.py`: with ``--json FILE`` it writes its figures there, and
its ``render`` makes Markdown of them. They are kept in `benchmarks/results/name.json`, part by part, with date, commit
and machine; `name.md` beside it is rendered from that file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from record import Figures, commit, machine, today

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Benchmark:
    """Parts that share a page.

    Attributes:
      name: of the files.
      title: of the page.
      parts: title of each part by name, in the order of the page.
      reads_data: the part that reads MovieLens 100K.
    """

    name: str
    title: str
    parts: Mapping[str, str]
    reads_data: str

    def main(self, description: str | None) -> None:
        """Measure the parts that the command line asks for; what others measured before is kept."""
        given = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        given.add_argument("--data-dir", help=f"folder or zip of MovieLens 100K, for the part {self.reads_data}")
        given.add_argument("--only", nargs="+", choices=list(self.parts), default=list(self.parts), help="parts")
        given.add_argument("--render", action="store_true", help="only write the page again from its figures")
        options = given.parse_args()
        path = self._file("json")
        store: Figures = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for part in [] if options.render else options.only:
            print(f"\n== {part}", flush=True)
            origin = {"date": today(), "commit": commit(), "load_before": os.getloadavg()[0]}
            data = ["--data-dir", options.data_dir] if part == self.reads_data and options.data_dir else []
            figures, environment = self._measure(part, data)
            store[part] = {**origin, "environment": environment, "figures": figures}
            self._write(store)
        self._write(store)
        print(f"\nReport: {self._file('md')}")

    def _file(self, kind: str) -> Path:
        return _HERE / "results" / f"{self.name}.{kind}"

    def _measure(self, part: str, options: list[str]) -> tuple[Figures, Figures]:
        """The figures of one part, and the machine they come from."""
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "figures.json"
            command = [sys.executable, str(_HERE / f"{self.name}_{part}.py"), *options, "--json", str(result)]
            done = subprocess.run(command, check=False)
            if done.returncode != 0:
                sys.exit(f"Part {part} failed (exit code {done.returncode}); parts measured before it are kept.")
            read = json.loads(result.read_text(encoding="utf-8"))
        return read["figures"], read["environment"]

    def _write(self, store: Figures) -> None:
        """The figures and the page rendered from them."""
        ordered = {part: store[part] for part in self.parts if part in store}
        for kind, text in (("json", json.dumps(ordered, indent=1)), ("md", "\n".join(self._page(ordered)))):
            path = self._file(kind)
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(text + "\n", encoding="utf-8")
            temporary.replace(path)

    def _page(self, store: Figures) -> list[str]:
        lines = [
            f"# {self.title}: measured figures",
            "",
            f"Written by `make bench-{self.name}`; do not edit. Each part names its date, commit (`+`: uncommitted "
            f'changes) and machine, because parts can be run one at a time: `ARGS="--only {next(iter(self.parts))}"`. '
            f"For programs: `{self.name}.json`.",
        ]
        for part, entry in store.items():
            lines += [
                "",
                f"## {self.parts[part]}",
                "",
                f"{entry['date']}, commit {entry['commit']}, `python benchmarks/{self.name}_{part}.py`  ",
                f"{machine(entry['environment'])}; load of others before the start {entry['load_before']:.1f}",
                "",
                *importlib.import_module(f"{self.name}_{part}").render(entry["figures"]),
            ]
        return lines
