"""The stage list of the package docstring is the architecture: nothing imports downstream of itself."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import recsys_tfrs

PACKAGE = Path(recsys_tfrs.__file__).parent
ENTRY_POINTS = {"__init__", "__main__"}


def stage_list(docstring: str) -> list[str]:
    """Names in the section `Stages` of a package docstring, in order."""
    section = docstring.split("Stages\n------\n", 1)[1]
    return re.findall(r"^(\w+) {2,}\S", section, flags=re.MULTILINE)


def imported_modules(source: str, package: str) -> set[str]:
    """Dotted names `source` imports anywhere, functions and TYPE_CHECKING blocks included.

    `package` is the dotted package the source stands in, against which relative imports are read.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if node.level else []
            parts = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def downstream_imports(stage: str, source: str, stages: list[str], package: str) -> list[str]:
    """What a module of `stage` imports from further down the list than itself, or from no stage at all."""
    wrong = []
    for name in sorted(imported_modules(source, package)):
        parts = name.split(".")
        if parts[0] != "recsys_tfrs" or len(parts) < 2 or parts[1].startswith("__"):
            continue
        if parts[1] not in stages or stages.index(parts[1]) > stages.index(stage):
            wrong.append(name)
    return wrong


STAGES = stage_list(recsys_tfrs.__doc__ or "")
# The package's own `__init__` and `__main__` stand outside the list: they see all of it.
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem not in ENTRY_POINTS)


def dotted(path: Path) -> str:
    return ".".join(["recsys_tfrs", *path.relative_to(PACKAGE).with_suffix("").parts])


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_stage_imports_only_stages_above_it(path: Path) -> None:
    stage = path.relative_to(PACKAGE).with_suffix("").parts[0]
    package = dotted(path).rpartition(".")[0]
    wrong = downstream_imports(stage, path.read_text(encoding="utf-8"), STAGES, package)
    assert not wrong, f"{dotted(path)} imports {', '.join(wrong)}: stages in order are {', '.join(STAGES)}"


def test_every_folder_and_module_is_a_listed_stage() -> None:
    present = {path.stem for path in PACKAGE.glob("*.py")} - ENTRY_POINTS
    present |= {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert sorted(present) == sorted(STAGES)


def test_the_rule_itself() -> None:
    stages = ["errors", "data", "models"]
    assert (
        stage_list("Title\n\nStages\n------\nerrors   what\ndata     rows and\n         more rows\nmodels   nets\n")
        == stages
    )

    def wrong(source: str) -> list[str]:
        return downstream_imports("data", source, stages, "recsys_tfrs.data")

    assert (
        wrong("from recsys_tfrs.errors import DataError\nimport numpy as np\nfrom recsys_tfrs import __version__") == []
    )
    assert wrong("from recsys_tfrs.models.two_tower import build") == ["recsys_tfrs.models.two_tower.build"]
    assert wrong("from recsys_tfrs import errors, models") == ["recsys_tfrs.models"]
    assert wrong("def f():\n    import recsys_tfrs.models") == ["recsys_tfrs.models"]
    assert wrong("from ..models import two_tower") == ["recsys_tfrs.models.two_tower"]
    assert wrong("from . import splits\nfrom .splits import split") == []
    assert wrong("import recsys_tfrs.helpers") == ["recsys_tfrs.helpers"]
