"""Execute every notebook of `notebooks/` and check that its two files agree.

A notebook is a pair: ``NN_title.py`` (jupytext's percent format, the one to edit and to review) and ``NN_title.ipynb``
(the same cells for Jupyter and for reading on the web), stored without outputs. Executed copies, figures included, go
to ``notebooks/_output/``.

    python scripts/run_notebooks.py                       # check and execute all
    python scripts/run_notebooks.py 00_quickstart         # only this one
    python scripts/run_notebooks.py --check               # check, execute nothing
    python scripts/run_notebooks.py --sync                # links of the series, and each .ipynb anew from its .py
    DATASET=movielens-100k python scripts/run_notebooks.py

Nothing is downloaded: a notebook reads ``simulated-small`` unless the environment variable DATASET says otherwise.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
OUTPUT = NOTEBOOKS / "_output"

#: Seconds a single cell may take before its notebook counts as failed.
CELL_TIMEOUT = 600

#: Heads the last cell of a notebook, which is generated.
_SERIES = "# %% [markdown]\n# ## The series\n#\n"

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_METADATA = {
    "jupytext": {"formats": "py:percent,ipynb", "notebook_metadata_filter": "jupytext,kernelspec,-all"},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
}


class NotebookError(Exception):
    """A notebook that is out of step with its pair, or that failed; the message says where."""


def pairs(names: list[str]) -> list[Path]:
    """The ``.py`` files of the named notebooks, or of all, in order.

    Raises:
      NotebookError: there is no such notebook.
    """
    found = sorted(NOTEBOOKS.glob("[0-9]*.py"))
    if not names:
        return found
    stems = [Path(name).stem for name in names]
    unknown = set(stems) - {path.stem for path in found}
    if unknown:
        raise NotebookError(f"no notebook {', '.join(sorted(unknown))}; there are {', '.join(p.stem for p in found)}")
    return [path for path in found if path.stem in stems]


def orphans() -> list[Path]:
    """Notebooks of which only the ``.ipynb`` is there."""
    return [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if not path.with_suffix(".py").exists()]


def read_text_form(path: Path) -> Any:
    """The notebook that the ``.py`` of a pair describes."""
    import jupytext

    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata.clear()
    notebook.metadata.update(_METADATA)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"  # jupytext draws random ids, which would change with every synchronisation
    return notebook


def title(path: Path) -> str:
    """What a notebook is headed with.

    Raises:
      NotebookError: it has no heading.
    """
    heading = re.search(r"^# # (.+)$", path.read_text("utf-8"), flags=re.MULTILINE)
    if heading is None:
        raise NotebookError(f"{path.name} has no heading: let its first cell begin with '# # Title'")
    return heading[1]


def series_links(path: Path) -> str:
    """The last cell of a notebook's ``.py``: what comes before it and after it in the order of the numbers."""
    order = sorted(path.parent.glob("[0-9]*.py"))
    place = order.index(path)
    neighbours = [("Before it", order[place - 1] if place else None), ("After it", (*order, None)[place + 1])]
    said = [f"# * {word}: [{title(n)}]({n.stem}.ipynb)" for word, n in neighbours if n is not None]
    return _SERIES + "\n".join([*said, ""])


def with_series_links(path: Path) -> str:
    """A notebook's ``.py`` with the links as they should be."""
    written = path.read_text("utf-8").split(_SERIES)[0]
    return f"{written.rstrip()}\n\n{series_links(path)}"


def synchronise(path: Path) -> None:
    """Write the links of the series into the ``.py`` of a pair, and its ``.ipynb`` from that."""
    import nbformat

    path.write_text(with_series_links(path), encoding="utf-8")
    nbformat.write(read_text_form(path), path.with_suffix(".ipynb"))


