from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data.ids import IdColumn, encode_ids

WORDS = ["a", "b", "ccc", "\u00e4"]
NUMBERS = ["0", "7", "12", "123456789012345678", "900"]
# Ids that a careless conversion to numbers would merge or change.
TREACHEROUS = [
    "7",
    "07",
    "+7",
    " 7",
    "7 ",
    "7.0",
    "-7",
    "-07",
    "-0",
    "0",
    "00",
    "1_0",
    "0x7",
    "7e0",
    "9" * 19,
    "9" * 30,
    "\u0667",
]


def collect(batches: list[list[str]]) -> tuple[list[int], list[str]]:
    column = IdColumn()
    for batch in batches:
        column.append(encode_ids(pa.array(batch, pa.string())))
    assert len(column) == sum(map(len, batches))
    codes, ids = column.finish()
    return codes.tolist(), ids.tolist()


@settings(deadline=None)
@given(
    st.sampled_from([WORDS, NUMBERS, TREACHEROUS, NUMBERS + WORDS, NUMBERS + TREACHEROUS]).flatmap(
        lambda ids: st.lists(st.lists(st.sampled_from(ids), max_size=8), min_size=1, max_size=5)
    )
)
def test_ids_are_numbered_by_first_appearance_over_all_batches(batches: list[list[str]]) -> None:
    everything = [text for batch in batches for text in batch]
    codes, ids = collect(batches)
    assert ids == list(dict.fromkeys(everything))
    assert [ids[code] for code in codes] == everything


def test_every_treacherous_id_stays_itself() -> None:
    for other in TREACHEROUS:
        assert collect([["7", "0", other]])[1] == list(dict.fromkeys(["7", "0", other]))


def test_a_part_of_a_longer_array_is_read_as_that_part() -> None:
    column = IdColumn()
    column.append(encode_ids(pa.array(["1", "2", "3", "07", "7", "07"]).slice(3)))
    codes, ids = column.finish()
    assert (codes.tolist(), ids.tolist()) == ([0, 1, 0], ["07", "7"])


def test_no_ids_at_all() -> None:
    assert collect([[], []]) == ([], [])


@pytest.mark.parametrize("values", [["a", ""], ["1", ""], ["a", None], ["1", None]])
def test_empty_and_missing_ids_are_refused(values: list[str | None]) -> None:
    with pytest.raises(ValueError, match="an id is empty"):
        IdColumn().append(encode_ids(pa.array(values, pa.string())))


def test_columns_add_up() -> None:
    first, second = IdColumn(), IdColumn()
    first.append(encode_ids(pa.array(["x", "y"])))
    second.append(encode_ids(pa.array(["y", "5"])))
    first.extend(second)
    codes, ids = first.finish()
    assert (codes.tolist(), ids.tolist()) == ([0, 1, 1, 2], ["x", "y", "5"])
