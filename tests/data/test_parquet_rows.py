from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_tfrs.data import parquet_rows
from recsys_tfrs.data.assemble import Policy
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.tables import load_table
from recsys_tfrs.errors import DataError

TABLE = pa.table(
    {
        "user": [2, 1, 2],
        "item": pa.array(["b", "b", "a"]).dictionary_encode(),
        "rating": [1.0, 2.0, 3.5],
        "ts": pa.array([1_000, 2_999, 3_000], pa.timestamp("ms")),
    }
)


def load(path: Path, table: pa.Table = TABLE, *, skip: bool = False) -> Interactions:
    pq.write_table(table, path)
    return load_table(path, {}, Policy(skip_bad_rows=skip))


def put(name: str, values: pa.Array) -> pa.Table:
    return TABLE.set_column(TABLE.column_names.index(name), name, values)


def test_rows_and_types(tmp_path: Path) -> None:
    data = load(tmp_path / "a.parquet")
    assert data.user_ids.tolist() == ["", "2", "1"]
    assert data.item_ids.tolist() == ["", "b", "a"]
    assert data.users.tolist() == [1, 2, 1]
    assert data.items.tolist() == [1, 1, 2]
    assert data.ratings is not None
    assert data.ratings.tolist() == [1, 2, 3.5]
    assert data.timestamps is not None
    assert data.timestamps.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("user", pa.array([12345678901.0, 8.0, 8.0]), ["12345678901", "8"]),  # whole floats lose their .0
        ("user", pa.array(["7.5", "x", "x"], pa.large_string()), ["7.5", "x"]),
        ("user", pa.DictionaryArray.from_arrays(pa.array([1, 0, 1]), pa.array(["p", "q", "unused"])), ["q", "p"]),
    ],
)
def test_ids_of_any_type_by_first_appearance(tmp_path: Path, name: str, values: pa.Array, expected: list[str]) -> None:
    assert load(tmp_path / "a.parquet", put(name, values)).user_ids.tolist() == ["", *expected]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["1970-01-01T00:00:01", "1970-01-01T00:00:02"]),
        pa.array([1, 2], pa.timestamp("s")),
        pa.array([1, 2]),
        pa.array(["1", "2"], pa.large_string()),
    ],
)
@pytest.mark.parametrize("name", ["ts", "rating"])
def test_repeated_values_may_be_stored_once(tmp_path: Path, name: str, values: pa.Array) -> None:
    if name == "rating":
        values = pa.array(["1", "2"])
    data = load(tmp_path / "a.parquet", put(name, pa.DictionaryArray.from_arrays(pa.array([1, 0, 1]), values)))
    found = data.timestamps if name == "ts" else data.ratings
    assert found is not None
    assert found.tolist() == [2, 1, 2]


@pytest.mark.parametrize("name", ["user", "item", "rating", "ts"])
def test_views_of_strings_are_strings(tmp_path: Path, name: str) -> None:
    data = load(tmp_path / "a.parquet", put(name, pa.array(["1", "2", "3"], pa.string_view())))
    found = {"user": data.users, "item": data.items, "rating": data.ratings, "ts": data.timestamps}[name]
    assert found is not None
    assert found.tolist() == [1, 2, 3]


