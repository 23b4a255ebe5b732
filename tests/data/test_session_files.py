"""Prepared sessions with test cases, and the clicks of the RecSys Challenge 2015."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.sources import DataRequest, load
from recsys_tfrs.errors import DataError, UsageError

SESSIONS = "a b a\n\nc\n  b\tc \n"
CASES = "a b\tc\nb b\tnew\n\tc\n"


def written(folder: Path, sessions: str = SESSIONS, cases: str = CASES, *, packed: bool = False) -> Path:
    for name, text in (("train_sessions.txt", sessions), ("test_cases.txt", cases)):
        data = text.encode()
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    return folder


def rows(data: Interactions) -> list[tuple[str, str]]:
    return list(zip(data.user_ids[data.users], data.item_ids[data.items], strict=True))


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_sessions_and_cases_is_a_data_set(tmp_path: Path, packed: bool) -> None:
    folder = tmp_path / "clicks-2015"
    folder.mkdir()
    data = load(DataRequest(dataset=str(written(folder, packed=packed))))
    assert data.name == "clicks-2015"
    assert data.is_ordered
    assert rows(data) == [
        *[("1", "a"), ("1", "b"), ("1", "a")],  # a repeated click stays
        *[("2", "c"), ("3", "b"), ("3", "c")],
        *[("case-1", "a"), ("case-1", "b"), ("case-1", "c")],
        *[("case-2", "b"), ("case-2", "b"), ("case-2", "new")],
        ("case-3", "c"),  # asked with nothing
    ]
    assert data.test_cases is not None
    assert data.item_ids[data.items[data.test_cases]].tolist() == ["c", "new", "c"]
    assert data.notes == ("Sessions of a single click, from which no next click can be learnt: 1.",)


@pytest.mark.parametrize(("line", "bad"), [(2, "a b"), (2, "a\tb\tc"), (2, "a\t"), (2, "a\tb c")])
def test_a_line_that_is_no_case_is_named_or_left_out(tmp_path: Path, line: int, bad: str) -> None:
    written(tmp_path, cases=f"a\tb\n{bad}\nb\tc\n")
    with pytest.raises(DataError, match=rf"test_cases.txt, line {line}: expected the clicks so far, a tab and one"):
        load(DataRequest(dataset=str(tmp_path)))
    data = load(DataRequest(dataset=str(tmp_path), skip_bad_rows=True))
    assert data.user_ids[-2:].tolist() == ["case-1", "case-2"]
    assert any("no test case, skipped: 1." in note for note in data.notes)


def test_damage_and_emptiness_are_named(tmp_path: Path) -> None:
    written(tmp_path, cases="a\n")
    with pytest.raises(DataError, match="holds no test case"):
        load(DataRequest(dataset=str(tmp_path), skip_bad_rows=True))
    written(tmp_path, sessions=" \n")
    with pytest.raises(DataError, match=r"train_sessions.txt is empty"):
        load(DataRequest(dataset=str(tmp_path)))
    (tmp_path / "train_sessions.txt").write_bytes(b"a b\n\xff c\n")
    with pytest.raises(DataError, match=r"train_sessions.txt, line 2: not UTF-8"):
        load(DataRequest(dataset=str(tmp_path)))
    (tmp_path / "train_sessions.txt").unlink()
    (tmp_path / "train_sessions.txt.gz").write_bytes(gzip.compress(b"a b\n" * 99)[:-9])
    with pytest.raises(DataError, match=r"train_sessions.txt.gz is damaged or truncated"):
        load(DataRequest(dataset=str(tmp_path)))


def test_the_clicks_of_2015_are_sessions_in_order_of_time(tmp_path: Path) -> None:
    text = (
        "1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,S\n"
        "2,2014-04-07T13:56:37.614Z,214662742,0\n1,2014-04-07T10:57:00.306Z,214536502,0\n"
    )
    (tmp_path / "yoochoose-clicks.dat").write_text(text)
    for path in (tmp_path, tmp_path / "yoochoose-clicks.dat"):
        data = load(DataRequest(dataset=str(path)))
        assert data.name == "yoochoose-clicks"
        assert rows(data) == [("1", "214536502"), ("1", "214536500"), ("2", "214662742"), ("1", "214536502")]
        assert data.timestamps is not None
        assert (data.timestamps - data.timestamps[0]).tolist() == [0, 180, 11128, 351]
    with pytest.raises(UsageError, match="describe a table of your own"):
        load(DataRequest(dataset=str(tmp_path), columns={"item": "x"}))


def test_a_session_column_takes_the_place_of_the_user(tmp_path: Path) -> None:
    table = tmp_path / "log.csv"
    table.write_text("user_id,visit,item_id,timestamp\nu,s1,a,10\nu,s1,b,20\nu,s1,a,30\nu,s2,b,40\n")
    data = load(DataRequest(dataset=str(table), columns={"session": "visit"}))
    assert rows(data) == [("s1", "a"), ("s1", "b"), ("s1", "a"), ("s2", "b")]
    merged = load(DataRequest(dataset=str(table), columns={"session": "visit"}, duplicates="keep-first"))
    assert rows(merged) == [("s1", "a"), ("s1", "b"), ("s2", "b")]


def test_a_pause_ends_a_session(tmp_path: Path) -> None:
    table = tmp_path / "log.csv"
    lines = ["u,a,1000000000", "v,a,1000000000", "u,a,1000003600", "u,b,1000003540", "u,c,1000001800"]
    table.write_text("user_id,item_id,timestamp\n" + "\n".join(lines) + "\n")
    data = load(DataRequest(dataset=str(table), session_gap=29.5))
    assert rows(data) == [("u/1", "a"), ("u/2", "c"), ("u/2", "b"), ("u/2", "a"), ("v/1", "a")]
    assert "2 users cut into 3 sessions at pauses of more than 29.5 minutes." in data.notes
    with pytest.raises(DataError, match="no timestamps, so sessions cannot be told"):
        load(DataRequest(dataset=str(table), session_gap=30, columns={"timestamp": ""}))
