"""Each check passes on a sound export and fails on one that is broken in the way it looks for."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from serving.hand_made import World
from tensorflow.core.protobuf import saved_model_pb2

from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.serving import stranger
from recsys_tfrs.serving.expected import EXPECTED, TOLERANCE, expected_answers
from recsys_tfrs.serving.folders import EXTRA_FOLDER, MANIFEST
from recsys_tfrs.serving.stranger import CheckError, Export
from recsys_tfrs.serving.warmup import WARMUP


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export with what the model itself answers, as a run records it."""
    path = tmp_path_factory.mktemp("checked") / "1"
    shutil.copytree(world.path, path)
    asking = np.array([-1, 0, 1, 2, 5, 6])
    scorer = RetrievalScorer(world.model, world.histories, asking)
    columns = world.interactions.context_features
    answers = expected_answers(
        scorer,
        world.interactions,
        world.histories,
        stored_histories=True,
        context={"device": columns["device"], "context_gender": columns["gender"]},
        asking=asking,
    )
    (path / EXTRA_FOLDER / EXPECTED).write_text(json.dumps(answers), encoding="utf-8")
    return path


@pytest.fixture
def export(world: World, folder: Path) -> Export:
    """An export that has been read and loaded already."""
    export = Export(folder)
    stranger.files(export)
    export.loaded = world.loaded
    return export


@pytest.fixture
def broken(folder: Path, tmp_path: Path) -> Export:
    """A copy to break."""
    shutil.copytree(folder, tmp_path / "1")
    return Export(tmp_path / "1")


