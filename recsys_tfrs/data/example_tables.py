"""Tables of examples of one's own -> `ExampleParts`: CSV, TSV, Parquet, libsvm / libfm, Criteo's layout.

Every file is read once to check and count its rows. Small ones are kept in memory; large ones are read anew, block by
block, whenever their rows are asked for, and only a byte a row says to which part it belongs.
"""

from __future__ import annotations

import filecmp
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.example_files import CRITEO_KINDS, ExampleFile, ParquetFile, TextFile
from recsys_tfrs.data.example_kinds import ExampleColumns, check_same_columns, choose_columns
from recsys_tfrs.data.example_request import PREFIXES, SIMULATED_CLICKS, DeclaredColumns, ExampleRequest, Format
from recsys_tfrs.data.example_rows import FileSource, times, to_examples
from recsys_tfrs.data.examples import ExampleParts, Examples, ExampleSource, InMemory, concatenate
from recsys_tfrs.data.libfm import SEVERAL, LibfmFile
from recsys_tfrs.data.table_files import ACCEPTED, is_parquet, is_text, open_text
from recsys_tfrs.errors import DataError, UsageError
from recsys_tfrs.schema import Kind

_PARTS = ("train", "validation", "test")
_LIBFM_SUFFIXES = (".libfm", ".libsvm", ".svm", ".svmlight")
_LIBFM_LINE = re.compile(rb"\s*([-+.\deE]+\s+)?[^\s:,;]+:[^\s:,;]+(\s+[^\s:,;]+:[^\s:,;]+)*\s*(#.*)?")
#: What text grows to when it is unpacked, for the choice between memory and reading anew.
_UNPACKED = 6


def load_examples(request: ExampleRequest) -> ExampleParts:
    """Read a table of examples, or make the simulated one.

    Raises:
      DataError: a file is missing, empty or malformed, a label is constant or no label, or files have different
        columns; the message names file and line where there is one.
      UsageError: the request is not understood, or one file is given twice.
    """
    if request.dataset is not None and request.dataset.startswith(SIMULATED_CLICKS):
        from recsys_tfrs.data.simulated_clicks import load_simulated_clicks

        return load_simulated_clicks(request.dataset, seed=request.seed)
    paths, form = request.files()
    _refuse_repeated(paths)
    files: dict[str, ExampleFile] = {}
    for part, path in paths.items():
        files[part] = open_examples(path, form, files.get("train"))
    train = files["train"]
    columns, notes = choose_columns(train, DeclaredColumns.parse(request.columns), binary=request.binary)
    if isinstance(train, LibfmFile) and train.kinds.get(SEVERAL) is Kind.MULTI_CATEGORICAL:
        notes.append(
            f"{train.path.name} is read as one field of several values, {train.longest} at most: features.max_values "
            "says how many are kept."
        )
    for part in paths.keys() - {"train"}:
        notes += check_same_columns(train, files[part], columns)
    keep = sum(map(_size, paths.values())) <= request.stream_above
    scans = {part: _scan(file, columns, keep) for part, file in files.items()}
    rows, split = _assign(request, scans, columns)
    sources: dict[str, ExampleSource] = {}
    for number, part in enumerate(_PARTS):
        holder = part if part in files else "train"
        chosen = rows[holder] == number
        _refuse_constant(part, columns, scans[holder].labels[chosen])
        examples = scans[holder].examples
        if examples is not None:
            sources[part] = InMemory(examples if chosen.all() else examples.take(chosen))
        else:
            told_apart = None if chosen.all() else rows[holder]
            sources[part] = FileSource(files[holder], columns, int(chosen.sum()), told_apart, number)
    name = Path(train.path.name.removesuffix(".gz")).stem
    return ExampleParts(name, split, **sources, notes=tuple(notes))


