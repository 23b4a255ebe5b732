"""Fit a model on batches of any kind with Keras's own `fit`; exact to resume."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from recsys_tfrs.training.averaging import AveragedWeights, Averaging
from recsys_tfrs.training.callbacks import (
    Checkpointing,
    ProgressBar,
    StopOnNaN,
    Throughput,
    Validate,
    Validation,
)
from recsys_tfrs.training.checkpoints import CheckpointStore, LoopState, set_weights
from recsys_tfrs.training.config import TrainingConfig
from recsys_tfrs.training.lazy_adam import LazyAdam


class Batches(Protocol):
    """Training batches that can start at any global step."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one pass."""

    @property
    def examples_per_epoch(self) -> int:
        """Interactions of one pass."""

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """Endless batches from a global step on."""


@dataclass(frozen=True)
class Phase:
    """One fit of a run.

    Attributes:
      name: ``selection`` or ``refit``; names folders and the progress bar.
      epochs: most epochs to train.
      validate: measures the model, or None to train all the epochs.
    """

    name: str
    epochs: int
    validate: Validate | None


#: Rows of a table from which on `optimizer = "auto"` is lazy.
LARGE_TABLE = 100_000

#: Weights whose average is kept up to date in every step; of more, it is every so many times this that there are.
_AVERAGED_EACH_STEP = 10_000_000


def make_optimizer(
    config: TrainingConfig, steps_per_epoch: int | None = None, largest_table: int = 0
) -> tf.keras.optimizers.Optimizer:
    """Adam (Kingma and Ba, 2015) as configured.

    A step size that falls is a function of the optimizer's own count of steps, which checkpoints hold, and of the
    most epochs allowed, so that resumed runs and refits that stop early take the steps of the run they repeat.

    Args:
      config: how to fit.
      steps_per_epoch: needed where the step size falls.
      largest_table: rows of the largest table of the model, by which ``auto`` goes.

    Raises:
      ValueError: it is needed and was not given.
    """
    is_lazy = config.optimizer == "lazy-adam" or (config.optimizer == "auto" and largest_table > LARGE_TABLE)
    adam = LazyAdam if is_lazy else tf.keras.optimizers.Adam
    if config.learning_rate_decay == "none":
        return adam(config.learning_rate)
    if steps_per_epoch is None:
        raise ValueError("learning_rate_decay = 'linear' needs to know how many steps there are: give steps_per_epoch.")
    falling = tf.keras.optimizers.schedules.PolynomialDecay(
        config.learning_rate, decay_steps=config.epochs * steps_per_epoch, end_learning_rate=0.0
    )
    return adam(falling)


def largest_table(model: tf.keras.Model) -> int:
    """Rows of the largest table of a model."""
    return max((int(weight.shape[0]) for weight in model.trainable_variables if weight.shape.rank), default=0)


def averaging_interval(model: tf.keras.Model) -> int:
    """Steps between which the average of the weights is not updated, so that it costs little beside them."""
    num_weights = sum(int(weight.shape.num_elements()) for weight in model.trainable_variables)
    return max(1, num_weights // _AVERAGED_EACH_STEP)


class _WithoutTimingAdvice(logging.Filter):
    """Withhold Keras's advice that a callback is slow: ours wait for the step's result, which is the step's time."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to show the record."""
        return "is slow compared to the batch time" not in record.getMessage()


@contextmanager
def _without_timing_advice() -> Iterator[None]:
    logger, withhold = logging.getLogger("tensorflow"), _WithoutTimingAdvice()
    logger.addFilter(withhold)
    try:
        yield
    finally:
        logger.removeFilter(withhold)


def fit(
    model: tf.keras.Model, batches: Batches, phase: Phase, config: TrainingConfig, run_folder: Path, console: Console
) -> LoopState:
    """Train, continuing from the newest checkpoint of this phase where there is one.

    The model ends with averaged weights: with a `validate`, those of its best epoch, otherwise those of the last.

    Args:
      model: built and compiled.
      batches: what to train on.
      phase: how long, and against what.
      config: how.
      run_folder: checkpoints go to ``checkpoints/<phase>``, TensorBoard logs to ``logs/<phase>``.
      console: where the progress bar is drawn.

    Raises:
      TrainingError: the loss is no longer finite.
      RunError: the checkpoint belongs to another model.
    """
    averages = AveragedWeights(model, config.average_decay, averaging_interval(model))
    store = CheckpointStore(run_folder / "checkpoints" / phase.name, model, averages)
    state = store.restore()
    # A run killed between its last look and its last checkpoint has nothing left to train.
    if not state.finished and state.looks_without_improvement < config.patience:
        _run(model, batches, phase, config, run_folder, console, state, store, averages)
    averages.adopt()
    if phase.validate is not None and store.best_weights is not None:
        set_weights(model, store.best_weights)
    return state


def _run(
    model: tf.keras.Model,
    batches: Batches,
    phase: Phase,
    config: TrainingConfig,
    run_folder: Path,
    console: Console,
    state: LoopState,
    store: CheckpointStore,
    averages: AveragedWeights,
) -> None:
    steps = batches.steps_per_epoch
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[detail]}"))
    with Progress(*columns, console=console, refresh_per_second=4) as progress, _without_timing_advice():
        task = progress.add_task(
            phase.name, total=steps * phase.epochs, completed=steps * state.epoch, detail="compiling"
        )
        callbacks = [
            StopOnNaN(),
            Averaging(averages),
            Throughput(state, batches.examples_per_epoch, steps),
            Validation(state, phase.validate, config, store, averages),
            tf.keras.callbacks.TensorBoard(run_folder / "logs" / phase.name, write_graph=False),
            ProgressBar(progress, task, state, config.metric),
            Checkpointing(state, store, config.checkpoint_seconds),
        ]
        model.fit(
            batches.dataset(first_step=steps * state.epoch),
            steps_per_epoch=steps,
            initial_epoch=state.epoch,
            epochs=phase.epochs,
            callbacks=callbacks,
            verbose=0,
        )
        progress.update(task, completed=steps * phase.epochs)
