"""Milliseconds of single requests to an exported signature."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from record import Figures

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()

_NEUTRAL = {tf.string: "", tf.bool: True, tf.int32: 10}


def asking(loaded: Any, name: str) -> Callable[[Mapping[str, Any]], None]:
    """A signature as a function of some of its inputs, the others at their neutral values, as TensorFlow Serving sends.

    What it answers is read into numpy.
    """
    function = loaded.signatures[name]
    fixed = {
        spec.name: tf.fill([1] * (spec.shape.rank or 0), tf.constant(_NEUTRAL.get(spec.dtype, np.nan), spec.dtype))
        for spec in function.structured_input_signature[1].values()
    }

    def ask(request: Mapping[str, Any]) -> None:
        assert loaded  # which owns the variables
        for tensor in function(**{**fixed, **request}).values():
            tensor.numpy()

    return ask


def timed(step: Callable[[Any], Any], values: list[Any], warm: int = 200) -> Figures:
    """p50 and p99 of one call after the other, after some that do not count."""
    for value in values[:warm]:
        step(value)
    seconds = []
    for value in values:
        started = time.perf_counter()
        step(value)
        seconds.append(time.perf_counter() - started)
    return {f"p{share}_ms": 1e3 * float(np.percentile(seconds, share)) for share in (50, 99)}
