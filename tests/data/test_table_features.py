from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_tfrs.data.assemble import FeatureTable
from recsys_tfrs.data.table_features import column_values, infer_kind, read_feature_table
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import Kind


def read(path: Path, text: str, kinds: dict[str, Kind] | None = None, *, skip: bool = False) -> FeatureTable:
    path.write_text(text, encoding="utf-8")
    return read_feature_table(path, "item", None, kinds or {}, skip_bad_rows=skip)


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("n", pa.array([1, 2]), Kind.NUMERIC),
        ("n", pa.array([1.5, None]), Kind.NUMERIC),
        ("n", pa.array([True, False]), Kind.CATEGORICAL),
        ("n", pa.array([0, 1], pa.timestamp("s")), Kind.TIMESTAMP),
        ("n", pa.array([0, 1], pa.date32()), Kind.TIMESTAMP),
        ("n", pa.array([["a"], []]), Kind.MULTI_CATEGORICAL),
        ("n", pa.array(["a|b"] + ["c"] * 9), Kind.MULTI_CATEGORICAL),  # one in ten
        ("n", pa.array(["a|b"] + ["c"] * 10), Kind.CATEGORICAL),  # one in eleven
        ("n", pa.array(["a", "a", "b", "b"]), Kind.CATEGORICAL),
        ("n", pa.array(["a", "a", "b", "c"]), Kind.TEXT),  # three values in four cells
        ("n", pa.array(["", "", ""]), Kind.CATEGORICAL),
        ("Title", pa.array(["a", "a", "a", "a"]), Kind.TEXT),
        ("product_name", pa.array(["a", "a", "a", "a"]), Kind.TEXT),
        ("n", pa.array([{"x": 1}]), None),
        ("title", pa.array(["a", "b"]).dictionary_encode(), Kind.TEXT),
        ("n", pa.array(["a|b", "c"]).dictionary_encode(), Kind.MULTI_CATEGORICAL),
        ("n", pa.array([1, 2, 3]).dictionary_encode(), Kind.CATEGORICAL),
        ("n", pa.array(["a", "a", "b", "b"], pa.string_view()), Kind.CATEGORICAL),
    ],
)
def test_inferred_kinds(name: str, values: pa.Array, kind: Kind | None) -> None:
    assert infer_kind(name, pa.chunked_array([values])) is kind


def test_columns_become_features_and_say_so(tmp_path: Path) -> None:
    table = read(
        tmp_path / "items.csv",
        "price,sku,name,tags,added,colour\n1.5,007,Lamp,a|b,1970-01-02,red\n,008,Desk,,1970-01-03,red\n",
        {"colour": Kind.CATEGORICAL},
    )
    assert table.ids.tolist() == ["007", "008"]
    assert table.title_column == "name"
    kinds = {name: kind for name, (kind, _) in table.columns.items()}
    assert kinds == {
        "price": Kind.NUMERIC,
        "name": Kind.TEXT,
        "tags": Kind.MULTI_CATEGORICAL,
        "added": Kind.TIMESTAMP,
        "colour": Kind.CATEGORICAL,
    }
    np.testing.assert_array_equal(table.columns["price"][1], np.array([1.5, np.nan], np.float32))
    assert table.columns["tags"][1].tolist() == [("a", "b"), ()]
    assert table.columns["added"][1].tolist() == [86_400.0, 172_800.0]
    assert table.columns["added"][1].dtype == np.float64
    assert table.notes == (
        "Column 'sku' of items.csv was taken as the item id.",
        "Kinds inferred for the columns of items.csv: price=numeric, name=text, tags=multi_categorical, "
        "added=timestamp (change one with --columns NAME=KIND).",
    )


