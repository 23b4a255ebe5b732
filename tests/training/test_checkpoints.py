"""Checkpoints appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.errors import RunError
from recsys_tfrs.files import write_atomically
from recsys_tfrs.training.averaging import AveragedWeights
from recsys_tfrs.training.checkpoints import CheckpointStore, LoopState


def make_model(units: int = 2) -> tf.keras.Model:
    model = tf.keras.Sequential([tf.keras.layers.Dense(units, kernel_initializer="zeros")])
    model.build([None, 3])
    model.compile(optimizer=tf.keras.optimizers.Adam(0.1), loss="mse")
    return model


def store_of(folder: Path, model: tf.keras.Model) -> CheckpointStore:
    return CheckpointStore(folder, model, AveragedWeights(model, 0.9))


def train_a_step(model: tf.keras.Model) -> None:
    model.train_on_batch(np.eye(3, dtype=np.float32), np.ones((3, model.output_shape[-1]), dtype=np.float32))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_empty_folder_is_a_fresh_start(tmp_path: Path) -> None:
    store = store_of(tmp_path / "new" / "folder", make_model())
    assert store.restore() == LoopState()
    assert store.best_weights is None


def test_model_optimizer_averages_best_weights_and_state_come_back(tmp_path: Path) -> None:
    model = make_model()
    averages = AveragedWeights(model, 0.9)
    store = CheckpointStore(tmp_path, model, averages)
    train_a_step(model)
    averages.update()
    store.best_weights = [np.full_like(w, 7.0) for w in model.get_weights()]
    state = LoopState(epoch=4, best_epoch=3, best_value=0.25, examples=10, seconds=1.5, log=[{"epoch": 1, "loss": 2.0}])
    store.save(state)

    other = make_model()
    other_averages = AveragedWeights(other, 0.9)
    restored = CheckpointStore(tmp_path, other, other_averages)
    assert restored.restore() == state
    for mine, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert (mine != 0).all()
    np.testing.assert_array_equal(other_averages.averages[0], averages.averages[0])
    assert float(other_averages.steps) == 1
    assert [w.tolist() for w in restored.best_weights] == [w.tolist() for w in store.best_weights]
    train_a_step(model)
    train_a_step(other)
    for mine, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)  # the optimizer's moments came back, too
    assert int(other.optimizer.iterations) == 2


def test_only_the_newest_checkpoint_and_the_best_weights_stay(tmp_path: Path) -> None:
    store = store_of(tmp_path, make_model())
    for epoch, best_epoch in ((1, 1), (2, 2), (3, 2)):
        store.best_weights = store._model.get_weights()
        store.save(LoopState(epoch=epoch, best_epoch=best_epoch))
    assert files(tmp_path) == {
        "epoch-000003.index",
        "epoch-000003.data-00000-of-00001",
        "epoch-000003.json",
        "best-000002.npz",
    }


def test_a_checkpoint_without_its_state_does_not_count(tmp_path: Path) -> None:
    """A kill while checkpoint 5 was being written: its tensors are there, its JSON file is not."""
    model = make_model()
    store = store_of(tmp_path, model)
    train_a_step(model)
    store.save(LoopState(epoch=4))
    kept = model.get_weights()
    train_a_step(model)
    tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(tmp_path / "epoch-000005"))
    (tmp_path / ".epoch-000005.json.tmp").write_text('{"epoch": 5', encoding="utf-8")

    other = make_model()
    assert store_of(tmp_path, other).restore().epoch == 4
    for mine, theirs in zip(other.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_what_a_kill_leaves_behind_does_not_hinder_the_next_checkpoint(tmp_path: Path) -> None:
    """TensorFlow writes shards into a folder and moves them out of it at the end."""
    store = store_of(tmp_path, make_model())
    shards = tmp_path / "epoch-000002_temp"
    shards.mkdir()
    (shards / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
    (tmp_path / ".epoch-000002.json.tmp").write_text("{", encoding="utf-8")
    store.save(LoopState(epoch=3))
    assert files(tmp_path) == {"epoch-000003.index", "epoch-000003.data-00000-of-00001", "epoch-000003.json"}


def test_a_checkpoint_of_another_model_is_refused_with_the_remedy(tmp_path: Path) -> None:
    store_of(tmp_path, make_model(units=2)).save(LoopState(epoch=1))
    wider, deeper = make_model(units=4), make_model(units=2)
    deeper.add(tf.keras.layers.Dense(2))
    for other in (wider, deeper):
        with pytest.raises(RunError, match=r"(?s)does not fit this model .* remove the unfinished run's folder"):
            store_of(tmp_path, other).restore()


def test_a_file_is_replaced_whole_or_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, "old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full_disk)
        with pytest.raises(OSError, match="No space left"):
            write_atomically(path, "new")
    assert path.read_text("utf-8") == "old"
    write_atomically(path, "newer")
    assert path.read_text("utf-8") == "newer"
    assert files(tmp_path) == {"state.json"}
