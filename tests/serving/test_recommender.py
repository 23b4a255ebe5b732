from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from numpy.testing import assert_allclose
from serving.hand_made import World

from recsys_tfrs.errors import MissingExtraError, RunError, UsageError
from recsys_tfrs.serving import recommender as recommender_module
from recsys_tfrs.serving.folders import MANIFEST
from recsys_tfrs.serving.recommender import Recommendation, Recommender


@pytest.fixture(scope="module")
def recommender(world: World) -> Recommender:
    return Recommender.load(world.path.parent)


def ids(lists: list[list[Recommendation]]) -> list[list[str]]:
    return [[best.item_id for best in row] for row in lists]


def test_it_answers_as_the_signature_does(world: World, recommender: Recommender) -> None:
    out = world.call("serving_default", user_id=["u1", "nobody"], k=3)
    lists = recommender.recommend(["u1", "nobody"], 3)
    assert ids(lists) == out["item_id"].tolist()
    assert [[best.title for best in row] for row in lists] == out["title"].tolist()
    assert_allclose([[best.score for best in row] for row in lists], out["score"], rtol=1e-6)


def test_lists_end_where_the_candidates_do(recommender: Recommender) -> None:
    lists = recommender.recommend(["u1", "u5"], 20)
    assert sorted(ids(lists)[0]) == ["i4", "i6", "i7", "i8"]
    assert len(lists[1]) == 8


def test_histories_exclusions_and_further_inputs_of_any_length(world: World, recommender: Recommender) -> None:
    lists = recommender.recommend(
        ["u1", "u5"],
        8,
        history=[["i8", "i4", "i6"], []],
        exclude=[[], ["i1"]],
        exclude_history=False,
        inputs={"gender": ["M", "F"], "only_genres": [["War", "Love"], ["War"]]},
    )
    out = world.call(
        "serving_default",
        user_id=["u1", "u5"],
        k=8,
        history=[["i8", "i4", "i6"], ["", "", ""]],
        exclude=[[""], ["i1"]],
        exclude_history=False,
        gender=["M", "F"],
        only_genres=[["War", "Love"], ["War", ""]],
    )
    assert ids(lists) == [[item for item in row if item] for row in out["item_id"]]
    assert sorted(ids(lists)[0]) == ["i1", "i2", "i4", "i7"]
    assert sorted(ids(lists)[1]) == ["i2", "i7"]


def test_nobody_to_ask_for(recommender: Recommender) -> None:
    assert recommender.recommend([], 3) == []


def test_it_says_whom_it_knows(recommender: Recommender) -> None:
    # User 5 has no training row and is known all the same.
    assert [recommender.knows(user) for user in ("u1", "u5", "nobody", "")] == [True, True, False, False]


@pytest.mark.parametrize("k", [0, -3, 21])
def test_k_out_of_range(recommender: Recommender, k: int) -> None:
    with pytest.raises(UsageError, match=f"1 to 20 items, not {k}"):
        recommender.recommend(["u1"], k)


def test_inputs_that_do_not_fit(recommender: Recommender) -> None:
    with pytest.raises(UsageError, match="no input 'shoe_size': it has age, context_gender, "):
        recommender.recommend(["u1"], inputs={"shoe_size": [44]})
    with pytest.raises(UsageError, match="history has 1 entries for 2 users"):
        recommender.recommend(["u1", "u2"], history=[["i1"]])


class TestLoading:
    def test_nothing_there(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "absent"):
            with pytest.raises(RunError, match=r"no exported model.*expected a run, a folder with version folders"):
                Recommender.load(path)

    def test_the_newest_whole_version_is_taken(self, world: World, tmp_path: Path) -> None:
        for name in ("2", "10"):
            shutil.copytree(world.path, tmp_path / name)
        (tmp_path / "11").mkdir()
        manifest = json.loads((tmp_path / "10" / MANIFEST).read_text())
        (tmp_path / "10" / MANIFEST).write_text(json.dumps({**manifest, "max_k": 7}))
        assert Recommender.load(tmp_path).manifest["max_k"] == 7

    @pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index", MANIFEST])
    def test_a_damaged_export(self, world: World, tmp_path: Path, file: str) -> None:
        damaged = tmp_path / "1"
        shutil.copytree(world.path, damaged)
        (damaged / file).write_bytes((damaged / file).read_bytes()[:50])
        with pytest.raises(RunError, match=r"cannot be loaded.*Export the run again"):
            Recommender.load(tmp_path)

    def test_an_export_of_other_making(self, world: World, tmp_path: Path) -> None:
        other = tmp_path / "1"
        shutil.copytree(world.path, other)
        (other / MANIFEST).unlink()
        with pytest.raises(RunError, match="not written by this package"):
            Recommender.load(other)

    def test_an_export_that_recommends_nothing(self, world: World, tmp_path: Path) -> None:
        shutil.copytree(world.path, tmp_path / "1")
        path = tmp_path / "1" / MANIFEST
        manifest = json.loads(path.read_text())
        del manifest["max_k"]
        path.write_text(json.dumps(manifest))
        with pytest.raises(RunError, match=r"recommends nothing.*`recsys-tfrs export-cascade` makes"):
            Recommender.load(tmp_path)

    def test_scann_missing_is_said_before_tensorflow_fails_on_it(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing() -> None:
            raise MissingExtraError("ScaNN cannot be imported")

        shutil.copytree(world.path, tmp_path / "1")
        path = tmp_path / "1" / MANIFEST
        path.write_text(json.dumps({**json.loads(path.read_text()), "custom_operations": ["Scann>TensorsToScann"]}))
        monkeypatch.setattr(recommender_module, "load_scann", missing)
        with pytest.raises(MissingExtraError, match="ScaNN"):
            Recommender.load(tmp_path)
