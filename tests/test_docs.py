"""The pages of docs/ agree with the code they describe."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

import recsys_tfrs
from recsys_tfrs.data import simulated_config, sources, tables
from recsys_tfrs.data.assemble import Duplicates
from recsys_tfrs.schema import Kind, SplitMethod

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def links(text: str) -> list[str]:
    """Relative targets of Markdown links, without what stands in code."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    return [target for target in targets if not re.match(r"[a-z]+:|#", target)]


def broken(folder: Path, text: str) -> list[str]:
    return [target for target in links(text) if not (folder / target.partition("#")[0]).exists()]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_of_a_page_lead_somewhere(path: Path) -> None:
    assert broken(path.parent, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert broken(path.parent, text) == []


def test_a_broken_link_is_found() -> None:
    assert broken(DOCS, "see [data](data.md#x), [web](https://x.org), `[c](d)` and [gone](gone.md)") == ["gone.md"]


@pytest.fixture(scope="module")
def doc_tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("doc_tables", ROOT / "scripts" / "doc_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["metrics.md", "settings.md"])
def test_the_tables_are_those_of_the_code(doc_tables: ModuleType, name: str) -> None:
    text = page(name)
    assert doc_tables.renewed(text, doc_tables.PAGES[name]()) == text, "run scripts/doc_tables.py"


def test_a_page_without_the_markers_is_refused(doc_tables: ModuleType) -> None:
    with pytest.raises(ValueError, match="must hold the lines"):
        doc_tables.renewed("# metrics.json\n", [])


def test_the_page_of_commands_has_every_command() -> None:
    from recsys_tfrs.cli import cli

    listed = re.findall(r"^\| `recsys-tfrs ([a-z-]+)", page("commands.md"), flags=re.MULTILINE)
    assert sorted(listed) == sorted(cli.commands)


class TestSettings:
    def test_every_setting_of_every_family_is_there(self) -> None:
        from recsys_tfrs.models.registry import CONTENT, FAMILIES, RANKERS
        from recsys_tfrs.runs.settings import settings_of

        families = [*FAMILIES, *RANKERS, *CONTENT]
        expected = {(one.name, one.meaning) for family in families for one in settings_of(family)}
        assert len(expected) > 150
        rows = re.findall(r"^\| `([\w.]+)` \| .+ \| .+ \| (.+) \|$", page("settings.md"), flags=re.MULTILINE)
        assert set(rows) == expected

    def test_defaults_that_differ_stand_beside_that_of_most(self, doc_tables: ModuleType) -> None:
        from recsys_tfrs.runs.settings import Setting

        alike = {name: Setting("a", "a.b", "text", default, "B.") for name, default in zip("xyz", "110", strict=True)}
        assert doc_tables._row(alike) == "| `a.b` | text | `1`; z `0` | B. |"


class TestMetrics:
    def test_every_key_is_described(self, doc_tables: ModuleType) -> None:
        from recsys_tfrs.runs.metrics_file import RunMetrics

        undescribed = [
            f"{section.__name__}.{name}"
            for section in doc_tables.sections(RunMetrics)
            for name, field in section.model_fields.items()
            if not field.description
        ]
        assert undescribed == []

    def test_the_excerpt_is_of_the_schema(self) -> None:
        from recsys_tfrs.runs.metrics_file import RunMetrics, TrainingFigures

        excerpt = json.loads(re.search(r"```json\n(.*?)```", page("metrics.md"), flags=re.DOTALL).group(1))
        assert set(excerpt) <= set(RunMetrics.model_fields)
        assert TrainingFigures.model_validate(excerpt["training"]).epochs == 18


def test_architecture_lists_the_stages_as_the_package_does() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (.+) \|$", page("architecture.md").split("## The path")[0], flags=re.MULTILINE)
    stages = (recsys_tfrs.__doc__ or "").split("Stages\n------\n")[1].replace("``", "`")
    assert listed == re.findall(r"^(\w+) {2,}(\S.*)$", stages, flags=re.MULTILINE)


def test_architecture_names_files_that_exist() -> None:
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)`", page("architecture.md"))
    roots = (ROOT, ROOT / "recsys_tfrs")
    generated = {"checkpoints/", "logs/", "runs/latest"}
    assert [n for n in named if n not in generated and not any((root / n).exists() for root in roots)] == []
    assert "runs/train.py" in named


def test_two_tower_explains_every_setting() -> None:
    from recsys_tfrs.models.two_tower import Config

    table = page("two_tower.md").split("## Settings")[1].split("## References")[0]
    explained = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (.+?) \|", table, flags=re.MULTILINE))))
    assert explained == set(Config.model_fields)


def test_softmax_explains_what_is_its_own() -> None:
    from recsys_tfrs.models.history_config import HistoryConfig
    from recsys_tfrs.models.softmax import Config

    table = page("softmax.md").split("## Settings")[1].split("## References")[0]
    explained = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (.+?) \|", table, flags=re.MULTILINE))))
    own = {name for name in Config.model_fields if name not in HistoryConfig.model_fields}
    assert explained == own | {"objective", "members"}  # which it widens


def test_item2vec_explains_every_setting() -> None:
    from recsys_tfrs.models.item2vec import Config

    table = page("item2vec.md").split("## Settings")[1].split("## Figures")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == list(Config.model_fields)


def test_deep_mf_explains_every_setting() -> None:
    from recsys_tfrs.models.deep_mf import Config

    table = page("deep_mf.md").split("## Settings")[1].split("## Errors")[0]
    first_cells = re.findall(r"^\| (`.+?`) \|", table, flags=re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(first_cells))) == sorted(Config.model_fields)


class TestData:
    TEXT = page("data.md")

    @pytest.mark.parametrize(
        "name",
        [
            sources.AUTO,
            *sources.known_names(),
            *(f"simulated-{size}" for size in simulated_config.SIZES),
            *(kind.value for kind in Kind),
            *Duplicates.__args__,  # type: ignore[attr-defined]
        ],
    )
    def test_every_name_is_explained(self, name: str) -> None:
        assert f"`{name}`" in self.TEXT

    @pytest.mark.parametrize("method", [method.value for method in SplitMethod])
    def test_every_split_is_explained(self, method: str) -> None:
        assert re.search(rf"^\| `{method}", self.TEXT, flags=re.MULTILINE)

    def test_roles_are_those_of_the_option(self) -> None:
        assert ",".join(f"{role}=NAME" for role in tables.ROLES) in self.TEXT

    def test_the_examples_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        orders = ["customer,sku,bought_at", "ann,7,2024-05-01", "bob,007,2024-05-02", "ann,007,2024-05-03"]
        (tmp_path / "orders.csv").write_text("\n".join(orders) + "\n")
        (tmp_path / "products.csv").write_text("sku,name,colour\n7,Lamp,red\n007,Vase,blue\n9,Rug,red\n")
        monkeypatch.chdir(tmp_path)
        named, own = re.findall(r"```python\n(.*?)```", self.TEXT, flags=re.DOTALL)
        found: dict[str, object] = {}
        exec(named, found)
        assert found["data"].name == "simulated-tiny"  # type: ignore[attr-defined]
        exec(own, found)
        data = found["data"]
        assert list(data.item_ids) == ["", "7", "007", "9"]  # type: ignore[attr-defined]
        assert list(data.titles[1:]) == ["Lamp", "Vase", "Rug"]  # type: ignore[attr-defined]
        assert data.item_features["colour"].kind is Kind.CATEGORICAL  # type: ignore[attr-defined]
        assert list(data.timestamps) == [1714521600, 1714608000, 1714694400]  # type: ignore[attr-defined]
