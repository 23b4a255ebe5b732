"""A whole content run on a folder of files, what it leaves behind, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import tensorflow as tf
from rich.console import Console

from recsys_tfrs.config import build, read_toml
from recsys_tfrs.data.assemble import Policy
from recsys_tfrs.data.simulated_content import ContentConfig, write_content
from recsys_tfrs.data.tables import load_table
from recsys_tfrs.errors import ConfigError, RunError, SplitError, UsageError
from recsys_tfrs.runs import content_report
from recsys_tfrs.runs.content_config import content_config
from recsys_tfrs.runs.content_data import open_content
from recsys_tfrs.runs.dispatch import run_config, train_family
from recsys_tfrs.runs.families import train_and_compare
from recsys_tfrs.runs.folder import open_run, start
from recsys_tfrs.serving.check import check_export
from recsys_tfrs.training.checkpoints import LoopState

CONSOLE = Console(quiet=True)
SMALL: dict[str, Any] = {
    "family": "content-cnn",
    "features": {"image_size": 8},
    "model": {"channels": [16, 16], "vector": 4, "dropout": 0.0},
    "training": {"epochs": 12, "batch_size": 16, "learning_rate": 0.01},
    "evaluation": {"precision": 0.6},
}
NUM_ITEMS, KNOWN = 240, 200
IDS = np.array([f"item {place}" for place in range(NUM_ITEMS)], dtype=object)
GENRES = np.random.default_rng(0).integers(0, 4, NUM_ITEMS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Posters of items; the attribute of the last 40 is not known; one file is damaged, one item without content."""
    base = tmp_path_factory.mktemp("content")
    write_content(base / "posters", IDS, GENRES, 4, "image", ContentConfig(snr_db=20.0, image_size=8))
    (base / "posters" / "damaged.png").write_bytes(b"\x89PNG and nothing else")
    rows = [f"{i},{f'g{g}' if place < KNOWN else ''}" for place, (i, g) in enumerate(zip(IDS, GENRES, strict=True))]
    (base / "items.csv").write_text("\n".join(["item_id,genre", *rows, "silent,", "known,g1"]) + "\n")
    return base


def settings(folder: Path, **further: Any) -> list[dict[str, Any]]:
    return [SMALL, {"data": {"dataset": str(folder / "posters"), "items": str(folder / "items.csv")}}, further]


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    config = build(run_config("content-cnn"), settings(folder))
    return train_family(config, start(folder / "run", "content-cnn", resume=False), CONSOLE)


class TestRun:
    def test_figures(self, run: Path) -> None:
        metrics = json.loads((run / "metrics.json").read_text())
        assert metrics["kind"] == "content"
        assert metrics["classes"] == ["g0", "g1", "g2", "g3"]
        counts = {"num_train": 128, "num_validation": 32, "num_test": 40, "num_to_fill": 40}
        assert metrics["counts"] == {**metrics["counts"], **counts}
        assert metrics["metrics"]["accuracy"] > 0.6 > metrics["chance"]
        assert np.sum(metrics["confusion"]) == 40
        assert any("skipped: 1." in note and "damaged.png" in note for note in metrics["dataset_notes"])

    def test_what_lies_in_the_folder(self, run: Path) -> None:
        names = {path.name for path in run.iterdir()}
        assert {"report.md", "model_card.md", "confusion.png", "reliability.png", "items.parquet"} <= names
        config = build(content_config("content-cnn"), [read_toml(run / "config.toml")])
        assert config.features.image_size == 8
        assert "no other value can be predicted" in (run / "report.md").read_text()
        assert "cannot be predicted" in (run / "model_card.md").read_text()

    def test_the_table_holds_what_was_known_and_what_is_predicted(self, run: Path) -> None:
        table = pyarrow.parquet.read_table(run / "items.parquet").to_pydict()
        genre = dict(zip(table["item_id"], table["genre"], strict=True))
        true = dict(zip(IDS, (f"g{g}" for g in GENRES), strict=True))
        assert all(genre[item] == true[item] for item in IDS[:KNOWN])
        filled = [item for item in IDS[KNOWN:] if genre[item] is not None]
        assert len(filled) > 20
        assert np.mean([genre[item] == true[item] for item in filled]) > 0.6
        assert (genre["silent"], genre["known"]) == (None, "g1")
        place = table["item_id"].index("silent")
        assert table["genre_g0"][place] is None
        assert table["genre_vector_4"][place] is None
        chances = np.array([table[f"genre_g{g}"][:NUM_ITEMS] for g in range(4)])
        np.testing.assert_allclose(chances.sum(axis=0), 1.0, atol=1e-5)

    def test_other_families_read_it(self, run: Path, tmp_path: Path) -> None:
        (tmp_path / "clicks.csv").write_text("user,item\na,item 1\nb,item 230\na,silent\nb,item 3\n")
        data = load_table(tmp_path / "clicks.csv", {}, Policy(), items=run / "items.parquet")
        assert {column.kind.value for name, column in data.item_features.items() if name != "genre"} == {"numeric"}
        silent = list(data.item_ids).index("silent")
        assert data.item_features["genre"].values[silent] == ""
        assert np.isnan(data.item_features["genre_vector_1"].values[silent])

    @pytest.mark.slow
    def test_the_export_stands_on_its_own(self, run: Path) -> None:
        verdicts = {verdict.check: verdict for verdict in check_export(run)}
        assert {"descriptions", "batches", "damage", "alone"} <= set(verdicts)
        assert [v for v in verdicts.values() if not v.passed] == []

    def test_bytes_in_and_the_table_out(self, run: Path, folder: Path) -> None:
        served = tf.saved_model.load(str(run / "saved_model" / "1")).signatures["serving_default"]
        asked = IDS[-8:].tolist()
        contents = [(folder / "posters" / f"{item}.png").read_bytes() for item in asked]
        answered = {name: tensor.numpy() for name, tensor in served(contents=tf.constant(contents)).items()}
        table = pyarrow.parquet.read_table(run / "items.parquet").to_pydict()
        rows = [table["item_id"].index(item) for item in asked]
        for place, name in enumerate(("g0", "g1", "g2", "g3")):
            expected = [table[f"genre_{name}"][row] for row in rows]
            np.testing.assert_allclose(answered["probability"][:, place], expected, atol=1e-5)
        assert [a.decode() or None for a in answered["attribute"]] == [table["genre"][row] for row in rows]

    def test_verbs_of_recommenders_say_what_it_is(self, run: Path, tmp_path: Path) -> None:
        with pytest.raises(RunError, match=r"describes items and recommends none: give its items\.parquet"):
            open_run(run)
        with pytest.raises(UsageError, match="content-cnn describes items"):
            train_and_compare(["mf", "content-cnn"], [], tmp_path, CONSOLE)

    @pytest.mark.slow
    def test_a_second_run_repeats_the_first(self, run: Path, folder: Path) -> None:
        config = build(run_config("content-cnn"), [read_toml(run / "config.toml")])
        again = train_family(config, start(folder / "again", "content-cnn", resume=False), CONSOLE)
        first, second = (json.loads((path / "metrics.json").read_text()) for path in (run, again))
        for name in ("metrics", "confusion", "temperature", "threshold", "split_hash"):
            assert first[name] == second[name], name


