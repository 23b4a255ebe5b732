"""A ranking fit that was interrupted and continued ends where an uninterrupted one does, in every family."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from contracts.tiny_examples import encoded, examples_of
from rich.console import Console

from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.models.registry import RANKERS, family_module
from recsys_tfrs.objectives.prediction import Target
from recsys_tfrs.training.checkpoints import LoopState
from recsys_tfrs.training.config import TrainingConfig
from recsys_tfrs.training.examples import ExampleBatches
from recsys_tfrs.training.fit import Phase, fit, make_optimizer

ROWS, BATCH, EPOCHS = 120, 40, 3
STEPS = ROWS // BATCH


def fitted(family: str, folder: Path, look: Callable[[Ranker], None]) -> tuple[Ranker, LoopState]:
    examples, layer = encoded(examples_of(ROWS, depends_on="one"))
    config = family_module(family).Config(dim=4, hidden=[8], cross_layers=1, regularization="rows")
    model: Ranker = family_module(family).build(config, layer, (Target("click", "binary", 0.4),), 1)
    training = TrainingConfig(
        epochs=EPOCHS, metric="auc", validate_every=1, patience=10, checkpoint_seconds=0, learning_rate=0.05
    )
    model.compile(optimizer=make_optimizer(training, STEPS))

    def measured() -> dict[str, float]:
        look(model)
        return {"auc": float(np.mean(model.predict_examples(examples)))}

    phase = Phase("selection", EPOCHS, measured)
    state = fit(model, ExampleBatches(examples, BATCH, 1), phase, training, folder, Console(file=io.StringIO()))
    return model, state


@pytest.mark.parametrize("family", RANKERS)
def test_interrupted_and_resumed_equals_uninterrupted(family: str, tmp_path: Path) -> None:
    seen: list[int] = []

    def interrupt(model: Ranker) -> None:
        if int(model.optimizer.iterations) == 2 * STEPS:
            raise KeyboardInterrupt

    def watch(model: Ranker) -> None:
        seen.append(int(model.optimizer.iterations))

    with pytest.raises(KeyboardInterrupt):
        fitted(family, tmp_path / "killed", interrupt)
    tf.random.set_seed(99)  # nothing may hang on what was drawn before
    resumed, state = fitted(family, tmp_path / "killed", watch)
    assert seen == [2 * STEPS, 3 * STEPS]
    whole, whole_state = fitted(family, tmp_path / "whole", watch)
    assert seen[2:] == [STEPS, 2 * STEPS, 3 * STEPS]
    for one, other in zip(resumed.trainable_variables, whole.trainable_variables, strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes(), one.name
    assert state.log == whole_state.log
