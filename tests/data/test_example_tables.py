from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_tfrs.data import delimited
from recsys_tfrs.data.example_kinds import infer_kind
from recsys_tfrs.data.example_request import ExampleRequest
from recsys_tfrs.data.example_tables import load_examples
from recsys_tfrs.data.examples import ExampleParts, Examples, ExampleSource, InMemory, concatenate
from recsys_tfrs.errors import DataError, RecsysError, UsageError
from recsys_tfrs.schema import Kind

HEADER = "click,user,color,price,tags,code,w,ts"


def lines(low: int, high: int) -> str:
    """Times run backwards; every third row is a click."""
    return "".join(
        f"{int(i % 3 == 0)},u{i % 7},{i % 5},{i / 4},a|t{i % 2},{i % 4:03},{i % 2 + 0.5},{1_500_000_000 - i}\n"
        for i in range(low, high)
    )


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def table(path: Path, low: int = 0, high: int = 60) -> Path:
    return write(path, f"{HEADER}\n{lines(low, high)}")


def rows(source: ExampleSource) -> Examples:
    read = concatenate(list(source.chunks()))
    assert len(read) == source.num_rows
    return read


def refused(kind: type[RecsysError], message: str, **request: object) -> None:
    with pytest.raises(kind, match=message):
        load_examples(ExampleRequest(**request))  # type: ignore[arg-type]


def prices(parts: ExampleParts) -> list[list[float]]:
    return [rows(part).columns["price"].values.tolist() for part in (parts.train, parts.validation, parts.test)]


def test_files_given_by_part(tmp_path: Path) -> None:
    files = {
        part: table(tmp_path / f"{part}.csv", 20 * i, 20 * i + 20)
        for i, part in enumerate(["train", "validation", "test"])
    }
    parts = load_examples(ExampleRequest(**files, columns={"weight": "w", "ts": "ignore"}))  # type: ignore[arg-type]
    assert (parts.name, parts.split) == ("train", "files")
    train, test = rows(parts.train), rows(parts.test)
    assert {name: column.kind for name, column in train.columns.items()} == {
        "user": Kind.CATEGORICAL,
        "color": Kind.CATEGORICAL,
        "price": Kind.NUMERIC,
        "tags": Kind.MULTI_CATEGORICAL,
        "code": Kind.CATEGORICAL,
    }
    assert train.columns["code"].values[:5].tolist() == ["000", "001", "002", "003", "000"]
    assert train.columns["tags"].values[:2].tolist() == [("a", "t0"), ("a", "t1")]
    assert train.targets["click"].tolist() == [float(i % 3 == 0) for i in range(20)]
    assert test.columns["price"].values.tolist() == [i / 4 for i in range(40, 60)]
    assert test.weights.tolist() == [0.5, 1.5] * 10
    assert test.groups.tolist() == [f"u{i % 7}" for i in range(40, 60)]
    assert "label=click, group=user" in parts.notes[0]
    assert "color=categorical, price=numeric, tags=multi_categorical, code=categorical" in parts.notes[1]


@pytest.mark.parametrize("stream_above", [1 << 20, 0])
def test_a_file_is_split_by_time_where_one_is_declared(
    tmp_path: Path, stream_above: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited.whole_lines, "__kwdefaults__", {"block_bytes": 300})
    path = table(tmp_path / "a.csv")
    parts = load_examples(
        ExampleRequest(
            str(path),
            columns={"timestamp": "ts"},
            test_fraction=0.25,
            validation_fraction=0.2,
            stream_above=stream_above,
        )
    )
    # Later rows are older: of 60, the first 15 are the newest quarter.
    expected = [list(range(27, 60)), list(range(15, 27)), list(range(15))]
    assert prices(parts) == [[i / 4 for i in part] for part in expected]
    assert parts.split == "temporal by ts: 25% test, 20% validation"
    assert isinstance(parts.train, InMemory) == (stream_above > 0)
    if stream_above == 0:
        assert len(list(parts.train.chunks())) > 3
    assert "ts" not in rows(parts.train).columns


