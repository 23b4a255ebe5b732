"""Types of settings and of figures in words, for people who do not read Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

_WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    NoneType: "null",
    Any: "any",
}


def in_words(annotation: Any, of_model: Callable[[type[BaseModel]], str], quote: str = "`") -> str:
    """A type in words.

    Args:
      annotation: of a field.
      of_model: words for a model within it.
      quote: what a value stands between that is to be typed as it is.

    Raises:
      TypeError: there are no words for it.

    Example:
      >>> in_words(dict[str, float] | None, lambda model: model.__name__)
      'object of number or null'
      >>> in_words(Literal["adam", "lazy-adam"], lambda model: model.__name__)
      '`adam` or `lazy-adam`'
    """
    if annotation in _WORDS:
        return _WORDS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return of_model(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"{quote}{value}{quote}" for value in arguments)
    if origin is dict:
        return f"object of {in_words(arguments[1], of_model, quote)}"
    if origin is list:
        return f"list of {in_words(arguments[0], of_model, quote)}"
    if origin is tuple:
        return f"list of {len(arguments)}: {', '.join(in_words(a, of_model, quote) for a in arguments)}"
    if origin in (Union, UnionType):
        return " or ".join(in_words(a, of_model, quote) for a in arguments)
    raise TypeError(f"{annotation} has no words yet: add them to {Path(__file__).name}.")
