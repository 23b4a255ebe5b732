from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data.timestamps import TimeFormat, detect_format, parse_number, parse_time, raw_times, to_seconds


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (["881250949", "0"], TimeFormat.INTEGER),
        (["881250949.5", "7"], TimeFormat.NUMBER),
        (["2024-05-31", "2024-05-31 12:00"], TimeFormat.DATE),
        (["2024-05-31T12:00:00Z", "2024-05-31T12:00:00+02:00"], TimeFormat.ZONED_DATE),
        (["broken", "1", "2"], TimeFormat.INTEGER),  # one bad value does not decide
        (["broken", "2024-05-31", "2024-05-31"], TimeFormat.DATE),
    ],
)
def test_the_format_is_that_of_most_values(sample: list[str], expected: TimeFormat) -> None:
    assert detect_format(sample) is expected


@settings(deadline=None)
@given(st.datetimes(datetime.datetime(1971, 1, 1), datetime.datetime(2200, 1, 1)))
def test_dates_are_utc_where_they_name_no_zone(moment: datetime.datetime) -> None:
    expected = int(moment.replace(tzinfo=datetime.timezone.utc).timestamp() // 1)
    assert parse_time(moment.isoformat(), TimeFormat.DATE) == expected
    assert parse_time(moment.isoformat() + "Z", TimeFormat.ZONED_DATE) == expected
    assert parse_time(moment.isoformat() + "+02:00", TimeFormat.ZONED_DATE) == expected - 2 * 3600


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ("-5", TimeFormat.INTEGER, "'-5' lies before 1970"),
        ("x", TimeFormat.INTEGER, "'x' is not a number"),
        ("", TimeFormat.INTEGER, "'' is not a number"),
        ("1e999", TimeFormat.NUMBER, "not a finite number"),
        ("31.5.2024", TimeFormat.DATE, "not an ISO 8601 date"),
        ("1969-12-31", TimeFormat.DATE, "before 1970"),
    ],
)
def test_times_that_cannot_be_read_say_why(text: str, form: TimeFormat, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_time(text, form)


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity"])
def test_numbers_must_be_finite(text: str) -> None:
    with pytest.raises(ValueError, match="is not a finite number"):
        parse_number(text)


@pytest.mark.parametrize("text", ["1_000", "0x10", "", "three", "1,5"])
def test_only_decimal_numbers_are_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        parse_number(text)


@settings(deadline=None)
@given(st.integers(200_000_000, 4_000_000_000), st.sampled_from([1, 1_000, 1_000_000, 1_000_000_000]))
def test_the_unit_is_read_off_the_magnitude(seconds: int, per_second: int) -> None:
    converted = to_seconds(np.array([0, seconds * per_second + per_second // 2]))
    assert converted.values.tolist() == [0, seconds]
    assert (converted.note is None) == (per_second == 1)


def test_mixed_units_are_refused_with_the_row() -> None:
    with pytest.raises(ValueError, match="milliseconds in row 2, seconds elsewhere"):
        to_seconds(np.array([1_577_836_800, 1_577_836_800_000]))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([2_500, 3_999], pa.timestamp("ms")), [2, 3]),
        (pa.array([86_400_000_000], pa.timestamp("us", tz="Europe/Paris")), [86_400]),
        (pa.array([1, 2], pa.date32()), [86_400, 172_800]),
        (pa.array([1.9, 2.0]), [1, 2]),
        (pa.array([7, 8], pa.uint32()), [7, 8]),
    ],
)
def test_arrow_columns_become_counts(column: pa.Array, expected: list[int]) -> None:
    assert raw_times(column).tolist() == expected


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1, None]), "missing"),
        (pa.array([-1]), "negative"),
        (pa.array([float("nan")]), "not finite"),
        (pa.array([-1], pa.date32()), "before 1970"),
    ],
)
def test_arrow_columns_with_bad_times_are_refused(column: pa.Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        raw_times(column)
