"""The two fits of a run: one to find the number of epochs, one on everything known before testing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from rich.console import Console

from recsys_tfrs.errors import RunError
from recsys_tfrs.evaluation.metrics import accuracy
from recsys_tfrs.evaluation.protocol import choose_pairs
from recsys_tfrs.evaluation.ranking import rank
from recsys_tfrs.runs.measuring import rating_metrics
from recsys_tfrs.runs.prepared import Prepared
from recsys_tfrs.training.callbacks import is_better
from recsys_tfrs.training.checkpoints import LoopState
from recsys_tfrs.training.fit import Phase, fit

#: The final weights, below the run's folder.
WEIGHTS = Path("checkpoints") / "model"


@dataclass(frozen=True)
class Fitted:
    """A trained model and how it came to be.

    Attributes:
      prepared: what it was trained with, open choices decided.
      model: trained on ``prepared.train``.
      selection: the fit that won on validation.
      final: the fit `model` comes from.
      validated: best validation metric of each variant tried, by name.
      seconds: wall time of all fits.
    """

    prepared: Prepared
    model: tf.keras.Model
    selection: LoopState
    final: LoopState
    validated: dict[str, float]
    seconds: float


def load_weights(model: tf.keras.Model, run: Path) -> None:
    """Give a model, built as in training, the final weights of a run.

    Raises:
      RunError: they cannot be read.
    """
    try:
        model.load_weights(run / WEIGHTS).expect_partial()
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"The weights of {run} cannot be read ({reason}): train the run again.") from None


def fit_run(prepared: Prepared, work: Path, console: Console) -> Fitted:
    """Select on validation, then refit on all training rows for the epochs found; both continue a killed run."""
    training = prepared.config.training
    started = time.perf_counter()
    selections: dict[str, LoopState] = {}
    best: tuple[Prepared, tf.keras.Model, LoopState] | None = None
    variants = prepared.variants()
    for name, variant in variants.items():
        model = variant.build_model(variant.selection_train)
        label = "selection" if len(variants) == 1 else f"selection-{name}"
        phase = Phase(label, training.epochs, validator(variant, model))
        selections[name] = fit(model, variant.batches(variant.selection_train), phase, training, work, console)
        if best is None or is_better(training.metric, selections[name].best_value, best[2].best_value):
            best = variant, model, selections[name]
    if best is None:
        raise ValueError(f"{prepared.config.family} offers no variant to train.")
    chosen, model, selection = best
    final = selection
    if training.refit:
        model = chosen.build_model(chosen.train)
        phase = Phase("refit", selection.best_epoch, None)
        final = fit(model, chosen.batches(chosen.train), phase, training, work, console)
    model.save_weights(work / WEIGHTS)
    validated = {name: state.best_value for name, state in selections.items()}
    return Fitted(chosen, model, selection, final, validated, time.perf_counter() - started)


def validator(prepared: Prepared, model: tf.keras.Model) -> Callable[[], dict[str, float]]:
    """Measure the present weights on the validation part by full ranking, as the test part will be."""
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
        scorer = prepared.scorer(model, prepared.selection_known, split.validation)
        ranking = rank(
            scorer,
            users,
            items,
            seen=prepared.selection_known if prepared.config.filters_seen else None,
            num_items=interactions.num_items,
            catalogue=prepared.catalogue(prepared.selection_train),
        )
        return accuracy(ranking) | rating_metrics(prepared, model, rows, prepared.selection_train)

    return validate
