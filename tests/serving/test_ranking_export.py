"""What lies beside an exported ranking model, and whether it is checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from serving.ranked import FACTS, Ranked

from recsys_tfrs.errors import RunError
from recsys_tfrs.serving import stranger
from recsys_tfrs.serving.expected import EXPECTED
from recsys_tfrs.serving.folders import EXTRA_FOLDER, MANIFEST
from recsys_tfrs.serving.ranking_export import export_ranking
from recsys_tfrs.serving.stranger import CheckError, Export
from recsys_tfrs.serving.version_folder import operations
from recsys_tfrs.serving.warmup import BATCH_SIZES, WARMUP, read_warmup


def test_a_stranger_finds_it_sound(ranked: Ranked) -> None:
    export = Export(ranked.path)
    stranger.files(export)
    export.loaded = ranked.loaded
    export.requests = read_warmup(ranked.path / EXTRA_FOLDER / WARMUP)[-6:]
    own = (stranger.predictions, stranger.batches, stranger.silent_parts)
    assert set(own) < set(stranger.FURTHER["ranking"])
    assert all(check(export) for check in (stranger.operations, stranger.signatures, *own))
    assert not [op for op in operations(ranked.path) if ">" in op]


def test_the_manifest(ranked: Ranked) -> None:
    manifest = json.loads((ranked.path / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["kind"] == "ranking"
    assert {name: manifest[name] for name in FACTS} == FACTS
    assert [(t["name"], t["kind"], t["output"]) for t in manifest["targets"]] == [
        ("like", "binary", "like"),
        ("rating", "rating", "rating"),
    ]
    assert set(manifest["signatures"]) == {"serving_default", "score_pair", "parts", "transform"}
    assert manifest["inputs"]["user_gender"] == "user_gender"
    assert manifest["parts"] == ["linear", "fm", "deep"]


def test_the_answers_recorded_are_those_of_the_model(ranked: Ranked) -> None:
    expected = json.loads((ranked.path / EXTRA_FOLDER / EXPECTED).read_text(encoding="utf-8"))
    asked = expected["inputs"]
    ids = [{id_: place for place, id_ in enumerate(known)} for known in (users_of(ranked), items_of(ranked))]
    users = [ids[0].get(u, 0) for u in asked["user_id"]]
    items = [ids[1].get(i, 0) for i in asked["item_id"]]
    assert 0 in users
    assert 0 in items
    assert all(i == 0 or i not in ranked.histories.of(u) for u, i in zip(users, items, strict=True))
    devices = ranked.interactions.context_features["device"].values
    genders = ranked.interactions.context_features["gender"].values
    moments = list(zip(devices, genders, strict=True))
    rows = [moments.index(told) for told in zip(asked["device"], asked["context_gender"], strict=True)]
    own = ranked.predict(users, items, rows)
    np.testing.assert_allclose(expected["outputs"]["score"], own[:, 0], rtol=1e-5)
    np.testing.assert_allclose(expected["outputs"]["rating"], own[:, 1], rtol=1e-5)


def users_of(ranked: Ranked) -> list[str]:
    return ranked.interactions.user_ids.tolist()


def items_of(ranked: Ranked) -> list[str]:
    return ranked.interactions.item_ids.tolist()


def test_warm_up_plays_every_signature_in_every_size(ranked: Ranked) -> None:
    requests = read_warmup(ranked.path / EXTRA_FOLDER / WARMUP)
    sizes = [
        (r.model_spec.signature_name, r.inputs["user_id"].tensor_shape.dim[0].size)
        for r in requests
        if r.inputs["user_id"].string_val[0] == b"never-seen"
    ]
    names = ("parts", "score_pair", "serving_default", "transform")
    assert sizes == [(name, size) for name in names for size in BATCH_SIZES]
    told = [r.inputs["genres"].string_val for r in requests if "genres" in r.inputs]
    assert any(any(values) for values in told)


def test_a_version_that_is_there_is_not_overwritten(ranked: Ranked) -> None:
    with pytest.raises(RunError, match="exists already"):
        export_ranking(ranked.model, ranked.inputs, ranked.path.parent, rows={}, version=1)


class Changed:
    """The loaded export with an output of `serving_default` changed."""

    def __init__(self, loaded: Any, name: str, change: Any) -> None:
        original = loaded.signatures["serving_default"]

        def call(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            out = dict(original(**inputs))
            return out | {name: change(out[name])}

        call.structured_input_signature = original.structured_input_signature  # type: ignore[attr-defined]
        self.signatures = {**loaded.signatures, "serving_default": call}


@pytest.mark.parametrize(
    ("check", "output", "change", "said"),
    [
        (stranger.predictions, "rating", lambda v: v + 0.01, "largest difference"),
        (stranger.predictions, "parts", lambda v: tf.fill(tf.shape(v), "linear"), "only .'linear'. spoke"),
        (stranger.silent_parts, "parts", lambda v: tf.fill(tf.shape(v), "linear+fm+deep"), "not said to be 'fm.deep'"),
        (stranger.silent_parts, "score", lambda v: v / 0, "there is no score"),
    ],
)
def test_the_checks_see_what_is_wrong(ranked: Ranked, check: Any, output: str, change: Any, said: str) -> None:
    export = Export(ranked.path)
    stranger.files(export)
    export.loaded = ranked.loaded
    check(export)
    export.loaded = Changed(ranked.loaded, output, change)
    with pytest.raises(CheckError, match=said):
        check(export)


def test_what_has_no_answers_is_no_complete_export(ranked: Ranked, tmp_path: Path) -> None:
    shutil.copytree(ranked.path, tmp_path / "1")
    (tmp_path / "1" / EXTRA_FOLDER / EXPECTED).unlink()
    (verdict,) = stranger.examine(tmp_path / "1")
    assert not verdict["passed"]
