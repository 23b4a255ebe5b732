"""TOML files, ``--set``, and what is said about settings that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from recsys_tfrs.config import Section, build, merge, parse_assignment, read_toml, to_toml
from recsys_tfrs.errors import ConfigError


class Inner(Section):
    rate: float = Field(0.5, ge=0, lt=1)
    sizes: list[int] = Field([])


class Outer(Section):
    name: str = "plain"
    folder: Path | None = None
    inner: Inner = Inner()


def test_an_unknown_key_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(ConfigError, match=r"^Unknown setting 'nmae': known here are folder, inner, name\.$"):
        build(Outer, [{"nmae": "x"}])
    with pytest.raises(ConfigError, match=r"^Unknown setting 'inner\.rat': known here are rate, sizes\.$"):
        build(Outer, [{"inner": {"rat": 1}}])


def test_every_problem_has_its_own_line_with_value_and_reason() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Outer, [{"inner": {"rate": 1.0, "sizes": "many"}, "x": 1}])
    lines = str(caught.value).split("\n")
    assert lines[0] == "Setting inner.rate = 1.0 is not possible: input should be less than 1."
    assert lines[1].startswith("Setting inner.sizes = 'many' is not possible: input should be a valid list")
    assert lines[2].startswith("Unknown setting 'x'")
    assert len(lines) == 3


def test_later_layers_lie_over_earlier_ones_leaf_by_leaf() -> None:
    built = build(Outer, [{"inner": {"rate": 0.1, "sizes": [1, 2]}}, {"inner": {"rate": 0.2}}, {"name": "n"}])
    assert built == Outer(name="n", inner=Inner(rate=0.2, sizes=[1, 2]))


def test_merge_changes_neither_of_its_arguments() -> None:
    base: dict[str, Any] = {"a": {"b": 1, "c": 2}, "d": 3}
    over = {"a": {"b": 9}, "d": {"e": 1}}
    assert merge(base, over) == {"a": {"b": 9, "c": 2}, "d": {"e": 1}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}
    assert over == {"a": {"b": 9}, "d": {"e": 1}}


def test_sections_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Inner().rate = 0.1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training.epochs=5", {"training": {"epochs": 5}}),
        ("a = 0.5", {"a": 0.5}),
        ("model.hidden=[64, 32]", {"model": {"hidden": [64, 32]}}),
        ("model.normalize=false", {"model": {"normalize": False}}),
        ("data.dataset=ml-100k", {"data": {"dataset": "ml-100k"}}),
        ("data.dataset = my folder ", {"data": {"dataset": "my folder"}}),
        ("data.dataset='5'", {"data": {"dataset": "5"}}),
        ("data.columns={user = 'u'}", {"data": {"columns": {"user": "u"}}}),
        ("split.method=official:u1", {"split": {"method": "official:u1"}}),
        ("a.b=x=y", {"a": {"b": "x=y"}}),
        ("a=", {"a": ""}),
    ],
)
def test_assignments(text: str, expected: dict[str, Any]) -> None:
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["epochs", "=5", "training.=5", ".epochs=5", ""])
def test_an_assignment_without_key_or_sign_says_what_is_expected(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set expects section\.key=value, got '"):
        parse_assignment(text)


@settings(max_examples=40, deadline=None)
@given(
    name=st.text(st.characters(codec="utf-8")),
    rate=st.floats(0, 1, exclude_max=True),
    sizes=st.lists(st.integers(-(2**62), 2**62)),
    folder=st.none() | st.just(Path("some where") / "ä"),
)
def test_what_is_written_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, name: str, rate: float, sizes: list[int], folder: Path | None
) -> None:
    section = Outer(name=name, folder=folder, inner=Inner(rate=rate, sizes=sizes))
    path = tmp_path_factory.getbasetemp() / "round_trip.toml"
    path.write_text(to_toml(section), encoding="utf-8")
    assert build(Outer, [read_toml(path)]) == section


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No configuration file at .*nowhere\.toml: check --config"):
        read_toml(tmp_path / "nowhere.toml")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        read_toml(tmp_path)


def test_bad_toml_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("a = 1\n[b]\nc = = 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.toml is not valid TOML: .*line 3"):
        read_toml(path)


def test_a_file_in_another_encoding_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes("a = 1\nb = 'é'\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.toml is not valid TOML: line 2 is not UTF-8"):
        read_toml(path)
