"""What `stranger` looks for in an export that describes content: the model's own answers, and damage refused."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from .stranger_export import CheckError, Export, apart


def descriptions(export: Export) -> str:
    """`decoded` answers what the run's model answered of a recorded wave or picture."""
    out = export.call("decoded", export.expected["inputs"])
    recorded = export.expected["outputs"]
    if [name.decode() for name in out["attribute"]] != recorded["attribute"]:
        raise CheckError(
            f"the attribute is {out['attribute'][0].decode()!r}, the run's own {recorded['attribute'][0]!r}"
        )
    numbers = ("confidence", "probability", "vector")
    largest = max(apart(out[name], recorded[name]) for name in numbers)
    if largest > export.expected["tolerance"]:
        raise CheckError(f"the largest difference to the run's own answer is {largest:.2g}")
    if not np.allclose(out["probability"].sum(axis=1), 1.0, atol=1e-5):
        raise CheckError("the probabilities do not sum to 1")
    return f"as the run's own, largest difference {largest:.2g}"


def damage(export: Export) -> str:
    """Bytes that are no content are refused with an error, and the model answers on."""
    try:
        export.call("serving_default", {"contents": [b"neither sound nor picture"]})
    except tf.errors.InvalidArgumentError:
        return f"refused; {descriptions(export)}"
    raise CheckError("bytes that are neither sound nor picture got an answer")
