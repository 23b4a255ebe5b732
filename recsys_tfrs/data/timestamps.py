"""Times as people write them -> whole seconds since 1970-01-01 UTC.

Numbers count seconds, milliseconds, microseconds or nanoseconds; which one is read off their magnitude. Text holds
ISO 8601 dates or date-times; where it names no zone it is taken as UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: Below the first number a time counts seconds (until the year 5138), below the next milliseconds, and so on. A
#: millisecond count falls under 1e11 only before March 1973.
_MAGNITUDES = np.array([1e11, 1e14, 1e17])
_UNITS = (("seconds", 1), ("milliseconds", 1_000), ("microseconds", 1_000_000), ("nanoseconds", 1_000_000_000))

_INTEGER = re.compile(r"\s*[+-]?\d+\s*")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)\s*$")


class TimeFormat(Enum):
    """How a column writes its times, and the Arrow type that parses it."""

    INTEGER = "whole number"
    NUMBER = "number"
    DATE = "ISO 8601 date"
    ZONED_DATE = "ISO 8601 date with a zone"

    @property
    def arrow_type(self) -> pa.DataType:
        """Type the column is parsed as."""
        return {
            TimeFormat.INTEGER: pa.int64(),
            TimeFormat.NUMBER: pa.float64(),
            TimeFormat.DATE: pa.timestamp("ns"),
            TimeFormat.ZONED_DATE: pa.timestamp("ns", tz="UTC"),
        }[self]

    @property
    def is_date(self) -> bool:
        """Whether the unit is certain."""
        return self in (TimeFormat.DATE, TimeFormat.ZONED_DATE)


def detect_format(sample: list[str]) -> TimeFormat:
    """The format of a column, judged by most of its first values, so that a bad one does not decide."""
    filled = [text for text in sample if text.strip()]
    numbers = [text for text in filled if _NUMBER.fullmatch(text)]
    if 2 * len(numbers) >= len(filled):
        return TimeFormat.INTEGER if all(map(_INTEGER.fullmatch, numbers)) else TimeFormat.NUMBER
    zoned = sum(1 for text in filled if _ZONE.search(text))
    return TimeFormat.ZONED_DATE if 2 * zoned > len(filled) - len(numbers) else TimeFormat.DATE


def parse_number(text: str) -> float:
    """A finite decimal number.

    Example:
      >>> parse_number("-1.5e3")
      -1500.0
      >>> parse_number("inf")
      Traceback (most recent call last):
      ValueError: 'inf' is not a finite number

    Raises:
      ValueError: the text is no number, or not a finite one; says which.
    """
    if _NUMBER.fullmatch(text):
        number = float(text)
        if np.isfinite(number):
            return number
    try:
        float(text.replace("_", "?"))
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    raise ValueError(f"{text!r} is not a finite number")


def parse_time(text: str, form: TimeFormat) -> int:
    """One time, as the column's raw count (see `to_seconds`); dates as seconds.

    Raises:
      ValueError: it is not written in the column's format, lies before 1970, or is too large.
    """
    if form.is_date:
        try:
            raw = pa.scalar(text.strip()).cast(form.arrow_type).value // 1_000_000_000
        except pa.ArrowInvalid:
            example = "2024-05-31T12:00:00Z" if form is TimeFormat.ZONED_DATE else "2024-05-31 or 2024-05-31T12:00:00"
            raise ValueError(f"the timestamp {text!r} is not an {form.value} such as {example}") from None
    else:
        try:
            raw = int(text) if _INTEGER.fullmatch(text) else int(np.floor(parse_number(text)))
        except ValueError as error:
            raise ValueError(f"the timestamp {error}") from None
    if raw < 0:
        raise ValueError(f"the timestamp {text!r} lies before 1970")
    if raw >= 1 << 63:
        raise ValueError(f"the timestamp {text!r} is too large")
    return int(raw)


def raw_times(column: pa.Array) -> NDArray[np.int64]:
    """An Arrow column of numbers, dates or timestamps as raw counts (see `to_seconds`).

    Raises:
      ValueError: a value is missing, before 1970 or too large.
    """
    if column.null_count:
        raise ValueError("a timestamp is missing")
    is_date = pa.types.is_temporal(column.type)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[column.type.unit]
        raw = np.floor_divide(column.cast(pa.int64()).to_numpy(zero_copy_only=False), per_second)
    else:
        values = column.to_numpy(zero_copy_only=False)
        if values.dtype.kind == "f" and not (np.abs(values) < 2.0**63).all():
            raise ValueError("a timestamp is not finite or too large")
        raw = np.floor(values).astype(np.int64) if values.dtype.kind == "f" else values.astype(np.int64, copy=False)
    if len(raw) and int(raw.min()) < 0:
        raise ValueError("a date lies before 1970" if is_date else "a timestamp is negative")
    return np.asarray(raw, dtype=np.int64)


@dataclass(frozen=True)
class Seconds:
    """Times in whole seconds, and the sentence that says how they were converted, if they were."""

    values: NDArray[np.int64]
    note: str | None = None


def to_seconds(raw: NDArray[np.int64]) -> Seconds:
    """Whole seconds from counts whose unit is read off their magnitude; zero means the same in all units.

    Args:
      raw: ``[num_rows]`` counts, none negative.

    Raises:
      ValueError: some values count seconds and others a smaller unit.

    Example:
      >>> to_seconds(np.array([1_700_000_000_000, 1_700_000_001_999])).values.tolist()  # milliseconds
      [1700000000, 1700000001]
    """
    counted = raw[raw > 0]
    if not len(counted):
        return Seconds(raw)
    smallest, largest = (
        int(np.searchsorted(_MAGNITUDES, value, side="right")) for value in (counted.min(), counted.max())
    )
    if smallest != largest:
        row = int(np.argmax(raw >= _MAGNITUDES[largest - 1])) + 1
        raise ValueError(
            f"the timestamps mix units: {_UNITS[largest][0]} in row {row}, {_UNITS[smallest][0]} elsewhere. Write "
            "all of them in one unit."
        )
    unit, per_second = _UNITS[largest]
    if per_second == 1:
        return Seconds(raw)
    return Seconds(raw // per_second, f"Timestamps counted {unit} and were converted to seconds.")
