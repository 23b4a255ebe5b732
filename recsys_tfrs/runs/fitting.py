"""The two fits of a run: one to find the number of epochs, one on everything known before testing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from rich.console import Console

from recsys_tfrs.evaluation.metrics import accuracy
from recsys_tfrs.evaluation.protocol import choose_pairs
from recsys_tfrs.evaluation.ranking import rank
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.runs.prepared import Prepared
from recsys_tfrs.training.checkpoints import LoopState
from recsys_tfrs.training.fit import Phase, fit

#: The final weights, below the run's folder.
WEIGHTS = Path("checkpoints") / "model"


@dataclass(frozen=True)
class Fitted:
    """A trained model and how it came to be.

    Attributes:
      model: trained on ``prepared.train``.
      selection: the fit that chose the number of epochs.
      final: the fit `model` comes from.
      seconds: wall time of both.
    """

    model: tf.keras.Model
    selection: LoopState
    final: LoopState
    seconds: float


def fit_run(prepared: Prepared, work: Path, console: Console) -> Fitted:
    """Select on validation, then refit on all training rows for the epochs found; both continue a killed run."""
    config = prepared.config
    started = time.perf_counter()
    model = prepared.build_model(prepared.selection_train)
    phase = Phase("selection", config.training.epochs, validator(prepared, model))
    selection = fit(model, prepared.batches(prepared.selection_train), phase, config.training, work, console)
    final = selection
    if config.training.refit:
        model = prepared.build_model(prepared.train)
        phase = Phase("refit", selection.best_epoch, None)
        final = fit(model, prepared.batches(prepared.train), phase, config.training, work, console)
    model.save_weights(work / WEIGHTS)
    return Fitted(model, selection, final, time.perf_counter() - started)


def validator(prepared: Prepared, model: tf.keras.Model) -> Callable[[], dict[str, float]]:
    """Measure the present weights on the validation part, full ranking, seen items filtered."""
    interactions, split, evaluation = prepared.interactions, prepared.split, prepared.config.evaluation
    rows = choose_pairs(
        interactions,
        split.selection_train,
        split.validation,
        pairs=prepared.config.pairs,
        max_users=evaluation.max_validation_users,
    )
    users, items = interactions.users[rows], interactions.items[rows]

    def validate() -> dict[str, float]:
        scorer = RetrievalScorer(model, prepared.selection_train)
        ranking = rank(scorer, users, items, seen=prepared.selection_train, num_items=interactions.num_items)
        return accuracy(ranking)

    return validate
