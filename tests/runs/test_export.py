from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from recsys_tfrs.config import build
from recsys_tfrs.errors import DataError
from recsys_tfrs.index.config import IndexConfig
from recsys_tfrs.runs import export as module
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.export import _facts, audited, choose_index, export_run
from recsys_tfrs.runs.folder import card_to


def scorer(num_items: int = 40, broken: int | None = None) -> Any:
    vectors = np.random.default_rng(0).normal(size=(num_items + 1, 4)).astype(np.float32)
    if broken is not None:
        vectors[broken, 2] = np.nan
    return SimpleNamespace(candidates=vectors, queries=lambda users: vectors[users])


class TestChoice:
    def test_auto_is_what_the_configuration_says(self) -> None:
        assert choose_index(scorer(), IndexConfig(), "auto").kind == "exact"

    def test_exact_overrides_the_configuration(self) -> None:
        assert choose_index(scorer(), IndexConfig(kind="scann-tree"), "exact").kind == "exact"

    @pytest.mark.skipif(sys.platform != "linux", reason="ScaNN exists for Linux only")
    def test_scann_goes_by_size_where_the_configuration_does_not_name_a_kind(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert choose_index(scorer(), IndexConfig(), "scann").kind == "scann-flat"
        assert choose_index(scorer(), IndexConfig(kind="exact"), "scann").kind == "scann-flat"
        assert choose_index(scorer(), IndexConfig(kind="scann-tree", num_leaves=4), "scann").kind == "scann-tree"
        monkeypatch.setattr("recsys_tfrs.runs.export.FLAT_BELOW", 40)
        assert choose_index(scorer(), IndexConfig(num_leaves=4), "scann").kind == "scann-tree"

    @pytest.mark.parametrize("choice", ["auto", "exact", "scann"])
    def test_vectors_that_are_no_numbers(self, choice: Any) -> None:
        if choice == "scann" and sys.platform != "linux":
            pytest.skip("ScaNN exists for Linux only")
        with pytest.raises(DataError, match=r"not finite \(the first is that of internal id 7\)"):
            choose_index(scorer(broken=7), IndexConfig(), choice)


def test_the_index_is_audited_with_test_users_alone() -> None:
    index = choose_index(scorer(), IndexConfig(), "exact")
    users = np.array([3, 1, 3, 2])
    split = SimpleNamespace(test=np.array([0, 2, 3]))
    prepared = SimpleNamespace(interactions=SimpleNamespace(users=users), split=split)
    figures = audited(prepared, scorer(), index)  # type: ignore[arg-type]
    assert figures["num_queries"] == 2  # users 3 and 2
    assert figures["recall@10"] == 1
    split.test = np.array([], dtype=np.int64)
    with pytest.raises(DataError, match="no test users"):
        audited(prepared, scorer(), index)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "model", "items"),
    [
        ("two-tower", {}, 50),
        ("item2vec", {}, 50),
        ("gru", {"max_length": 20}, 20),
        ("gru", {"examples": "windows", "window": 5}, 5),
        ("gru", {"max_length": 200}, 50),
        ("session-cnn", {"window": 4}, 4),
        ("mf", {}, None),
        ("deep-mf", {}, None),
    ],
)
def test_an_export_records_how_much_of_a_history_a_query_reads(
    family: str, model: dict[str, Any], items: int | None
) -> None:
    layer = {"family": family, "model": model, "features": {"max_history": 50}}
    prepared: Any = SimpleNamespace(config=build(family_config(family), [layer]))
    metrics: Any = SimpleNamespace(model_dump=lambda mode: defaultdict(str))
    assert _facts(prepared, metrics, {})["history_items"] == items


def test_items_added_are_known_by_the_id_column_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def stop(*arguments: Any, **named: Any) -> None:
        given.update(named)
        raise InterruptedError

    config = build(family_config("two-tower"), [{"family": "two-tower", "data": {"columns": {"item": "sku"}}}])
    opened = SimpleNamespace(run=tmp_path, prepared=SimpleNamespace(config=config, interactions=None))
    monkeypatch.setattr(module, "open_run", lambda path: path)
    monkeypatch.setattr(module, "reopen", lambda path: opened)
    monkeypatch.setattr(module, "changed", stop)
    with pytest.raises(InterruptedError):
        export_run(tmp_path, Console(quiet=True), items=tmp_path / "new.csv")
    assert given["id_column"] == "sku"


def test_the_card_lies_in_the_run_as_well(tmp_path: Path) -> None:
    extra = tmp_path / "saved_model" / "1" / "assets.extra"
    extra.mkdir(parents=True)
    (extra / "model_card.md").write_text("# Card ä", encoding="utf-8")
    card_to(tmp_path / "saved_model" / "1", tmp_path)
    assert (tmp_path / "model_card.md").read_text(encoding="utf-8") == "# Card ä"