def test_a_random_split_is_that_of_its_seed_streamed_or_not(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv.gz")
    path.write_bytes(gzip.compress(path.read_bytes()))
    size = path.stat().st_size
    request = ExampleRequest(str(path), test_fraction=0.3, validation_fraction=0.2, seed=3)
    kept = prices(load_examples(request))
    assert [len(part) for part in kept] == [30, 12, 18]
    assert sorted(price for part in kept for price in part) == [i / 4 for i in range(60)]
    assert prices(load_examples(ExampleRequest(**(vars(request) | {"stream_above": 0})))) == kept
    assert prices(load_examples(ExampleRequest(**(vars(request) | {"seed": 4})))) != kept
    for times, fits in ((5, False), (7, True)):  # unpacked it is taken for six times as large
        parts = load_examples(ExampleRequest(**(vars(request) | {"stream_above": times * size})))
        assert isinstance(parts.train, InMemory) == fits


def test_what_is_not_given_comes_off_the_training_file(tmp_path: Path) -> None:
    train, test = table(tmp_path / "a.csv"), table(tmp_path / "b.csv", 60, 80)
    parts = load_examples(ExampleRequest(train=train, test=test, validation_fraction=0.25))
    assert (parts.train.num_rows, parts.validation.num_rows, parts.test.num_rows) == (45, 15, 20)
    assert parts.split == "random: 25% validation of the training file"


def test_parquet_brings_its_own_types(tmp_path: Path) -> None:
    when = pa.array([1_600_000_000 + i for i in range(60)], pa.timestamp("s"))
    columns = {
        "label": [i % 3 == 0 for i in range(60)],
        "user_id": list(range(60)),
        "tags": [["a", "b"], []] * 30,
        "price": [0.5, None] * 30,
        "brand": pa.array(["x", "y"] * 30).dictionary_encode(),
        "when": when,
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=7)
    request = {"dataset": str(tmp_path / "a.parquet"), "test_fraction": 0.2, "validation_fraction": 0.2}
    for stream_above in (0, 1 << 20):
        parts = load_examples(ExampleRequest(**request, columns={"timestamp": "when"}, stream_above=stream_above))
        train = rows(parts.train)
        assert [column.kind.value for column in train.columns.values()] == [
            "categorical",
            "multi_categorical",
            "numeric",
            "categorical",
        ]
        assert train.columns["tags"].values[:2].tolist() == [("a", "b"), ()]
        assert train.columns["user_id"].values.tolist() == [str(i) for i in range(36)]
        assert np.isnan(train.columns["price"].values[1::2]).all()
        assert train.targets["label"][:4].tolist() == [1, 0, 0, 1]
    refused(DataError, "'brand' .* holds something else", **request, columns={"brand": "numeric"})


@pytest.mark.parametrize("of", [pa.int64(), pa.uint64()])
def test_whole_numbers_that_a_float_would_round_are_categories(tmp_path: Path, of: pa.DataType) -> None:
    codes = [(1 << 62) + i for i in range(300)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"label": [i % 2 for i in range(300)], "hash": pa.array(codes, of)}), path)
    parts = load_examples(ExampleRequest(str(path)))
    seen = [
        value for part in (parts.train, parts.validation, parts.test) for value in rows(part).columns["hash"].values
    ]
    assert sorted(seen) == sorted(map(str, codes))
    declared = rows(load_examples(ExampleRequest(str(path), columns={"hash": "numeric"})).train).columns["hash"]
    assert declared.kind is Kind.NUMERIC
    assert declared.values[0] == np.float32(1 << 62)


def test_a_label_is_no_list(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"label": [[1], [0]] * 30, "x": list(range(60))}), path)
    refused(DataError, r"a\.parquet, row 1, column 'label': .*list<.*expected one number a row", dataset=str(path))


def criteo(num_rows: int) -> str:
    counts = ["" if i % 5 == 0 else str(i) for i in range(13)]
    return "".join("\t".join([str(i % 2), *counts, *[f"{i:08x}"] * 25, ""]) + "\n" for i in range(num_rows))