def open_examples(path: Path, form: Format | None, train: ExampleFile | None = None) -> ExampleFile:
    """A file of examples, in the format given or recognised.

    Raises:
      DataError: it is missing, empty or damaged.
      UsageError: it is no file of a known format.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist: check the path.")
    if is_parquet(path):
        return ParquetFile(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder without Parquet files: expected {ACCEPTED}, or a libfm file.")
    form = form or _recognise(path)
    if form == "libfm":
        return LibfmFile(path, train if isinstance(train, LibfmFile) else None)
    return TextFile(path, criteo=form == "criteo")


def _recognise(path: Path) -> Format:
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    if plain.suffix.lower() in _LIBFM_SUFFIXES:
        return "libfm"
    with open_text(path) as stream:
        line = next((line for line in iter(lambda: stream.readline(1 << 20), b"") if line.strip()), b"")
    if not line:
        raise DataError(f"{path} is empty: expected examples, one a line.")
    cells = line.rstrip(b"\r\n").split(b"\t")
    if len(cells) == 1 + len(CRITEO_KINDS) and cells[0] in (b"0", b"1"):
        return "criteo"
    if _LIBFM_LINE.fullmatch(line.strip()):
        return "libfm"
    if not is_text(path):
        raise UsageError(
            f"{path} is no table this can read: expected {ACCEPTED}, lines of 'label index:value ...', or Criteo's "
            f"{1 + len(CRITEO_KINDS)} columns; say so with {', '.join(PREFIXES)} before the path of --dataset."
        )
    return "table"


@dataclass(frozen=True)
class _Scan:
    """What one reading of a file found.

    Attributes:
      labels: ``[num_rows, num_labels]`` int8: 0 and 1, -1 where unknown; of labels that are no classes, 0 for the
        value of the first row and 1 for others.
      times: ``[num_rows]`` seconds, or None.
      examples: all rows, where they fit into memory.
    """

    labels: NDArray[np.int8]
    times: NDArray[np.float64] | None
    examples: Examples | None


def _scan(file: ExampleFile, columns: ExampleColumns, keep: bool) -> _Scan:
    labels, seconds, kept = [], [], []
    first: NDArray[np.float32] | None = None
    if not keep:  # strings cannot be wrong, and are read when they are asked for
        numbers = {name: kind for name, kind in columns.kinds.items() if kind is Kind.NUMERIC}
        columns = replace(columns, kinds=numbers, group=None)
    for block in file.blocks(columns.types()):
        if not block.table.num_rows:
            continue
        examples = to_examples(block, columns)
        targets = np.stack([examples.targets[name] for name in columns.labels], axis=1)
        first = targets[0] if first is None else first
        classes = targets if columns.binary else (targets != first).astype(np.float32)
        labels.append(np.where(np.isnan(targets), -1, classes).astype(np.int8))
        if columns.timestamp is not None:
            seconds.append(times(block, columns.timestamp))
        if keep:
            kept.append(examples)
    if not labels:
        raise DataError(f"{file.path} has no rows: expected examples, one a line.")
    return _Scan(
        np.concatenate(labels),
        np.concatenate(seconds) if seconds else None,
        concatenate(kept) if keep else None,
    )


def _assign(
    request: ExampleRequest, scans: Mapping[str, _Scan], columns: ExampleColumns
) -> tuple[dict[str, NDArray[np.int8]], str]:
    """``({file's part: [num_rows] part of each row}, how)``; the parts without a file come off the training file."""
    rows = {part: np.full(len(scan.labels), _PARTS.index(part), np.int8) for part, scan in scans.items()}
    shares = {"test": request.test_fraction, "validation": request.validation_fraction}
    shares = {part: share for part, share in shares.items() if part not in scans}
    if not shares:
        return rows, "files"
    num_rows, seconds = len(rows["train"]), scans["train"].times
    if seconds is None:
        order = np.random.default_rng(request.seed).permutation(num_rows)
    else:
        order = np.argsort(seconds, kind="stable")
    end = num_rows
    for part, share in shares.items():
        start = end - round(num_rows * share)
        rows["train"][order[start:end]] = _PARTS.index(part)
        if start == end or start == 0:
            raise DataError(f"{num_rows} rows are too few to take {share:.0%} of them for {part}.")
        end = start
    how = "random" if seconds is None else f"temporal by {columns.timestamp}"
    taken = ", ".join(f"{share:.0%} {part}" for part, share in shares.items())
    files = "" if len(scans) == 1 else " of the training file"
    return rows, f"{how}: {taken}{files}"


def _refuse_constant(part: str, columns: ExampleColumns, labels: NDArray[np.int8]) -> None:
    if not columns.binary and part != "train":
        return  # errors of numbers can be measured all the same
    for i, name in enumerate(columns.labels):
        known = labels[labels[:, i] >= 0, i]
        if not len(known) or known.min() == known.max():
            same = f"always {known[0]}" if len(known) and columns.binary else "always the same"
            found = same if len(known) else "never known"
            raise DataError(
                f"The label {name!r} of the {part} rows is {found}: there is nothing to learn or to measure. Check "
                "that the right column is the label (--columns label=NAME), and that the file is not sorted by it."
            )


def _refuse_repeated(paths: Mapping[str, Path]) -> None:
    parts = [part for part, path in paths.items() if path.is_file()]
    for i, part in enumerate(parts):
        for other in parts[:i]:
            if filecmp.cmp(paths[part], paths[other], shallow=False):
                raise UsageError(
                    f"The file of the {part} rows ({paths[part]}) is that of the {other} rows ({paths[other]}), or a "
                    "copy of it: a model would be measured on what it has learned. Give different files, or only "
                    "--train, off which the other parts are split."
                )


def _size(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size * (_UNPACKED if file.suffix.lower() == ".gz" else 1) for file in files)
