"""``metrics.json`` of a ranking run: everything measured, for programs. `docs/ranking.md` describes each key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from recsys_tfrs.config import Section
from recsys_tfrs.errors import RunError
from recsys_tfrs.files import write_atomically
from recsys_tfrs.runs.folder import METRICS_FILE
from recsys_tfrs.runs.metrics_file import Comparison, Figures, TrainingFigures

Intervals = dict[str, tuple[float, float]]


class TargetFigures(Section):
    """What was measured of one target."""

    name: str = Field(description="As asked for with `target`.")
    kind: Literal["binary", "rating"] = Field(description="`binary` or `rating`.")
    num_rows: int = Field(description="Test rows of which it is known.")
    num_users: int = Field(description="Users of them; 0 where nobody is known.")
    num_users_left_out: int = Field(description="Users that `gauc` and `ndcg@k` leave out: all their rows are alike.")
    mean: float = Field(description="Mean of its labels in training.")
    metrics: Figures = Field(description="`auc gauc logloss rmse mae ndcg@k ece`, those that fit the kind.")
    intervals: Intervals = Field(description="95% bootstrap over users, or over rows where nobody is known.")
    undefined: dict[str, str] = Field({}, description="Metric -> why it has no value on these rows.")
    baselines: dict[str, Figures] = Field({}, description="Means alone, measured as `metrics`.")
    comparisons: dict[str, dict[str, Comparison]] = Field({}, description="Baseline -> metric -> model minus baseline.")
    calibration: dict[str, Any] | None = Field(None, description="Predictions beside what came, by decile.")
    slices: dict[str, dict[str, dict[str, Any]]] = Field({}, description="Slice -> group -> figures of the model.")
    gaps: dict[str, dict[str, dict[str, Any]]] = Field({}, description="Slice -> metric -> best minus worst group.")


class RankingMetrics(Section):
    """The file. `metrics` and what goes with it are of the first target; all of them stand in `targets`."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    kind: str = Field("ranking", description="Tells this file from that of a retrieval run.")
    family: str = Field(description="Family of the model, as on the command line.")
    dataset: str = Field(description="The data set really read.")
    dataset_notes: list[str] = Field(description="What was skipped, merged or substituted while reading.")
    split: str = Field(description="How the test rows were told apart.")
    split_hash: str = Field(description="SHA-256 over what identifies the rows of train, validation and test.")
    seed: int = Field(description="Of weights, order and dropout.")
    counts: dict[str, int] = Field(description="Rows, users and items, by what they are.")
    fields: list[str] = Field(description="What the model reads of an example.")
    parts: list[str] = Field(description="What the prediction is the sum of.")
    objective: str = Field("pointwise", description="What predictions were trained for, see `objective`.")
    metrics: Figures = Field(description="Of the first target.")
    intervals: Intervals = Field(description="Of `metrics`.")
    baselines: dict[str, Figures] = Field(description="Of the first target.")
    comparisons: dict[str, dict[str, Comparison]] = Field(description="Of the first target.")
    oracle: Figures | None = Field(None, description="Of the true probabilities, for simulated data.")
    targets: list[TargetFigures] = Field(description="Everything measured, target by target.")
    importance: dict[str, dict[str, float]] = Field(
        {}, description="Field -> what shuffling it among test rows costs: `mean` and `deviation` over repeats."
    )
    validation: Figures = Field(description="Validation metrics of the chosen epoch, before calibration.")
    training: TrainingFigures = Field(description="What training took.")
    peak_memory_bytes: int = Field(description="Largest resident memory of the process.")
    environment: dict[str, Any] = Field(description="Machine, Python, package versions, devices and precision.")


def write_ranking_metrics(metrics: RankingMetrics, folder: Path) -> None:
    """Write ``metrics.json``."""
    write_atomically(folder / METRICS_FILE, metrics.model_dump_json(indent=2) + "\n")


def read_ranking_metrics(run: Path) -> RankingMetrics:
    """Read the ``metrics.json`` of a complete ranking run.

    Raises:
      RunError: it cannot be read, or is that of another kind of run.
    """
    try:
        return RankingMetrics.model_validate_json((run / METRICS_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{run / METRICS_FILE} is not that of a ranking run ({reason}).") from None
