from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recsys_tfrs.data import simulated, sources, tfds_movielens
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.sources import DataRequest, find_local, load
from recsys_tfrs.errors import DataError, DatasetNotFoundError, UsageError

USERS = "1|39|F|executive|T8H1N\n2|49|M|writer|55105\n"
MOVIE = "|Film {} (1995)|01-Jan-1995||http://x|" + "|".join(["0"] * 18 + ["1"]) + "\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine without network."""
    monkeypatch.delenv("RECSYS_DATA", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def unreachable(dataset: str, timeout: float) -> None:
        raise DatasetNotFoundError(f"{dataset} cannot be reached within {timeout:g} s: put the zip somewhere.")

    monkeypatch.setattr(tfds_movielens, "check_reachable", unreachable)
    return tmp_path


def ml_100k(folder: Path, rating: int = 5) -> Path:
    folder.mkdir(parents=True)
    (folder / "u.data").write_text(f"1\t1\t{rating}\t881250949\n2\t2\t3\t881250950\n")
    (folder / "u.item").write_text("1" + MOVIE.format(1) + "2" + MOVIE.format(2))
    (folder / "u.user").write_text(USERS)
    (folder / "u.genre").write_text("".join(f"g{n}|{n}\n" for n in range(19)))
    return folder


def zipped(folder: Path, into: Path) -> Path:
    into.parent.mkdir(parents=True, exist_ok=True)
    made = shutil.make_archive(str(into.with_suffix("")), "zip", folder.parent, folder.name)
    shutil.rmtree(folder)
    return Path(made)


def first_rating(data: Interactions) -> float:
    assert data.ratings is not None
    return float(data.ratings[0])


def test_a_named_data_set_is_found_however_data_dir_names_it(tmp_path: Path) -> None:
    folder = ml_100k(tmp_path / "here" / "ml-100k")
    for data_dir in (folder, folder.parent):
        assert load(DataRequest("movielens-100k", data_dir=data_dir)).name == "movielens-100k"
    archive = zipped(folder, tmp_path / "here" / "ml-100k.zip")
    for data_dir in (archive, archive.parent):
        assert load(DataRequest("movielens-100k", data_dir=data_dir)).name == "movielens-100k"


def test_places_are_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = DataRequest("movielens-100k")
    downloads = tmp_path / "tfds" / "downloads"
    places: list[Callable[[], object]] = [
        lambda: zipped(ml_100k(tmp_path / "a" / "ml-100k", 1), downloads / "movielens" / "file.org_ml-100kAbC.zip"),
        lambda: zipped(ml_100k(tmp_path / "b" / "ml-100k", 2), downloads / "manual" / "ml-100k.zip"),
        lambda: zipped(ml_100k(tmp_path / "c" / "ml-100k", 3), Path("data/ml-100k.zip")),
        lambda: ml_100k(Path("data/ml-100k"), 4),
        lambda: monkeypatch.setenv("RECSYS_DATA", str(ml_100k(tmp_path / "mine" / "ml-100k", 5).parent)),
    ]
    with pytest.raises(DatasetNotFoundError, match="within 10 s: put the zip"):
        load(named)
    for rating, put in enumerate(places, start=1):
        put()
        assert first_rating(load(named)) == rating
        assert first_rating(load(DataRequest())) == rating
    found = [path for name, path in find_local() if name == "movielens-100k"]
    assert [path.parent.name for path in found] == ["mine", "data", "data", "manual", "movielens"]


def test_named_data_sets_never_fall_back(tmp_path: Path) -> None:
    for name in ("movielens-1m", "movielens-25m"):
        with pytest.raises(DatasetNotFoundError, match=f"{name} cannot be reached"):
            load(DataRequest(name))
    with pytest.raises(DatasetNotFoundError, match="--data-dir"):
        load(DataRequest("movietweetings"))
    with pytest.raises(DatasetNotFoundError, match="does not exist"):
        load(DataRequest("movielens-100k", data_dir=tmp_path / "nowhere"))
    folder = ml_100k(tmp_path / "ml-100k")
    with pytest.raises(DatasetNotFoundError, match="holds movielens-100k: expected ml-1m"):
        load(DataRequest("movielens-1m", data_dir=folder))


def test_auto_falls_back_to_simulated_data_and_says_so() -> None:
    data = load(DataRequest(num_rows=2_000, seed=7))
    assert data.name.startswith("simulated")
    assert data.oracle is not None
    assert any("SIMULATED DATA stand in for MovieLens 100K" in note and "within 3 s" in note for note in data.notes)
    same = simulated.load_simulated("simulated", num_rows=2_000, seed=7)
    np.testing.assert_array_equal(data.items, same.items)


def test_auto_with_a_folder_reads_that_folder_or_fails(tmp_path: Path) -> None:
    assert load(DataRequest(data_dir=ml_100k(tmp_path / "x"))).name == "movielens-100k"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no folder or zip of a known kind"):
        load(DataRequest(data_dir=tmp_path / "empty"))
    with pytest.raises(DatasetNotFoundError, match="does not exist"):
        load(DataRequest(data_dir=tmp_path / "nowhere"))


def test_what_a_data_set_does_not_look_at_is_refused(tmp_path: Path) -> None:
    folder = ml_100k(tmp_path / "ml-100k")
    baskets = tmp_path / "baskets.txt"
    baskets.write_text("a b\nb c\n")
    for dataset in ("simulated-tiny", str(folder), f"lists:{baskets}"):
        with pytest.raises(UsageError, match=rf"--data-dir is where .* does not go with --dataset {dataset}: leave it"):
            load(DataRequest(dataset, data_dir=tmp_path))
    for request in (
        DataRequest(str(folder), num_rows=9),
        DataRequest(f"lists:{baskets}", num_rows=9),
        DataRequest("movielens-100k", data_dir=folder, num_rows=9),
        DataRequest(data_dir=folder, num_rows=9),
    ):
        with pytest.raises(UsageError, match=r"data\.num_rows is the size of simulated data and does not go with real"):
            load(request)
    with pytest.raises(UsageError, match="neither a file or folder nor a known name"):
        load(DataRequest("movielens-9k", data_dir=folder))


def test_auto_that_finds_real_data_does_not_cut_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_DATA", str(ml_100k(tmp_path / "ml-100k")))
    with pytest.raises(UsageError, match=r"does not go with real data, here movielens-100k"):
        load(DataRequest(num_rows=9))


def test_a_damaged_zip_is_not_passed_over(tmp_path: Path) -> None:
    Path("data").mkdir()
    Path("data/ml-100k.zip").write_bytes(b"PK but not really")
    with pytest.raises(DataError, match="not a readable zip"):
        load(DataRequest())
    assert find_local() == []


def test_paths(tmp_path: Path) -> None:
    folder = ml_100k(tmp_path / "several" / "renamed")
    assert load(DataRequest(str(folder))).name == "movielens-100k"
    assert load(DataRequest(str(folder.parent))).name == "movielens-100k"
    (tmp_path / "several" / "mt").mkdir()
    (tmp_path / "several" / "mt" / "ratings.dat").write_text("1::0000001::5::1\n2::0000002::6::2\n")
    (tmp_path / "several" / "mt" / "movies.dat").write_text("0000001::A (2000)::X\n")
    assert load(DataRequest(str(tmp_path / "several" / "mt"))).name == "movietweetings"
    assert load(DataRequest("movietweetings", data_dir=tmp_path / "several" / "mt")).num_items == 2
    with pytest.raises(UsageError, match=r"several data sets: give one of .*mt.*renamed"):
        load(DataRequest(str(folder.parent)))
    table = tmp_path / "own.csv"
    table.write_text("user,item\nu,a\nv,b\n")
    assert load(DataRequest(str(table))).name == "own"


def test_an_unknown_folder_lists_what_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"MovieTweetings.*MovieLens.*\.parquet files; or one \.csv"):
        load(DataRequest(str(tmp_path / "photos")))


