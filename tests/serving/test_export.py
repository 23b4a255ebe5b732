from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose
from serving.hand_made import World, call
from tensorflow.core.protobuf import saved_model_pb2

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import RunError, UsageError
from recsys_tfrs.index.scann_index import ScannIndex
from recsys_tfrs.serving import export as export_module
from recsys_tfrs.serving import version_folder
from recsys_tfrs.serving.folders import MANIFEST, versions
from recsys_tfrs.serving.version_folder import operations, vocabulary_hash

# Loads the exact export with TensorFlow alone, and after importing scann's operations the other one.
FRESH_PROCESS = """
import json, sys
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

exact, operations, scann = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]

def recommend(path):
    out = tf.saved_model.load(path).signatures["recommend_user"](user_id=tf.constant(["u1", "u5", "nobody"]))
    ids = [[i.decode() for i in row] for row in out["item_id"].numpy()]
    return {"item_id": ids, "score": out["score"].numpy().tolist()}

result = {"unknown": [op for op in operations if op_def_registry.get(op) is None], "exact": recommend(exact)}
result["modules"] = sorted({"recsys_tfrs", "tensorflow_recommenders", "scann"} & set(sys.modules))
if scann:
    from scann.scann_ops.py import scann_ops
    result["scann"] = recommend(scann)
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def scann_path(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    if sys.platform != "linux":
        return None
    index = ScannIndex(world.vectors, kind="scann-flat")
    with pytest.MonkeyPatch.context() as patch:
        only(patch, "recommend_user")
        return world.export(tmp_path_factory.mktemp("scann"), index=index, max_k=20, default_k=4)


def test_a_fresh_process_with_tensorflow_alone_answers_the_same(world: World, scann_path: Path | None) -> None:
    used = operations(world.path)
    assert not [op for op in used if ">" in op]
    assert {"HashTableV2", "TopKV2", "MatMul"} <= used
    arguments = [str(world.path), json.dumps(sorted(used)), str(scann_path or "")]
    command = [sys.executable, "-c", FRESH_PROCESS, *arguments]
    # Keras 2 is the package's own choice; a stranger's process has TensorFlow as it comes.
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    assert (result["unknown"], result["modules"]) == ([], [])
    expected = world.call("serving_default", user_id=["u1", "u5", "nobody"], k=4)
    for kind in ("exact", *(["scann"] if scann_path else [])):
        assert result[kind]["item_id"] == expected["item_id"].tolist()
        assert_allclose(result[kind]["score"], expected["score"], atol=1e-5)


def test_the_scann_export_says_which_operations_it_needs(scann_path: Path | None) -> None:
    if scann_path is None:
        pytest.skip("ScaNN exists for Linux only")
    manifest = json.loads((scann_path / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["custom_operations"] == ["Scann>ScannSearchBatched", "Scann>TensorsToScann"]
    assert manifest["index"]["kind"] == "scann-flat"


def test_inputs_left_out_have_defaults_in_the_signature(world: World) -> None:
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((world.path / "saved_model.pb").read_bytes())
    declared = saved.meta_graphs[0].signature_def
    defaults = {name: tf.make_ndarray(v).tolist() for name, v in declared["serving_default"].defaults.items()}
    assert str(defaults.pop("age")) == str(defaults.pop("joined")) == "[nan]"
    assert str(defaults.pop("history_rating")) == "[[nan]]"
    assert str(defaults.pop("min_year")) == str(defaults.pop("max_year")) == "[nan]"
    assert defaults == {
        "user_id": [b""],
        "history": [[b""]],
        "gender": [b""],
        "tags": [[b""]],
        "k": 4,
        "exclude": [[b""]],
        "exclude_history": True,
        "only_genres": [[b""]],
        "device": [b""],
        "context_gender": [b""],
    }
    assert set(declared["serving_default"].inputs) == {
        *(*defaults, "history_rating", "age", "joined", "min_year", "max_year")
    }
    assert "item_id" not in declared["score"].defaults
    assert "user_id" in declared["score"].defaults


def test_the_manifest_describes_the_export(world: World) -> None:
    manifest = json.loads((world.path / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["family"] == "two-tower"
    assert (manifest["num_users"], manifest["num_items"]) == (5, 8)
    assert (manifest["max_k"], manifest["default_k"], manifest["stored_histories"]) == (20, 4, True)
    assert manifest["index"] == {"kind": "exact", "num_candidates": 8, "bytes": 9 * 6 * 4 + 9 * 4}
    assert manifest["custom_operations"] == []
    assert manifest["versions"]["tensorflow"] == tf.__version__
    assert set(manifest["signatures"]) == {
        "serving_default",
        "recommend_user",
        "recommend_history",
        "embed_query",
        "embed_candidate",
        "score",
        "transform",
    }
    inputs = manifest["signatures"]["serving_default"]["inputs"]
    assert inputs["history"] == {"dtype": "string", "shape": [None, None], "default": ""}
    assert inputs["age"] == {"dtype": "float32", "shape": [None], "default": "NaN"}
    assert inputs["k"] == {"dtype": "int32", "shape": None, "default": 4}
    assert manifest["signatures"]["recommend_user"]["inputs"]["user_id"]["default"] is None
    assert set(manifest["signatures"]["recommend_user"]["outputs"]) == {"item_id", "title", "score", "user_known"}


def test_the_vocabulary_hash_sees_where_ids_begin_and_end() -> None:
    lengths = b"\2\0\0\0\0\0\0\0ab\1\0\0\0\0\0\0\0c"
    assert vocabulary_hash(["ab", "c"]) == hashlib.sha256(lengths).hexdigest()
    assert vocabulary_hash(["a", "bc"]) != vocabulary_hash(["ab", "c"])


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Export these signatures only, for speed."""
    everything: Callable[..., dict[str, Any]] = export_module.RetrievalSignatures.functions
    monkeypatch.setattr(
        export_module.RetrievalSignatures, "functions", lambda self: {name: everything(self)[name] for name in names}
    )


