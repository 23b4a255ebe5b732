from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from recsys_tfrs.data.archives import data_folders
from recsys_tfrs.data.assemble import Policy
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.movielens import load_folder, recognise, title_years
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import Kind


def flags(*positions: int) -> str:
    return "|".join("1" if position in positions else "0" for position in range(19))


# fmt: off
GENRES = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]
# fmt: on

ML_100K = {
    "u.data": "196\t2\t3\t881250949\n186\t3\t4\t891717742\n196\t1\t5\t881250950\n186\t2\t1\t891717743\n",
    "u.item": (
        f"1|Toy Story (1995)|01-Jan-1995||http://x|{flags(3, 4)}\n"
        f"2|Misérables, Les|01-Jan-1996||http://x|{flags(8)}\n"
        f"3|unknown||||{flags(0)}\n"
        f"4|Nobody saw it (1971)|01-Jan-1999||http://x|{flags()}\n"
    ),
    "u.user": "186|39|F|executive|T8H1N\n196|49|M|writer|55105\n",
    "u.genre": "".join(f"{name}|{number}\n" for number, name in enumerate(GENRES)) + "\n",
    "u.info": "2 users\n4 items\n4 ratings\n",
    "u1.test": "186\t2\t1\t891717743\n196\t2\t3\t881250949\n",
    "ua.test": "196\t1\t5\t881250950\n",
}

ML_1M = {
    "ratings.dat": "1::1193::5::978300760\n2::661::3::978302109\n1::661::4::978301968\n",
    "movies.dat": (
        "661::Señor Peach (1996)::Animation|Children's\n1193::Cuckoo's Nest (1975)::Drama\n7::Cold (2000)::Drama\n"
    ),
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
}

ML_CSV = {
    "ratings.csv": (
        "userId,movieId,rating,timestamp\n1,296,5.0,1147880044\n1,306,3.5,1147868817\n2,296,0.5,1147868828\n"
    ),
    "movies.csv": (
        "movieId,title,genres\n"
        '296,"Pulp, Fiction ""x"" (1994)",Comedy|Crime\n306,Three Colors: Réd (1994),Drama\n9,New,(no genres listed)\n'
    ),
}


def write(folder: Path, files: dict[str, str], encoding: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode(encoding))
    return folder


def read(path: Path, policy: Policy | None = None) -> Interactions:
    (folder,) = data_folders(path)
    name = recognise(folder)
    assert name is not None
    return load_folder(folder, name, policy or Policy())


def by_id(data: Interactions, feature: str) -> dict[str, object]:
    if feature in data.item_features:
        return dict(zip(data.item_ids, data.item_features[feature].values.tolist(), strict=True))
    return dict(zip(data.user_ids, data.user_features[feature].values.tolist(), strict=True))


@pytest.fixture
def ml_100k(tmp_path: Path) -> Path:
    return write(tmp_path / "ml-100k", ML_100K, "latin-1")


def test_100k_rows_in_file_order(ml_100k: Path) -> None:
    data = read(ml_100k)
    assert data.name == "movielens-100k"
    assert data.user_ids[data.users].tolist() == ["196", "186", "196", "186"]
    assert data.item_ids[data.items].tolist() == ["2", "3", "1", "2"]
    assert data.ratings is not None
    assert data.ratings.tolist() == [3, 4, 5, 1]
    assert data.timestamps is not None
    assert data.timestamps.tolist() == [881250949, 891717742, 881250950, 891717743]
    # Numbered by first appearance in u.data; film 4 was never rated and joins at the end.
    assert data.item_ids.tolist() == ["", "2", "3", "1", "4"]


