"""Two runs become one model, as a person would do it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from end_to_end.program import recsys

DATA = ["--dataset", "simulated-tiny", "--set", "training.epochs=2"]
RANKER = [*DATA, "--set", "target=click", "--set", "evaluation.importance=false", "--set", "training.jit_compile=false"]


@pytest.mark.slow
def test_retrieve_then_rank(tmp_path: Path) -> None:
    recsys("train", "two-tower", *DATA, "--set", "training.refit=false", "--out", tmp_path / "first", cwd=tmp_path)
    recsys("train", "item2vec", *DATA, "--out", tmp_path / "second", cwd=tmp_path)
    recsys("train", "fm", *RANKER, "--set", "training.refit=false", "--out", tmp_path / "ranker", cwd=tmp_path)
    recsys("train", "lr", *RANKER, "--split", "random", "--out", tmp_path / "other", cwd=tmp_path)
    runs = [tmp_path / "first", tmp_path / "ranker"]
    sources = ["--source", f"{tmp_path / 'second'}:20", "--source", "popularity", "--candidates", 60]
    done = recsys("export-cascade", *runs, *sources, "--diversify", 0.9, "--to", tmp_path / "models", cwd=tmp_path)
    assert "ndcg@10" in done.stdout
    folder = tmp_path / "models" / "cascade" / "1"
    manifest = json.loads((folder / "assets.extra/manifest.json").read_text())
    assert [(s["name"], s["quota"]) for s in manifest["sources"]] == [
        ("two-tower", 20),
        ("item2vec", 20),
        ("popularity", 20),
    ]
    assert manifest["metrics"].keys() == manifest["retrieval_metrics"].keys()
    checked = recsys("serve-check", folder, cwd=tmp_path)
    assert all(line.startswith("ok") for line in checked.stdout.splitlines())
    # The second run learned from the validation part.
    refused = recsys("export-cascade", *runs, *sources, "--retrieval-weight", "auto", cwd=tmp_path, check=False)
    assert "second learned from the validation part" in refused.stderr
    auto = recsys("export-cascade", *runs, "--candidates", 50, "--retrieval-weight", "auto", cwd=tmp_path)
    assert "chosen:" in auto.stdout
    assert (tmp_path / "ranker" / "cascade" / "1" / "saved_model.pb").is_file()
    for wrong, said in (
        ([runs[0], tmp_path / "other"], "same --dataset, --split"),
        ([runs[1], runs[1]], "is a ranking run"),
        ([runs[0], runs[0]], "is a retrieval run"),
    ):
        refused = recsys("export-cascade", *wrong, cwd=tmp_path, check=False)
        assert refused.returncode != 0
        assert said in refused.stderr