@pytest.mark.parametrize(("name", "prefix"), [("day_0", ""), ("train.txt", "criteo:")])
def test_criteos_columns_need_no_header(tmp_path: Path, name: str, prefix: str) -> None:
    path = write(tmp_path / name, criteo(60))
    parts = load_examples(ExampleRequest(prefix + str(path)))
    train = rows(parts.train)
    assert list(train.columns) == [*(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]
    assert train.columns["I2"].values[0] == 1
    assert np.isnan(train.columns["I1"].values[0])
    assert train.columns["C26"].values[0] == ""
    assert len(train.columns["C25"].values[0]) == 8
    write(path, criteo(3) + "1\t2\n")
    refused(DataError, "line 4: expected 40 columns, found 2", dataset=f"criteo:{path}")


def test_libfm_lines_are_recognised_and_signed_labels_are_0_and_1(tmp_path: Path) -> None:
    train = write(tmp_path / "train", "".join(f"{(-1, 1)[i % 2]} {i % 3}:1 {3 + i % 4}:1\n" for i in range(40)))
    parts = load_examples(ExampleRequest(f"libsvm:{train}", columns={"group": "field_2"}, seed=1))
    examples = rows(load_examples(ExampleRequest(train=train, seed=1)).train)
    assert set(examples.targets["label"]) == {0, 1}
    assert set(rows(parts.train).groups) == {"3", "4", "5", "6"}
    refused(UsageError, "kinds of the fields of", train=train, columns={"field_1": "numeric"})
    test = write(tmp_path / "test", "1 0:1 3:1\n0 1:1\n")
    refused(DataError, "test, line 2: expected 2 entries", train=train, test=test)


def test_several_labels_may_leave_each_other_unknown(tmp_path: Path) -> None:
    text = "click,like,x\n" + "".join(f"{i % 2},{('', 1, 0)[i % 3]},{i % 7}\n" for i in range(60))
    parts = load_examples(ExampleRequest(str(write(tmp_path / "a.csv", text)), columns={"label": "click+like"}))
    targets = rows(parts.train).targets
    assert list(targets) == ["click", "like"]
    assert np.isnan(targets["like"]).any()
    ratings = ExampleRequest(str(tmp_path / "a.csv"), columns={"label": "x"}, binary=False)
    assert set(rows(load_examples(ratings).train).targets["x"]) == set(range(7))


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        ("2,u,1,1,a,1,1,1", {}, r"line 6, column 'click': the label '2' is neither 0 nor 1"),
        (",u,1,1,a,1,1,1", {}, r"line 6, column 'click': the label is missing"),
        ("yes,u,1,1,a,1,1,1", {}, r"line 6, column 'click': 'yes' is not a number"),
        ("1,u,1,dear,a,1,1,1", {"price": "numeric"}, r"line 6: in the numeric column 'price', 'dear' is not a number"),
        ("1,u,1,1e60,a,1,1,1", {"price": "numeric"}, r"line 6, column 'price': the number is not finite"),
        ("1,u,1,1,a,1,-1,1", {"weight": "w"}, r"line 6, column 'w': the weight is missing, negative"),
        ("1,u,1,1,a,1,,1", {"weight": "w"}, r"line 6, column 'w': the weight is missing"),
        ("1,u,1,1,a,1,1,", {"timestamp": "ts"}, r"line 6, column 'ts': the time is missing"),
        ("1,u,1,1,a,1,1,today", {"timestamp": "ts"}, r"line 6, column 'ts': 'today' cannot be read as timestamp"),
        ("1,u,1", {}, r"line 6: expected 8 columns, found 3 in '1,u,1'"),
        ("1,u\udcff,1,1,a,1,1,1", {}, r"line 6: not UTF-8"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, columns: dict[str, str], message: str) -> None:
    text = f"{HEADER}\n{lines(0, 3)}\n{row}\n{lines(3, 20)}"
    path = write(tmp_path / "a.csv", text.encode(errors="surrogateescape"))
    refused(DataError, f"a.csv.*{message}", dataset=str(path), columns=columns)


def test_strings_of_digits_stay_strings_where_the_kind_says_so(tmp_path: Path) -> None:
    text = "label,code\n" + "".join(f"{i % 2},{i:04}.50\n" for i in range(40))
    parts = load_examples(ExampleRequest(str(write(tmp_path / "a.csv", text)), columns={"code": "categorical"}, seed=1))
    assert "0001.50" in {*rows(parts.train).columns["code"].values, *rows(parts.test).columns["code"].values} | {
        *rows(parts.validation).columns["code"].values
    }


def test_columns_that_are_not_there_or_mean_two_things(tmp_path: Path) -> None:
    path = str(table(tmp_path / "a.csv"))
    refused(UsageError, "names sise, which .* does not have", dataset=path, columns={"sise": "numeric"})
    refused(UsageError, "price=number is not understood", dataset=path, columns={"price": "number"})
    refused(DataError, "no column 'bought' for the label", dataset=path, columns={"label": "bought"})
    refused(UsageError, "cannot play two roles", dataset=path, columns={"label": "click", "weight": "click"})
    refused(
        UsageError,
        "label 'click' cannot be a field",
        dataset=path,
        columns={"click": "categorical"} | {"label": "click"},
    )
    refused(UsageError, "every example needs a label", dataset=path, columns={"label": ""})
    nameless = write(tmp_path / "b.csv", "a,b\n1,2\n")
    refused(DataError, r"no column that is clearly the label; it has a, b: .*label=NAME", dataset=str(nameless))


def test_files_must_have_the_same_columns(tmp_path: Path) -> None:
    train = table(tmp_path / "a.csv")
    other = write(tmp_path / "b.csv", (HEADER + "\n" + lines(60, 80)).replace("price", "prize"))
    refused(DataError, r"b.csv has no column price, which the training rows of .*a.csv have", train=train, test=other)
    more = write(tmp_path / "c.csv", f"x,{HEADER}\n" + "".join(f"7,{line}\n" for line in lines(60, 80).splitlines()))
    parts = load_examples(ExampleRequest(train=train, test=more))
    assert list(rows(parts.test).columns) == list(rows(parts.train).columns)
    assert "Columns that only c.csv has are not read: x." in parts.notes


def test_a_file_given_twice_is_refused(tmp_path: Path) -> None:
    train, copy = table(tmp_path / "a.csv"), table(tmp_path / "b.csv")
    test = table(tmp_path / "c.csv", 60, 90)
    for same in (train, copy):
        refused(UsageError, "validation rows .* train rows", train=train, validation=same, test=test)


def test_files_of_equal_size_and_age_may_differ(tmp_path: Path) -> None:
    train, test = table(tmp_path / "a.csv", 10, 90), tmp_path / "b.csv"
    write(test, train.read_text().replace("u1", "u8"))
    for path in (train, test):
        os.utime(path, (1, 1))
    assert load_examples(ExampleRequest(train=train, test=test)).test.num_rows == 80


def test_lines_are_counted_over_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited.whole_lines, "__kwdefaults__", {"block_bytes": 300})
    path = write(tmp_path / "a.csv", f"{HEADER}\n{lines(0, 50)}7,u,1,1,a,1,1,1\n")
    refused(DataError, "line 52, column 'click': the label '7'", dataset=str(path))