def test_100k_films(ml_100k: Path) -> None:
    data = read(ml_100k)
    assert by_id(data, "movie_title") == {
        "": "",
        "1": "Toy Story (1995)",
        "2": "Misérables, Les",
        "3": "unknown",
        "4": "Nobody saw it (1971)",
    }
    assert by_id(data, "movie_genres") == {
        "": (),
        "1": ("Animation", "Children"),
        "2": ("Drama",),
        "3": ("Unknown",),
        "4": (),
    }
    years = by_id(data, "movie_year")
    assert [years[i] for i in "124"] == [1995, 1996, 1971]  # the title first, the release date where it is silent
    assert math.isnan(float(str(years["3"])))
    assert data.titles.tolist()[1] == "Misérables, Les"
    assert {name: column.kind for name, column in data.item_features.items()} == {
        "movie_title": Kind.TEXT,
        "movie_genres": Kind.MULTI_CATEGORICAL,
        "movie_year": Kind.NUMERIC,
    }


def test_100k_users(ml_100k: Path) -> None:
    data = read(ml_100k)
    ages = by_id(data, "raw_user_age")
    assert (ages["186"], ages["196"]) == (39, 49)
    assert by_id(data, "user_gender") == {"": "", "186": "F", "196": "M"}
    assert by_id(data, "user_occupation_text") == {"": "", "186": "executive", "196": "writer"}
    assert by_id(data, "user_zip_code") == {"": "", "186": "T8H1N", "196": "55105"}
    assert by_id(data, "user_zip_area") == {"": "", "186": "T", "196": "5"}
    assert data.user_features["raw_user_age"].values.dtype == np.float32


def test_100k_folds_are_row_numbers(ml_100k: Path) -> None:
    folds = read(ml_100k).official_folds
    assert {name: rows.tolist() for name, rows in folds.items()} == {"u1": [0, 3], "ua": [2]}


def test_folds_follow_rows_that_were_merged(ml_100k: Path) -> None:
    with (ml_100k / "u.data").open("a") as file:
        file.write("196\t2\t1\t999999999\n")  # rates film 2 again, later: row 0 goes, this one is row 3
    (ml_100k / "u.info").unlink()
    data = read(ml_100k)
    assert data.item_ids[data.items].tolist() == ["3", "1", "2", "2"]
    assert data.official_folds["u1"].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("u.item", None, r"u\.item is missing in .*ml-100k"),
        ("u.user", None, r"u\.user is missing"),
        (
            "u.user",
            "186|39|F|executive|T8H1N\n196|49|M",
            r"u\.user, line 2: expected 5 fields separated by '\|', found 3",
        ),
        ("u.user", "186|old|F|executive|T8H1N\n", r"u\.user: an age is not a number"),
        ("u.item", "1|Toy Story\n", r"u\.item, line 1: expected 24 fields"),
        ("u.data", "1\t1\t5\t881250949\n2\t2\t5", r"u\.data, line 2: .*truncated"),
        ("u.data", "1,1,5,881250949\n", r"u\.data, line 1: expected 4 fields separated by a tab, found 1"),
        ("u.data", "196\t2\t3\t881250949\n186\t3\t4\t891717742\n", "holds 2 ratings, but u.info beside it says 4"),
        ("u1.test", "186\t1\t1\t891717743\n", r"u1\.test, line 1: this rating does not occur in u\.data"),
    ],
)
def test_100k_files_that_are_missing_or_cut(ml_100k: Path, file: str, content: str | None, message: str) -> None:
    if content is None:
        (ml_100k / file).unlink()
    else:
        (ml_100k / file).write_text(content)
    with pytest.raises(DataError, match=message):
        read(ml_100k)


def test_bad_rows_can_be_skipped_folds_and_all(ml_100k: Path) -> None:
    text = (ml_100k / "u.data").read_text()
    (ml_100k / "u.data").write_text(text.replace("196\t2\t3\t", "196\t2\tthree\t"))
    data = read(ml_100k, Policy(skip_bad_rows=True))
    assert len(data) == 3
    assert data.official_folds["u1"].tolist() == [2]
    assert any("skipped: 1; line 1" in note for note in data.notes)


