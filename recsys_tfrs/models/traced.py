"""What runs as a graph, traced as it is written: Python decides while tracing, tensors do by `tf.where` and `tf.cond`.

AutoGraph, which would rewrite the source of all that is called so that ``if`` and ``for`` could depend on tensors, took
a fifth of the time in which a model is made and traced, and nothing here needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MethodType
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

_untraced: ContextVar[bool] = ContextVar("untraced", default=False)


class Model(tfrs.Model):
    """`tfrs.Model` whose training step is traced as it is written."""

    @tf.autograph.experimental.do_not_convert
    def train_step(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """See `tfrs.Model`."""
        logs: dict[str, tf.Tensor] = super().train_step(inputs)
        return logs


class TracedOnce:
    """A method that becomes a graph when it is first asked for, the same for every batch and one for each model.

    ``@tf.function(input_signature=...)`` traces as often, but counts the first call of every model of a class as if one
    function were traced again and again, and warns of it where several models live in one process.

    Args:
      method: of tensors alone.
      signature: a spec for each argument.
    """

    def __init__(self, method: Callable[..., Any], signature: Sequence[tf.TypeSpec]) -> None:
        self.__doc__ = method.__doc__
        self._method, self._signature = method, signature

    def __set_name__(self, owner: type, name: str) -> None:
        """Remember under which name."""
        self._name = name

    def __get__(self, model: Any, owner: type) -> Any:
        """The graph of `model`, traced now or before; inside of `untraced` the method itself."""
        if model is None:
            return self
        method = MethodType(self._method, model)
        if _untraced.get():
            return method
        # Not by assignment, which Keras would take for a part to be saved.
        if self._name not in vars(model):
            traced = tf.function(method, input_signature=self._signature, autograph=False)
            vars(model)[self._name] = traced.get_concrete_function()
        return vars(model)[self._name]


def traced_once(*signature: tf.TypeSpec) -> Callable[[Callable[..., Any]], TracedOnce]:
    """Decorate a method, see `TracedOnce`."""
    return lambda method: TracedOnce(method, signature)


@contextmanager
def untraced() -> Iterator[None]:
    """Within it, methods decorated with `traced_once` run as they stand: one call is not worth a graph."""
    token = _untraced.set(True)
    try:
        yield
    finally:
        _untraced.reset(token)
