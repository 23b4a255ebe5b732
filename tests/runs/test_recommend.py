"""Who is asked for on the command line."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from recsys_tfrs.cli import cli
from recsys_tfrs.errors import UsageError
from recsys_tfrs.runs.recommend import Asked


@pytest.mark.parametrize(
    ("text", "history"),
    [("7 9 7", ("7", "9", "7")), (" 7\t9 ", ("7", "9")), ("The Net, Heat,", ("The Net", "Heat")), ("7", ("7",))],
)
def test_a_history_is_separated_by_spaces_or_commas(text: str, history: tuple[str, ...]) -> None:
    asked = Asked.of_history(text)
    assert asked == Asked("", history)
    assert asked.title == f"after {', '.join(history)}"


@pytest.mark.parametrize("text", ["", "  ", ", ,"])
def test_a_history_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="The history holds no item"):
        Asked.of_history(text)


@pytest.mark.parametrize("options", [[], ["--user", "1", "--history", "7"]])
def test_a_user_or_a_history_is_needed(options: list[str]) -> None:
    result = CliRunner().invoke(cli, ["recommend", "runs/latest", *options])
    assert result.exit_code == 2
    assert "Name a --user or a --history, one of the two." in result.output