def check(path: Path) -> None:
    """Compare the two files of a pair, and its links with the series.

    Raises:
      NotebookError: the ``.ipynb`` is missing, differs, or holds outputs; links lead elsewhere.
    """
    import nbformat

    if path.read_text("utf-8") != with_series_links(path):
        raise NotebookError(
            f"{path.name} does not end with links to its neighbours in the series: run "
            f"scripts/run_notebooks.py --sync {path.stem}"
        )
    other = path.with_suffix(".ipynb")
    if not other.exists():
        raise NotebookError(f"{other.name} is missing: run scripts/run_notebooks.py --sync {path.stem}")
    stored = nbformat.read(other, as_version=4)
    for number, cell in enumerate(stored.cells, start=1):
        if cell.get("outputs") or cell.get("execution_count") is not None:
            raise NotebookError(f"{other.name}, cell {number} is stored with its output: run nbstripout on the file")
    expected = [(cell.cell_type, cell.source) for cell in read_text_form(path).cells]
    for number, cell in enumerate(stored.cells[: len(expected)]):
        if (cell.cell_type, cell.source) != expected[number]:
            raise NotebookError(
                f"{other.name}, cell {number + 1} differs from {path.name}: edit the .py and run "
                f"scripts/run_notebooks.py --sync {path.stem}"
            )
    if len(stored.cells) != len(expected):
        raise NotebookError(f"{other.name} has {len(stored.cells)} cells and {path.name} has {len(expected)}")


def execute(path: Path) -> list[str]:
    """Run a notebook in a fresh kernel of this very Python and keep the executed copy.

    Returns:
      What it wrote to standard error, line by line.

    Raises:
      NotebookError: a cell failed; the message names it.
    """
    import nbformat
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = read_text_form(path)
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        # Sockets of the file system need no network, and their paths must be short.
        manager = AsyncKernelManager(kernel_name="python3", transport="ipc", connection_file=f"{folder}/kernel.json")
        # A kernel that somebody registered under the same name may belong to another environment.
        manager.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        resources = {"metadata": {"path": str(NOTEBOOKS)}}
        client = NotebookClient(notebook, km=manager, timeout=CELL_TIMEOUT, resources=resources)
        try:
            # What notebooks leave in temporary folders goes with this one.
            client.execute(cleanup_kc=True, env=_environment() | {"TMPDIR": folder})
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise NotebookError(_explain(path, notebook, error)) from None
        finally:
            OUTPUT.mkdir(exist_ok=True)
            nbformat.write(notebook, OUTPUT / f"{path.stem}.ipynb")
    return [
        line
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
        for line in output.text.splitlines()
    ]


def _environment() -> dict[str, str]:
    """Notebooks run in their own folder; a data/ folder of the project is found all the same."""
    environment = dict(os.environ)
    if (ROOT / "data").is_dir():
        environment.setdefault("RECSYS_DATA", str(ROOT / "data"))
    return environment


def _explain(path: Path, notebook: Any, error: Exception) -> str:
    """Which cell failed, what it holds and what went wrong."""
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                trace = _COLOUR.sub("", "\n".join(output.traceback))
                return f"{path.stem}, cell {number}: {output.ename}: {output.evalue}\n{trace}"
    reached = [n for n, cell in enumerate(notebook.cells, start=1) if cell.get("execution_count") is not None]
    return f"{path.stem}, cell {reached[-1] if reached else 1}: {type(error).__name__}: {error}"


def run(path: Path, *, only_check: bool) -> bool:
    """Check and execute one notebook, print one line about it, and say whether it passed."""
    started = time.perf_counter()
    try:
        check(path)
        noise = [] if only_check else execute(path)
    except NotebookError as error:
        print(f"{path.stem:40s} FAILED {time.perf_counter() - started:6.1f} s", flush=True)
        print(error, file=sys.stderr, flush=True)
        return False
    said = f"  ({len(noise)} lines on standard error, the first: {noise[0][:100]})" if noise else ""
    print(f"{path.stem:40s} passed {time.perf_counter() - started:6.1f} s{said}", flush=True)
    return True


def main() -> int:
    """Run what the command line asks for; the exit code is 1 if anything failed."""
    parser = argparse.ArgumentParser(description="Execute the notebooks and check their pairs.")
    parser.add_argument("names", nargs="*", help="notebooks to run, for example 00_quickstart (default: all)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="compare the files of each pair and execute nothing")
    mode.add_argument("--sync", action="store_true", help="write each .ipynb anew from its .py")
    arguments = parser.parse_args()
    try:
        chosen = pairs(arguments.names)
    except NotebookError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.sync:
        for path in chosen:
            synchronise(path)
        return 0
    failed = [path.stem for path in chosen if not run(path, only_check=arguments.check)]
    for path in orphans():
        print(f"{path.name} has no {path.with_suffix('.py').name} beside it", file=sys.stderr)
        failed.append(path.stem)
    if not chosen:
        print("no notebook found in notebooks/", file=sys.stderr)
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