def test_fewer_rows_than_official_are_noted(ml_100k: Path) -> None:
    assert any("holds 4 ratings where movielens-100k has 100,000" in note for note in read(ml_100k).notes)


def test_1m(tmp_path: Path) -> None:
    data = read(write(tmp_path / "ml-1m", ML_1M, "latin-1"))
    assert data.name == "movielens-1m"
    assert data.item_ids[data.items].tolist() == ["1193", "661", "661"]
    assert by_id(data, "movie_title") == {
        "": "",
        "1193": "Cuckoo's Nest (1975)",
        "661": "Señor Peach (1996)",
        "7": "Cold (2000)",
    }
    assert by_id(data, "movie_genres")["661"] == ("Animation", "Children")
    assert by_id(data, "user_occupation_text") == {"": "", "1": "K-12 student", "2": "self-employed"}
    assert [by_id(data, "raw_user_age")[user] for user in "12"] == [1, 56]
    assert by_id(data, "user_gender") == {"": "", "1": "F", "2": "M"}


@pytest.mark.parametrize("version", ["latest-small", "20m", "25m"])
def test_csv_versions(tmp_path: Path, version: str) -> None:
    data = read(write(tmp_path / f"ml-{version}", ML_CSV, "utf-8"))
    assert data.name == f"movielens-{version}"
    assert data.item_ids.tolist() == ["", "296", "306", "9"]
    assert data.ratings is not None
    assert data.ratings.tolist() == [5, 3.5, 0.5]
    assert data.titles.tolist()[1:] == ['Pulp, Fiction "x" (1994)', "Three Colors: Réd (1994)", "New"]
    assert by_id(data, "movie_genres") == {"": (), "296": ("Comedy", "Crime"), "306": ("Drama",), "9": ()}


def test_csv_with_another_header_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "ml-25m", {**ML_CSV, "ratings.csv": "user,movie\n1,2\n"}, "utf-8")
    with pytest.raises(
        DataError, match="must begin with userId,movieId,rating,timestamp, but begins with 'user,movie'"
    ):
        read(folder)


def test_a_file_in_the_wrong_encoding_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"movies\.csv, line 3: not utf-8 text"):
        read(write(tmp_path / "ml-25m", ML_CSV, "latin-1"))


def test_other_folders_are_not_movielens(tmp_path: Path) -> None:
    (folder,) = data_folders(write(tmp_path / "x", {"ratings.dat": "", "users.dat": "1::2\n"}, "utf-8"))
    assert recognise(folder) is None
    (empty,) = data_folders(write(tmp_path / "y", {}, "utf-8"))
    assert recognise(empty) is None


def test_years() -> None:
    titles = ["A (1995)", "B (2006\u20132007)", "C (1999- )", "D (90)", "E", "(2001) F", "G (1980) "]
    years = title_years(titles)
    assert years.tolist()[:3] == [1995, 2006, 1999]
    assert np.isnan(years[3:6]).all()
    assert years[6] == 1980
    assert title_years(["E", "A (1995)"], ["01-Jan-1970", "02-Feb-1996"]).tolist() == [1970, 1995]


@pytest.mark.skipif("RECSYS_DATA" not in os.environ, reason="RECSYS_DATA does not name a folder with ml-100k")
def test_the_real_100k() -> None:
    data = read(Path(os.environ["RECSYS_DATA"]) / "ml-100k")
    assert (len(data), data.num_users, data.num_items, data.notes) == (100_000, 943, 1_682, ())
    # The five folds are consecutive fifths of u.data.
    for number in range(5):
        expected = np.arange(20_000 * number, 20_000 * (number + 1))
        np.testing.assert_array_equal(data.official_folds[f"u{number + 1}"], expected)
    assert len(data.official_folds["ua"]) == len(data.official_folds["ub"]) == 9_430
    assert not set(data.official_folds["ua"]) & set(data.official_folds["ub"])
