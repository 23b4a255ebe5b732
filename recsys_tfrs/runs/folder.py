"""A run directory: under another name while it is being written, whole once it has its own.

A run called ``runs/x`` works in ``runs/x.incomplete`` and is renamed when everything in it is there, so whoever finds
``runs/x`` finds all of it. A killed run leaves ``runs/x.incomplete``, which ``--resume`` continues.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal

from recsys_tfrs.config import Section, SectionT, build, read_toml, to_toml
from recsys_tfrs.errors import ConfigError, RunError, UsageError
from recsys_tfrs.files import write_atomically
from recsys_tfrs.serving.folders import EXTRA_FOLDER
from recsys_tfrs.serving.model_card import MODEL_CARD

RUNS = Path("runs")
LATEST = "latest"
#: The complete configuration, below the folder of a run.
CONFIG_FILE = "config.toml"
#: Everything measured, there also; a folder with it is a run.
METRICS_FILE = "metrics.json"
_SUFFIX = ".incomplete"


@dataclass(frozen=True)
class RunFolder:
    """Where a run is written.

    Attributes:
      final: the run's own path.
      work: where it is written until it is complete.
    """

    final: Path

    @property
    def work(self) -> Path:
        """The folder the unfinished run lies in."""
        return self.final.with_name(self.final.name + _SUFFIX)

    def finish(self) -> Path:
        """Give the complete run its name and let ``latest`` beside it point there."""
        self.work.replace(self.final)
        latest = self.final.parent / LATEST
        if latest.is_symlink() or not latest.exists():
            temporary = latest.with_name(f".{LATEST}.{os.getpid()}")
            temporary.symlink_to(self.final.name)
            temporary.replace(latest)
        return self.final


def start(out: Path | None, family: str, *, resume: bool) -> RunFolder:
    """Make the folder of a new run, or find that of a run to continue.

    Args:
      out: where the run shall lie; None: ``runs/<family>-<time>``, or the newest unfinished run when resuming.
      family: of the model.
      resume: continue an unfinished run.

    Raises:
      RunError: the place is taken, or there is nothing to resume.
    """
    if resume:
        return _unfinished(out, family)
    final = (out or RUNS / f"{family}-{time.strftime('%Y%m%d-%H%M%S')}").absolute()
    folder = RunFolder(final)
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        raise RunError(f"{final} is already there and is not overwritten: choose another --out, or remove it.")
    if folder.work.exists():
        raise RunError(f"{folder.work} is an unfinished run: continue it with --resume, or remove it.")
    try:
        folder.work.mkdir(parents=True)
    except OSError as error:
        raise RunError(
            f"The run directory {folder.work} cannot be made ({error.strerror}): choose another --out."
        ) from None
    return folder


def _unfinished(out: Path | None, family: str) -> RunFolder:
    if out is not None:
        folder = RunFolder(out.absolute())
        if folder.work.is_dir():
            return folder
        state = "is complete" if folder.final.exists() else "does not exist"
        raise RunError(f"There is nothing to resume: {out} {state} and has no {out.name}{_SUFFIX} beside it.")
    candidates = sorted(RUNS.glob(f"{family}-*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
    if not candidates:
        raise RunError(f"There is no unfinished {family} run below {RUNS}/: name it with --out.")
    newest = candidates[-1].absolute()
    return RunFolder(newest.with_name(newest.name.removesuffix(_SUFFIX)))


def is_complete(run: Path) -> bool:
    """Whether everything of a run is in its folder."""
    return (run / METRICS_FILE).is_file()


def open_run(path: Path, kind: Literal["retrieval", "ranking"] | None = None) -> Path:
    """The folder of a complete run of a family that recommends or ranks.

    Args:
      path: the run.
      kind: what its model must do; None: either.

    Raises:
      RunError: there is none at `path`, it is unfinished, its model describes items, or it is of the other kind.
    """
    resolved = path.resolve()
    if is_complete(resolved):
        found = _kind(resolved)
        if found == "content":
            raise RunError(
                f"The model of {path} describes items and recommends none: give its items.parquet to another family "
                "with --items. Its figures stand in report.md, its export in saved_model."
            )
        if kind == "retrieval" and found == "ranking":
            raise RunError(
                f"{path} is a ranking run, and a retrieval run is needed: a ranking model finds no items by itself. "
                f"`recsys-tfrs explain {path}` shows what it predicts, `recsys-tfrs export-cascade RETRIEVAL_RUN "
                f"{path}` makes one model of both, which recommends."
            )
        if kind == "ranking" and found != "ranking":
            raise RunError(
                f"{path} is a retrieval run, and a ranking run is needed, as `recsys-tfrs train deepfm` makes: "
                f"`recsys-tfrs recommend {path}` shows what this one recommends."
            )
        return resolved
    if RunFolder(path.absolute()).work.is_dir() or path.name.endswith(_SUFFIX):
        raise RunError(
            f"The run {path} is unfinished: continue it with `recsys-tfrs train ... --resume --out {quote(str(path))}`."
        )
    raise RunError(f"There is no run at {path}: a run is a folder with a {METRICS_FILE}, as `recsys-tfrs train` makes.")


def is_ranking(path: Path) -> bool:
    """Whether the complete run at `path` is one of a ranking model.

    Raises:
      RunError: there is no complete run.
    """
    return _kind(open_run(path)) == "ranking"


def _kind(run: Path) -> str | None:
    """What the ``metrics.json`` of a run says it is of; that of retrieval says nothing."""
    try:
        recorded = json.loads((run / METRICS_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{run / METRICS_FILE} cannot be read ({error}): train the run again.") from None
    return recorded.get("kind") if isinstance(recorded, dict) else None


def read_config(run: Path, section: type[SectionT]) -> SectionT:
    """The configuration of the complete run in a folder.

    Raises:
      RunError: it is not there, or not one of this version.
    """
    try:
        return build(section, [read_toml(run / CONFIG_FILE)])
    except ConfigError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise RunError(
            f"{run / CONFIG_FILE} is not one that this version writes ({reason}): train the run again, with the "
            "settings of that file which there still are."
        ) from None


def check_split_unchanged(run: Path, then: str, now: str) -> None:
    """See that the data of a run is split as it was when it was trained.

    Args:
      run: its folder.
      then: hash of the split that the run records.
      now: hash of the split that its data makes.

    Raises:
      RunError: they are not the same.
    """
    if then != now:
        raise RunError(
            f"The data of {run} has changed since it was trained: its split had the hash {then[:16]}, now it has "
            f"{now[:16]}. Bring the old data back, or train again."
        )


def check_place(base: Path) -> None:
    """See that a folder can hold versions.

    Raises:
      UsageError: it, or one above it, is a file.
    """
    for folder in (base, *base.parents):
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{base} cannot hold versions, because {folder} is a file: choose another --to or --name.")


def write_config(config: Section, folder: RunFolder) -> None:
    """Record the configuration; a run that is continued must have been started with the same.

    Raises:
      RunError: it was started with another.
    """
    path = folder.work / CONFIG_FILE
    text = to_toml(config)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise RunError(
            f"{folder.work} was started with another configuration (its {CONFIG_FILE}): resume it with the same "
            "options and data, or start a new run with another --out."
        )
    write_atomically(path, text)


@contextmanager
def removed_on_failure(folder: RunFolder) -> Iterator[None]:
    """While data is read: if that fails, a new run leaves nothing behind, since nothing in it is worth resuming."""
    try:
        yield
    except BaseException:
        if not (folder.work / CONFIG_FILE).exists():
            shutil.rmtree(folder.work, ignore_errors=True)
        raise


def card_to(version_folder: Path, run: Path) -> None:
    """Lay the model card of an export beside the run's report."""
    card = (version_folder / EXTRA_FOLDER / MODEL_CARD).read_text(encoding="utf-8")
    write_atomically(run / MODEL_CARD, card)


def run_names(paths: Sequence[Path]) -> list[str]:
    """What to call runs beside each other: their folders' names, or whole paths where names are alike.

    Raises:
      RunError: a run is there twice.
    """
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise RunError("A run is named twice: name different runs to compare.")
    names = [path.name for path in resolved]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
