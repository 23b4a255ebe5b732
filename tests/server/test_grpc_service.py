"""TensorFlow Serving's gRPC interface, called by its official stubs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from server.conftest import Running
from serving.hand_made import World


@pytest.fixture(scope="module")
def channel(server: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc.removeprefix("grpc://")) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Any:
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request(signature: str = "", /, *, model: str = "movies", version: int | None = None, **inputs: Any) -> Any:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    made = predict_pb2.PredictRequest()
    made.model_spec.name = model
    made.model_spec.signature_name = signature
    if version is not None:
        made.model_spec.version.value = version
    for name, value in inputs.items():
        is_proto = hasattr(value, "DESCRIPTOR")
        made.inputs[name].CopyFrom(value if is_proto else tf.make_tensor_proto(value))
    return made


def refused(call: Any, made: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(made, timeout=30)
    return caught.value.code().name, caught.value.details()


def test_predict(stub: Any, world: World) -> None:
    import tensorflow as tf

    answer = stub.Predict(request("recommend_user", user_id=["u1", "u5"]))
    expected = world.call("recommend_user", user_id=["u1", "u5"])
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("movies", 1, "recommend_user")
    assert sorted(answer.outputs) == ["item_id", "score", "title", "user_known"]
    items = tf.make_ndarray(answer.outputs["item_id"])
    assert [[item.decode() for item in row] for row in items] == expected["item_id"].tolist()
    np.testing.assert_allclose(tf.make_ndarray(answer.outputs["score"]), expected["score"], atol=1e-6)
    assert tf.make_ndarray(answer.outputs["user_known"]).tolist() == [True, True]


def test_the_defaults_of_the_signature_are_filled_in(stub: Any, world: World) -> None:
    answer = stub.Predict(request(user_id=["u1"], k=np.int32(3)))
    expected = world.call("serving_default", user_id=["u1"], k=3)["item_id"][0].tolist()
    assert answer.model_spec.signature_name == "serving_default"
    assert [item.decode() for item in answer.outputs["item_id"].string_val] == expected
    # The default of k is 4, and nobody need be named.
    assert len(stub.Predict(request()).outputs["item_id"].string_val) == 4


def test_an_output_filter(stub: Any) -> None:
    made = request("recommend_user", user_id=["u1"])
    made.output_filter.extend(["score", "item_id"])
    assert sorted(stub.Predict(made).outputs) == ["item_id", "score"]
    for wrong in (["none"], ["score", "score"]):
        del made.output_filter[:]
        made.output_filter.extend(wrong)
        code, details = refused(stub.Predict, made)
        assert code == "INVALID_ARGUMENT"
        assert "output filter must name outputs of 'recommend_user'" in details


def proto(dtype: str, shape: list[int], **values: Any) -> Any:
    from tensorflow.core.framework import tensor_pb2, types_pb2

    made = tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value(dtype), **values)
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    return made


def test_values_that_end_early_repeat_the_last_one(stub: Any, world: World) -> None:
    made = request("recommend_user", user_id=proto("DT_STRING", [3], string_val=[b"u1", b"u2"]))
    expected = world.call("recommend_user", user_id=["u1", "u2", "u2"])["item_id"].ravel().tolist()
    assert [item.decode() for item in stub.Predict(made).outputs["item_id"].string_val] == expected


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("recommend_user", {}, "Missing but required: {user_id}"),
        ("recommend_user", {"user": ["u1"], "user_id": ["u1"]}, "Sent extra: {user}"),
        ("recommend_user", {"user_id": [1.0]}, "'user_id' expects DT_STRING, not float32"),
        ("recommend_user", {"user_id": "u1"}, "expects the shape [any], not []"),
        ("recommend_user", {"user_id": [["u1"]]}, "expects the shape [any], not [1, 1]"),
        ("recommend_user", {"user_id": np.array([], object)}, "The batch is empty"),
        ("recommend_user", {"user_id": ["u1"] * 51}, "50 rows, not 51"),
        ("", {"k": np.int64(3)}, "'k' expects DT_INT32, not int64"),
        ("", {"k": np.int32(0)}, "k must lie in 1..20, but is: [0]"),
        ("", {"k": np.int32(-1)}, "k must lie in 1..20, but is: [-1]"),
        ("", {"k": np.int32(21)}, "k must lie in 1..20, but is: [21]"),
        ("", {"user_id": ["u1", "u2"], "k": np.int32([1, 2, 3])}, "same number of rows"),
        ("", {"user_id": ["u1"], "history": [["i1", "i2"]], "history_rating": np.float32([[1, 2, 3]])}, "Ratings of a"),
    ],
)
def test_what_is_wrong_with_a_request(stub: Any, signature: str, inputs: dict[str, Any], message: str) -> None:
    code, details = refused(stub.Predict, request(signature, **inputs))
    assert code == "INVALID_ARGUMENT"
    assert message in details
    assert stub.Predict(request("recommend_user", user_id=["u1"])).outputs  # and it goes on


@pytest.mark.parametrize(
    ("dtype", "shape", "values", "message"),
    [
        ("DT_STRING", [10**12], {"string_val": [b"u1"]}, "at most 10000 are taken"),
        ("DT_STRING", [2**40, 2**40], {"string_val": [b"u1"]}, "at most 10000 are taken"),
        ("DT_STRING", [0, 2**33, 2**33], {}, "at most 10000 are taken"),
        ("DT_STRING", [-1], {"string_val": [b"u1"]}, "no definite shape"),
        ("DT_STRING", [2], {"string_val": [b"u1"] * 3}, "of shape [2] holds 3 values"),
        ("DT_STRING", [2], {}, "of shape [2] holds 0 values"),
        ("DT_FLOAT", [2], {"tensor_content": b"abc"}, "holds 3 bytes of content; expected 8 of DT_FLOAT"),
        ("DT_COMPLEX64", [1], {"scomplex_val": [1, 2]}, "unsupported type DT_COMPLEX64"),
        ("DT_INVALID", [], {}, "unsupported type DT_INVALID"),
    ],
)
def test_tensors_that_are_none(stub: Any, dtype: str, shape: list[int], values: Any, message: str) -> None:
    code, details = refused(stub.Predict, request("recommend_user", user_id=proto(dtype, shape, **values)))
    assert code == "INVALID_ARGUMENT"
    assert message in details


def test_models_versions_and_signatures_that_are_not_there(stub: Any) -> None:
    assert refused(stub.Predict, request(model="books")) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(books). This server has 'movies'.",
    )
    assert refused(stub.Predict, request(version=9)) == (
        "NOT_FOUND",
        "Servable not found for request: Specific(movies, 9)",
    )
    code, details = refused(stub.Predict, request("no"))
    assert code == "FAILED_PRECONDITION"
    assert details.startswith('Serving signature key "no" not found: this model has embed_candidate, ')
    assert refused(stub.Predict, request(model=""))[0] == "INVALID_ARGUMENT"


def test_a_message_of_ten_megabytes(stub: Any) -> None:
    assert refused(stub.Predict, request("recommend_user", user_id=["x" * 10_000_000]))[0] == "RESOURCE_EXHAUSTED"
    assert stub.Predict(request("recommend_user", user_id=["u1"])).outputs


def test_bytes_that_are_no_message(channel: grpc.Channel, stub: Any) -> None:
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert refused(call, b"\xff\xff\xff")[0] == "INVALID_ARGUMENT"
    assert stub.Predict(request("recommend_user", user_id=["u1"])).outputs


def test_metadata(stub: Any) -> None:
    from tensorflow_serving.apis import get_model_metadata_pb2 as messages

    made = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
    assert refused(stub.GetModelMetadata, made) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    made.model_spec.name = "movies"
    answer = stub.GetModelMetadata(made)
    found = messages.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    assert list(found.signature_def["recommend_user"].inputs) == ["user_id"]
    assert found.signature_def["serving_default"].defaults["k"].int_val == [4]
    assert answer.model_spec.version.value == 1
    made.metadata_field.append("other")
    assert refused(stub.GetModelMetadata, made)[0] == "INVALID_ARGUMENT"


def test_status(channel: grpc.Channel) -> None:
    from tensorflow_serving.apis import get_model_status_pb2 as messages
    from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

    service = model_service_pb2_grpc.ModelServiceStub(channel)
    made = messages.GetModelStatusRequest()
    assert refused(service.GetModelStatus, made) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    made.model_spec.name = "movies"
    (found,) = service.GetModelStatus(made).model_version_status
    assert (found.version, found.state) == (1, messages.ModelVersionStatus.AVAILABLE)
    made.model_spec.version_label = "canary"
    assert refused(service.GetModelStatus, made)[0] == "INVALID_ARGUMENT"
    made.model_spec.version.value = 2
    assert refused(service.GetModelStatus, made) == ("NOT_FOUND", "Could not find version 2 of model movies")
    reload = model_management_pb2.ReloadConfigRequest()
    assert refused(service.HandleReloadConfigRequest, reload)[0] == "UNIMPLEMENTED"


def test_what_the_models_do_not_do(stub: Any) -> None:
    from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

    assert refused(stub.Classify, classification_pb2.ClassificationRequest())[0] == "UNIMPLEMENTED"
    assert refused(stub.Regress, regression_pb2.RegressionRequest())[0] == "UNIMPLEMENTED"
    assert refused(stub.MultiInference, inference_pb2.MultiInferenceRequest())[0] == "UNIMPLEMENTED"
