"""Named inputs of a signature, each with the value that stands for "not given".

TensorFlow records default values in the SignatureDef, and TensorFlow Serving fills them in where a request leaves an
input out. Callers that cannot rely on it (its REST parser, a SavedModel called from Python) pass the neutral value.
A neutral value has one row; so may any input: one row is repeated for the whole batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

Tensors = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Input:
    """One input of a signature.

    Attributes:
      name: as in requests.
      dtype: of its values.
      rank: 1 for one value per row, 2 for several, None for a scalar or one value per row.
      neutral: value that stands for "not given" (for `rank` None: the default).
    """

    name: str
    dtype: tf.DType
    rank: int | None
    neutral: Any

    @property
    def spec(self) -> tf.TensorSpec:
        """Name, dtype and shape with unknown sizes."""
        return tf.TensorSpec(None if self.rank is None else [None] * self.rank, self.dtype, name=self.name)

    @property
    def neutral_tensor(self) -> tf.Tensor:
        """The neutral value in a shape the input takes."""
        return tf.fill([1] * (self.rank or 0), tf.constant(self.neutral, self.dtype))

    def not_given(self, rows: tf.Tensor) -> tf.Tensor:
        """The neutral value in each of `rows` rows."""
        return tf.fill([rows] + [1] * ((self.rank or 1) - 1), tf.constant(self.neutral, self.dtype))


def signature(body: Callable[[Tensors], Tensors], inputs: Iterable[Input], required: frozenset[str]) -> Any:
    """A `tf.function` with named inputs, of which those not required have their neutral value as default.

    Args:
      body: from inputs by name, all of the same number of rows, to outputs by name.
      inputs: what the signature takes.
      required: names of the inputs without a default.
    """
    # A signature binds defaults from the right, so inputs without one come first.
    ordered = sorted(inputs, key=lambda i: i.name not in required)
    bound = inspect.Signature(
        [
            inspect.Parameter(
                i.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if i.name in required else i.neutral_tensor,
            )
            for i in ordered
        ]
    )

    def call(*args: Any, **kwargs: Any) -> Tensors:
        given = dict(bound.bind(*args, **kwargs).arguments)
        return body(same_rows({i.name: _with_rows(given[i.name], i) for i in ordered}))

    call.__signature__ = bound  # type: ignore[attr-defined]
    return tf.function(call, input_signature=[i.spec for i in ordered], autograph=False)


def _with_rows(value: tf.Tensor, declared: Input) -> tf.Tensor:
    return tf.reshape(value, [-1]) if declared.rank is None else value


def same_rows(inputs: Tensors) -> Tensors:
    """Repeat inputs of one row to the number of rows of the others.

    Raises:
      tf.errors.InvalidArgumentError: (when run) two inputs have different numbers of rows, neither of them one.
    """
    if len(inputs) == 1:
        return inputs
    sizes = tf.stack([tf.shape(value)[0] for value in inputs.values()])
    rows = tf.reduce_max(tf.where(sizes == 1, -1, sizes))
    rows = tf.where(rows < 0, 1, rows)
    names = ", ".join(inputs)
    check = tf.debugging.Assert(
        tf.reduce_all((sizes == 1) | (sizes == rows)),
        [f"Inputs must have the same number of rows, or one row, but {names} have in this order:", sizes],
        summarize=len(inputs),
    )
    with tf.control_dependencies([check] if check is not None else []):
        return {n: tf.broadcast_to(v, tf.concat([[rows], tf.shape(v)[1:]], 0)) for n, v in inputs.items()}
