from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_tfrs.data import tfds_movielens
from recsys_tfrs.data.assemble import Policy
from recsys_tfrs.data.movielens import objects
from recsys_tfrs.data.tfds_movielens import check_reachable, download, from_records
from recsys_tfrs.errors import DatasetNotFoundError

GENRES = ["Action", "Children", "Drama", "(no genres listed)"]


def batch(rows: list[tuple[Any, ...]], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    columns = list(zip(*rows, strict=True))
    types = {"user_rating": np.float32, "timestamp": np.int64, "user_gender": np.bool_, "raw_user_age": np.float32}
    return {
        name: np.array(column, types[name]) if name in types else objects(column)
        for name, column in zip(names, columns, strict=True)
    }


SHORT = ("user_id", "movie_id", "movie_title", "movie_genres", "user_rating", "timestamp")
LONG = (*SHORT, "raw_user_age", "user_gender", "user_occupation_text", "user_zip_code")
ROWS = [
    (b"196", b"242", "Kolya é (1996)".encode(), [1, 2], 3, 881250949, 49, True, b"writer", b"55105"),
    (b"186", b"302", b"L.A. (1997)", [], 4, 891717742, 39, False, b"executive", b"T8H1N"),
    (b"196", b"302", b"L.A. (1997)", [], 5, 881250950, 49, True, b"writer", b"55105"),
]


def test_records_become_interactions() -> None:
    data = from_records("movielens-100k", [batch(ROWS[:2], LONG), batch(ROWS[2:], LONG)], GENRES, Policy())
    assert data.user_ids.tolist() == ["", "196", "186"]
    assert data.item_ids.tolist() == ["", "242", "302"]
    assert data.users.tolist() == [1, 2, 1]
    assert data.items.tolist() == [1, 2, 2]
    assert data.ratings is not None
    assert data.ratings.tolist() == [3, 4, 5]
    assert data.timestamps is not None
    assert data.timestamps.tolist() == [881250949, 891717742, 881250950]
    assert data.titles.tolist()[1:] == ["Kolya é (1996)", "L.A. (1997)"]
    assert data.item_features["movie_genres"].values.tolist() == [(), ("Children", "Drama"), ()]
    assert data.item_features["movie_year"].values.tolist()[1:] == [1996, 1997]
    assert data.user_features["raw_user_age"].values.tolist()[1:] == [49, 39]
    assert data.user_features["user_gender"].values.tolist() == ["", "M", "F"]
    assert data.user_features["user_occupation_text"].values.tolist() == ["", "writer", "executive"]
    assert data.user_features["user_zip_code"].values.tolist() == ["", "55105", "T8H1N"]


def test_versions_without_user_features_and_films_nobody_rated() -> None:
    movies = [batch([(b"9", b"Cold (2001)", [3])], ("movie_id", "movie_title", "movie_genres"))]
    data = from_records("movielens-25m", [batch([row[:6] for row in ROWS], SHORT)], GENRES, Policy(), movies=movies)
    assert data.user_features == {}
    assert data.item_ids.tolist() == ["", "242", "302", "9"]
    assert data.titles.tolist()[3] == "Cold (2001)"
    assert data.item_features["movie_genres"].values.tolist()[3] == ()


def test_an_unreachable_host_fails_at_once_and_says_where_the_zip_belongs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for proxy in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)

    def refuse(address: tuple[str, int], timeout: float) -> socket.socket:
        raise OSError(113, "No route to host")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(DatasetNotFoundError) as caught:
        download("movielens-1m", 2)
    message = str(caught.value)
    assert "files.grouplens.org cannot be reached (No route to host)" in message
    assert str(tmp_path / "downloads" / "manual" / "ml-1m.zip") in message
    assert "https://files.grouplens.org/datasets/movielens/ml-1m.zip" in message
    assert "--data-dir" in message


def test_a_host_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()

    def wait(address: tuple[str, int], timeout: float) -> None:
        hang.wait(30)
        raise OSError("given up")

    monkeypatch.setattr(socket, "create_connection", wait)
    with pytest.raises(DatasetNotFoundError, match=r"no answer within 0\.05 s"):
        check_reachable("movielens-100k", 0.05)
    hang.set()


def test_a_proxy_is_asked_in_place_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    asked: list[tuple[str, int]] = []

    class Connection:
        def close(self) -> None:
            pass

    def connect(address: tuple[str, int], timeout: float) -> Connection:
        asked.append(address)
        return Connection()

    monkeypatch.setattr(socket, "create_connection", connect)
    check_reachable("movielens-100k", 5)
    assert asked == [("proxy.example", 3128)]


def test_prepared_and_downloaded_data_are_found_by_their_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert tfds_movielens.prepared_folder("movielens-100k") is None
    for version in ("0.1.0", "0.1.1"):
        folder = tmp_path / "movielens" / "100k-ratings" / version
        folder.mkdir(parents=True)
        (folder / "dataset_info.json").write_text("{}")
    (tmp_path / "movielens" / "100k-ratings" / "0.2.0.incomplete").mkdir()
    assert tfds_movielens.prepared_folder("movielens-100k") == folder
    assert tfds_movielens.prepared_folder("movielens-1m") is None
    names = ("downloads/manual/ml-100k.zip", "downloads/org_ml-100kAb.zip", "downloads/movielens/org_ml-100kCd.zip")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert tfds_movielens.downloaded_zips("movielens-100k") == sorted(tmp_path / name for name in names[1:])
    assert os.fspath(tfds_movielens.manual_zip("movielens-100k")) == str(tmp_path / names[0])