def test_labels_that_never_change_are_refused(tmp_path: Path) -> None:
    constant = write(tmp_path / "a.csv", "click,x\n" + "".join(f"1,{i % 3}\n" for i in range(40)))
    refused(DataError, "'click' of the train rows is always 1", dataset=str(constant))
    refused(DataError, "of the train rows is always the same", dataset=str(constant), binary=False)
    train, test = table(tmp_path / "b.csv"), write(tmp_path / "c.csv", f"{HEADER}\n{lines(1, 3)}")
    refused(DataError, "'click' of the test rows is always 0", train=train, test=test)


@pytest.mark.parametrize("text", ["", "\n", f"{HEADER}\n", f"{HEADER}\n\n"])
def test_files_without_rows_are_refused(tmp_path: Path, text: str) -> None:
    refused(DataError, "is empty|has no rows", dataset=str(write(tmp_path / "a.csv", text)))


def test_a_single_column_is_no_table_of_examples(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "label\n1\n0\n")
    refused(DataError, "expected a header with at least a label and a field", dataset=str(path))


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    refused(DataError, "does not exist", dataset=str(tmp_path / "a.csv"))
    refused(UsageError, "folder without Parquet", dataset=str(tmp_path))
    refused(UsageError, "is no table this can read", dataset=str(write(tmp_path / "a.bin", "hello\n")))
    refused(
        UsageError, r"either one data set to split .* but --dataset x and --train .* came", train=tmp_path, dataset="x"
    )
    refused(UsageError, "beside --train", dataset="x", test=tmp_path)
    refused(UsageError, "shares of the file", dataset="x", test_fraction=0.5, validation_fraction=0.5)
    refused(DataError, "2 rows are too few", dataset=str(table(tmp_path / "b.csv", 0, 2)))


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("x", [str(i) for i in range(101)], Kind.NUMERIC),
        ("x", [str(i % 100) for i in range(300)], Kind.CATEGORICAL),
        ("x", ["1", "2.5", ""], Kind.NUMERIC),
        ("user_id", [str(i) for i in range(500)], Kind.CATEGORICAL),
        ("movieId", [str(i) for i in range(500)], Kind.CATEGORICAL),
        ("paid", [str(i) for i in range(500)], Kind.NUMERIC),
        ("sku", list(range(500)), Kind.CATEGORICAL),
        ("x", [f"{i:05}" for i in range(500)], Kind.CATEGORICAL),
        ("x", ["a|b", "c"], Kind.MULTI_CATEGORICAL),
        ("x", ["a b", "c"], Kind.CATEGORICAL),
        ("x", ["", ""], Kind.CATEGORICAL),
        ("x", [0.5, None], Kind.NUMERIC),
        ("x", [True, False], Kind.CATEGORICAL),
        ("x", [["a"], []], Kind.MULTI_CATEGORICAL),
    ],
)
def test_kinds_that_nobody_declared(name: str, values: list, kind: Kind) -> None:
    assert infer_kind(name, pa.chunked_array([pa.array(values)])) is kind
