"""A ranking model of either kind of data is exported with what it was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from recsys_tfrs.runs.ranking_config import ranking_config
from recsys_tfrs.runs.ranking_export import write_ranking_export
from recsys_tfrs.runs.ranking_fitting import build_ranker
from recsys_tfrs.runs.ranking_pairs import PairData
from recsys_tfrs.runs.ranking_tables import TableData
from recsys_tfrs.serving import stranger
from recsys_tfrs.serving.folders import MANIFEST
from recsys_tfrs.serving.stranger import Export

MODEL = {"dim": 2, "hidden": [4]}
FACTS = {"family": "deepfm", "targets": [{"name": "like", "metrics": {"auc": 0.5}, "intervals": {}}]}


def predicts(path: Path) -> bool:
    """Whether an export predicts what is recorded of the model."""
    export = Export(path)
    return all(check(export) for check in (stranger.files, stranger.load, stranger.predictions))


def test_interactions(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = [f"u{draw.integers(9)},i{draw.integers(12)},{draw.integers(1, 6)},{time}" for time in range(120)]
    (tmp_path / "data.csv").write_text("\n".join(["user,item,rating,timestamp", *rows]))
    config = ranking_config("deepfm").model_validate(
        {"family": "deepfm", "data": {"dataset": str(tmp_path / "data.csv")}, "model": MODEL}
    )
    data = PairData(config)
    fold = data.final(data.selection())
    model = build_ranker(config, fold)
    path = write_ranking_export(model, data, fold, FACTS, tmp_path / "model", store_histories=False)
    assert predicts(path)
    manifest = json.loads((path / MANIFEST).read_text())
    assert manifest["num_items"] == data.interactions.num_items
    assert manifest["stored_histories"] is False
    assert manifest["targets"][0]["metrics"] == {"auc": 0.5}


def test_a_table(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = [f"{int(draw.random() < 0.5)},{draw.choice(['a', 'b'])},{draw.integers(9)}.5" for _ in range(200)]
    (tmp_path / "data.csv").write_text("\n".join(["click,my site,price", *rows]))
    data = {"dataset": str(tmp_path / "data.csv"), "columns": {"label": "click"}}
    config = ranking_config("deepfm").model_validate({"family": "deepfm", "data": data, "model": MODEL})
    table = TableData(config)
    fold = table.final(table.selection())
    path = write_ranking_export(build_ranker(config, fold), table, fold, FACTS, tmp_path / "model")
    assert predicts(path)
    function = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert set(function.structured_input_signature[1]) == {"my_site", "price", "without"}
