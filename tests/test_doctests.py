"""Examples in docstrings show what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "recsys_tfrs").rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_metrics_splits_and_configuration_have_examples() -> None:
    assert {"recsys_tfrs.evaluation.metrics", "recsys_tfrs.data.splits", "recsys_tfrs.config"} <= set(MODULES)
