"""Opening tables of one's own: delimiters, headers, column names, CSV and Parquet."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from recsys_tfrs.data.archives import DAMAGE
from recsys_tfrs.data.quotes import refuse_open_quote
from recsys_tfrs.errors import DataError, UsageError

#: Usual names of the columns, the likeliest first; compared without case, spaces and underscores.
ID_NAMES: dict[str, tuple[str, ...]] = {
    "user": ("user_id", "user", "userId", "uid", "customer_id", "customer", "visitor_id", "reviewer_id", "member_id"),
    "item": (
        "item_id",
        "item",
        "itemId",
        "movie_id",
        "movieId",
        "product_id",
        "product",
        "book_id",
        "track_id",
        "article_id",
        "content_id",
        "asin",
        "isbn",
        "sku",
        "iid",
        "id",
    ),
    "rating": ("rating", "user_rating", "score", "stars", "overall", "ratings"),
    "timestamp": (
        "timestamp",
        "ts",
        "time",
        "unix_time",
        "unixReviewTime",
        "datetime",
        "date",
        "event_time",
        "created_at",
    ),
}
ID_NAMES["user"] += ("id",)

#: How a gzip file begins.
_GZIP = b"\x1f\x8b"
#: What a table of items or users needs at least, for messages.
FEATURE_TABLE = "a column of ids and a feature"

_DELIMITERS = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a bar"}
_TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".tab")
_PARQUET_SUFFIXES = (".parquet", ".pq")
#: What a table file may be called, for messages.
ACCEPTED = ".csv, .tsv, .txt (also with .gz) or .parquet"


def is_parquet(path: Path) -> bool:
    """Whether the path is a Parquet file or a folder of them."""
    return bool(parquet_parts(path))


def parquet_parts(path: Path) -> list[Path]:
    """The Parquet file, or those of a folder in the order of their names; empty if it is neither."""
    if path.is_dir():
        return sorted(part for part in path.iterdir() if part.suffix.lower() in _PARQUET_SUFFIXES)
    return [path] if path.suffix.lower() in _PARQUET_SUFFIXES else []


def _suffix(path: Path) -> str:
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def is_text(path: Path) -> bool:
    """Whether the file's name is that of a delimited text file."""
    return _suffix(path) in _TEXT_SUFFIXES


@contextmanager
def open_text(path: Path) -> Iterator[IO[bytes]]:
    """A binary stream over a text file, unpacked if its name ends in ``.gz``.

    Raises:
      DataError: the file is missing, unreadable, or a damaged gzip file.
    """
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            yield cast("IO[bytes]", stream)
    except (*DAMAGE, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or truncated ({error}): make or download it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_header(path: Path, stream: IO[bytes], needed: str = "a user and an item column") -> tuple[list[str], str]:
    """Column names and delimiter, from the first line; leaves the stream behind it.

    The delimiter of a ``.tsv`` or ``.tab`` file is the tab; of others, the one that stands most often in the header.

    Args:
      path: the file, for messages and its suffix.
      stream: at its beginning.
      needed: what at least two columns are wanted for, in words.

    Raises:
      DataError: the file is empty, has no header, or is separated by something else.
    """
    line = stream.readline(1 << 20)
    if not line.strip():
        if stream.read(1 << 16).strip():
            raise DataError(
                f"{path}: the first line is blank: expected the names of the columns: remove what stands above them."
            )
        raise DataError(f"{path} is empty: expected a first line with the names of the columns.")
    if line.startswith(_GZIP):
        raise DataError(f"{path} is a gzip file: let its name end in .gz ({path.name}.gz).")
    try:
        header = line.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is not a UTF-8 text file: save it as UTF-8, or name a Parquet file .parquet."
        ) from None
    counts = {delimiter: header.count(delimiter) for delimiter in _DELIMITERS}
    likeliest = max(counts, key=lambda delimiter: counts[delimiter])
    tabbed = _suffix(path) in (".tsv", ".tab")
    delimiter = "\t" if tabbed else likeliest
    if not counts[delimiter]:
        if tabbed and counts[likeliest]:
            remedy = f"it seems to be separated by {_DELIMITERS[likeliest]} ({likeliest!r}): call the file .csv"
        else:
            remedy = f"separate its columns by {', '.join(_DELIMITERS.values())}"
        read_as = "a tab, after its name" if tabbed else ", ".join(_DELIMITERS.values())
        raise DataError(
            f"{path} has one column {header[:80]!r} when separated by {read_as}; expected a header with at least "
            f"{needed}; {remedy}."
        )
    names = [name.strip().strip('"') for name in header.split(delimiter)]
    if len(set(names)) != len(names) or "" in names:
        raise DataError(
            f"{path}: the names in its header must differ and none be empty, but they are {', '.join(names)}."
        )
    if all(name.replace(".", "", 1).isdigit() for name in names):
        raise DataError(
            f"{path} begins with {header[:80]!r}, which looks like data: its first line must name the columns, for "
            "example user,item,rating,timestamp."
        )
    return names, delimiter


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "").replace("-", "")


