"""Rows of Parquet files, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_tfrs.data.assemble import RawInteractions
from recsys_tfrs.data.context_rows import ContextRows
from recsys_tfrs.data.ids import IdColumn
from recsys_tfrs.data.table_files import choose_column, parquet_file, plain_values, whole_without_fraction
from recsys_tfrs.data.timestamps import detect_format, parse_number, parse_time, raw_times
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import Kind

_BATCH_ROWS = 1 << 20


def read_parquet_rows(
    parts: list[Path],
    chosen: Mapping[str, str | None],
    *,
    context: Mapping[str, Kind] | None = None,
    skip_bad_rows: bool = False,
) -> RawInteractions:
    """All rows of one or several Parquet files, in order.

    Args:
      parts: the files.
      chosen: column of each role; None where there is none.
      context: kinds of the further columns to read.
      skip_bad_rows: leave out rows without ids, rating, time or weight, and say how many.

    Raises:
      DataError: a file or a column cannot be read, or a row is bad (its number is named).
    """
    users, items = IdColumn(), IdColumn()
    ratings: list[NDArray[np.float32]] = [np.empty(0, np.float32)]
    times: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    weights: list[NDArray[np.float32]] = [np.empty(0, np.float32)]
    circumstances = ContextRows(str(parts[0]), context or {})
    wanted = [*(name for name in chosen.values() if name is not None), *(context or {})]
    skipped = 0
    for part in parts:
        with parquet_file(part) as file:
            for role, name in chosen.items():
                if name is not None:
                    choose_column(part, file.schema_arrow.names, role, name)
            row = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                columns = _converted(part, batch, chosen)
                good = _good_rows(columns)
                if not bool(pc.all(good).as_py()):
                    if not skip_bad_rows:
                        raise DataError(_describe(part, batch, chosen, row, good))
                    skipped += len(good) - pc.sum(good).as_py()
                    columns = {role: column.filter(good) for role, column in columns.items()}
                    columns |= {role: _used(columns[role]) for role in ("user", "item")}
                    batch = batch.filter(good)
                row += len(good)
                users.append(columns["user"])
                items.append(columns["item"])
                if "rating" in columns:
                    ratings.append(columns["rating"].to_numpy(zero_copy_only=False))
                if "timestamp" in columns:
                    times.append(raw_times(columns["timestamp"]))
                if "weight" in columns:
                    weights.append(columns["weight"].to_numpy(zero_copy_only=False))
                circumstances.append({name: batch.column(name) for name in context or {}})
    user_codes, user_ids = users.finish()
    item_codes, item_ids = items.finish()
    return RawInteractions(
        users=user_codes,
        items=item_codes,
        ratings=np.concatenate(ratings) if chosen["rating"] is not None else None,
        times=np.concatenate(times) if chosen["timestamp"] is not None else None,
        user_ids=user_ids,
        item_ids=item_ids,
        notes=(f"Rows that could not be used and were skipped: {skipped:,}.",) if skipped else (),
        weights=np.concatenate(weights) if chosen.get("weight") is not None else None,
        context=circumstances.finish(),
    )


def _converted(part: Path, batch: pa.RecordBatch, chosen: Mapping[str, str | None]) -> dict[str, pa.Array]:
    """Columns by role: ids dictionary-encoded strings, ratings and weights float32, times numbers or timestamps."""
    convert = {"user": _ids, "item": _ids, "rating": _floats, "timestamp": _times, "weight": _floats}
    columns = {}
    for role, name in chosen.items():
        if name is None:
            continue
        column = batch.column(name)
        try:
            columns[role] = convert[role](column)
        except (ValueError, pa.ArrowNotImplementedError) as error:  # ArrowInvalid is a ValueError
            raise DataError(
                f"{part}: column {name!r} ({column.type}) cannot be read as the {role}: {str(error).splitlines()[0]}. "
                f"Choose another column with --columns {role}=NAME."
            ) from None
    return columns


def _ids(column: pa.Array) -> pa.DictionaryArray:
    """Codes over strings; whole floats, which pandas makes of integers with gaps, lose their ``.0``."""
    encoded = _used(column) if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return pa.DictionaryArray.from_arrays(
        encoded.indices.cast(pa.int32()), whole_without_fraction(encoded.dictionary).cast(pa.string())
    )


def _used(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """The column over the ids that occur in it, numbered by first appearance.

    Filtering leaves unused ids in a dictionary, and one stored in the file may be in any order.
    """
    codes = column.indices.dictionary_encode()
    return pa.DictionaryArray.from_arrays(codes.indices, column.dictionary.take(codes.dictionary))


def _floats(column: pa.Array) -> pa.Array:
    column = plain_values(column)
    return (
        _from_text(column, pa.float32(), parse_number) if pa.types.is_string(column.type) else column.cast(pa.float32())
    )


def _times(column: pa.Array) -> pa.Array:
    column = plain_values(column)
    of = pa.types
    if of.is_string(column.type):
        form = detect_format([text or "" for text in column.slice(0, 100).to_pylist()])
        return _from_text(column, form.arrow_type, lambda text: parse_time(text, form))
    if of.is_date(column.type):
        return column.cast(pa.timestamp("s"))
    if of.is_uint64(column.type):  # a number that int64 does not hold is no time
        fits = pc.less_equal(column, pa.scalar(np.iinfo(np.int64).max, pa.uint64()))
        return pc.if_else(fits, column, pa.scalar(None, pa.uint64())).cast(pa.int64())
    if of.is_decimal(column.type) or of.is_null(column.type):
        return column.cast(pa.float64())
    if not (of.is_timestamp(column.type) or of.is_integer(column.type) or of.is_floating(column.type)):
        raise ValueError("its values are neither numbers nor dates")
    return column


def _from_text(column: pa.StringArray, of: pa.DataType, parse: Callable[[str], float]) -> pa.Array:
    """Text as numbers or times, null where it is empty or cannot be read; where some cannot, times are in seconds.

    Only a batch with such a cell is parsed value by value, as a block of a text file is.
    """
    filled = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    try:
        return filled.cast(of)
    except pa.ArrowInvalid:
        distinct = filled.dictionary_encode()
        values = [_parsed(text, parse) for text in distinct.dictionary.to_pylist()]
        return pa.array(values, pa.int64() if pa.types.is_timestamp(of) else of).take(distinct.indices)


def _parsed(text: str, parse: Callable[[str], float]) -> float | None:
    try:
        return parse(text)
    except ValueError:
        return None


def _good_rows(columns: Mapping[str, pa.Array]) -> pa.BooleanArray:
    """``[num_rows]`` which rows have both ids, a finite rating, a time since 1970, and a weight of at least 0."""
    checks = []
    for role, column in columns.items():
        if role in ("user", "item"):
            fine = pc.not_equal(pc.take(pc.binary_length(column.dictionary), column.indices), 0)
        elif role == "rating":
            fine = pc.is_finite(column)
        elif role == "weight":
            fine = pc.and_(pc.is_finite(column), pc.greater_equal(column, 0))
        else:
            numbers = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
            fine = pc.greater_equal(numbers, 0)  # False for NaN
            if pa.types.is_floating(numbers.type):
                fine = pc.and_(fine, pc.less(numbers, 2.0**63))
        checks.append(pc.fill_null(fine, False))
    good = checks[0]
    for check in checks[1:]:
        good = pc.and_(good, check)
    return good


def _describe(
    part: Path, batch: pa.RecordBatch, chosen: Mapping[str, str | None], row: int, good: pa.BooleanArray
) -> str:
    """The first bad row of a batch in words."""
    first = int(np.argmin(good.to_numpy(zero_copy_only=False)))
    cells = ", ".join(
        f"{role}={batch.column(name)[first].as_py()!r}" for role, name in chosen.items() if name is not None
    )
    return (
        f"{part}, row {row + first + 1}: expected two ids, a finite rating and a time since 1970"
        f"{', and a weight of at least 0' if chosen.get('weight') else ''}, found {cells}. "
        "Correct it, or leave such rows out with --skip-bad-rows."
    )
