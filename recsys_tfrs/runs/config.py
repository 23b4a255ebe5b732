"""The configuration of a whole run: one section per stage."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, create_model

from recsys_tfrs.config import Section
from recsys_tfrs.data.assemble import Duplicates
from recsys_tfrs.data.sources import AUTO, DataRequest
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.index.config import IndexConfig
from recsys_tfrs.models.registry import family_module
from recsys_tfrs.schema import SplitMethod
from recsys_tfrs.training.config import TrainingConfig


class DataConfig(Section):
    """What is read; see `recsys_tfrs.data.sources.DataRequest`."""

    dataset: str = Field(AUTO, description="Name or path of the data set.")
    data_dir: Path | None = Field(None, description="Folder or zip of a named data set.")
    items: Path | None = Field(None, description="Table about the items of a table of your own.")
    users: Path | None = Field(None, description="Table about its users.")
    columns: dict[str, str] = Field(
        {},
        description="user, session, item, rating, timestamp, weight -> column name; feature or context column -> kind.",
    )
    skip_bad_rows: bool = Field(False, description="Leave out and count rows that cannot be read.")
    duplicates: Duplicates = Field("keep-last", description="Which row of a repeated (user, item) pair stays.")
    seed: int = Field(42, ge=0, description="Of simulated data.")
    num_rows: int | None = Field(None, ge=1, description="Rows of simulated data; left out: what its name says.")
    core: int | None = Field(
        None, ge=1, description="Keep only users and items with at least this many interactions among each other."
    )
    session_gap: float | None = Field(
        None, gt=0, description="Cut users into sessions at pauses of more than so many minutes."
    )

    def request(self) -> DataRequest:
        """The same as a request to `recsys_tfrs.data.sources.load`."""
        return DataRequest(**{name: getattr(self, name) for name in DataConfig.model_fields})


class SplitConfig(Section):
    """Which rows test; see `recsys_tfrs.data.splits.make_split`."""

    method: str = Field(
        SplitMethod.TEMPORAL.value, description="temporal, leave-last-out, random, sessions or official:FOLD."
    )
    test_fraction: float = Field(0.2, gt=0, lt=1, description="Share of rows to test on (temporal, random).")
    validation_fraction: float = Field(0.1, gt=0, lt=1, description="Share of training rows to select on.")
    seed: int = Field(42, ge=0, description="Of the random split; stays when --seed varies the model.")


class EvaluationConfig(Section):
    """What is measured."""

    pairs: Literal["auto", "all", "warm"] = Field(
        "auto",
        description="Test pairs of the headline figures: all, or those whose user and item occur in training; auto: "
        "warm for the temporal split, all for the others. Both are recorded.",
    )
    baselines: Literal["auto"] | list[str] = Field(
        "auto",
        description="What the model is compared with; auto: popularity, item_knn, ease and ials, markov_chain beside a "
        "family that reads histories in order, and biased_mf beside a model that is chosen by how well it predicts "
        "ratings; under the sessions split popularity, item_knn and markov_chain.",
    )
    seen: Literal["auto", "filtered", "kept"] = Field(
        "auto",
        description="Whether items a user has seen are candidates: kept or filtered; auto: kept under the sessions "
        "split, where what was clicked is often clicked again, and filtered under the others.",
    )
    max_users: int | None = Field(None, ge=1, description="Measure on a sample of this many test users.")
    max_validation_users: int = Field(10_000, ge=1, description="Validation users looked at while training.")


class RunConfig(Section):
    """Everything a run depends on. `family_config` adds the family's own ``model`` section."""

    family: str
    seed: int = Field(42, ge=0, lt=2**32, description="Of initial weights, order and dropout.")
    device: Literal["auto", "cpu", "gpu"] = Field("auto", description="Where to compute.")
    data: DataConfig = DataConfig()
    split: SplitConfig = SplitConfig()
    features: FeaturesConfig = FeaturesConfig()
    model: Any = None
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    index: IndexConfig = IndexConfig()

    @property
    def of_sessions(self) -> bool:
        """Whether what comes next in a session is predicted."""
        return self.split.method == SplitMethod.SESSIONS.value

    @property
    def filters_seen(self) -> bool:
        """Whether what a user is known to have done is no candidate."""
        if self.evaluation.seen != "auto":
            return self.evaluation.seen == "filtered"
        return not self.of_sessions

    @property
    def pairs(self) -> Literal["all", "warm"]:
        """Test pairs of the headline figures."""
        if self.evaluation.pairs != "auto":
            return self.evaluation.pairs
        return "warm" if self.split.method == SplitMethod.TEMPORAL.value else "all"


def family_config(family: str) -> type[RunConfig]:
    """`RunConfig` with the ``model`` section of a family, and its defaults of training where they are its own.

    Raises:
      UsageError: there is no such family.
    """
    module = family_module(family)
    training = with_defaults(TrainingConfig, getattr(module, "TRAINING", {}))
    created: type[RunConfig] = create_model(
        "RunConfig",
        __base__=RunConfig,
        model=(module.Config, module.Config()),
        training=(training, training()),
    )
    return created


def with_defaults(section: type[Section], defaults: dict[str, Any]) -> type[Section]:
    """The section with other default values, which `--set` and files replace one by one."""
    fields: dict[str, Any] = {}
    for name, default in defaults.items():
        described = copy(section.model_fields[name])
        described.default = default
        fields[name] = (described.annotation, described)
    return create_model(section.__name__, __base__=section, **fields) if fields else section
