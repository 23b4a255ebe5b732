"""``metrics.json`` of a content run: everything measured, for programs. `docs/content_cnn.md` describes each key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from recsys_tfrs.config import Section
from recsys_tfrs.files import write_atomically
from recsys_tfrs.runs.folder import METRICS_FILE
from recsys_tfrs.runs.metrics_file import Figures, TrainingFigures


class ContentMetrics(Section):
    """The file."""

    kind: str = Field("content", description="Tells this file from those of other runs.")
    family: str = Field(description="Family of the model, as on the command line.")
    dataset: str = Field(description="The content really read.")
    dataset_notes: list[str] = Field(description="What was skipped, guessed or left out while reading.")
    medium: str = Field(description="`audio` or `image`.")
    attribute: str = Field(description="What the model tells of an item.")
    classes: list[str] = Field(description="Values it can tell; no other can be predicted.")
    split_hash: str = Field(description="SHA-256 over the item ids of train, validation and test.")
    seed: int = Field(description="Of weights, order, shifts and dropout.")
    counts: dict[str, int] = Field(description="Items, by what they are.")
    temperature: float = Field(description="What log-odds are divided by, fitted on validation items.")
    threshold: float = Field(description="Confidence below which the model abstains; 2: it always does.")
    precision: float = Field(description="What the threshold was chosen for.")
    metrics: Figures = Field(description="`accuracy logloss ece answered accuracy_answered` of test items.")
    accuracy_interval: tuple[float, float] = Field(description="95% interval of the accuracy.")
    chance: float = Field(description="Accuracy on test items of always naming the commonest class of training.")
    ece_by_chance: float = Field(description="`ece` to be expected of perfect calibration on as many items.")
    confusion: list[list[int]] = Field(description="Test items by true class (rows) and predicted one.")
    calibration: dict[str, Any] = Field(description="Confidence beside the share of right predictions, by decile.")
    validation: Figures = Field(description="`metrics` on validation items, on which temperature and threshold rest.")
    training: TrainingFigures = Field(description="What training took.")
    peak_memory_bytes: int = Field(description="Largest resident memory of the process.")
    environment: dict[str, Any] = Field(description="Machine, Python, package versions, devices and precision.")


def write_content_metrics(metrics: ContentMetrics, folder: Path) -> None:
    """Write ``metrics.json``."""
    write_atomically(folder / METRICS_FILE, metrics.model_dump_json(indent=2) + "\n")
