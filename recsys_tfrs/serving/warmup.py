"""Warm-up requests: what TensorFlow Serving plays to a model before it lets anybody ask.

The first call of each signature and shape is slow (memory, kernels, the optimised graph). A server that finds
``assets.extra/tf_serving_warmup_requests`` in a version folder runs the requests in it while loading. A request that
fails there fails the loading, so every request gives every input, each with all its rows: servers that do not know
defaults and servers that batch accept them alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.errors import RunError
from recsys_tfrs.schema import ITEM_ID, USER_ID
from recsys_tfrs.serving.filters import CATEGORIES
from recsys_tfrs.serving.signatures import EXCLUDE, HISTORY, HISTORY_RATING, K

WARMUP = "tf_serving_warmup_requests"

#: TensorFlow Serving refuses a file with more records.
MAX_RECORDS = 1_000

#: Rows of the requests: one caller, a few, a bulk job.
BATCH_SIZES = (1, 8, 32)

#: Items of a history that a request carries.
_HISTORY = 20

#: Items that a request excludes by name.
_EXCLUDED = 3


class WarmupRequests:
    """Requests as they come in production: known users, unknown users, histories, filters.

    Args:
      signatures: ``name -> {"inputs": {name: {"dtype", "shape", "default"}}}``, as in the manifest.
      interactions: where ids, columns and categories are drawn from.
      histories: items of the users, which requests tell.
      users: what requests tell of users, by name of the input, rows as the users.
      context: what requests tell of the moment of asking, by name of the input, rows as in the interactions.
      seed: of the draw.
    """

    def __init__(
        self,
        signatures: Mapping[str, Any],
        interactions: Interactions,
        histories: Histories,
        users: Mapping[str, FeatureColumn] | None = None,
        context: Mapping[str, FeatureColumn] | None = None,
        seed: int = 0,
    ) -> None:
        self._signatures = signatures
        self._interactions = interactions
        self._histories = histories
        self._users = users or {}
        self._context = context or {}
        self._seed = seed
        self._with_history = np.flatnonzero(histories.lengths)
        self._stranger = unknown_id(interactions.user_ids)

    def __iter__(self) -> Iterator[predict_pb2.PredictRequest]:
        """Requests of every signature, every kind it knows and every batch size, in a fixed order."""
        draw = np.random.default_rng(self._seed)
        for name, signature in self._signatures.items():
            for kind in self._kinds(signature["inputs"]):
                for rows in BATCH_SIZES:
                    yield self._request(name, kind, rows, draw)

    def _kinds(self, inputs: Mapping[str, Any]) -> list[str]:
        kinds = ["known", "unknown"] if USER_ID in inputs else []
        kinds += ["history"] if HISTORY in inputs else []
        kinds += ["filter"] if any(name.startswith("only_") for name in inputs) else []
        return kinds or ["known"]

    def _request(self, name: str, kind: str, rows: int, draw: np.random.Generator) -> predict_pb2.PredictRequest:
        inputs = self._signatures[name]["inputs"]
        if kind == "history" and len(self._with_history):
            users = draw.choice(self._with_history, rows)
        else:
            users = draw.integers(1, self._interactions.num_users + 1, rows)
        return _request(name, inputs, self._columns(kind, users, inputs, draw), rows)

    def _columns(
        self, kind: str, users: NDArray[np.int64], inputs: Mapping[str, Any], draw: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        data, rows = self._interactions, len(users)
        items = draw.integers(1, data.num_items + 1, (rows, _EXCLUDED))
        columns: dict[str, NDArray[Any]] = {ITEM_ID: data.item_ids[items[:, 0]]}
        if kind == "unknown":
            columns[USER_ID] = np.full(rows, self._stranger, dtype=object)
        elif kind == "history":
            width = int(np.clip(self._histories.lengths[users].max(), 1, _HISTORY))
            columns |= self._told(users, width) | {EXCLUDE: data.item_ids[items]}
            columns |= _described(self._users, users, inputs)
            columns |= _described(self._context, draw.integers(0, len(data), rows), inputs)
            if K in inputs:
                columns[K] = draw.integers(1, inputs[K]["default"] + 1, rows)
        else:
            columns[USER_ID] = data.user_ids[users]
        if kind == "filter":
            for name, column in data.item_features.items():
                if column.kind in CATEGORIES:
                    values = column.values[items[:, 0]]
                    first = [v if isinstance(v, str) else (v[0] if len(v) else "") for v in values]
                    columns[f"only_{name}"] = np.array(first, dtype=object)[:, None]
        return columns

    def _told(self, users: NDArray[np.int64], width: int) -> dict[str, NDArray[Any]]:
        """The newest `width` items of users and their ratings, padded with "" and NaN at the end."""
        histories = self._histories
        lengths = np.minimum(histories.lengths[users], width)
        place = np.arange(width)
        there = place < lengths[:, None]
        position = np.where(there, (histories.offsets[users + 1] - lengths)[:, None] + place, 0)
        told = {HISTORY: np.where(there, self._interactions.item_ids[histories.items[position]], "")}
        if histories.ratings is not None:
            told[HISTORY_RATING] = np.where(there, histories.ratings[position], np.float32(math.nan))
        return told


def row_requests(
    signatures: Mapping[str, Any], kinds: Mapping[str, Mapping[str, NDArray[Any]]]
) -> Iterator[predict_pb2.PredictRequest]:
    """Requests of every signature, every kind and every batch size, from rows that stand by themselves.

    Args:
      signatures: as in the manifest.
      kinds: by kind, what its requests tell: ``[num_rows, ...]`` values by input, begun anew where they run out.
    """
    for name, signature in signatures.items():
        inputs = signature["inputs"]
        for columns in kinds.values():
            for rows in BATCH_SIZES:
                told = {input_: np.resize(v, (rows, *v.shape[1:])) for input_, v in columns.items() if input_ in inputs}
                yield _request(name, inputs, told, rows)


def _request(
    name: str, inputs: Mapping[str, Any], columns: Mapping[str, NDArray[Any]], rows: int
) -> predict_pb2.PredictRequest:
    """A request that gives every input, those that `columns` does not tell their neutral value."""
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = name
    for input_name, declared in inputs.items():
        values = columns.get(input_name)
        if values is None:
            neutral = math.nan if declared["default"] == "NaN" else declared["default"]
            values = np.full([rows] + [1] * (len(declared["shape"] or [None]) - 1), neutral)
        tensor = tf.make_tensor_proto(values, tf.as_dtype(declared["dtype"]))
        request.inputs[input_name].CopyFrom(tensor)
    return request


def unknown_id(ids: NDArray[np.object_]) -> str:
    """An id that does not occur."""
    known, name = set(ids.tolist()), "never-seen"
    while name in known:
        name += "-"
    return name


def _described(
    features: Mapping[str, Any], rows: NDArray[np.int64], inputs: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """Single-valued columns that a signature takes under the name given."""
    return {
        name: column.values[rows]
        for name, column in features.items()
        if name in inputs and len(inputs[name]["shape"]) == 1
    }


def write_warmup(requests: Iterable[predict_pb2.PredictRequest], path: Path, model: str) -> int:
    """Write the records; at most `MAX_RECORDS` of them.

    Args:
      requests: what to play.
      path: of the file.
      model: name the requests ask for.

    Returns:
      The number of records.
    """
    written = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            if written == MAX_RECORDS:
                break
            request.model_spec.name = model
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
            written += 1
    return written


def read_warmup(path: Path) -> list[predict_pb2.PredictRequest]:
    """The requests of a warm-up file.

    Raises:
      RunError: the file is missing or damaged.
    """
    try:
        records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
        logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    except Exception as error:  # protobuf's decoding error differs between its implementations
        reason = str(error).splitlines()[0]
        raise RunError(f"The warm-up file {path} cannot be read ({reason}): export the run again.") from None
    return [log.predict_log.request for log in logs]
