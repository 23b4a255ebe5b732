from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from recsys_tfrs.data.archives import data_folders
from recsys_tfrs.errors import DataError


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_reads_like_the_folder_it_holds(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "ml-9k.zip", {"ml-9k/u.data": b"1\t2\n", "ml-9k/sub/deep": b"x", "top": b"y"})
    top, folder, sub = data_folders(path)
    assert (top.name, folder.name, sub.name) == ("ml-9k", "ml-9k", "sub")
    assert folder.has("u.data")
    assert not folder.has("u.data", "deep")
    assert folder.read("u.data") == b"1\t2\n"
    assert folder.label("u.data") == f"{path}/ml-9k/u.data"
    (tmp_path / "on-disk").mkdir()
    (tmp_path / "on-disk" / "u.data").write_bytes(b"1\t2\n")
    (disk,) = data_folders(tmp_path / "on-disk")
    assert (disk.name, disk.read("u.data")) == ("on-disk", b"1\t2\n")


def test_what_is_neither_folder_nor_zip_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    assert data_folders(tmp_path / "a.csv") == []


@pytest.mark.parametrize(
    "name", ["../u.data", "a/../../u.data", "/etc/u.data", "a\\..\\u.data", "C:\\u.data", "\\u.data"]
)
def test_members_that_climb_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="climbs out"):
        data_folders(make_zip(tmp_path / "evil.zip", {"fine": b"", name: b"1"}))


def test_links_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        link = zipfile.ZipInfo("ml/u.data")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="symbolic link"):
        data_folders(tmp_path / "evil.zip")


def test_a_truncated_zip_is_a_data_error(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "cut.zip", {"u.data": os.urandom(5_000)})
    path.write_bytes(path.read_bytes()[:2_500])
    with pytest.raises(DataError, match=r"not a readable zip.*truncated"):
        data_folders(path)


def test_a_damaged_member_is_a_data_error(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "hurt.zip", {"u.data": os.urandom(5_000)})
    content = bytearray(path.read_bytes())
    content[2_000:2_010] = bytes(10)
    path.write_bytes(bytes(content))
    (folder,) = data_folders(path)
    with pytest.raises(DataError, match=r"u\.data is damaged"):
        folder.read("u.data")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (folder,) = data_folders(tmp_path)
    with pytest.raises(DataError, match=r"u\.item is missing"):
        folder.read("u.item")