def test_the_curve_is_of_the_metric_that_training_went_by(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, bool]] = []

    def draw(state: LoopState, metric: str, path: Path) -> None:
        drawn.append((metric, f"validation_{metric}" in state.log[-1]))

    monkeypatch.setattr(content_report, "plot_training", draw)
    config = build(run_config("content-cnn"), [*settings(folder), {"training": {"epochs": 1, "metric": "accuracy"}}])
    train_family(config, start(tmp_path / "run", "content-cnn", resume=False), CONSOLE)
    assert drawn == [("accuracy", True)]


class TestRefused:
    def test_content_without_a_table(self, folder: Path) -> None:
        config = build(run_config("content-cnn"), [SMALL, {"data": {"dataset": str(folder / "posters")}}])
        with pytest.raises(UsageError, match="name with --items a table"):
            open_content(config)  # type: ignore[arg-type]

    def test_simulated_content_with_a_table(self, folder: Path) -> None:
        layers = [SMALL, {"data": {"items": str(folder / "items.csv")}}]
        with pytest.raises(UsageError, match="knows its items itself"):
            open_content(build(run_config("content-cnn"), layers))  # type: ignore[arg-type]

    def test_file_names_that_are_no_ids(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "other.csv").write_text("item_id,genre\na,g1\nb,g2\n")
        layers = [*settings(folder), {"data": {"items": str(tmp_path / "other.csv")}}]
        with pytest.raises(SplitError, match="check that file names are item ids"):
            open_content(build(run_config("content-cnn"), layers))  # type: ignore[arg-type]

    def test_settings_that_do_not_go_together(self, folder: Path) -> None:
        with pytest.raises(ConfigError, match="refit must be false"):
            build(run_config("content-cnn"), settings(folder, training={"refit": True}))
        with pytest.raises(ConfigError, match="item=NAME is the only role, not user"):
            build(run_config("content-cnn"), [*settings(folder), {"data": {"columns": {"user": "u"}}}])

    def test_a_value_that_training_lacks_is_left_out(self, tmp_path: Path) -> None:
        """Two of forty items have a value of their own, and some draw withholds both."""
        posters = write_content(tmp_path / "few", IDS[:40], GENRES[:40], 4, "image", ContentConfig(image_size=8))
        values = np.where(GENRES[:40] < 2, "g0", "g1").astype(object)
        values[[3, 5]] = "rare"
        rows = [f"{item},{value}" for item, value in zip(IDS[:40], values, strict=True)]
        (tmp_path / "items.csv").write_text("\n".join(["item_id,genre", *rows]) + "\n")
        read = {"data": {"dataset": str(posters), "items": str(tmp_path / "items.csv")}}
        for seed in range(40):
            config = build(run_config("content-cnn"), [SMALL, read, {"split": {"seed": seed}}])
            data = open_content(config)  # type: ignore[arg-type]
            withheld = np.concatenate([data.validation, data.test])
            assert (data.labels[withheld] >= 0).all()
            if "rare" not in data.classes:
                assert any("cannot name: " in note for note in data.notes)
                return
        pytest.fail("no draw withheld both of them")


@pytest.mark.slow
def test_the_command_line_on_simulated_clips(tmp_path: Path) -> None:
    command = ["train", "content-cnn", "--set", "data.num_items=320", "--set", "data.snr_db=20", "--out", "run"]
    done = subprocess.run(
        [sys.executable, "-m", "recsys_tfrs", *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "items.parquet: for --items of any other family" in done.stdout
