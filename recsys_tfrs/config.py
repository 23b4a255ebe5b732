"""Configuration: constrained sections, TOML files, and ``--set section.key=value``.

A section is declared beside the code it configures, as a subclass of `Section`. This module knows how sections are
read, overridden, checked and written back, and nothing of what they mean.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from recsys_tfrs.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Tree = dict[str, Any]
SectionT = TypeVar("SectionT", bound="Section")


class Section(BaseModel):
    """Base of every configuration section: unknown keys raise, values are checked, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, protected_namespaces=())


def read_toml(path: Path) -> Tree:
    """Read a TOML file.

    Raises:
      ConfigError: the file is missing or is not TOML; the message names file and line.
    """
    try:
        with path.open("rb") as file:
            return dict(tomllib.load(file))
    except FileNotFoundError:
        raise ConfigError(f"No configuration file at {path}: check --config.") from None
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None
    except UnicodeDecodeError as error:
        line = 1 + error.object.count(b"\n", 0, error.start)
        raise ConfigError(f"{path} is not valid TOML: line {line} is not UTF-8, save the file as UTF-8.") from None


def parse_toml(text: str) -> Tree:
    """TOML as a tree, of text that `to_toml` made."""
    return dict(tomllib.loads(text))


def parse_assignment(text: str) -> Tree:
    """``"training.epochs=5"`` -> ``{"training": {"epochs": 5}}``; values are TOML, bare words are strings.

    Raises:
      ConfigError: there is no ``=`` or no key before it.

    Example:
      >>> parse_assignment("index.kind=exact")
      {'index': {'kind': 'exact'}}
    """
    key, equals, value = text.partition("=")
    names = [name.strip() for name in key.split(".")]
    if not equals or not all(names):
        raise ConfigError(f"--set expects section.key=value, got {text!r}.")
    try:
        parsed: Any = tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    for name in reversed(names):
        parsed = {name: parsed}
    return dict(parsed)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """`base` with the leaves of `over` in place of its own.

    Example:
      >>> merge({"data": {"dataset": "auto", "core": 5}, "seed": 1}, {"data": {"core": 3}})
      {'data': {'dataset': 'auto', 'core': 3}, 'seed': 1}
    """
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        both_trees = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merge(below, value) if both_trees else value  # type: ignore[arg-type]
    return result


def build(section: type[SectionT], layers: Iterable[Mapping[str, Any]]) -> SectionT:
    """Validate the layers of settings, each later one over the earlier ones.

    Raises:
      ConfigError: one line per unknown key or impossible value, with the keys that exist there.
    """
    tree: Tree = {}
    for layer in layers:
        tree = merge(tree, layer)
    try:
        return section.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(section, problem) for problem in error.errors())) from None


def _explain(section: type[Section], problem: Mapping[str, Any]) -> str:
    path = [str(part) for part in problem["loc"]]
    name = ".".join(path)
    if problem["type"] == "extra_forbidden":
        return f"Unknown setting {name!r}: known here are {', '.join(_keys_at(section, path[:-1]))}."
    message = str(problem["msg"]).removeprefix("Value error, ")  # what pydantic puts before words of our own
    return f"Setting {name} = {problem['input']!r} is not possible: {message[0].lower()}{message[1:]}."


def _keys_at(section: type[BaseModel], path: list[str]) -> list[str]:
    for name in path:
        kind = section.model_fields[name].annotation
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            break
        section = kind
    return sorted(section.model_fields)


def to_toml(section: Section) -> str:
    """Every setting as TOML that `read_toml` reads back to an equal section; settings that are None are left out."""
    return tomli_w.dumps(json.loads(section.model_dump_json(exclude_none=True)))
