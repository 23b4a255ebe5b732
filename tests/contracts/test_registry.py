"""A family is complete: module, configuration files, tests, a make target."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from recsys_tfrs.config import Section, build, read_toml
from recsys_tfrs.errors import UsageError
from recsys_tfrs.models.registry import CONTENT, FAMILIES, RANKERS, family_module
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.content_config import content_config
from recsys_tfrs.runs.ranking_config import ranking_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_family_has_a_config_and_a_build(family: str) -> None:
    module = family_module(family)
    assert issubclass(module.Config, Section)
    assert list(inspect.signature(module.build).parameters) == [
        "config",
        "features",
        "interactions",
        "histories",
        "seed",
    ]


def test_every_setting_is_described(family: str) -> None:
    fields = family_module(family).Config.model_fields
    assert [name for name, field in fields.items() if not field.description] == []


def test_a_family_has_configurations_that_validate(family: str) -> None:
    files = sorted((ROOT / "configs" / family).glob("*.toml"))
    assert files, f"configs/{family}/ holds no TOML file"
    for file in files:
        config = build(family_config(family), [{"family": family}, read_toml(file)])
        assert config.family == family


def test_a_family_has_tests_that_inherit_the_contract(family: str) -> None:
    source = (ROOT / "tests" / "models" / f"test_{FAMILIES[family]}.py").read_text("utf-8")
    assert re.search(r"^class \w+\((Model|Sequence)Contract\):$", source, flags=re.MULTILINE)
    assert f'"{family}"' in source


def test_a_family_has_a_make_target(family: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = rf"^train-[a-z0-9-]+:.*\n(\t.*\n)*\t.*-m recsys_tfrs train {family}\b"
    assert re.search(recipe, makefile, flags=re.MULTILINE)


@pytest.fixture(params=sorted(RANKERS))
def ranker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_ranking_family_has_a_config_and_a_build(ranker: str) -> None:
    module = family_module(ranker)
    assert issubclass(module.Config, Section)
    assert list(inspect.signature(module.build).parameters) == ["config", "preprocessor", "targets", "seed"]
    assert [name for name, field in module.Config.model_fields.items() if not field.description] == []


def test_a_ranking_family_has_configurations_tests_and_a_make_target(ranker: str) -> None:
    files = sorted((ROOT / "configs" / ranker).glob("*.toml"))
    assert files, f"configs/{ranker}/ holds no TOML file"
    for file in files:
        assert build(ranking_config(ranker), [{"family": ranker}, read_toml(file)]).family == ranker
    source = (ROOT / "tests" / "models" / f"test_{RANKERS[ranker]}.py").read_text("utf-8")
    assert re.search(r"^class \w+\(RankerContract\):$", source, flags=re.MULTILINE)
    assert f'"{ranker}"' in source
    target = re.search(r"^train-ranking:.*## (.*)$", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    assert target is not None
    assert re.search(rf"\b{ranker}\b", target[1])


@pytest.mark.parametrize("describer", sorted(CONTENT))
def test_a_family_that_describes_items_is_complete(describer: str) -> None:
    module = family_module(describer)
    assert list(inspect.signature(module.build).parameters) == ["config", "decoder", "classes", "seed"]
    assert [name for name, field in module.Config.model_fields.items() if not field.description] == []
    files = sorted((ROOT / "configs" / describer).glob("*.toml"))
    assert files, f"configs/{describer}/ holds no TOML file"
    for file in files:
        assert build(content_config(describer), [{"family": describer}, read_toml(file)]).family == describer
    source = (ROOT / "tests" / "models" / f"test_{CONTENT[describer]}.py").read_text("utf-8")
    assert f'"{describer}"' in source
    recipe = rf"^train-{describer}:.*\n\t.*-m recsys_tfrs train {describer}\b"
    assert re.search(recipe, (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)


def test_every_model_file_is_a_registered_family() -> None:
    modules = {path.stem for path in (ROOT / "recsys_tfrs" / "models").glob("*.py")}
    assert modules - {
        "__init__",
        "registry",
        "family",
        "retriever",
        "traced",
        "scoring",
        "history_config",
        "history_model",
        "ranker",
        "explanation",
    } == {
        *FAMILIES.values(),
        *RANKERS.values(),
        *CONTENT.values(),
    }


def test_an_unknown_family_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"There is no family 'three-tower': known are .*two-tower"):
        family_module("three-tower")
