"""Settings as they are shown."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from recsys_tfrs.config import build, parse_assignment
from recsys_tfrs.errors import UsageError
from recsys_tfrs.models.registry import CONTENT, FAMILIES, RANKERS
from recsys_tfrs.runs.dispatch import run_config
from recsys_tfrs.runs.settings import NEEDED, settings_of, show

ALL = [*FAMILIES, *RANKERS, *CONTENT]


def named(family: str, name: str, quote: str = "") -> tuple[str, str]:
    one = next(one for one in settings_of(family, quote) if one.name == name)
    return one.kind, one.default


@pytest.mark.parametrize("family", ALL)
def test_every_setting_can_be_set_to_what_is_shown_as_its_default(family: str) -> None:
    settings = settings_of(family)
    layers = [
        parse_assignment(f"{one.name}={one.default}")
        for one in settings
        if one.default and "upper_tree" not in one.name
    ]
    kind = run_config(family)
    assert build(kind, [{"family": family}, *layers]) == build(kind, [{"family": family}])
    assert all(one.meaning.endswith(".") for one in settings)


def test_defaults_are_those_of_the_family() -> None:
    assert named("gru", "training.batch_size") == ("whole number, at least 1", "1024")
    assert named("two-tower", "training.batch_size") == ("whole number, at least 1", "8192")


def test_words_to_type_are_quoted_where_asked_for() -> None:
    assert named("gru", "device")[0] == "auto or cpu or gpu"
    assert named("gru", "device", quote="`")[0] == "`auto` or `cpu` or `gpu`"
    assert named("two-tower", "model.objective", quote="`")[0] == "`auto` or `full-softmax` or `in-batch`"


def test_a_section_within_a_section_is_there() -> None:
    assert named("gru", "index.upper_tree") == ("section", "")
    assert named("gru", "index.upper_tree.num_leaves") == ("whole number, at least 2", NEEDED)


def shown(family: str, section: str | None) -> str:
    stream = io.StringIO()
    show(family, section, Console(file=stream, width=200))
    return stream.getvalue()


def test_a_section_is_shown_alone() -> None:
    text = shown("deepfm", "evaluation")
    assert [line.split()[0] for line in text.splitlines() if "evaluation." in line] == [
        "evaluation.calibrate",
        "evaluation.importance",
    ]
    assert "split." not in text
    assert "split.method" in shown("deepfm", None)


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no section 'index': there are run, data, .*evaluation"):
        show("deepfm", "index", Console(file=io.StringIO()))
    with pytest.raises(UsageError, match="no family 'nope'"):
        settings_of("nope")
