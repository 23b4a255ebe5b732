"""A table of items or users of your own -> a `FeatureTable`: each further column becomes a feature.

A column's kind is the declared one, or is inferred, and every inference is said in a note:

* numbers are NUMERIC, also whole ones: a column of codes must be declared ``categorical``;
* dates and timestamps are TIMESTAMP, true/false is CATEGORICAL, lists are MULTI_CATEGORICAL, numbers that pandas stored
  as categories are CATEGORICAL;
* text is MULTI_CATEGORICAL where at least a tenth of its cells hold a ``|``, CATEGORICAL where it has at most 1,000
  different values and each is used twice on average, and TEXT otherwise;
* a column called ``title`` or ``name``, or ending in ``_title`` or ``_name``, is TEXT, and the first such column of an
  item table is the one shown beside an id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_tfrs.data.assemble import FeatureTable
from recsys_tfrs.data.table_files import choose_column, plain_values, read_whole, whole_without_fraction
from recsys_tfrs.data.timestamps import to_seconds
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import Kind

_TITLE = re.compile(r"(.*[_ ])?(title|name)", re.IGNORECASE)
_SEPARATOR = "|"
_MOST_CATEGORIES = 1_000
_MULTI_SHARE = 0.1
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_ZONE = r"(Z|[+-][0-9][0-9]:?[0-9][0-9])$"
_AS_WRITTEN = (Kind.CATEGORICAL, Kind.MULTI_CATEGORICAL, Kind.TEXT)


def read_feature_table(
    path: Path, side: str, id_column: str | None, kinds: Mapping[str, Kind], *, skip_bad_rows: bool = False
) -> FeatureTable:
    """A CSV, TSV or Parquet table with one row per user or item.

    Args:
      path: the file.
      side: ``user`` or ``item``.
      id_column: name of the column with the ids; None guesses among the usual names.
      kinds: declared kinds by column name; names of other tables are allowed.
      skip_bad_rows: leave out lines that do not parse, instead of stopping at the first.

    Raises:
      DataError: a missing or unreadable file, no id column, an empty id, or a column that does not hold its kind.
    """
    as_text = {name for name, kind in kinds.items() if kind in _AS_WRITTEN}
    table, notes = read_whole(path, side, as_text | ({id_column} if id_column else set()), skip_bad_rows)
    # --columns names the columns of the interactions, so that it may not name one of this table alone.
    remedy = f"call its column of ids {side}_id, or what --columns {side}= names in the interactions"
    column, guessed = choose_column(path, table.column_names, side, id_column, remedy)
    ids = strings(table.column(column))
    empty = np.flatnonzero(ids == "")
    if len(empty):
        raise DataError(f"{path}: the {side} id in column {column!r} is empty in row {empty[0] + 1} of the table.")
    columns: dict[str, tuple[Kind, NDArray[np.generic]]] = {}
    inferred = []
    for name in table.column_names:
        if name == column:
            continue
        kind = kinds.get(name) or infer_kind(name, table.column(name))
        if kind is None:
            notes.append(
                f"Column {name!r} of {path.name} holds {table.column(name).type}, which is no feature; left out."
            )
            continue
        if name not in kinds:
            inferred.append(f"{name}={kind.value}")
        columns[name] = (kind, column_values(f"{path}, column {name!r}", table.column(name), kind))
    titles = [name for name, (kind, _) in columns.items() if kind is Kind.TEXT and _TITLE.fullmatch(name)]
    if guessed:
        notes.append(f"Column {column!r} of {path.name} was taken as the {side} id.")
    if inferred:
        notes.append(
            f"Kinds inferred for the columns of {path.name}: {', '.join(inferred)} (change one with "
            "--columns NAME=KIND)."
        )
    title = titles[0] if titles and side == "item" else None
    return FeatureTable(ids=ids, columns=columns, title_column=title, notes=tuple(notes))


def infer_kind(name: str, column: pa.ChunkedArray) -> Kind | None:
    """The kind of a column nobody declared (see the module's rules); None for what is no feature."""
    of = pa.types
    if of.is_dictionary(column.type) and not _is_text(column.type.value_type):
        return Kind.CATEGORICAL
    column = plain_values(column)
    if of.is_list(column.type) or of.is_large_list(column.type):
        return Kind.MULTI_CATEGORICAL
    if of.is_boolean(column.type):
        return Kind.CATEGORICAL
    if of.is_integer(column.type) or of.is_floating(column.type) or of.is_decimal(column.type):
        return Kind.NUMERIC
    if of.is_timestamp(column.type) or of.is_date(column.type):
        return Kind.TIMESTAMP
    if of.is_null(column.type):
        return Kind.CATEGORICAL
    if not of.is_string(column.type):
        return None
    if _TITLE.fullmatch(name):
        return Kind.TEXT
    filled = column.filter(pc.greater(pc.binary_length(column), 0))
    if not len(filled):
        return Kind.CATEGORICAL
    if pc.mean(pc.match_substring(filled, _SEPARATOR)).as_py() >= _MULTI_SHARE:
        return Kind.MULTI_CATEGORICAL
    distinct = pc.count_distinct(filled).as_py()
    return Kind.CATEGORICAL if distinct <= min(_MOST_CATEGORIES, len(filled) / 2) else Kind.TEXT


def column_values(label: str, column: pa.ChunkedArray, kind: Kind) -> NDArray[np.generic]:
    """``[num_rows]`` values as `FeatureColumn` wants them for this kind.

    Raises:
      DataError: a cell cannot be read as the kind, or a number is infinite.
    """
    try:
        column = plain_values(column)
        if kind is Kind.NUMERIC:
            return _numbers(label, column)
        if kind is Kind.TIMESTAMP:
            return _timestamps(column)
        if kind is Kind.MULTI_CATEGORICAL:
            return _tuples(column)
        return strings(column)
    except (ValueError, pa.ArrowNotImplementedError) as error:  # ArrowInvalid is a ValueError
        raise DataError(f"{label} cannot be read as {kind.value}: {error}. Declare another kind for it.") from None


def strings(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """``[num_rows]`` object array of str; "" where a cell is empty; whole floats without their ``.0``."""
    text = whole_without_fraction(plain_values(column)).cast(pa.string())
    return np.asarray(pc.fill_null(text, "").to_numpy(zero_copy_only=False), dtype=object)


def _is_text(of: pa.DataType) -> bool:
    return bool(pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_string_view(of))


def _numbers(label: str, column: pa.ChunkedArray) -> NDArray[np.float32]:
    if pa.types.is_string(column.type):
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
    wide = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    too_large = np.abs(wide) > np.finfo(np.float32).max  # False for NaN, which stands for a missing value
    if too_large.any():
        row = int(np.argmax(too_large))
        raise DataError(f"{label}: {wide[row]} in row {row + 1} of the table is not a finite number (of 32 bits).")
    return np.asarray(wide, dtype=np.float32)


def _timestamps(column: pa.ChunkedArray) -> NDArray[np.float64]:
    of = pa.types
    if of.is_string(column.type):
        column = _times_from_text(column)
    if of.is_integer(column.type) or of.is_floating(column.type) or of.is_decimal(column.type):
        return _seconds(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    zone = getattr(column.type, "tz", None)
    microseconds = column.cast(pa.timestamp("us", tz=zone), safe=False).cast(pa.int64())
    return np.asarray(microseconds.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) / 1_000_000.0)


def _seconds(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(counts)
    too_large = known & (np.abs(counts) >= 2.0**63)
    if too_large.any():
        row = int(np.argmax(too_large))
        raise ValueError(f"{counts[row]} in row {row + 1} is too large for a time")
    # 0 is the same time in all units.
    seconds = to_seconds(np.where(known, counts, 0.0).astype(np.int64)).values.astype(np.float64)
    seconds[~known] = np.nan
    return seconds


def _times_from_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers where most cells are, else dates; null where a cell is empty.

    Raises:
      ArrowInvalid: a cell is no number among numbers, or no date among dates.
    """
    nothing = pa.scalar(None, pa.string())
    column = pc.if_else(pc.equal(column, ""), nothing, column)
    for of in (pa.float64(), pa.timestamp("us")):  # several times faster than what follows, and most columns are so
        with suppress(pa.ArrowInvalid):
            column.slice(0, 100).cast(of)  # a cast of all cells takes long to fail
            return column.cast(of)
    column = pc.utf8_trim_whitespace(column)
    column = pc.if_else(pc.equal(column, ""), nothing, column)
    numbers = pc.sum(pc.match_substring_regex(column, _NUMBER)).as_py() or 0
    if 2 * numbers >= len(column) - column.null_count:
        return column.cast(pa.float64())
    # Arrow reads dates of a column with a zone or without one, but not both.
    zoned = pc.match_substring_regex(column, _ZONE)
    with_zone = pc.if_else(zoned, column, nothing).cast(pa.timestamp("us", tz="UTC"))
    without = pc.if_else(zoned, nothing, column).cast(pa.timestamp("us"))
    return pc.coalesce(with_zone.cast(pa.timestamp("us")), without)


def _tuples(column: pa.ChunkedArray) -> NDArray[np.object_]:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        parts = column.cast(pa.list_(pa.string())).to_pylist()
    else:
        parts = pc.split_pattern(pc.fill_null(column.cast(pa.string()), ""), _SEPARATOR).to_pylist()
    cells = np.empty(len(parts), dtype=object)
    cells[:] = [tuple(stripped for part in cell or () if (stripped := (part or "").strip())) for cell in parts]
    return cells
