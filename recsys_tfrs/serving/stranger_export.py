"""An export as a program sees it that knows TensorFlow and nothing of this package; see `stranger`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Outputs = dict[str, Any]


class CheckError(Exception):
    """A check that did not pass; the message says what was found."""


class Export:
    """A version folder and what is read of it, check by check."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = {}
        self.expected: dict[str, Any] = {}
        self.requests: list[Any] = []
        self.loaded: Any = None

    @property
    def is_exact(self) -> bool:
        """Whether the index finds the best items themselves, not nearly."""
        return bool(self.manifest.get("index", {}).get("kind", "exact") == "exact")

    def call(self, signature: str, inputs: dict[str, Any]) -> Outputs:
        """Outputs of a signature; inputs left out take their default."""
        function = self.loaded.signatures[signature]
        tensors = {}
        for name, spec in function.structured_input_signature[1].items():
            if name not in inputs:
                default = self.manifest["signatures"][signature]["inputs"][name]["default"]
                neutral = float("nan") if default == "NaN" else default
                tensors[name] = tf.fill([1] * (spec.shape.rank or 0), tf.constant(neutral, spec.dtype))
            else:
                value = np.asarray(inputs[name], spec.dtype.as_numpy_dtype)
                tensors[name] = tf.constant(value, spec.dtype)
        return {name: tensor.numpy() for name, tensor in function(**tensors).items()}

    def recommend(self, user: dict[str, Any], k: int, **further: Any) -> tuple[list[str], NDArray[np.float32]]:
        """Ids and scores for one recorded user, the empty places at the end cut off."""
        out = self.call("serving_default", {**user["inputs"], "k": k, **further})
        ids = [i.decode() for i in out["item_id"][0] if i]
        return ids, out["score"][0][: len(ids)]


def play(export: Export, request: Any, row: int | None = None) -> Outputs:
    """Answer a request, or one row of it."""
    arrays = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    rows = arrays if row is None else {name: array[row : row + 1] for name, array in arrays.items()}
    return export.call(request.model_spec.signature_name, rows)


def apart(found: Any, expected: Any) -> float:
    """Largest difference, relative to the larger of 1 and what is expected; equal infinities do not differ."""
    found, expected = np.atleast_1d(np.asarray(found, np.float64)), np.atleast_1d(np.asarray(expected, np.float64))
    if found.shape != expected.shape:
        return float("inf")
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        relative = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    relative = np.where(same, 0.0, np.where(np.isnan(relative), np.inf, relative))
    return float(relative.max()) if relative.size else 0.0
