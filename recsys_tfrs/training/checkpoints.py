"""Checkpoints that appear whole or not at all, and that a killed run continues from exactly.

A checkpoint is TensorFlow's own (model and optimizer) plus a JSON file with the state of the loop. The JSON file is
written last and atomically, so a checkpoint without one does not count.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.errors import RunError
from recsys_tfrs.files import write_atomically
from recsys_tfrs.training.averaging import AveragedWeights

Weights = list[NDArray[np.float32]]


@dataclass
class LoopState:
    """Where a fit stands.

    Attributes:
      epoch: epochs completed.
      best_epoch: epoch with the best validation metric; 0 before the first look.
      best_value: that metric.
      looks_without_improvement: since the best epoch.
      finished: whether the loop ended by itself.
      examples: interactions trained on in timed steps.
      seconds: time of those steps.
      log: one dict per epoch: epoch, loss, and the validation metrics where it was looked at.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_value: float = -1.0
    looks_without_improvement: int = 0
    finished: bool = False
    examples: int = 0
    seconds: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)


def get_weights(model: tf.keras.Model) -> Weights:
    """Values of all variables; not the vocabularies, which Keras counts as weights and numpy could only pickle."""
    return [variable.numpy() for variable in _variables(model)]


def set_weights(model: tf.keras.Model, weights: Weights) -> None:
    """Put back what `get_weights` returned."""
    for variable, value in zip(_variables(model), weights, strict=True):
        variable.assign(value)


def _variables(model: tf.keras.Model) -> list[tf.Variable]:
    return [weight for weight in model.weights if isinstance(weight, tf.Variable)]


class CheckpointStore:
    """The checkpoints of one fit, newest kept, in one folder.

    Args:
      folder: where they lie; made if absent.
      model: the model, built and compiled.
      averages: of its weights.

    Attributes:
      best_weights: weights of the best epoch so far, saved beside the newest ones.
    """

    def __init__(self, folder: Path, model: tf.keras.Model, averages: AveragedWeights) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._model = model
        self._checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer, averages=averages)
        self.best_weights: Weights | None = None

    def save(self, state: LoopState) -> None:
        """Write model, optimizer, best weights and loop state, then forget the checkpoints before."""
        name = f"epoch-{state.epoch:06d}"
        self._checkpoint.write(str(self._folder / name))
        if self.best_weights is not None:
            best = self._folder / f"best-{state.best_epoch:06d}.npz"
            if not best.exists():
                temporary = best.with_name(f".{best.stem}.tmp.npz")
                np.savez(temporary, *self.best_weights)
                temporary.replace(best)
        write_atomically(self._folder / f"{name}.json", json.dumps(asdict(state)))
        for old in self._folder.iterdir():
            keep = (name, f"best-{state.best_epoch:06d}")
            if old.name.startswith(keep):
                continue
            if old.is_dir():  # what a kill in the middle of writing leaves behind
                shutil.rmtree(old)
            else:
                old.unlink()

    def restore(self) -> LoopState:
        """Load the newest whole checkpoint into model and optimizer; a fresh state where there is none.

        Raises:
          RunError: the checkpoint does not fit the model.
        """
        # The optimizer's variables have to be there to be restored; and a first step that created them would be
        # traced twice.
        self._model.optimizer.build(self._model.trainable_variables)
        newest = max(self._folder.glob("epoch-*.json"), default=None)
        if newest is None:
            return LoopState()
        state = LoopState(**json.loads(newest.read_text()))
        try:
            self._checkpoint.read(str(newest.with_suffix(""))).assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise RunError(
                f"The checkpoint {newest.with_suffix('')} does not fit this model ({error}): remove the unfinished "
                "run's folder and train again."
            ) from None
        best = self._folder / f"best-{state.best_epoch:06d}.npz"
        if best.exists():
            with np.load(best) as arrays:
                self.best_weights = [arrays[name] for name in arrays.files]
        return state
