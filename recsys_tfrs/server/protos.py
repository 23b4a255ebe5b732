"""TensorProto <-> numpy, bounded: a message of a few bytes can declare a tensor of any size."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2

from recsys_tfrs.server.status import invalid

#: Field of a TensorProto that holds values of a type one by one.
_FIELDS = {
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_BOOL: "bool_val",
}
_DTYPES: dict[int, Any] = {
    types_pb2.DT_STRING: np.dtype(object),
    types_pb2.DT_FLOAT: np.dtype(np.float32),
    types_pb2.DT_DOUBLE: np.dtype(np.float64),
    types_pb2.DT_INT32: np.dtype(np.int32),
    types_pb2.DT_INT64: np.dtype(np.int64),
    types_pb2.DT_BOOL: np.dtype(np.bool_),
}


def to_array(name: str, proto: Any, max_elements: int) -> np.ndarray[Any, Any]:
    """The tensor in `proto`, strings as bytes in an object array.

    As in TensorFlow, values may end before the shape is full: the last one is repeated.

    Args:
      name: of the input, for messages.
      proto: a TensorProto.
      max_elements: largest tensor that is made.

    Raises:
      RequestFailed: a type no input has, a shape that is unknown or too large, or values that do not fill it.
    """
    dtype = _DTYPES.get(proto.dtype)
    if dtype is None:
        raise invalid(f"Input {name!r} has the unsupported type {type_name(proto.dtype)}.")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise invalid(f"Input {name!r} has no definite shape.")
    size = math.prod(shape)
    if math.prod(max(one, 1) for one in shape) > max_elements:  # no array has such sides, not even an empty one
        raise invalid(f"Input {name!r} of shape {shape} is too large; at most {max_elements} are taken.")
    values: np.ndarray[Any, Any]
    if proto.tensor_content and dtype.kind != "O":
        if len(proto.tensor_content) != size * dtype.itemsize:
            raise invalid(
                f"Input {name!r} of shape {shape} holds {len(proto.tensor_content)} bytes of content; expected "
                f"{size * dtype.itemsize} of {type_name(proto.dtype)}."
            )
        values = np.frombuffer(proto.tensor_content, dtype)
        # A byte other than 0 and 1 is no bool, and what computes with it is undefined.
        return (values.view(np.uint8) != 0 if dtype == np.bool_ else values).reshape(shape)
    given = getattr(proto, _FIELDS[proto.dtype])
    if len(given) > size or (not given and size):
        raise invalid(f"Input {name!r} of shape {shape} holds {len(given)} values.")
    values = np.empty(size, dtype)
    values[: len(given)] = given
    if 0 < len(given) < size:
        values[len(given) :] = values[len(given) - 1]
    return values.reshape(shape)


def to_proto(array: np.ndarray[Any, Any], dtype: int) -> Any:
    """A TensorProto with its values one by one, as TensorFlow Serving answers."""
    field = _FIELDS.get(dtype)
    if field is None:
        return tf.make_tensor_proto(array)
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape=_shape(array.shape), **{field: array.ravel().tolist()})


@lru_cache(maxsize=256)  # answers of a kind share a shape, and making one costs as much as the tensor
def _shape(sizes: tuple[int, ...]) -> Any:
    dims = [tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in sizes]
    return tensor_shape_pb2.TensorShapeProto(dim=dims)


def type_name(dtype: int) -> str:
    """``DT_STRING``; the number of a type TensorFlow does not have."""
    try:
        return str(types_pb2.DataType.Name(dtype))
    except ValueError:
        return str(dtype)
