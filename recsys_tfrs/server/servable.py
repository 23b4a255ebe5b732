"""One loaded version of a model: its signatures, what they take, and calling them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from recsys_tfrs.index.scann_index import load_scann
from recsys_tfrs.server.protos import type_name
from recsys_tfrs.server.status import RequestFailed, from_tensorflow, invalid
from recsys_tfrs.serving.folders import EXTRA_FOLDER, MANIFEST

Arrays = dict[str, np.ndarray[Any, Any]]

#: Its outputs are as wide as the longest history of the batch, so a row's answer depends on its neighbours.
_WIDTH_OF_BATCH = "transform"

# TensorFlow Serving's name and limit.
_WARMUP_REQUESTS, _MOST_WARMUP_REQUESTS = "tf_serving_warmup_requests", 1_000


@dataclass(frozen=True, eq=False)
class Signature:
    """One way to call a model.

    Attributes:
      name: as in requests.
      declared: the SignatureDef, whose `defaults` are filled in where a request leaves an input out.
      function: the ConcreteFunction.
      joinable: rows of different requests may be computed in one call.
    """

    name: str
    declared: Any
    function: Any
    joinable: bool

    @cached_property
    def _specs(self) -> dict[str, tuple[int, Any, list[int] | None]]:
        """TensorFlow's type, numpy's, and the sizes (-1: any) of each input."""
        return {
            name: (
                info.dtype,
                np.dtype(tf.as_dtype(info.dtype).as_numpy_dtype),
                None if info.tensor_shape.unknown_rank else [dim.size for dim in info.tensor_shape.dim],
            )
            for name, info in self.declared.inputs.items()
        }

    @cached_property
    def _defaults(self) -> dict[str, tf.Tensor]:
        return {name: tf.constant(tf.make_ndarray(proto)) for name, proto in self.declared.defaults.items()}

    @cached_property
    def any_rank(self) -> frozenset[str]:
        """Inputs that are one value for all rows or one for each; the width of the outputs may follow their largest."""
        return frozenset(name for name, (_, _, shape) in self._specs.items() if shape is None)

    @cached_property
    def output_types(self) -> dict[str, int]:
        """TensorFlow's type of each output."""
        return {name: info.dtype for name, info in self.declared.outputs.items()}

    def rows(self, inputs: Mapping[str, np.ndarray[Any, Any]], max_rows: int) -> int:
        """Check inputs and count the rows of their batch; an input of one row stands for all of them.

        Raises:
          RequestFailed: a name, type or shape that the signature does not take, an empty batch, or one too large.
        """
        extra, missing = inputs.keys() - self._specs.keys(), self._specs.keys() - inputs.keys() - self._defaults.keys()
        if extra or missing:
            raise invalid(
                f"Signature {self.name!r} takes {_listed(self._specs)}. "
                f"Sent extra: {{{_listed(extra)}}}. Missing but required: {{{_listed(missing)}}}."
            )
        sizes = {}
        for name, array in inputs.items():
            dtype, numpy_dtype, shape = self._specs[name]
            if array.dtype != numpy_dtype:
                given = "string" if array.dtype == object else array.dtype.name
                raise invalid(f"Input {name!r} expects {type_name(dtype)}, not {given}.")
            if shape is not None and not _fits(array.shape, shape):
                wanted = "[" + ", ".join("any" if size < 0 else str(size) for size in shape) + "]"
                raise invalid(f"Input {name!r} expects the shape {wanted}, not {list(array.shape)}.")
            if shape is None and not array.size:
                raise invalid(f"Input {name!r} holds no value.")
            if array.ndim:
                sizes[name] = array.shape[0]
        rows = max(sizes.values(), default=1)
        if 0 in sizes.values():
            raise invalid(f"The batch is empty: input {min(n for n in sizes if not sizes[n])!r} has no rows.")
        if rows > max_rows:
            raise invalid(f"A request may have {max_rows} rows, not {rows}: send several.")
        return rows

    def call(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """Outputs by name.

        Raises:
          RequestFailed: the graph refused the inputs, or could not compute.
        """
        given = {name: tf.constant(array, self._specs[name][0]) for name, array in inputs.items()}
        try:
            return {name: tensor.numpy() for name, tensor in self.function(**(self._defaults | given)).items()}
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from None


class Servable:
    """A version that is loaded and can be called.

    Attributes:
      version: the number of its folder.
      signatures: by name.
      signature_defs: by name, the SavedModel's internal ones included.
    """

    def __init__(
        self, version: int, loaded: Any, signature_defs: Mapping[str, Any], rows_are_independent: bool
    ) -> None:
        self._loaded = loaded  # a signature does not keep alive the model it came from
        self.version = version
        self.signature_defs = signature_defs
        self.signatures = {
            name: Signature(name, signature_defs[name], function, rows_are_independent and name != _WIDTH_OF_BATCH)
            for name, function in loaded.signatures.items()
        }

    @classmethod
    def load(cls, folder: Path) -> Servable:
        """Load a version folder.

        Raises:
          MissingExtraError: it holds a ScaNN index, and ScaNN cannot be imported.
          Exception: of whatever kind TensorFlow raises for a damaged or incomplete SavedModel.
        """
        saved = saved_model_pb2.SavedModel()
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
        signature_defs = dict(saved.meta_graphs[0].signature_def)
        del saved
        # Our exports are known to compute each row by itself; of others nothing is known.
        ours = (folder / MANIFEST).is_file()
        if ours:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if any(op.startswith("Scann>") for op in manifest.get("custom_operations", [])):
                load_scann()
        return cls(int(folder.name), tf.saved_model.load(str(folder)), signature_defs, ours)

    def warm_up(self, folder: Path) -> None:
        """Replay the requests recorded with the export, so that the first caller does not wait for set-up work."""
        recorded = folder / EXTRA_FOLDER / _WARMUP_REQUESTS
        if not recorded.is_file():
            return
        for serialized in tf.data.TFRecordDataset(str(recorded)).take(_MOST_WARMUP_REQUESTS):
            request = prediction_log_pb2.PredictionLog.FromString(serialized.numpy()).predict_log.request
            signature = self.signature(request.model_spec.signature_name)
            signature.call({name: tf.make_ndarray(proto) for name, proto in request.inputs.items()})

    def signature(self, name: str) -> Signature:
        """The signature of that name; `serving_default` for "".

        Raises:
          RequestFailed: there is none.
        """
        found = self.signatures.get(name or "serving_default")
        if found is None:
            raise RequestFailed(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{name or "serving_default"}" not found: '
                f"this model has {_listed(self.signatures)}.",
            )
        return found


def _fits(shape: tuple[int, ...], declared: list[int]) -> bool:
    return len(shape) == len(declared) and all(d in (-1, s) for s, d in zip(shape, declared, strict=True))


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))
