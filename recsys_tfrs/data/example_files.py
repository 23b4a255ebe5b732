"""Files of examples, block by block as Arrow tables: CSV, TSV, Parquet, and Criteo's layout without a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.csv

from recsys_tfrs.data.delimited import whole_lines
from recsys_tfrs.data.quotes import refuse_open_quote
from recsys_tfrs.data.table_files import open_text, parquet_file, parquet_parts, read_header
from recsys_tfrs.data.timestamps import parse_number
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import Kind

_BATCH_ROWS = 1 << 18
_SAMPLE_BYTES = 8 << 20
_SAMPLE_ROWS = 1 << 16

#: Criteo's display advertising challenge: a label, 13 counts and 26 hashed categories.
CRITEO_LABEL = "label"
CRITEO_KINDS = {f"I{i}": Kind.NUMERIC for i in range(1, 14)} | {f"C{i}": Kind.CATEGORICAL for i in range(1, 27)}


@dataclass(frozen=True)
class Block:
    """Some rows of a file.

    Attributes:
      table: the columns asked for.
      place: where a row of the block stands, in words: "my.csv, line 12".
    """

    table: pa.Table
    place: Callable[[int], str]


class ExampleFile(Protocol):
    """A file that is read as often as it is asked for.

    Attributes:
      path: the file, or a folder of Parquet files.
      names: its columns.
      kinds: of the columns whose kind the format itself says.
      signed: whether the format writes labels as 1 and -1.
    """

    path: Path
    names: list[str]
    kinds: Mapping[str, Kind]
    signed: bool

    def sample(self) -> pa.Table:
        """The first rows, with all columns; those of a text file as strings."""

    def blocks(self, types: Mapping[str, pa.DataType | None]) -> Iterator[Block]:
        """All rows, with the columns of `types`; None leaves the type as it is in the file.

        Raises:
          DataError: a row that cannot be read; the message says where it stands.
        """


class TextFile:
    """A delimited text file, also with ``.gz``.

    Args:
      path: the file; its first line names the columns.
      criteo: it is tab-separated without a header, with the 40 columns of `CRITEO_LABEL` and `CRITEO_KINDS`.

    Raises:
      DataError: it is missing or empty, or has no header.
    """

    signed = False

    def __init__(self, path: Path, *, criteo: bool = False) -> None:
        self.path = path
        self.kinds: Mapping[str, Kind] = CRITEO_KINDS if criteo else {}
        self._header_lines = 0 if criteo else 1
        self._delimiter = "\t"
        self.names = [CRITEO_LABEL, *CRITEO_KINDS]
        if not criteo:
            with open_text(path) as stream:
                self.names, self._delimiter = read_header(path, stream, "a label and a field")

    def sample(self) -> pa.Table:
        """The first rows as strings."""
        with self._rows() as stream:
            data = next(whole_lines(stream, quoted=bool(self._header_lines), block_bytes=_SAMPLE_BYTES), b"")
        if not data.strip():
            raise DataError(f"{self.path} has no rows: expected examples, one a line.")
        return self._block(data, self._header_lines + 1, dict.fromkeys(self.names, pa.string())).table

    def blocks(self, types: Mapping[str, pa.DataType | None]) -> Iterator[Block]:
        """All rows."""
        text_types = {name: of or pa.string() for name, of in types.items()}
        line = self._header_lines + 1
        with self._rows() as stream:
            for data in whole_lines(stream, quoted=bool(self._header_lines)):
                if data.strip():
                    yield self._block(data, line, text_types)
                line += data.count(b"\n")

    def _rows(self) -> _Rows:
        return _Rows(self.path, self._header_lines)

    def _block(self, data: bytes, line: int, types: Mapping[str, pa.DataType]) -> Block:
        quoted = bool(self._header_lines) and b'"' in data
        if quoted:
            refuse_open_quote(data, self._delimiter, str(self.path), line)
        try:
            table = pa.csv.read_csv(
                pa.BufferReader(data),
                pa.csv.ReadOptions(column_names=self.names, block_size=4 << 20),
                pa.csv.ParseOptions(
                    delimiter=self._delimiter, quote_char='"' if quoted else False, newlines_in_values=quoted
                ),
                pa.csv.ConvertOptions(column_types=types, include_columns=list(types)),
            )
        except pa.ArrowInvalid as error:
            raise DataError(self._first_problem(data, line, types, quoted, str(error))) from None
        return Block(table, lambda row: self._place(data, line, quoted, row))

    def _place(self, data: bytes, line: int, quoted: bool, row: int) -> str:
        rows = (number for number, _ in self._numbered(data, line, quoted))
        number = next((number for index, number in enumerate(rows) if index == row), line)
        return f"{self.path}, line {number}"

    def _first_problem(
        self, data: bytes, line: int, types: Mapping[str, pa.DataType], quoted: bool, reason: str
    ) -> str:
        """What is wrong with the first line that Arrow could not read."""
        numbers = {name: self.names.index(name) for name, of in types.items() if pa.types.is_floating(of)}
        number = line
        for number, fields in self._numbered(data, line, quoted):
            if len(fields) != len(self.names):
                return (
                    f"{self.path}, line {number}: expected {len(self.names)} columns, found {len(fields)} in "
                    f"{self._delimiter.join(fields)[:80]!r}: the file may be truncated, or a value holds the delimiter."
                )
            if any("\udc80" <= character <= "\udcff" for cell in fields for character in cell):
                return f"{self.path}, line {number}: not UTF-8 text: save the file as UTF-8."
            for name, index in numbers.items():
                try:
                    if fields[index]:
                        parse_number(fields[index])
                except ValueError as error:  # noqa: PERF203 - which line it was is the point
                    return (
                        f"{self.path}, line {number}: in the numeric column {name!r}, {error}: correct it, or declare "
                        f"the column with --columns {name}=categorical."
                    )
        return f"{self.path}, between lines {line} and {number}: {reason}."

    def _numbered(self, data: bytes, line: int, quoted: bool) -> Iterator[tuple[int, list[str]]]:
        """The fields of every line that is not blank, with the line's number."""
        lines = io.StringIO(data.decode(errors="surrogateescape"), newline="")
        reader = csv.reader(lines, delimiter=self._delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
        before = 0
        for fields in reader:
            if fields:
                yield line + before, fields
            before = reader.line_num


class _Rows:
    """The stream of a text file behind its header, as a context."""

    def __init__(self, path: Path, header_lines: int) -> None:
        self._path, self._header_lines = path, header_lines

    def __enter__(self) -> IO[bytes]:
        self._context = open_text(self._path)
        stream = self._context.__enter__()
        for _ in range(self._header_lines):
            stream.readline()
        return stream

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(*error)  # type: ignore[arg-type]


class ParquetFile:
    """A Parquet file, or a folder of them whose columns agree.

    Raises:
      DataError: it is missing or no Parquet, or the columns of its parts differ.
    """

    signed = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kinds: Mapping[str, Kind] = {}
        self._parts = parquet_parts(path)
        columns = []
        for part in self._parts:
            with parquet_file(part) as file:
                columns.append(list(file.schema_arrow.names))
        self.names = columns[0]
        for part, names in zip(self._parts, columns, strict=True):
            if set(names) != set(self.names):
                differ = ", ".join(sorted(set(names) ^ set(self.names)))
                raise DataError(f"{part} and {self._parts[0]} differ in the columns {differ}: make them alike.")

    def sample(self) -> pa.Table:
        """The first rows."""
        with parquet_file(self._parts[0]) as file:
            batches = list(_first(file.iter_batches(batch_size=_SAMPLE_ROWS)))
            return pa.Table.from_batches(batches, file.schema_arrow)

    def blocks(self, types: Mapping[str, pa.DataType | None]) -> Iterator[Block]:
        """All rows."""
        for part in self._parts:
            row = 0
            with parquet_file(part) as file:
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(types)):
                    yield Block(self._cast(part, pa.table(batch), types), _row_place(part, row))
                    row += len(batch)

    @staticmethod
    def _cast(part: Path, table: pa.Table, types: Mapping[str, pa.DataType | None]) -> pa.Table:
        for name, wanted in types.items():
            column = table.column(name)
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            if wanted is not None and pa.types.is_floating(wanted) and column.type != wanted:
                try:
                    # Whole numbers may be rounded where a number is asked for; what is no number is an error.
                    column = column.cast(wanted, safe=not pa.types.is_integer(column.type))
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                    raise DataError(
                        f"{part}: the numeric column {name!r} ({column.type}) holds something else: "
                        f"{str(error).splitlines()[0]}. Declare it with --columns {name}=categorical."
                    ) from None
            table = table.set_column(table.column_names.index(name), name, column)
        return table


def _row_place(part: Path, first: int) -> Callable[[int], str]:
    return lambda row: f"{part}, row {first + row + 1}"


def _first(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    batch = next(batches, None)
    if batch is not None:
        yield batch
