"""Lists of one's own, named by a path relative to where the command runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys_tfrs.data.sources import DataRequest, load
from recsys_tfrs.options import as_settings

_NOT_GIVEN = dict.fromkeys(("data_dir", "items", "users", "columns", "skip_bad_rows", "split", "seed", "device"))


def test_a_relative_path_is_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "playlists.txt").write_text("a b\nb c\n")
    monkeypatch.chdir(tmp_path / "here")
    dataset = as_settings({**_NOT_GIVEN, "dataset": "lists:playlists.txt"})["data"]["dataset"]
    assert dataset == f"lists:{tmp_path / 'here' / 'playlists.txt'}"
    monkeypatch.chdir(tmp_path)
    assert load(DataRequest(dataset)).num_users == 2
    monkeypatch.chdir(tmp_path / "here")
    table = as_settings({**_NOT_GIVEN, "dataset": "playlists.txt"})["data"]["dataset"]
    assert table == str(tmp_path / "here" / "playlists.txt")
    assert as_settings({**_NOT_GIVEN, "dataset": "lists:gone.txt"})["data"]["dataset"] == "lists:gone.txt"
