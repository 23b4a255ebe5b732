from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from serving.hand_made import World
from tensorflow_serving.apis import predict_pb2

from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.errors import RunError
from recsys_tfrs.schema import Kind
from recsys_tfrs.serving import warmup
from recsys_tfrs.serving.folders import EXTRA_FOLDER, MANIFEST
from recsys_tfrs.serving.warmup import BATCH_SIZES, MAX_RECORDS, WARMUP, read_warmup, unknown_id, write_warmup


@pytest.fixture(scope="module")
def requests(world: World) -> list[predict_pb2.PredictRequest]:
    return read_warmup(world.path / EXTRA_FOLDER / WARMUP)


def arrays(request: predict_pb2.PredictRequest) -> dict[str, np.ndarray]:
    return {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}


def asked(requests: list[predict_pb2.PredictRequest], signature: str) -> list[dict[str, np.ndarray]]:
    return [arrays(r) for r in requests if r.model_spec.signature_name == signature]


def test_every_signature_with_one_row_and_with_batches(
    world: World, requests: list[predict_pb2.PredictRequest]
) -> None:
    declared = json.loads((world.path / MANIFEST).read_text(encoding="utf-8"))["signatures"]
    assert 1 <= len(requests) <= MAX_RECORDS
    for name in declared:
        sizes = {len(next(iter(inputs.values()))) for inputs in asked(requests, name)}
        assert sizes == set(BATCH_SIZES), name


def test_every_input_is_given_with_all_its_rows(world: World, requests: list[predict_pb2.PredictRequest]) -> None:
    """So servers that know no defaults, and servers that join requests, can play them."""
    declared = json.loads((world.path / MANIFEST).read_text(encoding="utf-8"))["signatures"]
    for request in requests:
        inputs = arrays(request)
        types = {name: entry["dtype"] for name, entry in declared[request.model_spec.signature_name]["inputs"].items()}
        assert {name: tf.as_dtype(request.inputs[name].dtype).name for name in inputs} == types
        assert len({len(array) for array in inputs.values()}) == 1


def test_they_are_those_of_known_users_unknown_users_and_histories(
    world: World, requests: list[predict_pb2.PredictRequest]
) -> None:
    users = {i.decode() for inputs in asked(requests, "serving_default") for i in inputs["user_id"]}
    assert users & set(world.interactions.user_ids[1:])
    assert "never-seen" in users
    told = [inputs for inputs in asked(requests, "serving_default") if (inputs["history"] != b"").any()]
    assert {len(inputs["history"]) for inputs in told} == set(BATCH_SIZES)
    for inputs in told:
        given = inputs["history"] != b""
        assert (np.isnan(inputs["history_rating"]) == ~given).all()
        # Oldest first, padded at the end: u1's history is i1 i2 i3 i5 with ratings 5 1 4 2.
        rows = [row[row != b""].tolist() for row in inputs["history"]]
        if [b"i1", b"i2", b"i3", b"i5"] in rows:
            row = rows.index([b"i1", b"i2", b"i3", b"i5"])
            assert inputs["history_rating"][row][:4].tolist() == [5, 1, 4, 2]
            break
    else:
        pytest.fail("no request tells the history of u1")
    assert any((inputs["only_genres"] != b"").any() for inputs in asked(requests, "serving_default"))


def test_some_tell_the_moment_they_ask_in(world: World, requests: list[predict_pb2.PredictRequest]) -> None:
    told = {
        name: {value.decode() for inputs in asked(requests, "embed_query") for value in inputs[name].ravel()}
        for name in ("device", "context_gender")
    }
    assert {"phone", "tablet"} <= told["device"]
    assert {"x", "y"} <= told["context_gender"]  # the column `gender` of the context, not of the user


def test_the_model_asked_for_is_the_one_of_the_base_path(
    world: World, requests: list[predict_pb2.PredictRequest]
) -> None:
    assert {request.model_spec.name for request in requests} == {world.path.parent.name}


def test_never_more_records_than_tensorflow_serving_takes(tmp_path: Path) -> None:
    endless = (predict_pb2.PredictRequest() for _ in count())
    assert write_warmup(endless, tmp_path / "file", "model") == MAX_RECORDS == 1_000  # type: ignore[arg-type]
    assert len(read_warmup(tmp_path / "file")) == 1_000


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no records at all, and longer than a record's header")
    with pytest.raises(RunError, match=r"warm-up file .*file cannot be read"):
        read_warmup(tmp_path / "file")


def test_the_unknown_user_is_unknown() -> None:
    assert unknown_id(np.array(["", "a"], dtype=object)) == "never-seen"
    assert unknown_id(np.array(["", "never-seen", "never-seen-"], dtype=object)) == "never-seen--"


def test_columns_of_users_are_told_under_the_names_of_the_inputs(world: World) -> None:
    """A column `k` is told as `user_k`, for `k` is how many items are asked for."""
    declared = {
        "recommend": {
            "inputs": {
                "history": {"dtype": "string", "shape": [None, None], "default": ""},
                "k": {"dtype": "int32", "shape": [None], "default": 10},
                "user_k": {"dtype": "string", "shape": [None], "default": ""},
            }
        }
    }
    words = np.array(["", *(f"w{user}" for user in range(1, world.interactions.num_users + 1))], dtype=object)
    users = {"user_k": FeatureColumn("k", Kind.CATEGORICAL, words)}
    made = [arrays(r) for r in warmup.WarmupRequests(declared, world.interactions, world.histories, users)]
    assert {value.decode() for request in made for value in request["user_k"]} - {""} <= set(words)
    assert any((request["user_k"] != b"").all() for request in made)
    assert all(request["k"].dtype == np.int32 for request in made)


def test_long_histories_are_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmup, "_HISTORY", 2)
    declared = {"embed_query": {"inputs": {"history": {"dtype": "string", "shape": [None, None], "default": ""}}}}
    made = list(warmup.WarmupRequests(declared, world.interactions, world.histories))
    newest = {tuple(row) for request in made for row in arrays(request)["history"].tolist()}
    # The last two of u1 to u4; u5 has none.
    assert newest <= {(b"i3", b"i5"), (b"i4", b"i6"), (b"i1", b"i4"), (b"i6", b"i3")}
    assert (b"i3", b"i5") in newest
