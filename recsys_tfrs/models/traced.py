"""Methods of a model that run as a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

import tensorflow as tf


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
        """The graph of `model`, traced now or before."""
        if model is None:
            return self
        # Not by assignment, which Keras would take for a part to be saved.
        if self._name not in vars(model):
            traced = tf.function(MethodType(self._method, model), input_signature=self._signature)
            vars(model)[self._name] = traced.get_concrete_function()
        return vars(model)[self._name]


def traced_once(*signature: tf.TypeSpec) -> Callable[[Callable[..., Any]], TracedOnce]:
    """Decorate a method, see `TracedOnce`."""
    return lambda method: TracedOnce(method, signature)