def test_declared_kinds_win_and_keep_what_is_written(tmp_path: Path) -> None:
    kinds = {"zip": Kind.CATEGORICAL, "year": Kind.TEXT, "seen": Kind.TIMESTAMP, "n": Kind.NUMERIC}
    table = read(tmp_path / "t.csv", "item,zip,year,seen,n\n1,01234,1999,1577836800000,5\n2,,2000,,\n", kinds)
    assert table.columns["zip"][1].tolist() == ["01234", ""]
    assert table.columns["year"][1].tolist() == ["1999", "2000"]
    np.testing.assert_array_equal(table.columns["seen"][1], [1_577_836_800.0, np.nan])
    np.testing.assert_array_equal(table.columns["n"][1], np.array([5, np.nan], np.float32))


@pytest.mark.parametrize("name", ["SKU", "ISBN", "Item ID", "ITEM-ID", "itemid"])
def test_ids_keep_their_spelling_whatever_the_spelling_of_their_column(tmp_path: Path, name: str) -> None:
    table = read(tmp_path / "t.csv", f"{name},title\n00,A\n01,B\n1,C\n")
    assert table.ids.tolist() == ["00", "01", "1"]


def test_parquet_tables(tmp_path: Path) -> None:
    table = pa.table(
        {
            "item": pa.array([1.0, 12345678901.0]),
            "kinds": [["a", " b"], None],
            "ok": [True, None],
            "at": pa.array([1_500, None], pa.timestamp("ms")),
            "nested": [{"x": 1}, {"x": 2}],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    read_back = read_feature_table(tmp_path / "t.parquet", "item", None, {})
    assert read_back.ids.tolist() == ["1", "12345678901"]
    assert read_back.columns["kinds"][1].tolist() == [("a", "b"), ()]
    assert read_back.columns["ok"][1].tolist() == ["true", ""]
    np.testing.assert_array_equal(read_back.columns["at"][1], [1.5, np.nan])
    assert any("'nested' of t.parquet holds struct<x: int64>, which is no feature" in note for note in read_back.notes)


@pytest.mark.parametrize("of", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_strings_of_any_type_are_strings(tmp_path: Path, of: pa.DataType) -> None:
    table = {"item": ["x", "y"], "title": ["Lamp", "Desk"], "tags": ["a|b", None], "n": ["1.5", ""]}
    pq.write_table(pa.table({name: pa.array(cells).cast(of) for name, cells in table.items()}), tmp_path / "t.parquet")
    read_back = read_feature_table(tmp_path / "t.parquet", "item", None, {"n": Kind.NUMERIC})
    assert read_back.ids.tolist() == ["x", "y"]
    assert read_back.title_column == "title"
    assert read_back.columns["title"][1].tolist() == ["Lamp", "Desk"]
    assert read_back.columns["tags"][1].tolist() == [("a", "b"), ()]
    np.testing.assert_array_equal(read_back.columns["n"][1], np.array([1.5, np.nan], np.float32))


NAN = float("nan")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1970-01-02", None, "1970-01-02T00:00:00.25"], [86_400, NAN, 86_400.25]),
        (["1970-01-02T00:00:00Z", "", "1970-01-02 02:00:00+02:00"], [86_400, NAN, 86_400]),
        (["1970-01-02T00:00:00Z", "1970-01-02", " "], [86_400, 86_400, NAN]),  # without a zone: UTC
        (["1969-12-31", "9999-12-31"], [-86_400, 253_402_214_400]),
        (["1970-01-02 00:00:00.000001"], [86_400.000001]),
        (["-86400", "1.7e9", "", "1500000000", " +7 "], [-86_400, 1.7e9, NAN, 1.5e9, 7]),
        (["1500000000000", None, "1.5e12"], [1.5e9, NAN, 1.5e9]),
        (["1700000000000000123"], [1.7e9]),
        (["", None], [NAN, NAN]),
    ],
)
@pytest.mark.parametrize("of", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_times_written_as_text(cells: list[str | None], expected: list[float], of: pa.DataType) -> None:
    column = pa.chunked_array([pa.array(cells).cast(of)])
    np.testing.assert_array_equal(column_values("t", column, Kind.TIMESTAMP), expected)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1_700_000_000_000_000_123, None]), [1.7e9, NAN]),
        (pa.array([-5, 1_500_000_000]), [-5, 1.5e9]),
        (pa.array([1_500_000_000], pa.uint64()), [1.5e9]),
    ],
)
def test_times_that_are_numbers(column: pa.Array, expected: list[float]) -> None:
    np.testing.assert_array_equal(column_values("t", pa.chunked_array([column]), Kind.TIMESTAMP), expected)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array(["1500000000", "today", "1500000001"]), "t cannot be read as timestamp: .*'today'"),
        (pa.array(["2024-01-01", "today", "2024-01-01T00:00:00Z"]), "t cannot be read as timestamp: .*'today'"),
        (pa.array(["2024-01-01", "1500000000", "2024-01-01"]), "t cannot be read as timestamp: .*'1500000000'"),
        (pa.array([1, 1 << 63], pa.uint64()), r"t cannot be read as timestamp: 9\.2.*e\+18 in row 2 is too large"),
        (pa.array([1.0, float("inf")]), "t cannot be read as timestamp: inf in row 2 is too large"),
        (pa.array(["1.0", "-inf"]), "t cannot be read as timestamp: -inf in row 2 is too large"),
        (pa.array([1_500_000_000, None, 1_500_000_000_000]), "milliseconds in row 3, seconds elsewhere"),
        (pa.array([1, 2], pa.time32("s")), "t cannot be read as timestamp"),
    ],
)
def test_times_that_cannot_be_read(column: pa.Array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        column_values("t", pa.chunked_array([column]), Kind.TIMESTAMP)


def test_what_is_no_number_is_an_empty_id_and_a_missing_category(tmp_path: Path) -> None:
    table = pa.table({"item": [7.0, 8.0, float("nan")], "code": [1.0, float("nan"), 2.0]})
    pq.write_table(table.slice(0, 2), tmp_path / "t.parquet")
    read_back = read_feature_table(tmp_path / "t.parquet", "item", None, {"code": Kind.CATEGORICAL})
    assert read_back.ids.tolist() == ["7", "8"]
    assert read_back.columns["code"][1].tolist() == ["1", ""]
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="item id in column 'item' is empty in row 3"):
        read_feature_table(tmp_path / "t.parquet", "item", None, {})


