"""The configuration of a run that learns attributes of items from their content: one section per stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, create_model, field_validator

from recsys_tfrs.config import Section
from recsys_tfrs.features.content import ContentFeaturesConfig
from recsys_tfrs.models.registry import family_module
from recsys_tfrs.runs.config import with_defaults
from recsys_tfrs.training.config import TrainingConfig

#: Data sets rendered on the spot -> what they hold.
SIMULATED: dict[str, Literal["audio", "image"]] = {"simulated-clips": "audio", "simulated-posters": "image"}


class ContentDataConfig(Section):
    """What is read."""

    dataset: str = Field(
        "auto",
        description="Folder of sounds or pictures named by item id, simulated-clips (auto) or simulated-posters.",
    )
    items: Path | None = Field(None, description="Table of items, in which the attribute is known of some.")
    columns: dict[str, str] = Field({}, description="item -> name of that table's column of ids.")
    attribute: str | None = Field(
        None, description="Column of the table that content shall tell; left out: the only one beside the ids."
    )
    skip_bad_rows: bool = Field(False, description="Leave out and count lines of the table that cannot be read.")
    seed: int = Field(42, ge=0, description="Of simulated data.")
    num_items: int = Field(2_400, ge=64, description="Items of simulated data.")
    snr_db: float = Field(
        0.0, ge=-200, le=200, description="Signal-to-noise ratio of simulated content in decibels; -200: noise alone."
    )

    @field_validator("columns")
    @classmethod
    def _ids_alone(cls, columns: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(set(columns) - {"item"}):
            raise ValueError(f"here item=NAME is the only role, not {', '.join(unknown)}")
        return columns


class ContentSplitConfig(Section):
    """Which items with a known attribute are withheld."""

    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share to measure on; of simulated data those whose genre is withheld instead."
    )
    validation_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the others to stop, calibrate and choose the threshold on."
    )
    seed: int = Field(42, ge=0, description="Of the draw; stays when --seed varies the model.")


class ContentEvaluationConfig(Section):
    """When the model abstains."""

    precision: float = Field(
        0.95,
        gt=0,
        lt=1,
        description="Share of predictions on validation items to be right, of those not abstained from.",
    )


class ContentRunConfig(Section):
    """Everything a run depends on. `content_config` adds the family's own ``model`` section."""

    family: str
    seed: int = Field(42, ge=0, lt=2**32, description="Of initial weights, order, shifts and dropout.")
    device: Literal["auto", "cpu", "gpu"] = Field("auto", description="Where to compute.")
    data: ContentDataConfig = ContentDataConfig()
    split: ContentSplitConfig = ContentSplitConfig()
    features: ContentFeaturesConfig = ContentFeaturesConfig()
    model: Any = None
    training: TrainingConfig = TrainingConfig()
    evaluation: ContentEvaluationConfig = ContentEvaluationConfig()

    @field_validator("training")
    @classmethod
    def _validation_is_withheld(cls, training: TrainingConfig) -> TrainingConfig:
        if training.refit:
            raise ValueError("refit must be false: what the model was fitted on cannot calibrate it")
        return training


def content_config(family: str) -> type[ContentRunConfig]:
    """`ContentRunConfig` with the ``model`` section of a family, and its defaults of training.

    Raises:
      UsageError: there is no such family.
    """
    module = family_module(family)
    training = with_defaults(TrainingConfig, module.TRAINING)
    created: type[ContentRunConfig] = create_model(
        "ContentRunConfig",
        __base__=ContentRunConfig,
        model=(module.Config, module.Config()),
        training=(training, training()),
    )
    return created
