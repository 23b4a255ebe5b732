"""The main job of content: files -> trained and calibrated model -> figures -> table of items -> export -> report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from rich.console import Console

from recsys_tfrs import runtime
from recsys_tfrs.data.item_attributes import write_filled
from recsys_tfrs.evaluation.classification import Classification, classification
from recsys_tfrs.features.content import Content
from recsys_tfrs.runs.content_config import ContentRunConfig
from recsys_tfrs.runs.content_data import ContentData, open_content
from recsys_tfrs.runs.content_fitting import FittedContent, fit_content
from recsys_tfrs.runs.content_metrics import ContentMetrics, write_content_metrics
from recsys_tfrs.runs.content_report import ITEMS_FILE, print_content, print_content_figures, write_content_report
from recsys_tfrs.runs.folder import RunFolder, card_to, removed_on_failure, write_config
from recsys_tfrs.runs.metrics_file import TrainingFigures
from recsys_tfrs.serving.content_export import export_content
from recsys_tfrs.serving.folders import IN_RUN

#: Items whose content goes into the export, for warm-up.
_EXAMPLES = 4


def train_content(config: ContentRunConfig, folder: RunFolder, console: Console) -> Path:
    """Run everything and return the folder of the complete run.

    Args:
      config: of the run.
      folder: from `recsys_tfrs.runs.folder.start`; a checkpoint in it is continued from.
      console: where progress and results are shown.

    Raises:
      RecsysError: anything a user can act on; an unfinished run keeps its checkpoints.
    """
    runtime.configure(config.device, mixed_precision=config.training.mixed_precision, seed=config.seed)
    with removed_on_failure(folder), console.status("reading content"):
        data = open_content(config)
    write_config(config, folder)
    print_content(console, data)
    fitted = fit_content(data, config, folder.work, console)
    threshold = float(fitted.model.threshold.numpy())
    measured = classification(fitted.probabilities[data.test], data.labels[data.test], threshold)
    metrics = _metrics(config, data, fitted, measured)
    with console.status("writing the table and exporting"):
        replaced = write_items(data, fitted, threshold, folder.work / ITEMS_FILE)
        version = export_content(
            fitted.model,
            data.content.decoder,
            folder.work / IN_RUN,
            examples=[_encoded(data.content, row) for row in data.test[:_EXAMPLES]],
            manifest=metrics.model_dump(mode="json", exclude={"kind", "environment", "calibration", "training"}),
        )
        card_to(version, folder.work)
    metrics = metrics.model_copy(update={"peak_memory_bytes": runtime.peak_memory_bytes()})
    write_content_metrics(metrics, folder.work)
    write_content_report(metrics, measured, fitted, folder.work)
    path = folder.finish()
    print_content_figures(console, metrics, path)
    if replaced:
        console.print(f"In {ITEMS_FILE} new columns stand in the place of the table's own: {', '.join(replaced)}.")
    return path


def write_items(data: ContentData, fitted: FittedContent, threshold: float, path: Path) -> list[str]:
    """The table of items with the attribute filled in, and beside it probabilities and vectors; see `write_filled`.

    Columns: ``<attribute>_<class>``, the calibrated probability; ``<attribute>_vector_<place>``, from 1.
    """
    predicted, confidence = fitted.probabilities.argmax(axis=1), fitted.probabilities.max(axis=1)
    named = np.where(confidence >= threshold, np.array(data.classes, dtype=object)[predicted], "")
    attribute = data.known.attribute
    columns: dict[str, NDArray[np.float32]] = {
        f"{attribute}_{name}": fitted.probabilities[:, place].astype(np.float32)
        for place, name in enumerate(data.classes)
    }
    width = len(str(fitted.vectors.shape[1]))
    for place, values in enumerate(fitted.vectors.T, 1):
        columns[f"{attribute}_vector_{place:0{width}d}"] = values
    return write_filled(data.known, data.content.item_ids, named, columns, path)


def _encoded(content: Content, row: int) -> bytes:
    """Bytes that the exported graph decodes to the content of an item, whatever its own file is like."""
    decoder = content.decoder
    values = decoder.read(content.paths[row]) if content.values is None else content.values[row]
    if decoder.medium == "image":
        return bytes(tf.io.encode_png(tf.image.convert_image_dtype(values, tf.uint8, saturate=True)).numpy())
    return bytes(tf.audio.encode_wav(values[:, None], decoder.config.sample_rate).numpy())


def _metrics(
    config: ContentRunConfig, data: ContentData, fitted: FittedContent, measured: Classification
) -> ContentMetrics:
    state = fitted.state
    commonest = int(np.bincount(data.labels[data.train]).argmax())
    return ContentMetrics(
        family=config.family,
        dataset=data.name,
        dataset_notes=data.notes,
        medium=data.content.decoder.medium,
        attribute=data.known.attribute,
        classes=data.classes,
        split_hash=data.split_hash,
        seed=config.seed,
        counts=data.counts,
        temperature=float(fitted.model.temperature.numpy()),
        threshold=float(fitted.model.threshold.numpy()),
        precision=config.evaluation.precision,
        metrics=measured.metrics,
        accuracy_interval=measured.accuracy_interval,
        chance=float((data.labels[data.test] == commonest).mean()),
        ece_by_chance=measured.calibration.ece_by_chance,
        confusion=measured.confusion.tolist(),
        calibration={
            "deciles": [vars(decile) for decile in measured.calibration.deciles],
            "mean_confidence": measured.calibration.mean_prediction,
        },
        validation=fitted.validation.metrics,
        training=TrainingFigures(
            seconds=fitted.seconds,
            examples_per_second=state.examples / state.seconds if state.seconds else 0.0,
            validated={"default": state.best_value},
            events_per_second=state.examples / state.seconds if state.seconds else 0.0,
            epochs=state.epoch,
        ),
        peak_memory_bytes=runtime.peak_memory_bytes(),
        environment=runtime.describe(),
    )
