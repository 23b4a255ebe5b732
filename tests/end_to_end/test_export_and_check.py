"""Exports of a finished run, checked by a stranger's process, and recommendations in bulk."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from end_to_end.program import Done, program, recsys

Trained = tuple[Path, Done]

CHECKS = [
    "files",
    "operations",
    "load",
    "signatures",
    "warm-up",
    "scores",
    "recommendations",
    "batches",
    "exclusion",
    "limits",
    "alone",
]


def verdicts(printed: str) -> list[tuple[str, str]]:
    """``(verdict, check)`` line by line."""
    return [(line.split()[0], line.split()[1]) for line in printed.splitlines()]


def test_the_manifest_holds_everything_known_of_the_model(trained: Trained) -> None:
    run, _ = trained
    manifest = json.loads((run / "saved_model/1/assets.extra/manifest.json").read_text(encoding="utf-8"))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    for name in ("family", "dataset", "split", "split_hash", "seed", "metrics", "intervals", "baselines", "slices"):
        assert manifest[name] == metrics[name], name
    assert manifest["config"]["model"]["dim"] == 32
    assert manifest["index_audit"] == metrics["index"]
    assert manifest["index_audit"]["recall@10"] == 1
    assert set(manifest["vocabulary_hash"]) == {"users", "items"}
    assert {"tensorflow", "tensorflow-recommenders", "recsys-tfrs"} <= set(manifest["versions"])
    card = (run / "model_card.md").read_text(encoding="utf-8")
    assert card == (run / "saved_model/1/assets.extra/model_card.md").read_text(encoding="utf-8")
    assert f"| **two-tower** | {metrics['metrics']['hit@10']:.4f} [" in card


def test_what_training_exports_stands_on_its_own(trained: Trained) -> None:
    run, _ = trained
    done = program("serve-check", run, cwd=run.parent)
    assert verdicts(done.stdout) == [("ok", check) for check in CHECKS]
    assert "stock TensorFlow only" in done.stdout
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform != "linux", reason="ScaNN exists for Linux only")
def test_an_export_with_scann_and_without_histories(trained: Trained, tmp_path: Path) -> None:
    run, _ = trained
    before = sorted(p.relative_to(run) for p in run.rglob("*"))
    done = program("export", run, "--index", "scann", "--to", tmp_path, "--no-histories", "--max-k", 20, cwd=tmp_path)
    assert done.stderr == ""
    folder = tmp_path / "retrieval" / "1"
    assert str(folder) in done.stdout
    assert sorted(p.relative_to(run) for p in run.rglob("*")) == before
    manifest = json.loads((folder / "assets.extra/manifest.json").read_text(encoding="utf-8"))
    assert (manifest["stored_histories"], manifest["max_k"]) == (False, 20)
    assert manifest["index_audit"]["kind"] == "scann-flat"
    # Nobody's history stands in the files that come along, either.
    expected = json.loads((folder / "assets.extra/expected.json").read_text(encoding="utf-8"))
    trained_with = json.loads((run / "saved_model/1/assets.extra/expected.json").read_text(encoding="utf-8"))
    real = {user["inputs"]["user_id"][0]: user["seen"] for user in trained_with["users"] if user["seen"]}
    told = {user["inputs"]["user_id"][0]: user["seen"] for user in expected["users"] if user["seen"]}
    assert len(told) == len(real) == 16
    assert not [user for user, seen in told.items() if seen == real.get(user)]
    assert max(len(seen) for seen in told.values()) <= 20 < max(len(seen) for seen in real.values())
    checked = recsys("serve-check", tmp_path / "retrieval", cwd=tmp_path)
    assert verdicts(checked.stdout) == [("ok", check) for check in CHECKS]
    assert "needs Scann>" in checked.stdout


def test_recommendations_for_everybody_in_a_file(trained: Trained, tmp_path: Path) -> None:
    run, _ = trained
    (tmp_path / "users.csv").write_text("user_id\n7\nnobody\n")
    arguments = ["batch-recommend", run, "--users", "users.csv", "--out", "lists.parquet", "-k", 3]
    done = recsys(*arguments, cwd=tmp_path)
    assert "2 users, 1 of them unknown to the model" in done.stdout
    rows = pq.read_table(tmp_path / "lists.parquet").to_pylist()
    assert [(row["user_id"], row["user_known"], len(row["item_ids"])) for row in rows] == [
        ("7", True, 3),
        ("nobody", False, 3),
    ]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ScaNN exists for Linux only")
def test_the_index_is_tuned_and_the_catalogue_changed_without_training(trained: Trained, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    weights = (run / "checkpoints/model.data-00000-of-00001").read_bytes()
    recsys("index", run, "--recall", "0.9", cwd=tmp_path)
    record = json.loads((run / "index.json").read_text(encoding="utf-8"))
    assert record["settings"]["kind"].startswith("scann")
    assert record["index"]["recall@10"] >= 0.85  # on the users it was not tuned on
    assert record["exact"]["recall@10"] == 1

    best = json.loads((run / "saved_model/1/assets.extra/expected.json").read_text(encoding="utf-8"))["users"][0]
    (tmp_path / "gone.txt").write_text(f"{best['items'][0]}\n")
    done = recsys("index", run, "--remove", "gone.txt", cwd=tmp_path)
    assert str(run / "saved_model" / "2") in done.stdout
    changed = json.loads((run / "saved_model/2/assets.extra/expected.json").read_text(encoding="utf-8"))["users"][0]
    assert changed["items"][:5] == best["items"][1:6]
    assert (run / "checkpoints/model.data-00000-of-00001").read_bytes() == weights
