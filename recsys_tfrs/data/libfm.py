"""libsvm and libfm files: ``label index:value index:value ...``, one example a line.

The lines say nothing about fields. How they are read is decided by the training file:

* every line has the same number of entries, and at each position either all values are 1 or the index is always the
  same: each position is a field, ``field_1``, ``field_2``, ..., CATEGORICAL with the index as its string, or NUMERIC;
* else, if all values are 1: one field ``features`` of several strings, the indices;
* else, if there are at most 256 different indices: each is a NUMERIC field ``feature_<index>``, 0 where it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from recsys_tfrs.data.delimited import whole_lines
from recsys_tfrs.data.example_files import Block
from recsys_tfrs.data.table_files import open_text
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import Kind

LABEL = "label"
SEVERAL = "features"

_MOST_NUMBERS = 256
_ENTRY = r"^[0-9]+:[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_SEPARATORS = np.zeros(256, np.bool_)
_SEPARATORS[list(b" :\n")] = True
_EXPECTED = "expected 'label index:value index:value ...', an index being a whole number from 0"


@dataclass(frozen=True)
class _Lines:
    """Parsed lines, those that are blank left out.

    Attributes:
      labels: ``[num_rows]`` as written.
      indices, values: ``[num_entries]`` of all rows, one after the other.
      offsets: ``[num_rows + 1]`` where the entries of each row begin.
      numbers: ``[num_rows]`` number of each row's line.
    """

    labels: pa.Array
    indices: NDArray[np.int64]
    values: NDArray[np.float64]
    offsets: NDArray[np.int64]
    numbers: NDArray[np.int64]

    @property
    def width(self) -> int:
        """Entries of every row; -1 where rows differ."""
        lengths = np.diff(self.offsets)
        return int(lengths[0]) if len(lengths) and (lengths == lengths[0]).all() else -1


@dataclass(frozen=True)
class _Layout:
    """What the lines of a file have in common, see the module's rules.

    Attributes:
      width: entries of every row; -1 where rows differ, -2 before any row.
      index: ``[width]`` the index at each position; -1 where it changes.
      ones: ``[width]`` whether all values at a position are 1.
      distinct: different indices, up to one more than may be numbers.
      all_ones: whether all values are 1.
    """

    width: int = -2
    index: NDArray[np.int64] | None = None
    ones: NDArray[np.bool_] | None = None
    distinct: NDArray[np.int64] | None = None
    all_ones: bool = True

    def seen(self, lines: _Lines) -> _Layout:
        """The layout of these lines too."""
        distinct = np.unique(lines.indices)
        if self.distinct is not None:
            distinct = np.union1d(self.distinct, distinct)
        all_ones = self.all_ones and bool((lines.values == 1).all())
        known = replace(self, distinct=distinct[: _MOST_NUMBERS + 1], all_ones=all_ones)
        width = lines.width if self.width in (-2, lines.width) else -1
        if width <= 0:
            return replace(known, width=-1)
        indices, ones = lines.indices.reshape(-1, width), (lines.values.reshape(-1, width) == 1).all(axis=0)
        index = np.where((indices == indices[0]).all(axis=0), indices[0], -1)
        if self.index is not None and self.ones is not None:
            index, ones = np.where(index == self.index, index, -1), ones & self.ones
        return replace(known, width=width, index=index, ones=ones)

    def kinds(self, path: Path) -> dict[str, Kind]:
        """Fields and what they hold."""
        if self.by_position:
            kinds = [Kind.CATEGORICAL if ones else Kind.NUMERIC for ones in np.asarray(self.ones)]
            return {f"field_{i}": kind for i, kind in enumerate(kinds, start=1)}
        if self.all_ones:
            return {SEVERAL: Kind.MULTI_CATEGORICAL}
        if self.distinct is None or len(self.distinct) > _MOST_NUMBERS:
            raise DataError(
                f"{path} has lines of different length, values other than 1, and more than {_MOST_NUMBERS} different "
                "indices, so that its fields cannot be told apart: write all values as 1, write every field in every "
                "line, or make a table with named columns of it."
            )
        return {f"feature_{index}": Kind.NUMERIC for index in self.distinct}

    @property
    def by_position(self) -> bool:
        """Whether each position is a field."""
        if self.width <= 0 or self.index is None or self.ones is None:
            return False
        return bool((self.ones | (self.index >= 0)).all())


class LibfmFile:
    """A libsvm or libfm file, also with ``.gz``; see the module's rules.

    Args:
      path: the file.
      like: the training file, whose fields this one has; None: it is the training file itself.

    Raises:
      DataError: it is empty, or a line cannot be read (its number is named).
    """

    signed = True

    def __init__(self, path: Path, like: LibfmFile | None = None) -> None:
        self.path = path
        self.longest = 0
        if like is None:
            self._layout = _Layout()
            for lines in self._lines():
                self._layout = self._layout.seen(lines)
                self.longest = max(self.longest, int(np.diff(lines.offsets).max(initial=0)))
            if self._layout.width == -2:
                raise DataError(f"{path} is empty: {_EXPECTED}.")
        else:
            self._layout = like._layout
        self.kinds: Mapping[str, Kind] = self._layout.kinds(path)
        self.names = [LABEL, *self.kinds]

    def sample(self) -> pa.Table:
        """The first rows."""
        return next(self.blocks(dict.fromkeys(self.names))).table

    def blocks(self, types: Mapping[str, pa.DataType | None]) -> Iterator[Block]:
        """All rows."""
        for lines in self._lines():
            columns = self._columns(lines)
            yield Block(pa.table({name: columns[name] for name in types}), self._placer(lines))

    def _placer(self, lines: _Lines) -> Callable[[int], str]:
        return lambda row: f"{self.path}, line {lines.numbers[row]}"

    def _lines(self) -> Iterator[_Lines]:
        line = 1
        with open_text(self.path) as stream:
            for data in whole_lines(stream, quoted=False, block_bytes=16 << 20):
                lines = _regular(data, line) or _irregular(self.path, data, line)
                line += data.count(b"\n")
                if len(lines.labels):
                    yield lines

    def _columns(self, lines: _Lines) -> dict[str, pa.Array]:
        layout = self._layout
        columns = {LABEL: lines.labels}
        if layout.by_position:
            return columns | self._positions(lines)
        indices, offsets = pa.array(lines.indices).cast(pa.string()), pa.array(lines.offsets.astype(np.int32))
        if layout.all_ones:
            self._refuse(lines, lines.values != 1, "the value is not 1, as all values of the training rows are")
            return columns | {SEVERAL: pa.ListArray.from_arrays(offsets, indices)}
        known = layout.distinct if layout.distinct is not None else np.empty(0, np.int64)
        column = np.minimum(np.searchsorted(known, lines.indices), len(known) - 1)
        self._refuse(lines, known[column] != lines.indices, "the index does not come in the training rows")
        cells = np.zeros((len(lines.labels), len(known)))
        cells[np.repeat(np.arange(len(cells)), np.diff(lines.offsets)), column] = lines.values
        return columns | {f"feature_{index}": pa.array(cells[:, i]) for i, index in enumerate(known)}

    def _positions(self, lines: _Lines) -> dict[str, pa.Array]:
        layout = self._layout
        ones, index = np.asarray(layout.ones), np.asarray(layout.index)
        lengths = np.diff(lines.offsets)
        if (lengths != layout.width).any():
            row = int(np.argmax(lengths != layout.width))
            raise DataError(
                f"{self.path}, line {lines.numbers[row]}: expected {layout.width} entries, as every line of the "
                f"training rows has, found {lengths[row]}: files of one data set need the same fields."
            )
        indices, values = lines.indices.reshape(-1, layout.width), lines.values.reshape(-1, layout.width)
        self._refuse(lines, ((values != 1) & ones).ravel(), "the value is not 1, as all of the training rows' are here")
        self._refuse(lines, ((indices != index) & ~ones).ravel(), "the index is not that of the training rows here")
        return {
            name: pa.array(indices[:, i]).cast(pa.string()) if ones[i] else pa.array(values[:, i])
            for i, name in enumerate(self.kinds)
        }

    def _refuse(self, lines: _Lines, bad: NDArray[np.bool_], problem: str) -> None:
        if bad.any():
            entry = int(np.argmax(bad))
            row = int(np.searchsorted(lines.offsets, entry, side="right")) - 1
            raise DataError(
                f"{self.path}, line {lines.numbers[row]}: in {lines.indices[entry]}:{lines.values[entry]:g} {problem}."
            )


def _regular(data: bytes, line: int) -> _Lines | None:
    """Lines that all have the same number of entries and single spaces, the fast way; None if they have not."""
    if not data.endswith(b"\n"):
        data += b"\n"
    marks = np.frombuffer(data, np.uint8)
    marks = marks[_SEPARATORS[marks]]
    columns = int(np.argmax(marks == ord("\n"))) + 1
    if columns % 2 == 0 or columns == 1 or len(marks) % columns:
        return None
    pattern = np.frombuffer(b" :" * (columns // 2) + b"\n", np.uint8)
    if not (marks.reshape(-1, columns) == pattern).all():
        return None
    names = [LABEL, *(f"{what}{i}" for i in range(columns // 2) for what in "iv")]
    types = {name: pa.int64() if name[0] == "i" else pa.float64() for name in names[1:]} | {LABEL: pa.string()}
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data.replace(b":", b" ")),
            pa.csv.ReadOptions(column_names=names, block_size=4 << 20),
            pa.csv.ParseOptions(delimiter=" ", quote_char=False),
            pa.csv.ConvertOptions(column_types=types, null_values=[""]),
        ).combine_chunks()
    except pa.ArrowInvalid:
        return None
    if any(column.null_count for column in table.columns):
        return None
    indices = np.stack([column.to_numpy() for column in table.columns[1::2]], axis=1).ravel()
    values = np.stack([column.to_numpy() for column in table.columns[2::2]], axis=1).ravel()
    if indices.min() < 0 or not np.isfinite(values).all():
        return None
    rows = np.arange(table.num_rows + 1)
    labels = table.column(LABEL).combine_chunks()
    return _Lines(labels, indices, values, rows * (columns // 2), rows[:-1] + line)


def _irregular(path: Path, data: bytes, line: int) -> _Lines:
    """Any lines; comments behind ``#`` are left out.

    Raises:
      DataError: a line cannot be read.
    """
    try:
        text = data.decode("utf-8-sig" if line == 1 else "utf-8").rstrip("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {line + data.count(10, 0, error.start)}: not UTF-8 text: save the file as UTF-8."
        ) from None
    lines = pc.list_flatten(pc.split_pattern(pa.array([text], pa.large_string()), "\n"))
    lines = pc.utf8_trim_whitespace(pc.replace_substring_regex(lines, "#.*", ""))
    filled = pc.greater(pc.binary_length(lines), 0)
    numbers = np.flatnonzero(filled.to_numpy(zero_copy_only=False)) + line
    words = pc.utf8_split_whitespace(lines.filter(filled)).cast(pa.large_list(pa.large_string()))
    lengths = pc.list_value_length(words).to_numpy(zero_copy_only=False).astype(np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    flat = pc.list_flatten(words)
    is_label = np.zeros(len(flat), np.bool_)
    is_label[starts[:-1]] = True
    labels, entries = flat.filter(pa.array(is_label)), flat.filter(pa.array(~is_label))
    offsets = starts - np.arange(len(starts))
    unlabelled = pc.match_substring(labels, ":").to_numpy(zero_copy_only=False)
    if unlabelled.any():
        row = int(np.argmax(unlabelled))
        raise DataError(f"{path}, line {numbers[row]}: there is no label before {labels[row].as_py()!r}: {_EXPECTED}.")
    bad = ~pc.match_substring_regex(entries, _ENTRY).to_numpy(zero_copy_only=False)
    if bad.any():
        row = int(np.searchsorted(offsets, int(np.argmax(bad)), side="right")) - 1
        entry = entries[int(np.argmax(bad))].as_py()
        raise DataError(f"{path}, line {numbers[row]}: {entry[:80]!r} is no 'index:value': {_EXPECTED}.")
    pairs = pc.list_flatten(pc.split_pattern(entries, ":"))
    try:
        indices = pairs.take(pa.array(np.arange(0, len(pairs), 2))).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: an index is too large: {error}.") from None
    values = pairs.take(pa.array(np.arange(1, len(pairs), 2))).cast(pa.float64()).to_numpy()
    return _Lines(labels.cast(pa.string()), indices, values, offsets, numbers)