@pytest.mark.parametrize(
    ("text", "kinds", "message"),
    [
        (
            "x,y\n1,2\n",
            {},
            "no column that is clearly the item; it has x, y: call its column of ids item_id, or what --columns item=",
        ),
        ("item,p\na,1\n,2\n", {}, "item id in column 'item' is empty in row 2"),
        ("item,p\na,1\nb,2,3\n", {}, r"t\.csv, line 3: .*Expected 2 columns, got 3"),
        ("item,p\na,inf\n", {}, "column 'p': inf in row 1 of the table is not a finite number"),
        ("item,p\na,x\n", {"p": Kind.NUMERIC}, "column 'p' cannot be read as numeric"),
        ("item,p\na,x\n", {"p": Kind.TIMESTAMP}, "column 'p' cannot be read as timestamp"),
        ("item,p\n", {}, "has a header and no rows"),
        ("item\na\n", {}, "expected a header with at least a column of ids and a feature"),
        ("", {}, "is empty"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, kinds: dict[str, Kind], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path / "t.csv", text, kinds)


@pytest.mark.parametrize("kinds", [{}, {"title": Kind.TEXT}])
@pytest.mark.parametrize("text", ["item,title\na,A\nb,Caf\xe9\n", "title,item\nA,a\nB,caf\xe9\n"])
def test_text_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path, text: str, kinds: dict[str, Kind]) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"t\.csv, line 3: not UTF-8 text: save the file as UTF-8"):
        read_feature_table(path, "item", None, kinds, skip_bad_rows=True)


def test_bad_lines_can_be_skipped(tmp_path: Path) -> None:
    table = read(tmp_path / "t.csv", "item,p\na,1\nb,2,3\nc,4\n", skip=True)
    assert table.ids.tolist() == ["a", "c"]
    assert any("skipped: 1" in note for note in table.notes)