def test_several_files_and_several_batches_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "_BATCH_ROWS", 2)
    folder = tmp_path / "parts"
    folder.mkdir()
    pq.write_table(put("item", pa.array(["c", "a", "d"])), folder / "1.parquet")
    pq.write_table(TABLE, folder / "0.parquet")
    data = load_table(folder, {}, Policy())
    assert data.item_ids.tolist() == ["", "b", "a", "c", "d"]
    # In the order of the files' names: b b a, then c a d.
    assert data.item_ids[data.items].tolist() == ["b", "b", "a", "c", "a", "d"]
    assert data.user_ids[data.users].tolist() == ["2", "1", "2", "2", "1", "2"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("user", pa.array([1, None, 2])),
        ("user", pa.array([1.0, float("nan"), 2.0])),
        ("user", pa.DictionaryArray.from_arrays(pa.array([1, 0, 2]), pa.array([float("nan"), 1.0, 2.0]))),
        ("item", pa.array(["a", "", "b"])),
        ("rating", pa.array([1.0, float("nan"), 2.0])),
        ("rating", pa.array([1.0, float("inf"), 2.0])),
        ("rating", pa.array([1.0, None, 2.0])),
        ("ts", pa.array([1, -1, 2])),
        ("ts", pa.array([1.5, float("nan"), 2])),
        ("ts", pa.array([1, 1 << 63, 2], pa.uint64())),
        ("ts", pa.array([1, 1e30, 2])),
        ("ts", pa.array([1, -1, 2], pa.date32())),
        ("ts", pa.array(["1", "", "2"])),
        ("ts", pa.array(["1", "x", "2"], pa.large_string())),
        ("ts", pa.array(["2020-01-01", "2020-02-31", "2020-01-02"])),
        ("rating", pa.array(["1", "", "2"])),
        ("rating", pa.array(["1", "x", "2"])),
        ("rating", pa.array(["1", "x", "2"]).dictionary_encode()),
        ("rating", pa.array(["1", "inf", "2"])),
    ],
)
@pytest.mark.parametrize("batch_rows", [1, 3])
def test_bad_rows_are_named_or_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, values: pa.Array, batch_rows: int
) -> None:
    monkeypatch.setattr(parquet_rows, "_BATCH_ROWS", batch_rows)
    # The good rows around the bad one must still hold two users.
    table = TABLE.set_column(0, "user", pa.array([1, 3, 2])) if name != "user" else TABLE
    table = table.set_column(table.column_names.index(name), name, values)
    if name != "item":
        table = table.set_column(1, "item", pa.array(["a", "b", "c"]))
    with pytest.raises(
        DataError, match=rf"a\.parquet, row 2: expected two ids.*{name if name != 'ts' else 'timestamp'}="
    ):
        load(tmp_path / "a.parquet", table)
    data = load(tmp_path / "a.parquet", table, skip=True)
    assert data.user_ids[data.users].tolist() == ["1", "2"]
    assert "Rows that could not be used and were skipped: 1." in data.notes


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("rating", pa.array([[1.0]] * 3), r"column 'rating' \(list.*cannot be read as the rating"),
        (
            "ts",
            pa.array([1, 2, 3], pa.time32("ms")),
            r"'ts' \(time32\[ms\]\) .* timestamp: .*neither numbers nor dates",
        ),
        (
            "ts",
            pa.array([1, 2, 3], pa.duration("s")),
            r"'ts' \(duration\[s\]\) .* timestamp: .*neither numbers nor dates",
        ),
        ("ts", pa.array([True, False, True]), r"'ts' \(bool\) .* timestamp: .*neither numbers nor dates"),
        ("user", pa.array([{"a": 1}] * 3), r"column 'user' \(struct.*cannot be read as the user"),
    ],
)
def test_columns_of_the_wrong_type_are_named(tmp_path: Path, name: str, values: pa.Array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path / "a.parquet", put(name, values))


def test_good_text_around_a_bad_cell_is_read_as_it_would_be_without(tmp_path: Path) -> None:
    table = TABLE.set_column(0, "user", pa.array([1, 3, 2])).set_column(1, "item", pa.array(["a", "b", "c"]))
    table = table.set_column(2, "rating", pa.array([" 1.5", "x", "+2e0"]))
    table = table.set_column(3, "ts", pa.array(["1970-01-02", "1970-01-02", "1970-01-03 00:00:01.5"]))
    data = load(tmp_path / "a.parquet", table, skip=True)
    assert data.ratings is not None
    assert data.timestamps is not None
    assert data.ratings.tolist() == [1.5, 2]
    assert data.timestamps.tolist() == [86_400, 172_801]


def test_decimal_times_and_a_column_without_any(tmp_path: Path) -> None:
    data = load(tmp_path / "a.parquet", put("ts", pa.array([1, 2, 3]).cast(pa.decimal128(20, 0))))
    assert data.timestamps is not None
    assert data.timestamps.tolist() == [1, 2, 3]
    with pytest.raises(DataError, match=r"row 1: expected two ids.*timestamp=None"):
        load(tmp_path / "a.parquet", put("ts", pa.nulls(3)))


def test_iso_text_times(tmp_path: Path) -> None:
    data = load(tmp_path / "a.parquet", put("ts", pa.array(["1970-01-01T00:00:01Z"] * 3)))
    assert data.timestamps is not None
    assert data.timestamps.tolist() == [1, 1, 1]


def test_truncated_files_and_missing_columns(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cut\.parquet cannot be read as Parquet.*truncated"):
        load_table(tmp_path / "cut.parquet", {}, Policy())
    (tmp_path / "cut.parquet").unlink()
    pq.write_table(TABLE.select(["item", "rating", "ts"]), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet has no column 'user' for the user; it has item, rating, ts"):
        load_table(tmp_path, {}, Policy())


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no interactions"):
        load(tmp_path / "a.parquet", TABLE.slice(0, 0))
