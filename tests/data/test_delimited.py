from __future__ import annotations

import csv
import io
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data import delimited
from recsys_tfrs.data.assemble import RawInteractions
from recsys_tfrs.data.delimited import Layout, read_records, read_rows, whole_lines
from recsys_tfrs.errors import DataError

COMMA = Layout(("user", "item", "rating", "time"), "user", "item", "rating", "time", ",", quoted=True, header_lines=1)
IMPLICIT = Layout(("user", "item"), "user", "item", None, None, ",", quoted=True)


def read(text: str | bytes, layout: Layout = COMMA, *, skip: bool = False) -> RawInteractions:
    content = text.encode() if isinstance(text, str) else text
    return read_rows(io.BytesIO(content), "f.csv", layout, skip_bad_rows=skip)


def test_rows_keep_the_file_order_and_ids_are_numbered_by_first_appearance() -> None:
    rows = read("b,x,4.5,30\na,y,1,10\nb,y,2,20\n")
    assert rows.user_ids.tolist() == ["b", "a"]
    assert rows.item_ids.tolist() == ["x", "y"]
    assert rows.users.tolist() == [0, 1, 0]
    assert rows.items.tolist() == [0, 1, 1]
    assert rows.ratings is not None
    assert rows.ratings.tolist() == [4.5, 1.0, 2.0]
    assert rows.times is not None
    assert rows.times.tolist() == [30, 10, 20]
    assert (rows.users.dtype, rows.ratings.dtype, rows.times.dtype) == (np.int32, np.float32, np.int64)


def test_two_colons_separate_as_one_delimiter() -> None:
    rows = read("1::0114508::8::1381006850\n2::0208092::5::1586466072\n", Layout.double_colon("u", "i", "r", "t"))
    assert rows.item_ids.tolist() == ["0114508", "0208092"]
    assert rows.times is not None
    assert rows.times.tolist() == [1381006850, 1586466072]
    with pytest.raises(DataError, match="line 1: expected 4 fields separated by '::', found 3"):
        read("1::2::3\n", Layout.double_colon("u", "i", "r", "t"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,b,x,5", "the rating 'x' is not a number"),
        ("a,b,NaN,5", "the rating 'NaN' is not a finite number"),
        ("a,b,-inf,5", "the rating '-inf' is not a finite number"),
        ("a,b,1e39,5", "the rating '1e39' is too large"),
        ("a,b,,5", "the rating '' is not a number"),
        ("a,b,1,-5", "the timestamp '-5' lies before 1970"),
        ("a,b,1,", "the timestamp '' is not a number"),
        ("a,b,1,1e30", "the timestamp '1e30' is too large"),
        ("a,b,1,99999999999999999999", "the timestamp '99999999999999999999' is too large"),
        (",b,1,5", "the user id is empty"),
        ("a,,1,5", "the item id is empty"),
        ("a,b,1", "expected 4 fields separated by ',', found 3"),
        ("a,b,1,5,6", "expected 4 fields separated by ',', found 5"),
    ],
)
def test_a_bad_row_is_named_by_its_line_or_skipped_and_counted(line: str, message: str) -> None:
    # The header is line 1, the bad row stands behind a row, a blank line and a row of two lines: line 6.
    text = f'a,b,1,5\n\n"c\nd",b,2,5\n{line}\nc,d,3,7\n'
    with pytest.raises(DataError) as caught:
        read(text)
    assert f"f.csv, line 6: {message}" in str(caught.value)
    assert "--skip-bad-rows" in str(caught.value)
    rows = read(text, skip=True)
    assert rows.ratings is not None
    assert rows.ratings.tolist() == [1.0, 2.0, 3.0]
    assert rows.user_ids.tolist() == ["a", "c\nd", "c"]
    (note,) = rows.notes
    assert "skipped: 1; line 6" in note


def test_an_id_that_is_not_utf8_is_named() -> None:
    with pytest.raises(DataError, match="line 2: the user id is not UTF-8"):
        read("José,b,1,5\n".encode("latin-1"))


def test_a_file_cut_inside_a_line_says_so() -> None:
    with pytest.raises(DataError, match=r"line 3: .* it may be truncated"):
        read("a,b,1,5\nc,d,")


def test_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match="holds no interactions"):
        read("")
    with pytest.raises(DataError, match=r"holds no interactions.*skipped: 1"):
        read("a,b,x,5\n", skip=True)


def test_a_wrong_delimiter_is_named() -> None:
    with pytest.raises(DataError, match="expected 4 fields separated by ',', found 1 in 'a;b;1;5'"):
        read("a;b;1;5\n")


def test_line_numbers_go_on_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited.whole_lines, "__kwdefaults__", {"block_bytes": 64})
    good = "".join(f"user{n},item{n % 7},1,{n}\n" for n in range(100))
    rows = read(good)
    assert rows.user_ids.tolist() == [f"user{n}" for n in range(100)]
    assert rows.items.tolist() == [n % 7 for n in range(100)]
    with pytest.raises(DataError, match="line 102: the rating 'bad'"):
        read(good + "u,i,bad,1\n")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.text("ab\n,\"'", min_size=1), st.text('xy;\n"', min_size=1)), min_size=1, max_size=30),
    st.integers(1, 40),
)
def test_any_quoted_text_survives_any_block_size(pairs: list[tuple[str, str]], block_bytes: int) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(pairs)
    content = buffer.getvalue().encode()
    blocks = list(whole_lines(io.BytesIO(content), quoted=True, block_bytes=block_bytes))
    assert b"".join(blocks) == content
    assert all(block.count(b'"') % 2 == 0 and block.endswith(b"\n") for block in blocks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited.whole_lines, "__kwdefaults__", {"block_bytes": block_bytes})
        rows = read(content, IMPLICIT)
    assert [(rows.user_ids[u], rows.item_ids[i]) for u, i in zip(rows.users, rows.items, strict=True)] == pairs


def test_a_stray_quote_does_not_swallow_the_rest_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_LONGEST_FIELD", 32)
    content = b'a,5" pipe\n' + b"b,x\n" * 50
    blocks = list(whole_lines(io.BytesIO(content), quoted=True, block_bytes=100))
    assert b"".join(blocks) == content
    assert max(map(len, blocks)) <= 104


def test_an_official_file_of_another_encoding_is_to_be_got_anew() -> None:
    folder = SimpleNamespace(read=lambda name: b"1::a::x\n2::\xff::y\n", label=lambda name: f"ml/{name}")
    with pytest.raises(DataError, match=r"ml/movies\.dat, line 2: not utf-8 text, as this file comes: get it anew"):
        read_records(folder, "movies.dat", "::", 3, "utf-8")  # type: ignore[arg-type]
