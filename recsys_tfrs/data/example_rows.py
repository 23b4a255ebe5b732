"""Blocks of a table -> `Examples`: labels, weights and numbers checked, strings as they are written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_tfrs.data.context_rows import ContextRows
from recsys_tfrs.data.example_files import Block, ExampleFile
from recsys_tfrs.data.example_kinds import ExampleColumns
from recsys_tfrs.data.examples import Examples
from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.data.timestamps import parse_number
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import Kind

_LARGEST = float(np.finfo(np.float32).max)
_TRUTH = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class FileSource:
    """An `ExampleSource` that reads a file, or one part of its rows, anew each time.

    Attributes:
      file: the file.
      columns: what its columns are.
      num_rows: rows of the part.
      parts: ``[rows of the file]`` int8, the part of each row; None: all rows are of this part.
      part: the one to read.
    """

    file: ExampleFile
    columns: ExampleColumns
    num_rows: int
    parts: NDArray[np.int8] | None = None
    part: int = 0

    def chunks(self) -> Iterator[Examples]:
        """The rows, a block of the file at a time."""
        low = 0
        for block in self.file.blocks(self.columns.types()):
            high = low + block.table.num_rows
            if self.parts is not None:
                chosen = self.parts[low:high] == self.part
                if len(chosen) != high - low:
                    raise DataError(f"{self.file.path} has grown while it was read: start again.")
                block = Block(block.table.filter(pa.array(chosen)), lambda _: str(self.file.path))
            low = high
            if block.table.num_rows:
                yield to_examples(block, self.columns)


def to_examples(block: Block, columns: ExampleColumns) -> Examples:
    """The rows of a block.

    Raises:
      DataError: a label, a weight or a number cannot be used; the message says where it stands.
    """
    made = {}
    for name, kind in columns.kinds.items():
        if kind is Kind.NUMERIC:
            values: NDArray[np.generic] = _numbers(block, name)
        else:
            values = _values(block, name, kind)
        made[name] = FeatureColumn(name, kind, values)
    groups: NDArray[np.object_] | None = None
    if columns.group is not None:
        # A field of several values, or of a number, is no name of a group.
        kept = columns.kinds.get(columns.group) is Kind.CATEGORICAL
        named = made[columns.group].values if kept else _values(block, columns.group, Kind.CATEGORICAL)
        groups = named.astype(object, copy=False)
    return Examples(
        columns=made,
        targets={name: _labels(block, name, columns) for name in columns.labels},
        weights=None if columns.weight is None else _weights(block, columns.weight),
        groups=groups,
    )


def times(block: Block, name: str) -> NDArray[np.float64]:
    """``[num_rows]`` seconds since 1970.

    Raises:
      DataError: a time is missing, or cannot be read.
    """
    seconds = _values(block, name, Kind.TIMESTAMP).astype(np.float64)
    _refuse(block, np.isnan(seconds), name, "the time is missing, by which rows are split: fill it in")
    return seconds


def _values(block: Block, name: str, kind: Kind) -> NDArray[np.generic]:
    column = block.table.column(name)
    try:
        return _parsed(column, name, kind)
    except (DataError, pa.ArrowInvalid):
        # The first row at which the column, read up to it, cannot be read.
        good, bad = 0, len(column)
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                _parsed(column.slice(0, middle), name, kind)
                good = middle
            except (DataError, pa.ArrowInvalid):
                bad = middle
        raise DataError(
            f"{block.place(bad - 1)}, column {name!r}: {column[bad - 1].as_py()!r} cannot be read as {kind.value}: "
            "correct it, or declare another kind for the column."
        ) from None


def _parsed(column: pa.ChunkedArray, name: str, kind: Kind) -> NDArray[np.generic]:
    rows = ContextRows("", {name: kind})
    rows.append({name: column})
    return rows.finish()[name][1]


def _numbers(block: Block, name: str) -> NDArray[np.float32]:
    wide = block.table.column(name).to_numpy()
    _refuse(
        block, np.abs(wide) > _LARGEST, name, "the number is not finite (in 32 bits): correct it, or leave it empty"
    )
    return np.asarray(wide, dtype=np.float32)


def _weights(block: Block, name: str) -> NDArray[np.float32]:
    weights = block.table.column(name).to_numpy()
    fine = (weights >= 0) & (weights <= _LARGEST)  # False for what is missing
    _refuse(block, ~fine, name, "the weight is missing, negative or not finite: expected a number of at least 0")
    return np.asarray(weights, dtype=np.float32)


def _labels(block: Block, name: str, columns: ExampleColumns) -> NDArray[np.float32]:
    """Labels by their different texts, of which there are few."""
    column = block.table.column(name)
    if pa.types.is_nested(column.type):
        raise DataError(
            f"{block.place(0)}, column {name!r}: a label is no {column.type}: expected one number a row, and a column "
            "of its own for each label."
        )
    encoded = pc.fill_null(column.cast(pa.string()), "").combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()
    values = np.empty(len(encoded.dictionary), dtype=np.float32)
    for i, text in enumerate(encoded.dictionary.to_pylist()):
        problem = ""
        try:
            values[i] = _label(text, columns)
        except ValueError as error:
            problem = str(error)
        if problem:
            raise DataError(f"{block.place(int(np.argmax(codes == i)))}, column {name!r}: {problem}.")
    return np.asarray(values[codes])


def _label(text: str, columns: ExampleColumns) -> float:
    if not text.strip():
        if len(columns.labels) > 1:
            return float("nan")  # another label of the row may be known
        raise ValueError("the label is missing: fill it in, or leave the row out")
    value = _TRUTH.get(text.strip().lower())
    value = parse_number(text) if value is None else value
    if not columns.binary:
        return value
    if value == -1 and columns.signed:
        return 0.0
    if value not in (0, 1):
        raise ValueError(
            f"the label {text!r} is neither 0 nor 1: a click or like is 1, its absence 0; for ratings set target=rating"
        )
    return value


def _refuse(block: Block, bad: NDArray[np.bool_], name: str, problem: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        found = block.table.column(name)[row].as_py()
        raise DataError(f"{block.place(row)}, column {name!r}: {problem}; found {found!r}.")
