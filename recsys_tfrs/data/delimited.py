"""Rows of a delimited text file, block by block: bounded memory, Arrow's speed, and line numbers in errors.

A file is read in blocks of whole lines. Arrow parses a block on all cores; only a block in which it finds something
wrong is parsed again, line by line, to say which line it was or to leave the bad lines out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from recsys_tfrs.data.archives import DataFolder
from recsys_tfrs.data.assemble import RawInteractions
from recsys_tfrs.data.context_rows import ContextRows
from recsys_tfrs.data.ids import IdColumn, encode_ids
from recsys_tfrs.data.quotes import refuse_open_quote
from recsys_tfrs.data.timestamps import TimeFormat, detect_format, parse_number, parse_time, raw_times
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import Kind

_BLOCK_BYTES = 32 << 20
_QUOTE = b'"'
_LONGEST_FIELD = 1 << 20
_LARGEST_FLOAT = float(np.finfo(np.float32).max)
#: What Arrow takes for a missing number.
_MISSING = frozenset(pyarrow.csv.ConvertOptions().null_values)


@dataclass(frozen=True)
class Layout:
    """How a text file of interactions is written.

    Attributes:
      columns: names of all columns in order; "" for the gaps of a two-character delimiter.
      user: name of the column with the user's id.
      item: name of the column with the item's id.
      rating: name of the column with the rating, or None.
      timestamp: name of the column with the time, or None.
      delimiter: one character. ``::`` is read as ``:`` with empty columns between the real ones.
      quoted: whether fields may stand in double quotes.
      header_lines: lines before the first row.
      weight: name of the column with the row's weight, or None.
      context: kinds of the further columns to read, by name.
    """

    columns: tuple[str, ...]
    user: str
    item: str
    rating: str | None
    timestamp: str | None
    delimiter: str
    quoted: bool = False
    header_lines: int = 0
    weight: str | None = None
    context: Mapping[str, Kind] = field(default_factory=dict)

    @classmethod
    def double_colon(cls, user: str, item: str, rating: str, timestamp: str) -> Layout:
        """``user::item::rating::timestamp``, as MovieLens 1M and MovieTweetings write their ratings."""
        return cls((user, "", item, "", rating, "", timestamp), user, item, rating, timestamp, delimiter=":")

    @property
    def wanted(self) -> tuple[str, ...]:
        """Names of the columns that are read."""
        roles = (self.user, self.item, self.rating, self.timestamp, self.weight)
        return (*(name for name in roles if name is not None), *self.context)

    @property
    def num_fields(self) -> int:
        """Columns a reader of the file sees."""
        return sum(1 for name in self.columns if name)

    @property
    def shown_delimiter(self) -> str:
        """The delimiter as messages write it."""
        return "'::'" if "" in self.columns else {"\t": "a tab"}.get(self.delimiter, f"{self.delimiter!r}")


def read_rows(stream: IO[bytes], label: str, layout: Layout, *, skip_bad_rows: bool = False) -> RawInteractions:
    """All rows of a text file.

    Args:
      stream: the file, positioned after its header.
      label: the file's name in messages.
      layout: which column is what.
      skip_bad_rows: leave out bad lines and say how many, instead of stopping at the first.

    Raises:
      DataError: a line that cannot be read (its number is named), or no rows at all.
    """
    return _Reader(label, layout, skip_bad_rows).read(stream)


def read_records(
    folder: DataFolder,
    file: str,
    delimiter: str,
    num_fields: int,
    encoding: str,
    *,
    quoted: bool = False,
    header_lines: int = 0,
) -> list[list[str]]:
    """The columns of a small text file whose number of fields is known, such as a table of films.

    Args:
      folder: where the file lies.
      file: its name.
      delimiter: between fields; several characters are allowed where fields are not quoted.
      num_fields: of every line.
      encoding: the one the file's makers used.
      quoted: whether fields may stand in double quotes.
      header_lines: lines to leave out at the top.

    Raises:
      DataError: missing file, wrong encoding, or a line with another number of fields (its number is named).
    """
    try:
        lines = folder.read(file).decode(encoding).removeprefix("\ufeff").split("\n")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{folder.label(file)}, line {line}: not {encoding} text, as this file comes: get it anew."
        ) from None
    lines = [line.rstrip("\r") for line in lines]
    rows: Iterable[list[str]] = csv.reader(lines) if quoted else (line.split(delimiter) for line in lines)
    records = []
    for number, fields in enumerate(rows, start=1):
        if number <= header_lines or fields in ([], [""]):
            continue
        if len(fields) != num_fields:
            raise DataError(
                f"{folder.label(file)}, line {number}: expected {num_fields} fields separated by {delimiter!r}, found "
                f"{len(fields)}: the file may be truncated, extract the original zip again."
            )
        records.append(fields)
    return [list(column) for column in zip(*records, strict=True)] or [[] for _ in range(num_fields)]


def whole_lines(stream: IO[bytes], *, quoted: bool, block_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
    """The stream in blocks that end with a line; a line break inside quotes ends no line."""
    rest = b""
    while data := stream.read(block_bytes):
        data = rest + data if rest else data
        end = data.rfind(b"\n") + 1
        if quoted and _QUOTE in data:
            end = _end_outside_quotes(data, end)
        rest = data[end:]
        if end:
            yield data[:end]
    if rest:
        yield rest


def _end_outside_quotes(data: bytes, end: int) -> int:
    """The last line end up to `end` with an even number of quotes before it: outside quotes, doubled ones included.

    Where none is near, a stray quote inside a field is to blame, and the line ends where it seems to.
    """
    odd = data.count(_QUOTE, 0, end) % 2
    earlier = end
    while odd and end - earlier < _LONGEST_FIELD:
        cut = data.rfind(b"\n", 0, data.rfind(_QUOTE, 0, earlier)) + 1
        odd = (odd + data.count(_QUOTE, cut, earlier)) % 2
        earlier = cut
    return end if odd or end - earlier > _LONGEST_FIELD else earlier


class _Reader:
    """Collects the columns of one file."""

    def __init__(self, label: str, layout: Layout, skip_bad_rows: bool) -> None:
        self.label = label
        self.layout = layout
        self.skip_bad_rows = skip_bad_rows
        self.users, self.items = IdColumn(), IdColumn()
        self.ratings: list[NDArray[np.float32]] = []
        self.times: list[NDArray[np.int64]] = []
        self.weights: list[NDArray[np.float32]] = []
        self.context = ContextRows(label, layout.context)
        self.time_format = TimeFormat.INTEGER
        self.skipped = 0
        self.first_problem = ""

    def read(self, stream: IO[bytes]) -> RawInteractions:
        line = self.layout.header_lines + 1
        first = True
        for block in whole_lines(stream, quoted=self.layout.quoted):
            if first and self.layout.timestamp is not None:
                self.time_format = detect_format(self._sample_times(block))
            first = False
            if self.layout.quoted:
                refuse_open_quote(block, self.layout.delimiter, self.label, line)
            try:
                self._append(self._parse(block))
            except ValueError:  # Arrow's ArrowInvalid is one
                self._append(self._parse_line_by_line(block, line))
            line += block.count(b"\n")
        notes: tuple[str, ...] = ()
        if self.skipped:
            notes = (
                f"Lines of {self.label} that could not be read and were skipped: {self.skipped:,}; "
                f"{self.first_problem}.",
            )
        num_rows = len(self.users)
        if not num_rows:
            raise DataError(f"{self.label} holds no interactions{': ' + notes[0] if notes else '.'}")
        users, user_ids = self.users.finish()
        items, item_ids = self.items.finish()
        return RawInteractions(
            users=users,
            items=items,
            ratings=np.concatenate(self.ratings) if self.layout.rating is not None else None,
            times=np.concatenate(self.times) if self.layout.timestamp is not None else None,
            user_ids=user_ids,
            item_ids=item_ids,
            notes=notes,
            weights=np.concatenate(self.weights) if self.layout.weight is not None else None,
            context=self.context.finish(),
        )

    def _sample_times(self, block: bytes) -> list[str]:
        head = block[: 1 << 16].decode(errors="replace").splitlines()[:100]
        index = self.layout.columns.index(self.layout.timestamp or "")
        return [row[index] for row in self._csv("\n".join(head)) if len(row) == len(self.layout.columns)]

    def _csv(self, text: str) -> Any:
        lines = io.StringIO(text, newline="")
        if self.layout.quoted:
            return csv.reader(lines, delimiter=self.layout.delimiter)
        return csv.reader(lines, delimiter=self.layout.delimiter, quoting=csv.QUOTE_NONE)

    def _types(self) -> dict[str, pa.DataType]:
        layout = self.layout
        types = {layout.user: pa.string(), layout.item: pa.string()}
        types |= {name: pa.float32() if kind is Kind.NUMERIC else pa.string() for name, kind in layout.context.items()}
        for name in (layout.rating, layout.weight):
            if name is not None:
                types[name] = pa.float32()
        if layout.timestamp is not None:
            types[layout.timestamp] = self.time_format.arrow_type
        return types

    def _parse(self, block: bytes) -> pa.Table:
        layout = self.layout
        quoted = layout.quoted and _QUOTE in block
        return pa.csv.read_csv(
            pa.BufferReader(block),
            pa.csv.ReadOptions(
                column_names=[name or f"\0{index}" for index, name in enumerate(layout.columns)], block_size=4 << 20
            ),
            pa.csv.ParseOptions(
                delimiter=layout.delimiter, quote_char='"' if quoted else False, newlines_in_values=quoted
            ),
            pa.csv.ConvertOptions(column_types=self._types(), include_columns=list(layout.wanted)),
        )

    def _append(self, table: pa.Table) -> None:
        """Add a block; nothing is added where something is wrong with it."""
        layout = self.layout
        ratings = times = weights = None
        if layout.rating is not None:
            column = table.column(layout.rating)
            ratings = column.to_numpy()
            if not np.isfinite(ratings).all():  # also false for what is missing
                raise ValueError("a rating is missing or not finite")
        if layout.timestamp is not None:
            times = np.concatenate([np.empty(0, np.int64), *map(raw_times, table.column(layout.timestamp).chunks)])
        if layout.weight is not None:
            weights = table.column(layout.weight).to_numpy()
            if not (np.isfinite(weights) & (weights >= 0)).all():
                raise ValueError("a weight is missing, negative or not finite")
        for name, kind in layout.context.items():
            column = table.column(name)
            if (
                kind is Kind.NUMERIC and not pc.all(pc.is_finite(column)).as_py()
            ):  # null, which is missing, is passed over
                raise ValueError(f"a {name} is not finite")
        users, items = IdColumn(), IdColumn()
        users.append(encode_ids(table.column(layout.user).combine_chunks()))
        items.append(encode_ids(table.column(layout.item).combine_chunks()))
        self.users.extend(users)
        self.items.extend(items)
        if ratings is not None:
            self.ratings.append(ratings)
        if times is not None:
            self.times.append(times)
        if weights is not None:
            self.weights.append(weights)
        self.context.append({name: table.column(name) for name in layout.context})

    def _parse_line_by_line(self, block: bytes, first_line: int) -> pa.Table:
        """The good rows of a block, as `_parse` returns them.

        Raises:
          DataError: a row is bad and bad rows are not to be skipped.
        """
        layout = self.layout
        index = {name: position for position, name in enumerate(layout.columns) if name}
        rows: list[tuple[Any, ...]] = []
        for line, fields in self._numbered(block, first_line):
            try:
                rows.append(self._parse_fields(fields, index))
            except ValueError as error:  # noqa: PERF203 - which line it was is the point
                problem = f"line {line}: {error}"
                if not block.endswith(b"\n") and line == first_line + block.count(b"\n"):
                    problem += " (the file ends inside this line: it may be truncated)"
                if not self.skip_bad_rows:
                    raise DataError(
                        f"{self.label}, {problem}. Correct it, or leave such lines out with --skip-bad-rows."
                    ) from None
                self.skipped += 1
                self.first_problem = self.first_problem or problem
        columns = list(zip(*rows, strict=True)) or [()] * len(layout.wanted)
        names = dict(zip(layout.wanted, columns, strict=True))
        types = self._types()
        if layout.timestamp is not None:
            types[layout.timestamp] = pa.int64()
        return pa.table([pa.array(names[name], types[name]) for name in layout.wanted], names=list(layout.wanted))

    def _numbered(self, block: bytes, first_line: int) -> Iterator[tuple[int, list[str]]]:
        """The fields of every line that is not blank, with the line's number."""
        reader = self._csv(block.decode(errors="surrogateescape"))
        before = 0
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(
                    f"{self.label}, line {first_line + before}: {error}. Is this a text file, and are its "
                    "quotes closed?"
                ) from None
            if fields:
                yield first_line + before, fields
            before = reader.line_num

    def _parse_fields(self, fields: list[str], index: dict[str, int]) -> tuple[Any, ...]:
        layout = self.layout
        if len(fields) != len(layout.columns):
            found = len(fields) if "" not in layout.columns else (len(fields) + 1) // 2
            raise ValueError(
                f"expected {layout.num_fields} fields separated by {layout.shown_delimiter}, found {found} in "
                f"{layout.delimiter.join(fields)[:80]!r}"
            )
        values: list[Any] = []
        for role, name in (("user", layout.user), ("item", layout.item)):
            value = fields[index[name]]
            if not value:
                raise ValueError(f"the {role} id is empty")
            values.append(_utf8(f"{role} id", value))
        if layout.rating is not None:
            values.append(_parse_float("rating", fields[index[layout.rating]]))
        if layout.timestamp is not None:
            values.append(parse_time(fields[index[layout.timestamp]], self.time_format))
        if layout.weight is not None:
            weight = _parse_float("weight", fields[index[layout.weight]])
            if weight < 0:
                raise ValueError(f"the weight {weight} is negative")
            values.append(weight)
        for name, kind in layout.context.items():
            text = fields[index[name]]
            if kind is Kind.NUMERIC:
                values.append(None if text in _MISSING else _parse_float(name, text))
            else:
                values.append(_utf8(name, text))
        return tuple(values)


def _utf8(name: str, text: str) -> str:
    if not text.isprintable() and any("\udc80" <= character <= "\udcff" for character in text):
        raise ValueError(f"the {name} is not UTF-8: save the file as UTF-8")
    return text


def _parse_float(name: str, text: str) -> float:
    try:
        value = parse_number(text)
    except ValueError as error:
        raise ValueError(f"the {name} {error}") from None
    if abs(value) > _LARGEST_FLOAT:
        raise ValueError(f"the {name} {text!r} is too large")
    return value
