"""What pages and notebooks tell a reader to type exists: verbs, options, settings, make targets, imported names."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from recsys_tfrs.cli import cli
from recsys_tfrs.config import build, parse_assignment
from recsys_tfrs.options import as_settings

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "deploy" / "README.md"]
)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
FENCE = re.compile(r"^ *```([a-z]*)\n(.*?)^ *```", flags=re.DOTALL | re.MULTILINE)
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))


def read(path: Path) -> str:
    """A page, or the prose of a notebook."""
    text = path.read_text("utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def typed(text: str) -> Iterator[list[str]]:
    """Words of each command in a page's code, whether in a block or in a line; of a synopsis, all that may be given."""
    blocks = [block for language, block in FENCE.findall(text) if language in ("", "bash", "sh", "console")]
    for code in [*blocks, *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))]:
        for line in re.sub(r"\\\n", " ", code).splitlines():
            for command in re.split(r"\s;\s|&&", line):
                command = command.strip().removeprefix("$ ").removeprefix(".venv/bin/")
                if re.match(r"(recsys-tfrs|make) ", command):
                    yield shlex.split(command, comments=True)


def wrong(words: list[str]) -> str | None:
    """What does not exist of a command, or None."""
    if words[0] == "make":
        unknown = [word for word in words[1:] if re.fullmatch(r"[a-z][a-z0-9-]*", word) and word not in TARGETS]
        return f"no target {', '.join(unknown)}" if unknown else None
    synopsis = any(word.startswith("[") for word in words)
    if synopsis:
        words = [re.sub(r"[\[\]]|\|.*", "", word) for word in words]
    verb = cli.commands.get(words[1])
    if verb is None:
        return None if words[1].startswith("-") or words[1] == "..." else f"no verb {words[1]}"
    options = {name for parameter in verb.params for name in parameter.opts} | {"-h", "--help"}
    unknown = [word for word in words[2:] if word.startswith("-") and word.partition("=")[0] not in options]
    placeholder = verb.name in ("train", "settings") and words[2:3] in (["..."], ["FAMILY"])
    if unknown or synopsis or placeholder:
        return f"{verb.name} has no {', '.join(unknown)}" if unknown else None
    return refused(verb, words[2:])


def refused(verb: click.Command, arguments: list[str]) -> str | None:
    """What click, or the configuration, says against the arguments; that one is missing is left to the reader."""
    try:
        given = verb.make_context(verb.name, list(arguments)).params
    except click.MissingParameter:
        return None
    except click.UsageError as error:
        return error.format_message()
    if verb.name != "train":
        return None
    from recsys_tfrs.errors import RecsysError
    from recsys_tfrs.runs.dispatch import run_config

    try:
        layers = [as_settings(given), *(parse_assignment(text) for text in given["assignments"])]
        build(run_config(given["family"]), [*layers, {"family": given["family"]}])
    except RecsysError as error:
        return str(error)
    return None


def missing_names(block: str) -> list[str]:
    """Names a Python block imports from this package that their module does not define."""
    missing = []
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("recsys_tfrs"):
            folder = ROOT.joinpath(*(node.module or "").split("."))
            file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
            source = file.read_text("utf-8") if file.exists() else ""
            for alias in node.names:
                defined = rf"^(def|class) {alias.name}\b|^{alias.name}\b|^from .* import .*\b{alias.name}\b"
                if not re.search(defined, source, flags=re.MULTILINE) and not (folder / f"{alias.name}.py").exists():
                    missing.append(f"{node.module}.{alias.name}")
    return missing


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.name)
def test_commands_of_a_page_exist(path: Path) -> None:
    assert {shlex.join(words): found for words in typed(read(path)) if (found := wrong(words))} == {}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_names_a_page_imports_exist(path: Path) -> None:
    blocks = [block for language, block in FENCE.findall(path.read_text("utf-8")) if language == "python"]
    assert [name for block in blocks for name in missing_names(block)] == []


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("recsys-tfrs train two-tower --set model.dim=8", None),
        ("recsys-tfrs serve RUN [--port N] [--grpc-port N|0]", None),
        ("make test ARGS=-x", None),
        ("make tests", "no target tests"),
        ("recsys-tfrs trian two-tower", "no verb trian"),
        ("recsys-tfrs serve RUN [--ports N]", "serve has no --ports"),
        ("recsys-tfrs export RUN --index fast", "Invalid value for '--index'"),
        ("recsys-tfrs train two-tower --set model.dims=8", "dims"),
        ("recsys-tfrs train three-tower", "three-tower"),
    ],
)
def test_what_does_not_exist_is_found(command: str, complaint: str | None) -> None:
    found = [wrong(words) for words in typed(f"```\n{command}  # as a comment says\n```")]
    assert len(found) == 1
    assert found[0] is None if complaint is None else complaint in (found[0] or "")


def test_a_name_that_does_not_exist_is_found() -> None:
    block = "from recsys_tfrs.evaluation.metrics import hit, hits\nfrom recsys_tfrs.data import splits, split"
    assert missing_names(block) == ["recsys_tfrs.evaluation.metrics.hits", "recsys_tfrs.data.split"]
