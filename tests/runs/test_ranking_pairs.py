"""Interactions as ranking runs see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recsys_tfrs.runs.ranking_config import ranking_config
from recsys_tfrs.runs.ranking_pairs import PairData


def opened(path: Path, header: str = "user,item,timestamp,click", **layers: Any) -> PairData:
    rows = [f"u{k % 9},i{k % 7},{1_000_000 + k},{k % 2}" for k in range(120)]
    path.write_text("\n".join([header, *rows]) + "\n")
    data = {"dataset": str(path), **layers.pop("data", {})}
    return PairData(ranking_config("lr").model_validate({"family": "lr", "data": data, **layers}))


def unread(data: PairData) -> list[str]:
    return [note for note in data.notes if "is not read" in note]


def test_a_label_among_interactions_is_pointed_out(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    assert unread(opened(path)) == [
        "Column 'click' of log.csv is not read: every row is an interaction. If it says what came of each row, it is a "
        "label: add --columns label=click."
    ]
    assert unread(opened(path, "user,item,timestamp,seconds")) == []
    # Somebody who says what the column is has thought about it.
    assert unread(opened(path, data={"columns": {"click": "categorical"}})) == []
    assert unread(opened(path, data={"columns": {"rating": "click"}})) == []


@pytest.mark.parametrize(("split", "expected"), [({}, "temporal"), ({"method": "random"}, "random")])
def test_interactions_are_split_by_time_unless_told_otherwise(
    tmp_path: Path, split: dict[str, str], expected: str
) -> None:
    assert opened(tmp_path / "log.csv", split=split).split == expected
