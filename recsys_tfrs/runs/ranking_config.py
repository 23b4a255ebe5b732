"""The configuration of a run that trains a ranking model: one section per stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, create_model

from recsys_tfrs.config import Section
from recsys_tfrs.data.sources import AUTO
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.models.registry import family_module
from recsys_tfrs.runs.config import DataConfig, SplitConfig, with_defaults
from recsys_tfrs.schema import Objective
from recsys_tfrs.training.config import TrainingConfig


class RankingDataConfig(DataConfig):
    """What is read: interactions as for retrieval, or a table of examples with a label."""

    train: Path | None = Field(None, description="File of examples to fit on, which makes this a run on examples.")
    validation: Path | None = Field(None, description="File of examples to select on; left out: a part of `train`.")
    test: Path | None = Field(None, description="File of examples to measure on; left out: a part of `train`.")
    like_from: float | None = Field(
        None,
        description="Ratings from here on are likes; left out: three quarters of the way from the lowest rating to the "
        "highest, which is 4 of 1 to 5.",
    )
    negatives: int = Field(
        10,
        ge=1,
        description="Items drawn beside each interaction where clicks are predicted, in training anew in each epoch.",
    )
    negative_alpha: float = Field(
        0.5,
        ge=0,
        description="In training they are drawn by popularity to this power, which predictions are corrected for; what "
        "is measured is drawn uniformly.",
    )
    negative_rate: float = Field(
        1.0, gt=0, le=1, description="Share of the negative training examples that is kept; predictions are corrected."
    )


class RankingFeaturesConfig(FeaturesConfig):
    """Settings of the shared preprocessing layer, for examples."""

    history: int = Field(
        50, ge=0, description="Newest items of a user's history that are a field of interactions; 0: none is."
    )
    recent: int = Field(
        3,
        ge=0,
        description="Newest items that are a field of their own beside it, where clicks are predicted; 0: none is.",
    )


class RankingSplitConfig(SplitConfig):
    """Which rows test; see `recsys_tfrs.data.splits.make_split`."""

    method: str = Field(
        AUTO,
        description="temporal, leave-last-out, random or official:FOLD; auto: temporal. A table of examples takes auto "
        "alone: by time where a timestamp is declared, else at random.",
    )


class RankingEvaluationConfig(Section):
    """What is measured."""

    calibrate: bool = Field(
        True,
        description="Fit factor and shift of the log-odds of binary targets on the validation part (Platt scaling).",
    )
    importance: bool = Field(True, description="Measure what shuffling each field costs, on a sample of the test part.")


class RankingRunConfig(Section):
    """Everything a run depends on. `ranking_config` adds the family's own ``model`` section."""

    family: str
    seed: int = Field(42, ge=0, lt=2**32, description="Of initial weights, order and dropout.")
    device: Literal["auto", "cpu", "gpu"] = Field("auto", description="Where to compute.")
    target: str = Field(
        "auto",
        description="What is predicted: of interactions like, rating or click, of examples label columns; several "
        "with commas between them. auto: like, click where no ratings differ, all labels of examples.",
    )
    objective: Objective | Literal["auto"] = Field(
        "auto",
        description="What predictions are trained for: pointwise, to meet each label; softmax, listmle or approx-ndcg, "
        "to put the rows of each user or query, or a click and the items beside it, in order; auto: softmax of "
        "clicks, pointwise of all else.",
    )
    list_length: int = Field(
        100, ge=2, description="Most rows of a list; those of whoever has more are dealt out anew each epoch."
    )
    target_weights: list[float] = Field([], description="Weight of each target's loss, in their order; none: 1 each.")
    data: RankingDataConfig = RankingDataConfig()
    split: RankingSplitConfig = RankingSplitConfig()
    features: RankingFeaturesConfig = RankingFeaturesConfig()
    model: Any = None
    training: TrainingConfig = TrainingConfig()
    evaluation: RankingEvaluationConfig = RankingEvaluationConfig()

    def objective_of(self, targets: Sequence[str]) -> Objective:
        """What `targets` are trained for, ``auto`` decided."""
        if self.objective != "auto":
            return self.objective
        return "softmax" if list(targets) == ["click"] else "pointwise"


def ranking_config(family: str) -> type[RankingRunConfig]:
    """`RankingRunConfig` with the ``model`` section of a family, and its defaults of training.

    Raises:
      UsageError: there is no such family.
    """
    module = family_module(family)
    training = with_defaults(TrainingConfig, module.TRAINING)
    created: type[RankingRunConfig] = create_model(
        "RankingRunConfig",
        __base__=RankingRunConfig,
        model=(module.Config, module.Config()),
        training=(training, training()),
    )
    return created
