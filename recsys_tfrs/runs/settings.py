"""Every setting of a family's runs with its default and its meaning, as a run's sections declare them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys_tfrs.errors import UsageError
from recsys_tfrs.runs.dispatch import run_config
from recsys_tfrs.runs.kinds import in_words

#: Name of what stands before the first section of a file of settings.
TOP = "run"

#: Default of what a section that is left out by default must have when it is there.
NEEDED = "needed"

#: Constraints as pydantic names them -> what is said before the bound.
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


class Setting(NamedTuple):
    """One setting.

    Attributes:
      section: it stands in; `TOP` where it stands in none.
      name: as ``--set`` takes it.
      kind: type and bounds in words.
      default: as a file of settings has it; empty where the setting is left out by default, `NEEDED` where it cannot
        be.
      meaning: what it does.
    """

    section: str
    name: str
    kind: str
    default: str
    meaning: str


def settings_of(family: str, quote: str = "") -> list[Setting]:
    """Every setting of a family's runs, in the order of their declaration.

    Args:
      family: as on the command line.
      quote: what words stand between that are to be typed as they are.

    Raises:
      UsageError: there is no such family.

    Example:
      >>> one = next(one for one in settings_of("gru") if one.name == "training.batch_size")
      >>> one.kind, one.default, one.meaning
      ('whole number, at least 1', '1024', 'Interactions in a batch.')
    """
    found = []
    for name, field in run_config(family).model_fields.items():
        if _is_section(field.annotation):
            found += list(_within(name, field.annotation, name, quote))
        elif name != "family":
            found.append(_setting(TOP, name, field, quote))
    return found


def show(family: str, section: str | None, console: Console) -> None:
    """Print the settings of a family's runs, or those of one section.

    Raises:
      UsageError: there is no such family, or no such section.
    """
    settings = settings_of(family)
    sections = list(dict.fromkeys(one.section for one in settings))
    if section is not None and section not in sections:
        raise UsageError(f"Runs of {family} have no section {section!r}: there are {', '.join(sections)}.")
    table = Table(box=SIMPLE_HEAD)
    table.add_column("--set", overflow="fold")
    table.add_column("default", overflow="fold", max_width=24)
    table.add_column("meaning", overflow="fold", ratio=1)
    for one in settings:
        if section in (None, one.section):
            table.add_row(Text(one.name), Text(one.default or "-"), Text(f"{one.meaning} [{one.kind}]"))
    console.print(table)


def _within(section: str, kind: Any, prefix: str, quote: str) -> Iterator[Setting]:
    """Settings of a section and of the sections in it."""
    for name, field in kind.model_fields.items():
        yield _setting(section, f"{prefix}.{name}", field, quote)
        for inner in filter(_is_section, get_args(field.annotation)):
            yield from _within(section, inner, f"{prefix}.{name}", quote)


def _setting(section: str, name: str, field: FieldInfo, quote: str) -> Setting:
    return Setting(section, name, _kind(field, quote), _default(field), field.description or "")


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _kind(field: FieldInfo, quote: str) -> str:
    choices = re.fullmatch(r"\^\((.*)\)\$", next((m.pattern for m in field.metadata if hasattr(m, "pattern")), ""))
    if choices:
        return " or ".join(f"{quote}{choice}{quote}" for choice in choices[1].split("|"))
    words = in_words(field.annotation, lambda _: "section", quote).removesuffix(" or null")
    bounds = [
        f"{said} {getattr(one, key)}" for one in field.metadata for key, said in _BOUNDS.items() if hasattr(one, key)
    ]
    return ", ".join([words, *bounds])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return NEEDED
    default = field.default
    return "" if default is None else default if isinstance(default, str) else json.dumps(default, default=str)
