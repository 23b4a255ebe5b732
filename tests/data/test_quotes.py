"""A quote that is never closed stops the reading, in every kind of text file, with the line where it opens."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from recsys_tfrs.data import delimited, quotes
from recsys_tfrs.data.delimited import Layout, read_rows
from recsys_tfrs.data.example_request import ExampleRequest
from recsys_tfrs.data.example_tables import load_examples
from recsys_tfrs.data.quotes import refuse_open_quote
from recsys_tfrs.data.table_features import read_feature_table
from recsys_tfrs.errors import DataError

LAYOUT = Layout(("user", "item"), "user", "item", None, None, ",", quoted=True, header_lines=1)
OPEN = r'line 4: the quote \("\) that opens here is not closed.*Close it, or write it twice'


@pytest.mark.parametrize(
    ("block", "line"),
    [
        (b'a,b\nc,"d\ne,f\n', 2),
        (b'"', 1),
        (b'a,"b""', 1),
        (b'a,"b""c"\n\nd,"\n', 3),
        (b'a,5" pipe\nb,"c\n', 2),  # an even number of quotes
        (b'a,"b"x\r\n"c\r\n', 2),
    ],
)
def test_where_a_quote_opens(block: bytes, line: int) -> None:
    with pytest.raises(DataError, match=rf"f\.csv, line {line}: "):
        refuse_open_quote(block, ",", "f.csv", 1)


@pytest.mark.parametrize(
    "block",
    [b"", b"a,b\n", b'a,"b"', b'"a\nb","c""d"\n', b'a,5" pipe\n', b'a,""\n', b'a,""""\n', b'a;"b\n', b'a,"b"x"y\n'],
)
def test_closed_quotes_and_those_inside_a_field_are_fine(block: bytes) -> None:
    refuse_open_quote(block, ",", "f.csv", 1)


def test_large_blocks_are_looked_at_where_a_quote_is_odd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotes, "_LOOK_ANYWAY", 0)
    refuse_open_quote(b'a,"b"\n', ",", "f.csv", 1)
    with pytest.raises(DataError, match="line 3"):
        refuse_open_quote(b'a,"b"\nc,"d\n', ",", "f.csv", 2)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("block_bytes", [1 << 20, 16])
def test_interactions(skip: bool, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited.whole_lines, "__kwdefaults__", {"block_bytes": block_bytes})
    rows = b'u1,"a ""b"\nu2,b\nu1,"c\n' + b"u2,a\n" * 9
    with pytest.raises(DataError, match=f"f.csv, {OPEN}"):
        read_rows(io.BytesIO(rows), "f.csv", LAYOUT, skip_bad_rows=skip)


def test_item_tables_and_tables_of_examples(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('item,title\na,"A"\nb,B\nc,"C\nd,D\ne,E\n')
    with pytest.raises(DataError, match=OPEN):
        read_feature_table(path, "item", None, {}, skip_bad_rows=True)
    path.write_text('label,title\n1,"A"\n0,B\n1,"C\n' + "0,D\n" * 50)
    with pytest.raises(DataError, match=OPEN):
        load_examples(ExampleRequest(str(path)))
