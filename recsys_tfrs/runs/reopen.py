"""A finished run, opened again: its data read and split anew, its model built from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import tensorflow as tf

from recsys_tfrs import runtime
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.fitting import load_weights
from recsys_tfrs.runs.folder import check_split_unchanged, open_run, read_config
from recsys_tfrs.runs.metrics_file import RunMetrics, read_metrics
from recsys_tfrs.runs.prepared import Prepared, prepare


@dataclass(frozen=True)
class Reopened:
    """What training left behind, ready to compute with.

    Attributes:
      run: folder of the run.
      recorded: its ``metrics.json``.
      prepared: data and split, the same as in training.
      model: with the run's weights.
    """

    run: Path
    recorded: RunMetrics
    prepared: Prepared
    model: tf.keras.Model

    @cached_property
    def scorer(self) -> RetrievalScorer:
        """The model with the users' training histories."""
        return self.prepared.scorer(self.model, self.prepared.known, self.prepared.split.test)


def reopen(path: Path) -> Reopened:
    """Read the data of a run, split it and rebuild the model.

    Raises:
      RunError: there is no complete retrieval run at `path`, its weights cannot be read, or its data is no longer the
        same.
    """
    run = open_run(path, "retrieval")
    recorded = read_metrics(run)
    config = read_config(run, family_config(recorded.family))
    runtime.configure(config.device, seed=config.seed)
    prepared = prepare(config)
    check_split_unchanged(path, recorded.split_hash, prepared.split.hash)
    model = prepared.build_model(prepared.fitted_on)
    load_weights(model, path)
    return Reopened(run, recorded, prepared, model)
