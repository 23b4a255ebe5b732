from __future__ import annotations

from pathlib import Path

import pytest

from recsys_tfrs.data.archives import data_folders
from recsys_tfrs.data.assemble import Policy
from recsys_tfrs.data.movietweetings import load_folder, recognise
from recsys_tfrs.errors import DataError

RATINGS = "1::0114508::8::1381006850\n2::0002844::0::1586466072\n1::0002844::10::1579057827\n"
MOVIES = (
    "0002844::Fantômas - À l'ombre (1913)::Crime|Drama\n0114508::Species (1995)::\n0004936::The Bank (1915)::Comedy\n"
)


def write(folder: Path, ratings: str = RATINGS, movies: str = MOVIES) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "ratings.dat").write_text(ratings, encoding="utf-8")
    (folder / "movies.dat").write_text(movies, encoding="utf-8")
    return folder


def test_ratings_and_films(tmp_path: Path) -> None:
    (folder,) = data_folders(write(tmp_path / "mt"))
    assert recognise(folder) == "movietweetings"
    data = load_folder(folder, "movietweetings", Policy())
    assert data.item_ids.tolist() == ["", "0114508", "0002844", "0004936"]
    assert data.users.tolist() == [1, 2, 1]
    assert data.ratings is not None
    assert data.ratings.tolist() == [8, 0, 10]
    assert data.titles.tolist()[1:] == ["Species (1995)", "Fantômas - À l'ombre (1913)", "The Bank (1915)"]
    assert data.item_features["movie_genres"].values.tolist() == [(), (), ("Crime", "Drama"), ("Comedy",)]
    assert data.item_features["movie_year"].values.tolist()[1:] == [1995, 1913, 1915]


def test_movielens_1m_is_not_taken_for_it(tmp_path: Path) -> None:
    (folder,) = data_folders(write(tmp_path / "ml-1m", movies="1::Toy Story (1995)::Animation\n"))
    assert recognise(folder) is None


def test_a_truncated_file_names_the_line(tmp_path: Path) -> None:
    (folder,) = data_folders(write(tmp_path / "mt", ratings=RATINGS[:-25]))
    with pytest.raises(DataError, match=r"ratings\.dat, line 3: .*truncated"):
        load_folder(folder, "movietweetings", Policy())
    (folder,) = data_folders(write(tmp_path / "mt", movies=MOVIES + "0004937::Cut"))
    with pytest.raises(DataError, match=r"movies\.dat, line 4: expected 3 fields separated by '::', found 2"):
        load_folder(folder, "movietweetings", Policy())