class Answers:
    """The loaded model with one output of one signature changed."""

    def __init__(self, loaded: Any, signature: str, change: Callable[[dict[str, tf.Tensor], dict], dict]) -> None:
        self.signatures = dict(loaded.signatures)
        original = self.signatures[signature]

        def call(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return change(dict(original(**inputs)), inputs)

        call.structured_input_signature = original.structured_input_signature  # type: ignore[attr-defined]
        call.structured_outputs = original.structured_outputs  # type: ignore[attr-defined]
        self.signatures[signature] = call


def test_a_sound_export_passes_everything_but_that_this_process_is_no_stranger(folder: Path) -> None:
    verdicts = {line["check"]: line for line in stranger.examine(folder)}
    assert list(verdicts) == [
        "files",
        "operations",
        "load",
        "signatures",
        "warm-up",
        "scores",
        "recommendations",
        "batches",
        "exclusion",
        "limits",
        "alone",
    ]
    failed = {name: line["detail"] for name, line in verdicts.items() if not line["passed"]}
    assert list(failed) == ["alone"]
    assert "recsys_tfrs" in failed["alone"]
    assert "stock TensorFlow only" in verdicts["operations"]["detail"]
    assert "recall@10 1.000" in verdicts["recommendations"]["detail"]


def test_the_checks_do_not_import_the_package() -> None:
    files = list(Path(stranger.__file__).parent.glob("stranger*.py"))
    lines = [line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    assert len(files) > 2
    assert not [line for line in imports if any(name in line for name in stranger.OURS)]
    assert {line.split()[1].split("_")[0] for line in imports if line.startswith("from .")} == {".stranger"}


class TestFiles:
    @pytest.mark.parametrize(
        "name",
        [
            "saved_model.pb",
            "variables/variables.index",
            "variables/variables.data-00000-of-00001",
            MANIFEST,
            f"{EXTRA_FOLDER}/{EXPECTED}",
            f"{EXTRA_FOLDER}/{WARMUP}",
        ],
    )
    def test_whatever_is_missing_is_named_and_ends_the_check(self, broken: Export, name: str) -> None:
        (broken.folder / name).unlink()
        (verdict,) = stranger.examine(broken.folder)
        assert not verdict["passed"]
        assert name.split("00000")[0] in verdict["detail"]

    def test_half_a_graph(self, broken: Export) -> None:
        path = broken.folder / "saved_model.pb"
        path.write_bytes(path.read_bytes()[:1000])
        *_, verdict = stranger.examine(broken.folder)
        assert (verdict["check"], verdict["passed"]) == ("operations", False)

    def test_half_the_variables(self, broken: Export) -> None:
        path = broken.folder / "variables/variables.data-00000-of-00001"
        path.write_bytes(path.read_bytes()[:10])
        *_, verdict = stranger.examine(broken.folder)
        assert (verdict["check"], verdict["passed"]) == ("load", False)


class TestOperations:
    def use(self, broken: Export, *names: str) -> None:
        saved = saved_model_pb2.SavedModel()
        path = broken.folder / "saved_model.pb"
        saved.ParseFromString(path.read_bytes())
        for name in names:
            saved.meta_graphs[0].graph_def.node.add(name=name.replace(">", "_"), op=name)
        path.write_bytes(saved.SerializeToString())
        stranger.files(broken)

    def test_an_operation_the_manifest_does_not_name(self, broken: Export) -> None:
        self.use(broken, "Other>Search")
        with pytest.raises(CheckError, match=r"uses \['Other>Search'\], the manifest names \[\]"):
            stranger.operations(broken)

    def test_a_foreign_operation_in_an_exact_export(self, broken: Export) -> None:
        self.use(broken, "Other>Search")
        broken.manifest["custom_operations"] = ["Other>Search"]
        with pytest.raises(CheckError, match="must hold stock operations only, but uses Other>Search"):
            stranger.operations(broken)

    def test_an_operation_this_tensorflow_has_not(self, broken: Export) -> None:
        self.use(broken, "MatMulOfTomorrow")
        with pytest.raises(CheckError, match=r"TensorFlow \S+ does not know MatMulOfTomorrow"):
            stranger.operations(broken)

    def test_scann_where_there_is_none(self, broken: Export, monkeypatch: pytest.MonkeyPatch) -> None:
        self.use(broken, "Scann>ScannSearchBatched")
        broken.manifest["custom_operations"] = ["Scann>ScannSearchBatched"]
        broken.manifest["index"]["kind"] = "scann-tree"
        monkeypatch.setitem(sys.modules, "scann", None)
        monkeypatch.setitem(sys.modules, "scann.scann_ops.py", None)
        with pytest.raises(CheckError, match=r"needs Scann>ScannSearchBatched, and ScaNN cannot be imported here"):
            stranger.operations(broken)


class TestSignatures:
    def test_one_too_few(self, export: Export) -> None:
        export.manifest = copy.deepcopy(export.manifest)
        export.manifest["signatures"]["rank"] = {"inputs": {}, "outputs": {}}
        with pytest.raises(CheckError, match=r"the manifest names .*'rank'"):
            stranger.signatures(export)

    @pytest.mark.parametrize(("side", "change"), [("inputs", "dtype"), ("outputs", "name")])
    def test_another_input_or_output(self, export: Export, side: str, change: str) -> None:
        export.manifest = copy.deepcopy(export.manifest)
        declared = export.manifest["signatures"]["recommend_user"][side]
        if change == "dtype":
            declared["user_id"]["dtype"] = "int64"
        else:
            declared["rank"] = declared.pop("score")
        with pytest.raises(CheckError, match=rf"the {side} of recommend_user are .*, the manifest names .*"):
            stranger.signatures(export)


class TestWarmUp:
    def records(self, broken: Export) -> list[bytes]:
        return [r.numpy() for r in tf.data.TFRecordDataset(str(broken.folder / EXTRA_FOLDER / WARMUP))]

    def write(self, broken: Export, records: list[bytes]) -> None:
        with tf.io.TFRecordWriter(str(broken.folder / EXTRA_FOLDER / WARMUP)) as writer:
            for record in records:
                writer.write(record)
        stranger.files(broken)

    def test_a_signature_nobody_warms_up(self, world: World, broken: Export) -> None:
        broken.loaded = world.loaded
        self.write(broken, [r for r in self.records(broken) if b"recommend_history" not in r])
        with pytest.raises(CheckError, match=r"no request for \['recommend_history'\]"):
            stranger.warm_up(broken)

    def test_too_many_and_none(self, broken: Export) -> None:
        self.write(broken, self.records(broken)[:1] * 1001)
        with pytest.raises(CheckError, match="1001 records; TensorFlow Serving takes 1 to 1000"):
            stranger.warm_up(broken)
        self.write(broken, [])
        with pytest.raises(CheckError, match="0 records"):
            stranger.warm_up(broken)

    def test_an_answer_that_is_no_number(self, export: Export) -> None:
        def spoil(out: dict, _: dict) -> dict:
            return {"embedding": out["embedding"] * float("nan")}

        export.loaded = Answers(export.loaded, "embed_query", spoil)
        with pytest.raises(CheckError, match="embedding of embed_query is not a number"):
            stranger.warm_up(export)


class TestNumbers:
    def test_scores_that_are_a_little_off(self, export: Export) -> None:
        export.loaded = Answers(export.loaded, "score", lambda out, _: {"score": out["score"] * 1.0001 + 1e-4})
        with pytest.raises(CheckError, match="the largest difference to the run's own scores"):
            stranger.scores(export)

    def test_items_in_another_order(self, export: Export) -> None:
        def swap(out: dict, _: dict) -> dict:
            return {**out, "item_id": tf.reverse(out["item_id"], [1])}

        export.loaded = Answers(export.loaded, "serving_default", swap)
        with pytest.raises(CheckError, match="the largest difference to the run's own scores"):
            stranger.recommendations(export)

    def test_an_item_from_nowhere(self, export: Export) -> None:
        for user in export.expected["users"]:
            user["items"], user["scores"] = user["items"][:3], user["scores"][:3]
        export.manifest = {**export.manifest, "max_k": 4}
        with pytest.raises(CheckError, match=r"the largest difference|ranked far lower"):
            stranger.recommendations(export)

    def test_an_approximate_index_may_miss_some_but_not_many(self, export: Export) -> None:
        index = {**export.manifest["index"], "kind": "scann-tree"}
        export.manifest = {**export.manifest, "index": index, "index_audit": {"recall@10": 1.0}}
        assert "recall@10 1.000" in stranger.recommendations(export)
        for user in export.expected["users"]:
            user["items"] = [f"other-{i}" if n % 2 else i for n, i in enumerate(user["items"])]
        with pytest.raises(CheckError, match=r"on the recorded users, 1\.000 in the audit"):
            stranger.recommendations(export)

    def test_a_row_that_knows_its_neighbours(self, export: Export) -> None:
        def leak(out: dict, _: dict) -> dict:
            return {"embedding": out["embedding"] - tf.reduce_mean(out["embedding"], 0) * 1e-3}

        stranger.warm_up(export)
        assert "largest difference" in stranger.batches(export)
        export.loaded = Answers(export.loaded, "embed_candidate", leak)
        with pytest.raises(CheckError, match="a row alone and in a batch differ by"):
            stranger.batches(export)

    def test_other_items_in_a_batch(self, export: Export) -> None:
        def rename(out: dict, _: dict) -> dict:
            return {**out, "item_id": out["item_id"] + str(len(out["item_id"]))}

        stranger.warm_up(export)
        export.loaded = Answers(export.loaded, "recommend_user", rename)
        with pytest.raises(CheckError, match="differ by inf"):
            stranger.batches(export)

    def test_differences_are_relative_to_one_or_more(self) -> None:
        assert stranger.apart([1000.0, -np.inf], [1001.0, -np.inf]) == pytest.approx(1 / 1001)
        assert stranger.apart([0.1], [0.2]) == pytest.approx(0.1)
        assert stranger.apart([np.nan], [1.0]) == stranger.apart([np.inf], [1.0]) == np.inf
        assert stranger.apart([1.0], [1.0, 2.0]) == np.inf
        assert stranger.apart([], []) == 0
        assert TOLERANCE == 1e-5

    def test_only_items_whose_scores_hardly_differ_may_change_places(self) -> None:
        scores = {"score": np.array([3.0, 2.0, 2.0 - 1e-7, 1.0])}
        assert stranger.tied(scores, [False, True, True, False])
        assert not stranger.tied(scores, [True, True, True, False])
        assert not stranger.tied({}, [True])


class TestExclusion:
    def test_an_excluded_item_that_returns(self, export: Export) -> None:
        def ignore(out: dict, inputs: dict) -> dict:
            if (inputs["exclude"] != b"").numpy().any():
                return {**out, "item_id": tf.concat([inputs["exclude"][:, :1], out["item_id"][:, 1:]], 1)}
            return out

        export.loaded = Answers(export.loaded, "serving_default", ignore)
        with pytest.raises(CheckError, match="which were excluded"):
            stranger.exclusion(export)

    def test_a_list_that_gets_short(self, export: Export) -> None:
        def shorten(out: dict, _: dict) -> dict:
            return {**out, "item_id": tf.where(out["item_id"] == out["item_id"][:, :1], "", out["item_id"])}

        export.loaded = Answers(export.loaded, "serving_default", shorten)
        with pytest.raises(CheckError, match="different items instead of"):
            stranger.exclusion(export)

    def test_a_k_out_of_range_that_is_answered(self, export: Export) -> None:
        export.manifest = {**export.manifest, "max_k": 19}  # the graph takes 20
        with pytest.raises(CheckError, match="k = 20 is answered"):
            stranger.limits(export)
