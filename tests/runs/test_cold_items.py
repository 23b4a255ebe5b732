"""Cold items measured by what is known of items: chance where nothing is, and more where their genre is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from rich.console import Console

from recsys_tfrs.data.simulated_catalogue import GENRE, Catalogue, simulate_catalogue
from recsys_tfrs.runs.cold_items import ColdItems, item_columns, measure_cold_items, share_of_gain, with_columns
from recsys_tfrs.schema import Kind


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return simulate_catalogue(240, seed=3)


@pytest.fixture(scope="module")
def measured(catalogue: Catalogue) -> dict[str, ColdItems]:
    known = {"ids": {}, "genre": {GENRE: catalogue.true_genres}}
    found = {}
    for name, columns in known.items():
        prepared = with_columns(catalogue.interactions, catalogue.split(), columns, 1)
        training = prepared.config.training.model_copy(update={"epochs": 4})
        few = replace(prepared, config=prepared.config.model_copy(update={"training": training}))
        found[name] = measure_cold_items(few, Console(quiet=True))
    return found


@pytest.mark.slow
def test_ids_say_nothing_of_cold_items(catalogue: Catalogue, measured: dict[str, ColdItems]) -> None:
    """All of them tie, so that recall@20 is 20 of as many as there are."""
    num_cold = len(np.unique(catalogue.interactions.items[catalogue.split().test]))
    assert measured["ids"].among_cold.metrics["recall@20"] == pytest.approx(20 / num_cold)


@pytest.mark.slow
def test_a_genre_does(measured: dict[str, ColdItems]) -> None:
    low, _ = measured["genre"].among_cold.intervals["recall@20"]
    assert low > 1.2 * measured["ids"].among_cold.metrics["recall@20"]


@pytest.mark.slow
def test_share_of_gain(measured: dict[str, ColdItems]) -> None:
    nothing, everything = measured["ids"].among_cold, measured["genre"].among_cold
    assert share_of_gain(nothing, everything, everything, k=20) == pytest.approx((1.0, 1.0, 1.0))
    assert share_of_gain(nothing, everything, nothing, k=20) == pytest.approx((0.0, 0.0, 0.0))


def test_columns_of_a_table_stand_where_the_items_do(catalogue: Catalogue, tmp_path: Path) -> None:
    ids = catalogue.interactions.item_ids
    table = pa.table({"item_id": [ids[5], ids[2], "elsewhere"], "genre": ["x", "y", "x"], "loud": [0.5, 0.25, 1.0]})
    pyarrow.parquet.write_table(table, tmp_path / "items.parquet")
    columns = item_columns(tmp_path / "items.parquet", catalogue.interactions)
    assert columns["loud"].kind is Kind.NUMERIC
    assert len(columns["loud"].values) == len(ids)
    np.testing.assert_allclose(columns["loud"].values[[0, 2, 5]], [np.nan, 0.25, 0.5])
    assert list(columns["genre"].values[[0, 2, 5]]) == ["", "y", "x"]
