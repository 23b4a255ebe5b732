from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from recsys_tfrs.data.libfm import LibfmFile
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import Kind

FIELDS = "1 0:1 3:1 7:1\n0 1:1 3:1 8:1\n"


def libfm(path: Path, text: str | bytes, like: LibfmFile | None = None) -> LibfmFile:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return LibfmFile(path, like)


def rows(file: LibfmFile) -> dict[str, list]:
    return pa.concat_tables(block.table for block in file.blocks(dict.fromkeys(file.names))).to_pydict()


@pytest.mark.parametrize(
    "text",
    [
        FIELDS,
        FIELDS.rstrip("\n"),
        FIELDS.replace("\n", "\r\n"),
        FIELDS.replace(" ", "\t"),
        FIELDS.replace(" 3", "   3").replace("7:1", "7:1.0 # a remark"),
        "\ufeff" + FIELDS,
        "\ufeff" + FIELDS.replace(" ", "\t"),
        "\n" + FIELDS + "\n\n",
        gzip.compress(FIELDS.encode(), mtime=0),
    ],
)
def test_a_position_of_ones_is_a_field_of_categories(tmp_path: Path, text: str | bytes) -> None:
    file = libfm(tmp_path / ("a.libfm.gz" if isinstance(text, bytes) else "a.libfm"), text)
    assert file.kinds == dict.fromkeys(("field_1", "field_2", "field_3"), Kind.CATEGORICAL)
    assert rows(file) == {"label": ["1", "0"], "field_1": ["0", "1"], "field_2": ["3", "3"], "field_3": ["7", "8"]}


def test_a_position_of_one_index_is_a_number(tmp_path: Path) -> None:
    file = libfm(tmp_path / "a.svm", "1 1:.5 2:1 9:1\n-1 1:-2e1 2:3 8:1\n")
    assert file.kinds == {"field_1": Kind.NUMERIC, "field_2": Kind.NUMERIC, "field_3": Kind.CATEGORICAL}
    assert rows(file) == {"label": ["1", "-1"], "field_1": [0.5, -20], "field_2": [1, 3], "field_3": ["9", "8"]}


def test_lines_of_different_length_are_one_field_of_several(tmp_path: Path) -> None:
    file = libfm(tmp_path / "a.libfm", "1 5:1 2:1\n0\n0 7:1\n")
    assert file.kinds == {"features": Kind.MULTI_CATEGORICAL}
    assert file.longest == 2
    assert rows(file) == {"label": ["1", "0", "0"], "features": [["5", "2"], [], ["7"]]}


def test_few_indices_with_values_are_numbers_and_0_where_left_out(tmp_path: Path) -> None:
    file = libfm(tmp_path / "a.svm", "1 2:.5 10:3\n0 10:1\n")
    assert file.kinds == {"feature_2": Kind.NUMERIC, "feature_10": Kind.NUMERIC}
    assert rows(file) == {"label": ["1", "0"], "feature_2": [0.5, 0], "feature_10": [3, 1]}


def test_positions_that_are_neither_are_numbers_too(tmp_path: Path) -> None:
    file = libfm(tmp_path / "a.svm", "1 1:2 5:1\n0 2:3 5:1\n")
    assert rows(file) == {"label": ["1", "0"], "feature_1": [2, 0], "feature_2": [0, 3], "feature_5": [1, 1]}


def test_many_indices_with_values_are_refused_with_the_remedy(tmp_path: Path) -> None:
    text = "".join(f"1 {i}:2 {'0:1' if i % 2 else ''}\n" for i in range(1, 300))
    with pytest.raises(DataError, match=r"more than 256 different indices.*make a table"):
        libfm(tmp_path / "a.svm", text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0:1 x:1 7:1", "line 4: 'x:1' is no 'index:value'"),
        ("1 0:1 -3:1 7:1", "line 4: '-3:1' is no 'index:value'"),
        ("1 0:1 3.5:1 7:1", "line 4: '3.5:1' is no"),
        ("1 0:1 3: 7:1", "line 4: '3:' is no"),
        ("1 0:1 3:one 7:1", "line 4: '3:one' is no"),
        ("1 0:1 3 7:1", "line 4: '3' is no"),
        ("1 0:1 3:1:1 7:1", "line 4: '3:1:1' is no"),
        ("1 0:1 3:nan 7:1", "line 4: '3:nan' is no"),
        ("0:1 3:1 7:1", "line 4: there is no label before '0:1'"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        libfm(tmp_path / "a.libfm", f"{FIELDS}\n{line}\n{FIELDS}")
    # Without the blank line most of these have the form that is read the fast way.
    with pytest.raises(DataError, match=message.replace("line 4", "line 3")):
        libfm(tmp_path / "a.libfm", f"{FIELDS}{line}\n{FIELDS}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0:1 3:1", "line 4: expected 3 entries, as every line of the training rows has, found 2"),
        ("1 0:1 3:1 7:.5", "line 4: in 7:0.5 the value is not 1"),
    ],
)
def test_lines_must_be_like_those_of_the_training_rows(tmp_path: Path, line: str, message: str) -> None:
    train = libfm(tmp_path / "a.libfm", FIELDS)
    with pytest.raises(DataError, match=message):
        rows(libfm(tmp_path / "b.libfm", f"\n{FIELDS}{line}\n", train))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("1 1:2 5:1\n0 1:3 6:1\n", "1 2:1 5:1", "in 2:1 the index is not that of the training rows"),
        ("1 5:1\n0 5:1 6:1\n", "1 5:2", "in 5:2 the value is not 1"),
        ("1 5:2\n0 5:1 6:1\n", "1 7:2", "in 7:2 the index does not come in the training rows"),
    ],
)
def test_other_layouts_must_match_too(tmp_path: Path, text: str, line: str, message: str) -> None:
    train = libfm(tmp_path / "a.svm", text)
    with pytest.raises(DataError, match=f"line 1: {message}"):
        rows(libfm(tmp_path / "b.svm", line, train))


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="is empty"):
        libfm(tmp_path / "a.libfm", text)


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: not UTF-8 text: save the file as UTF-8"):
        libfm(tmp_path / "a.libfm", b"1 1:1\n0 2:1 \xe9:1\n")
