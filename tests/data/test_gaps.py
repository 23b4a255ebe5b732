"""Times between items, by hand."""

from __future__ import annotations

import numpy as np

from recsys_tfrs.data.gaps import NUM_GAPS, gap_buckets
from recsys_tfrs.data.histories import Histories

DAY = 86_400


def histories(offsets: list[int], times: list[int] | None) -> Histories:
    count = offsets[-1]
    stamps = None if times is None else np.array(times, np.int64)
    return Histories(np.array(offsets), np.ones(count, np.int32), None, stamps, np.arange(count), 1)


def test_buckets_double() -> None:
    """0, 1, 2, 3, 6, 7 seconds, an hour and a bit, a day, three days, 90 years, and the firsts of two users."""
    gaps = [0, 1, 2, 3, 6, 7, 4_095, DAY, 3 * DAY, 90 * 365 * DAY]
    times = [5 * DAY, *(5 * DAY + np.cumsum(gaps)).tolist(), 7, 7]
    found = gap_buckets(histories([0, 0, 11, 11, 13], times))
    assert found.tolist() == [0, 1, 2, 2, 3, 3, 4, 13, 17, 18, NUM_GAPS - 1, 0, 1]


def test_without_times_nothing_is_known() -> None:
    assert gap_buckets(histories([0, 0, 3], None)).tolist() == [0, 0, 0]
    assert gap_buckets(histories([0, 0, 0], [])).tolist() == []
