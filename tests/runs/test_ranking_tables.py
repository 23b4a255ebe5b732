"""Tables of examples as ranking runs see them."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_tfrs.config import build
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.runs import ranking_tables as module
from recsys_tfrs.runs.ranking_config import ranking_config
from recsys_tfrs.runs.ranking_fitting import build_ranker
from recsys_tfrs.runs.ranking_tables import TableData

NUM_ROWS = 5_000

Opened = Callable[..., TableData]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    path = tmp_path / "clicks.csv"
    path.write_text("click,x\n" + "".join(f"{int(i % 5 == 0)},{i % 7}\n" for i in range(NUM_ROWS)))
    load = module.load_examples

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def open_table(stream_above: int = 1 << 20, *, layer: dict[str, Any] | None = None, **data: Any) -> TableData:
        monkeypatch.setattr(module, "load_examples", lambda request: load(replace(request, stream_above=stream_above)))
        settings = {"family": "lr", "data": {"train": str(path), **data}}
        return TableData(build(ranking_config("lr"), [settings, layer or {}]))

    return open_table


@pytest.mark.parametrize("stream_above", [1 << 20, 0])
def test_negatives_are_left_out_of_what_is_fitted_alone(opened: Opened, stream_above: int) -> None:
    data = opened(stream_above, negative_rate=0.25)
    for fold in (selection := data.selection(), data.final(selection)):
        labels = fold.train.targets[:, 0]
        assert isinstance(fold.train.columns["__ids__"], np.memmap) == (stream_above == 0)
        assert fold.kept is not None
        assert fold.num_fitted == len(fold.kept) < len(fold.train)
        kept = labels[fold.kept]
        assert kept.sum() == labels.sum()
        negatives = len(labels) - labels.sum()
        # A quarter of them stay, give or take 4 standard deviations, sqrt(n x 0.25 x 0.75).
        assert abs(len(kept) - kept.sum() - negatives / 4) < 4 * np.sqrt(negatives * 3 / 16)
        assert fold.targets[0].mean == pytest.approx(kept.mean())
        assert fold.measured.targets.mean() == pytest.approx(0.2, abs=0.05)
    # A model that says what the kept rows say is corrected to what all rows say: odds of 1/4, not of about 1.
    untrained = build_ranker(data._config, fold).predict_examples(fold.measured)
    odds = untrained / (1 - untrained)
    np.testing.assert_allclose(odds, 0.25 * kept.sum() / (len(kept) - kept.sum()), rtol=1e-3)


def test_arrays_on_disk_go_with_the_table(opened: Opened, tmp_path: Path) -> None:
    data = opened(0)
    assert not list(tmp_path.glob("examples-*"))
    data.selection()
    assert len(list(tmp_path.glob("examples-*"))) == 1
    del data
    gc.collect()
    assert not list(tmp_path.glob("examples-*"))


def test_nothing_is_left_out_unless_asked_for(opened: Opened) -> None:
    fold = opened().selection()
    assert fold.kept is None
    assert fold.num_fitted == len(fold.train)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        ({"split": {"method": "random"}}, "split.method"),
        ({"split": {"method": "temporal"}}, "split.method"),
        ({"features": {"history": 5, "item_columns": ["x"]}}, "features.item_columns, features.history"),
        ({"data": {"core": 5, "negatives": 3}}, "data.core, data.negatives"),
        ({"data": {"dataset": "movielens-100k"}}, "data.dataset"),
    ],
)
def test_settings_that_nothing_is_done_with_are_refused(opened: Opened, layer: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"Nothing is done with {named} where the data is a table of examples: leave"):
        opened(layer=layer)


def simulated(**layer: Any) -> TableData:
    settings = {"family": "lr", "data": {"dataset": "simulated-clicks-small"}}
    return TableData(build(ranking_config("lr"), [settings, layer]))


def test_simulated_clicks_have_a_seed_of_their_own() -> None:
    def labels(**layer: Any) -> list[float]:
        chunk = next(iter(simulated(**layer).parts.train.chunks()))
        return list(next(iter(chunk.targets.values())))

    assert labels() == labels(data={"seed": 42}) == labels(seed=7)
    assert labels() != labels(data={"seed": 7})
    with pytest.raises(ConfigError, match=r"Nothing is done with split\.seed where .* simulated-clicks-small, whose"):
        simulated(split={"seed": 7})


def test_bad_rows_are_not_skipped(opened: Opened) -> None:
    with pytest.raises(ConfigError, match="--skip-bad-rows goes with interactions"):
        opened(skip_bad_rows=True)
