"""Context columns and weights of interactions tables, whatever the file format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from recsys_tfrs.data.assemble import Policy
from recsys_tfrs.data.context_rows import ContextRows
from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.tables import load_table
from recsys_tfrs.errors import DataError, RecsysError, UsageError
from recsys_tfrs.schema import Kind

HEADER = "user,item,timestamp,w,device,price,tags,seen_at\n"
ROWS = (
    "u1,a,30,0.5,phone,2.5,x|y,2024-01-01\n"
    "u2,b,20,2,tablet,,,2024-01-02\n"
    "u1,b,10,0,,7,y,\n"
    "u1,a,40,3,phone,1,z,2024-01-03 00:00:01\n"
)
COLUMNS = {
    "weight": "w",
    "device": "categorical",
    "price": "numeric",
    "tags": "multi_categorical",
    "seen_at": "timestamp",
}


def load(path: Path, text: str, columns: dict[str, str], policy: Policy | None = None, **tables: Path) -> Interactions:
    path.with_suffix(".csv").write_text(text)
    if path.suffix == ".parquet":
        pa.parquet.write_table(pa.csv.read_csv(path.with_suffix(".csv")), path)
    return load_table(path, columns, policy or Policy(duplicates="keep-all"), **tables)


@pytest.mark.parametrize("file", ["my.csv", "my.parquet"])
class TestFromFiles:
    def test_values_by_row(self, tmp_path: Path, file: str) -> None:
        data = load(tmp_path / file, HEADER + ROWS, COLUMNS)
        assert data.weights is not None
        assert data.weights.tolist() == [0.5, 2, 0, 3]
        context = data.context_features
        assert list(context) == ["device", "price", "tags", "seen_at"]
        assert context["device"].values.tolist() == ["phone", "tablet", "", "phone"]
        np.testing.assert_array_equal(context["price"].values, np.array([2.5, np.nan, 7, 1], np.float32))
        assert context["tags"].values.tolist() == [("x", "y"), (), ("y",), ("z",)]
        # 2024-01-01 UTC is 19,723 days after 1970-01-01.
        day = 86_400.0
        expected = [19_723 * day, 19_724 * day, np.nan, 19_725 * day + 1]
        np.testing.assert_array_equal(context["seen_at"].values, expected)

    def test_rows_that_repeat_a_pair_take_their_context_with_them(self, tmp_path: Path, file: str) -> None:
        data = load(tmp_path / file, HEADER + ROWS, COLUMNS, Policy(duplicates="keep-last"))
        assert data.context_features["device"].values.tolist() == ["tablet", "", "phone"]
        assert data.weights is not None
        assert data.weights.tolist() == [2, 0, 3]

    @pytest.mark.parametrize("weight", ["-1", "", "nan", "inf"])
    def test_a_bad_weight_is_named_or_skipped(self, tmp_path: Path, file: str, weight: str) -> None:
        text = HEADER + ROWS + f"u2,c,50,{weight},phone,5,x,2024-01-01\n"
        where = "row 5" if file.endswith("parquet") else "line 6"
        with pytest.raises(DataError, match=where):
            load(tmp_path / file, text, COLUMNS)
        data = load(tmp_path / file, text, COLUMNS, Policy(skip_bad_rows=True, duplicates="keep-all"))
        assert data.weights is not None
        assert data.weights.tolist() == [0.5, 2, 0, 3]
        assert data.context_features["price"].values.shape == (4,)

    def test_weights_that_are_all_zero_teach_nothing(self, tmp_path: Path, file: str) -> None:
        with pytest.raises(DataError, match="every weight is 0"):
            load(tmp_path / file, "user,item,w\nu1,a,0\nu2,b,0\n", {"weight": "w"})

    @pytest.mark.parametrize(
        ("columns", "error", "message"),
        [
            ({"colour": "categorical"}, UsageError, "declares colour, which neither"),
            ({"timestamp": "numeric"}, RecsysError, "has no column 'numeric'"),
            ({"item": "item", "rating": "price", "price": "numeric"}, UsageError, "two roles"),
            ({"device": "numeric"}, DataError, "device|phone"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, tmp_path: Path, file: str, columns: dict[str, str], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            load(tmp_path / file, HEADER + ROWS, columns)

    def test_a_column_of_the_item_table_is_no_context(self, tmp_path: Path, file: str) -> None:
        items = tmp_path / "items.csv"
        items.write_text("item,price\na,5\nb,6\n")
        data = load(tmp_path / file, HEADER + ROWS, {"price": "numeric"}, items=items)
        assert not data.context_features
        assert data.item_features["price"].values[1:].tolist() == [5, 6]

    def test_nothing_is_read_that_is_not_declared(self, tmp_path: Path, file: str) -> None:
        data = load(tmp_path / file, HEADER + ROWS, {})
        assert not data.context_features
        assert data.weights is None


@pytest.mark.parametrize("cell", ["", "NA", "n/a", "null", "NaN"])
@pytest.mark.parametrize("bad", ["", "u2,c,50,1,phone,5,x\n"])
def test_a_missing_number_is_missing_whatever_the_lines_around_it(tmp_path: Path, cell: str, bad: str) -> None:
    text = HEADER + ROWS + bad + f"u2,c,60,1,phone,{cell},x,\n"
    data = load(tmp_path / "my.csv", text, COLUMNS, Policy(skip_bad_rows=True, duplicates="keep-all"))
    np.testing.assert_array_equal(
        data.context_features["price"].values, np.array([2.5, np.nan, 7, 1, np.nan], np.float32)
    )


@pytest.mark.parametrize(
    ("cell", "problem"), [("inf", "is not a finite number"), ("-Infinity", "finite"), ("1e39", "is too large")]
)
@pytest.mark.parametrize("bad", ["", "u2,c,70,1,phone,5,x\n"])
def test_a_number_that_is_not_finite_is_a_bad_row(tmp_path: Path, cell: str, problem: str, bad: str) -> None:
    text = HEADER + ROWS + f"u2,c,60,1,phone,{cell},x,\n" + bad
    with pytest.raises(DataError, match=rf"my\.csv, line 6: the price '{cell}' .*{problem}"):
        load(tmp_path / "my.csv", text, COLUMNS)
    data = load(tmp_path / "my.csv", text, COLUMNS, Policy(skip_bad_rows=True, duplicates="keep-all"))
    assert len(data) == 4


def test_context_that_is_not_utf8_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_bytes((HEADER + "u2,a,50,1,caf\xe9,,,\n" + ROWS).encode("latin-1"))
    with pytest.raises(DataError, match=r"my\.csv, line 2: the device is not UTF-8: save the file as UTF-8"):
        load_table(path, COLUMNS, Policy())
    data = load_table(path, COLUMNS, Policy(skip_bad_rows=True, duplicates="keep-all"))
    assert data.context_features["device"].values.tolist() == ["phone", "tablet", "", "phone"]


def test_weights_follow_their_rows_into_the_histories(tmp_path: Path) -> None:
    data = load(tmp_path / "my.csv", HEADER + ROWS, COLUMNS)
    histories = build_histories(data, np.array([0, 1, 2]))
    assert histories.weights is not None
    assert histories.weights[histories.offsets[1] : histories.offsets[2]].tolist() == [0, 0.5]  # u1 by time: 10, 30


def test_seconds_written_as_text_are_times() -> None:
    rows = ContextRows("file", {"at": Kind.TIMESTAMP})
    rows.append({"at": pa.array(["1500000000", ""])})
    rows.append({"at": pa.array(["1500000001"])})
    kind, values = rows.finish()["at"]
    assert kind is Kind.TIMESTAMP
    np.testing.assert_array_equal(values, [1.5e9, np.nan, 1.5e9 + 1])


def test_context_times_may_name_a_zone(tmp_path: Path) -> None:
    rows = "u1,a,2024-01-01T00:00:00Z\nu2,b,2024-01-01T02:00:00+02:00\nu1,b,2024-01-01\n"
    data = load(tmp_path / "my.csv", "user,item,at\n" + rows, {"at": "timestamp"})
    assert data.context_features["at"].values.tolist() == [1_704_067_200.0] * 3


def test_a_repeated_string_is_one_object() -> None:
    rows = ContextRows("file", {"device": Kind.CATEGORICAL})
    rows.append({"device": pa.chunked_array([["a" * 50] * 1_000])})
    values = rows.finish()["device"][1]
    assert len({id(value) for value in values}) == 1