def guess_column(names: Sequence[str], role: str) -> str | None:
    """The column most likely to be the ``user``, ``item``, ``rating`` or ``timestamp``; None where no name is usual.

    Example:
      >>> guess_column(["User ID", "movie_id", "stars"], "item")
      'movie_id'
    """
    by_plain = {_plain(name): name for name in reversed(names)}
    return next((by_plain[_plain(usual)] for usual in ID_NAMES[role] if _plain(usual) in by_plain), None)


def choose_column(
    path: Path, names: Sequence[str], role: str, declared: str | None, remedy: str | None = None
) -> tuple[str, bool]:
    """The column of a role, and whether it was guessed.

    Args:
      path: the file, for messages.
      names: its columns.
      role: what the column is wanted for.
      declared: the column as it was named; None guesses.
      remedy: what to do where no guess is good; None: name the column with `--columns`.

    Raises:
      DataError: the declared column is not there, or none is declared and none has a usual name.
    """
    if declared is not None:
        if declared not in names:
            raise DataError(f"{path} has no column {declared!r} for the {role}; it has {', '.join(names)}.")
        return declared, False
    guess = guess_column(names, role)
    if guess is None:
        raise DataError(
            f"{path} has no column that is clearly the {role}; it has {', '.join(names)}: "
            f"{remedy or f'say which with --columns {role}=NAME'}."
        )
    return guess, True


def read_whole(path: Path, side: str, as_text: set[str], skip_bad_rows: bool) -> tuple[pa.Table, list[str]]:
    """A whole table of features, and notes.

    Args:
      path: CSV, TSV or Parquet.
      side: ``user`` or ``item``, whose ids keep their spelling: any column with a usual name of theirs is text.
      as_text: further columns to keep as they are written (``007`` stays ``007``).
      skip_bad_rows: leave out lines with too many or too few fields, and say how many.

    Raises:
      DataError: the file is missing or malformed.
    """
    parts = parquet_parts(path)
    if parts:
        tables = []
        for part in parts:
            with parquet_file(part) as file:
                tables.append(file.read())
        return pa.concat_tables(tables, promote_options="permissive"), []
    if not is_text(path):
        raise UsageError(f"{path} is not a table this can read: expected {ACCEPTED}.")
    skipped: list[int | None] = []

    def on_bad_row(row: pa.csv.InvalidRow) -> str:
        skipped.append(row.number)
        return "skip" if skip_bad_rows else "error"

    with open_text(path) as stream:
        names, delimiter = read_header(path, stream, FEATURE_TABLE)
        data = stream.read()
    if not data.strip():
        raise DataError(f"{path} has a header and no rows.")
    refuse_open_quote(data, delimiter, str(path), 2)
    usual = set(map(_plain, ID_NAMES[side]))
    text = {name: pa.string() for name in names if name in as_text or _plain(name) in usual}
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            # Row numbers are known to a single thread only.
            pa.csv.ReadOptions(column_names=names, use_threads=False, block_size=16 << 20),
            pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=b'"' in data, invalid_row_handler=on_bad_row),
            pa.csv.ConvertOptions(column_types=text),
        )
    except pa.ArrowInvalid as error:
        _refuse_other_encoding(path, data)
        where = f", line {skipped[-1] + 1}" if skipped and skipped[-1] is not None else ""
        raise DataError(f"{path}{where}: {error}. Correct it, or leave such lines out with --skip-bad-rows.") from None
    if any(map(pa.types.is_binary, table.schema.types)):  # what Arrow makes of text in another encoding
        _refuse_other_encoding(path, data)
    if not skipped:
        return table, []
    return table, [f"Lines of {path} that could not be read and were skipped: {len(skipped):,}."]


def _refuse_other_encoding(path: Path, data: bytes) -> None:
    """See that what follows a header is UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = 2 + data.count(b"\n", 0, error.start)
        raise DataError(f"{path}, line {line}: not UTF-8 text: save the file as UTF-8.") from None


def plain_values(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A dictionary (pandas' category) as the values it stands for, and any kind of string as the usual one.

    Columns of other types stay as they are.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    other_string = pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type)
    return column.cast(pa.string()) if other_string else column


def whole_without_fraction(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Floats that are all whole, which pandas makes of integers with gaps, as integers; NaN, such a gap, is null.

    Columns of other types stay as they are.
    """
    if not pa.types.is_floating(column.type):
        return column
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column.cast(pa.int64()) if pc.all(pc.equal(column, pc.floor(column))).as_py() else column


@contextmanager
def parquet_file(path: Path) -> Iterator[pa.parquet.ParquetFile]:
    """An open Parquet file.

    Raises:
      DataError: the file is missing, truncated or no Parquet.
    """
    try:
        with pa.parquet.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, pa.ArrowIOError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as Parquet ({reason}): it may be truncated, make it again.") from error
