"""A fit of a two-tower model that ends as it is told to; run as a program, it is killed in the middle of an epoch."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path

import numpy as np
from contracts.tiny_data import random_interactions
from rich.console import Console

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.models import two_tower
from recsys_tfrs.training.averaging import Averaging
from recsys_tfrs.training.checkpoints import LoopState, get_weights
from recsys_tfrs.training.config import TrainingConfig
from recsys_tfrs.training.fit import Phase, fit, make_optimizer
from recsys_tfrs.training.pipeline import user_batches

EPOCHS, STEPS = 5, 4
#: Everything that carries state from step to step is on: masks, streamed counts, averages.
MODEL = two_tower.Config(dim=8, objective="in-batch", user_id=True, hide="any")
TRAINING = TrainingConfig(
    epochs=EPOCHS,
    batch_size=50,
    checkpoint_seconds=0,
    metric="ndcg@10",
    validate_every=1,
    patience=EPOCHS,
    average_decay=0.9,
)


def run(folder: Path) -> tuple[list[np.ndarray], LoopState]:
    """Fit, continuing what stands in `folder`; returns weights and optimizer moments, and the state of the loop."""
    data = random_interactions(40, 30, 200, features=False)
    histories = build_histories(data, np.arange(len(data)))
    model = two_tower.build(MODEL, FeaturesConfig(), data, histories, seed=11)
    model.compile(optimizer=make_optimizer(TRAINING))
    batches = user_batches(histories, batch_size=TRAINING.batch_size, seed=11)
    if batches.steps_per_epoch != STEPS:
        raise ValueError(f"{batches.steps_per_epoch} steps, expected {STEPS}")

    def validate() -> dict[str, float]:
        return {"ndcg@10": float(np.abs(model.candidate_vectors().numpy()[1:]).mean())}

    console = Console(file=io.StringIO())
    state = fit(model, batches, Phase("selection", EPOCHS, validate), TRAINING, folder, console)
    return [*get_weights(model), *(v.numpy() for v in model.optimizer.variables)], state


def kill_after(num_steps: int) -> None:
    """Arrange for this process to be killed after so many training steps."""
    update, steps = Averaging.on_train_batch_end, iter(range(1, num_steps + 1))

    def counted(self: Averaging, batch: int, logs: dict | None = None) -> None:
        update(self, batch, logs)
        if next(steps) == num_steps:
            os.kill(os.getpid(), signal.SIGKILL)

    Averaging.on_train_batch_end = counted


if __name__ == "__main__":
    kill_after(3 * STEPS + 2)
    run(Path(sys.argv[1]))
