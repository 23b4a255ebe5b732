"""The fit of a content run: stopped, calibrated and given its threshold on validation items."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from scipy.special import softmax

from recsys_tfrs.data.sources import AUTO
from recsys_tfrs.evaluation.classification import Classification, choose_threshold, classification
from recsys_tfrs.features.content import Content
from recsys_tfrs.models.content_cnn import ContentCNN
from recsys_tfrs.models.registry import family_module
from recsys_tfrs.runs.content_config import ContentRunConfig
from recsys_tfrs.runs.content_data import ContentData, Rows
from recsys_tfrs.runs.fitting import WEIGHTS
from recsys_tfrs.training.checkpoints import LoopState
from recsys_tfrs.training.content import ContentBatches
from recsys_tfrs.training.fit import Phase, fit, make_optimizer
from recsys_tfrs.training.temperature import fit_temperature

#: Steps of an epoch that batches are made smaller for, and items below which they are not.
_LEAST_STEPS, _LEAST_ITEMS = 16, 8


@dataclass(frozen=True)
class FittedContent:
    """A trained model, what it says of all items, and how it came to be.

    Attributes:
      model: trained, calibrated, its threshold chosen.
      probabilities: ``[num_items, num_classes]`` calibrated, of all items with content.
      vectors: ``[num_items, vector]``.
      validation: figures of the validation items.
      state: of the fit.
      metric: that the fit was stopped by.
      seconds: wall time.
    """

    model: ContentCNN
    probabilities: NDArray[np.float64]
    vectors: NDArray[np.float32]
    validation: Classification
    state: LoopState
    metric: str
    seconds: float


def fit_content(data: ContentData, config: ContentRunConfig, work: Path, console: Console) -> FittedContent:
    """Train; a killed run continues."""
    started = time.perf_counter()
    training = config.training
    if training.metric == AUTO:
        training = training.model_copy(update={"metric": "logloss"})
    model: ContentCNN = family_module(config.family).build(
        config.model, data.content.decoder, data.classes, config.seed
    )
    size = min(training.batch_size, max(_LEAST_ITEMS, len(data.train) // _LEAST_STEPS))
    batches = ContentBatches(data.content, data.train, data.labels, size, config.seed)
    falls = training.learning_rate_decay != "none"
    model.compile(
        optimizer=make_optimizer(training, batches.steps_per_epoch if falls else None),
        jit_compile=training.jit_compile,
    )
    watched = part_of(data.content, data.validation)

    def validate() -> dict[str, float]:
        odds, _ = model.describe(watched)
        return classification(softmax(odds, axis=1), data.labels[data.validation]).metrics

    state = fit(model, batches, Phase("selection", training.epochs, validate), training, work, console)
    odds, vectors = model.describe(data.content)
    labels = data.labels[data.validation]
    temperature = fit_temperature(odds[data.validation], labels)
    probabilities = softmax(odds.astype(np.float64) / temperature, axis=1)
    threshold = choose_threshold(probabilities[data.validation], labels, config.evaluation.precision)
    model.temperature.assign(temperature)
    model.threshold.assign(threshold)
    model.save_weights(work / WEIGHTS)
    validation = classification(probabilities[data.validation], labels, threshold)
    seconds = time.perf_counter() - started
    return FittedContent(model, probabilities, vectors, validation, state, training.metric, seconds)


def part_of(content: Content, rows: Rows) -> Content:
    """Some of the items."""
    values = None if content.values is None else content.values[rows]
    return Content(content.decoder, content.item_ids[rows], [content.paths[row] for row in rows], values)
