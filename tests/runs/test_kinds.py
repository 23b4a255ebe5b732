"""Types in words."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel

from recsys_tfrs.runs.kinds import in_words


class Inner(BaseModel):
    """Something within."""


def words(annotation: object) -> str:
    return in_words(annotation, lambda model: model.__name__, quote="'")


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (bool, "true or false"),
        (Path | None, "path or null"),
        (dict[str, tuple[float, int]], "object of list of 2: number, whole number"),
        (list[str] | None, "list of text or null"),
        (bool | Literal["auto", 3], "true or false or 'auto' or '3'"),
        (list[Inner], "list of Inner"),
    ],
    ids=str,
)
def test_types_are_put_in_words(annotation: object, expected: str) -> None:
    assert words(annotation) == expected


def test_a_type_without_words_is_refused() -> None:
    with pytest.raises(TypeError, match="no words yet"):
        words(bytes)
