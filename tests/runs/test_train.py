"""A retrieval run from beginning to end, on little data: what it says of itself."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from recsys_tfrs.config import build
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.folder import start
from recsys_tfrs.runs.metrics_file import read_metrics
from recsys_tfrs.runs.train import train


@pytest.mark.parametrize(("seen", "refit"), [("kept", False), ("auto", True)])
def test_everything_written_names_the_rules_of_measuring(seen: str, refit: bool, tmp_path: Path) -> None:
    settings = {
        "family": "softmax",
        "data": {"dataset": "simulated-tiny", "num_rows": 1_500},
        "model": {"dim": 4, "hidden": [4], "hide": "any", "members": 1},
        "training": {"epochs": 1, "refit": refit},
        "evaluation": {"baselines": ["popularity"], "seen": seen},
    }
    shown = Console(file=io.StringIO(), width=200)
    path = train(build(family_config("softmax"), [settings]), start(tmp_path / "run", "softmax", resume=False), shown)
    metrics = read_metrics(path)
    assert (metrics.seen, metrics.refit) == ("kept" if seen == "kept" else "filtered", refit)
    assert metrics.num_pairs_seen == 0  # nobody rates a film twice
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    report, card = ((path / name).read_text(encoding="utf-8") for name in ("report.md", "model_card.md"))
    assert ("seen ones included" in text, "seen ones left out" in text) == (seen == "kept", seen != "kept")
    for file in (report, card):
        assert ("all items with those the user ha" in file) == (seen == "kept")
    assert ("refitted like the model" in report) == refit
    assert ("unlike the model" in card) != refit