class TestFolders:
    @pytest.fixture(autouse=True)
    def _quick(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Copy the finished export instead of tracing it again: these tests are about folders."""
        monkeypatch.setattr(export_module, "RetrievalSignatures", MagicMock())
        monkeypatch.setattr(tf.saved_model, "save", lambda module, work, **_: shutil.copytree(world.path, work))

    def test_the_next_free_number_or_the_one_asked_for(self, world: World, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        assert versions(folder) == []
        (folder / "9").mkdir(parents=True)
        (folder / "notes").mkdir()
        assert world.export(folder) == folder / "10"
        with pytest.raises(RunError, match="10 exists already"):
            world.export(folder, version=10)
        assert versions(folder) == [9, 10]
        assert sorted(path.name for path in folder.iterdir()) == ["10", "9", "notes"]

    def test_a_version_taken_meanwhile_is_not_overwritten(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "other").touch()
        monkeypatch.setattr(version_folder, "versions", lambda folder: [])  # it was not there a moment ago
        assert world.export(tmp_path) == tmp_path / "2"
        assert [path.name for path in (tmp_path / "1").iterdir()] == ["other"]

    def test_a_failed_export_leaves_nothing(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(work: Path) -> None:
            # Whole, on the same disk, and no version yet.
            assert (work / MANIFEST).exists()
            assert work.is_relative_to(tmp_path)
            assert versions(tmp_path) == []
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(version_folder, "flush", full)
        with pytest.raises(OSError, match="No space left"):
            world.export(tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_without_stored_histories_a_request_carries_its_own(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "serving_default")
    loaded = tf.saved_model.load(str(world.export(tmp_path, store_histories=False)))
    stored = world.call("serving_default", user_id=["u1"], k=8)
    told = call(
        loaded,
        "serving_default",
        user_id=["u1"],
        k=8,
        history=[["i1", "i2", "i3", "i5"]],
        history_rating=[[5, 1, 4, 2]],
    )
    assert told["item_id"].tolist() == stored["item_id"].tolist()
    alone = call(loaded, "serving_default", user_id=["u1"], k=8)
    assert sorted(alone["item_id"][0]) == [f"i{i}" for i in range(1, 9)]


def test_a_column_named_as_an_input_gets_its_side_in_front(
    untitled: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsys_tfrs.data.histories import build_histories
    from recsys_tfrs.features.config import FeaturesConfig
    from recsys_tfrs.index.exact import ExactIndex
    from recsys_tfrs.models.two_tower import Config, build

    only(monkeypatch, "serving_default", "embed_query")
    histories = build_histories(untitled, np.arange(13))
    model = build(Config(dim=4), FeaturesConfig(min_frequency=1), untitled, histories, seed=0)
    path = export_module.export_retrieval(
        model, untitled, histories, ExactIndex(model.candidate_vectors()), tmp_path, max_k=20
    )
    loaded = tf.saved_model.load(str(path))
    out = call(loaded, "serving_default", user_id=["u5"], user_history=["x"], history=[["i1"]], k=2)
    assert out["title"].tolist() == out["item_id"].tolist()
    # No ratings in the data, none in a request.
    assert set(loaded.signatures["embed_query"].structured_input_signature[1]) == {"user_id", "history", "user_history"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"default_k": 0}, r"1\.\.max_k, but default_k = 0 and max_k = 1000"),
        ({"max_k": 5, "default_k": 6}, "default_k = 6 and max_k = 5"),
        ({"version": 0}, "positive integer, not 0"),
    ],
)
def test_impossible_options_are_refused(world: World, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        world.export(tmp_path, **options)
