"""Write the tables of `docs/metrics.md` from the field descriptions in `recsys_tfrs/runs/metrics_file.py`.

python scripts/metrics_schema.py            # write them
python scripts/metrics_schema.py --check    # exit 1 if they are out of date
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from recsys_tfrs.runs.metrics_file import RunMetrics

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
BEGIN = "<!-- Written by scripts/metrics_schema.py; edit the descriptions in recsys_tfrs/runs/metrics_file.py. -->"
END = "<!-- End of what is generated. -->"

_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", NoneType: "null", Any: "any"}


def kind(annotation: Any) -> str:
    """A type in words: ``dict[str, float]`` becomes "object of number"."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is dict:
        return f"object of {kind(arguments[1])}"
    if origin is list:
        return f"list of {kind(arguments[0])}"
    if origin is tuple:
        return f"list of {len(arguments)}: {', '.join(kind(a) for a in arguments)}"
    if origin in (Union, UnionType):
        return " or ".join(kind(a) for a in arguments)
    raise TypeError(f"{annotation} has no words yet: add them to scripts/metrics_schema.py.")


def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The model and every model its fields hold, each once, in order of appearance."""
    found = [model]
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            found.extend(section for section in sections(inner) if section not in found)
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def tables() -> str:
    """Every section as a Markdown table, markers included."""
    lines = [BEGIN]
    for section in sections(RunMetrics):
        lines += ["", f"### {section.__name__}", "", (section.__doc__ or "").split("\n")[0].replace("``", "`"), ""]
        lines += ["| key | type | meaning |", "| --- | --- | --- |"]
        for name, field in section.model_fields.items():
            lines.append(f"| `{name}` | {kind(field.annotation)} | {field.description} |")
    return "\n".join([*lines, "", END])


def renewed(text: str) -> str:
    """The document with what stands between the markers generated anew.

    Raises:
      ValueError: the markers are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT.name} must hold the lines {BEGIN!r} and {END!r}.")
    return before + tables() + after


def main() -> int:
    """Write or check; the exit code is 1 if the document was out of date when checked."""
    parser = argparse.ArgumentParser(description="Generate the tables of docs/metrics.md.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of date")
    arguments = parser.parse_args()
    text = DOCUMENT.read_text(encoding="utf-8")
    new = renewed(text)
    if arguments.check:
        if new != text:
            print(f"{DOCUMENT.name} is out of date: run scripts/metrics_schema.py", file=sys.stderr)
        return int(new != text)
    DOCUMENT.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