def test_a_name_nobody_knows_lists_the_names() -> None:
    with pytest.raises(
        UsageError, match="neither a file or folder nor a known name: use auto, simulated, movielens-100k"
    ):
        load(DataRequest("movielens-9k"))


def test_options_for_tables_of_ones_own_are_refused_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--columns go with a table of your own, not with --dataset auto"):
        load(DataRequest(columns={"user": "u"}))
    with pytest.raises(UsageError, match="describe a table of your own"):
        load(DataRequest(str(ml_100k(tmp_path / "ml-100k")), items=tmp_path / "items.csv"))


def test_the_policy_reaches_the_reader(tmp_path: Path) -> None:
    folder = ml_100k(tmp_path / "ml-100k")
    with (folder / "u.data").open("a") as file:
        file.write("1\t1\t2\t1\nbroken\n")
    request = DataRequest(str(folder), skip_bad_rows=True, duplicates="keep-all")
    assert len(load(request)) == 3
    with pytest.raises(DataError, match="line 4"):
        load(DataRequest(str(folder)))


def test_renamed_csv_folders_serve_any_csv_version(tmp_path: Path) -> None:
    folder = tmp_path / "my-ratings"
    folder.mkdir()
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,5,1\n2,2,4,2\n")
    (folder / "movies.csv").write_text("movieId,title,genres\n1,A (2000),Drama\n2,B (2001),Drama\n")
    assert load(DataRequest("movielens-20m", data_dir=folder)).name == "movielens-20m"
    assert load(DataRequest(str(folder))).name == "movielens-my-ratings"
    folder = folder.rename(tmp_path / "ml-25m")
    with pytest.raises(DatasetNotFoundError, match="holds movielens-25m"):
        load(DataRequest("movielens-20m", data_dir=folder))


def test_a_new_kind_of_folder_is_one_more_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(DataRequest(str(ml_100k(tmp_path / "ml-100k"))))
    log = sources.FolderFormat(
        "session log (sessions.txt)",
        lambda folder: "sessions" if folder.has("sessions.txt") else None,
        lambda folder, name, policy: data,
    )
    monkeypatch.setattr(sources, "FORMATS", (*sources.FORMATS, log))
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "sessions.txt").write_text("")
    assert load(DataRequest(str(tmp_path / "log"))) is data


def test_a_local_folder_is_read_without_tensorflow(tmp_path: Path) -> None:
    folder = ml_100k(tmp_path / "ml-100k")
    program = (
        "import sys; from recsys_tfrs.data.sources import *; "
        f"load(DataRequest({str(folder)!r})); find_local(); "
        "print([name for name in sys.modules if name.split('.')[0].startswith('tensorflow')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
