"""``metrics.json``: everything measured in a run, for programs. `docs/metrics.md` describes each key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from recsys_tfrs.config import Section
from recsys_tfrs.errors import RunError
from recsys_tfrs.files import write_atomically
from recsys_tfrs.runs.folder import METRICS_FILE

Figures = dict[str, float]

#: Figures further apart than this are not the same measurement; other processors round differently.
TOLERANCE = 1e-3


class TrainingFigures(Section):
    """What training took."""

    seconds: float = Field(description="Wall time of selection and refit, validation included.")
    examples_per_second: float = Field(description="Interactions per second of training steps, validation left out.")
    events_per_second: float = Field(
        0.0, description="The same, under the name that papers on sessions use: items predicted per second of training."
    )
    validated: dict[str, float] = Field(description="Best validation metric of each variant tried; the best is kept.")
    epochs: int = Field(description="Passes over the training rows in the final fit.")


class BaselineDetails(Section):
    """How a baseline was chosen."""

    config: dict[str, Any] | None = Field(None, description="Settings chosen on validation.")
    seconds: float = Field(0.0, description="Wall time of search and refit.")
    peak_bytes: int | None = Field(None, description="Most memory that arrays of the refit held, beside the data.")
    query_ms: float | None = Field(None, description="As the run's own `query_ms`.")
    skipped: str | None = Field(None, description="Why it was not run.")
    metrics_seen_kept: Figures = Field({}, description="As the run's own `metrics_seen_kept`.")
    intervals: dict[str, tuple[float, float]] = Field({}, description="As the run's own `intervals`, of `baselines`.")
    slices: dict[str, dict[str, dict[str, float]]] = Field({}, description="As the run's own `slices`, of `baselines`.")


class Comparison(Section):
    """The model against one baseline: difference of means per metric, paired over users."""

    difference: float = Field(description="Model minus baseline.")
    interval: tuple[float, float] = Field(description="95% bootstrap interval over users.")
    p_value: float = Field(description="Two-sided, of no difference.")


class RunMetrics(Section):
    """The file. Shares lie in [0, 1]; metric names are ``hit@k ndcg@k mrr@k recall@k map@k`` and list metrics at 10."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    family: str = Field(description="Family of the model, as on the command line.")
    dataset: str = Field(description="The data set really read, which `auto` chose.")
    dataset_notes: list[str] = Field(description="What was skipped, merged or substituted while reading.")
    split: str = Field(description="Method, as given to `--split`.")
    split_hash: str = Field(description="SHA-256 over the external ids of train, validation and test rows.")
    seed: int = Field(description="Of weights, order and dropout.")
    num_users: int = Field(description="Users of the data set.")
    num_items: int = Field(description="Size of the catalogue.")
    num_train: int = Field(description="Training rows, validation rows included.")
    num_validation: int = Field(description="Training rows that were withheld to select on.")
    num_test: int = Field(description="Test rows of the split.")
    num_test_measured: int = Field(description="Test rows that `metrics` averages over, see `pairs`.")
    pairs: str = Field(description="`all` test rows, or the `warm` ones: user and item occur in training.")
    seen: Literal["filtered", "kept"] = Field(
        "filtered", description="Whether what a user had in training is a candidate of `metrics`: kept or filtered."
    )
    num_pairs_seen: int | None = Field(
        None, description="Of `num_test_measured`, targets that were filtered as seen: misses for every system."
    )
    refit: bool = Field(True, description="Whether the model was fitted on validation rows, too, as baselines are.")
    metrics: Figures = Field(description="The model, seen items treated as `seen` says.")
    metrics_seen_kept: Figures = Field(description="The model, nothing filtered, as the TFRS tutorials measure.")
    metrics_all_pairs: Figures = Field(description="The model on all test rows, cold users and items included.")
    next_item: dict[str, Figures] = Field(
        {},
        description="`recall@20` and `mrr@20` of `metrics`, each target alone, by rule on equal scores: `expected`, "
        "`standard` (the target first among its equals), `conservative` (last).",
    )
    add_to_cart: dict[str, Figures] = Field(
        {},
        description="Of what the rest of a session puts into the cart, `recall@10` over test cases with the `low` and "
        "`high` end of its 95% interval, by system (`model` and the baselines); empty where the data says nothing of "
        "carts.",
    )
    identical_lists: float = Field(
        description="Share of test users who get the commonest list of ten, nothing filtered; near 1: collapsed."
    )
    intervals: dict[str, tuple[float, float]] = Field(description="95% bootstrap over users, of `metrics`.")
    baselines: dict[str, Figures] = Field(description="Tuned baselines, measured as `metrics`.")
    baseline_details: dict[str, BaselineDetails] = Field(description="How each baseline was chosen, by name.")
    comparisons: dict[str, dict[str, Comparison]] = Field(description="baseline -> metric -> comparison.")
    oracle: Figures | None = Field(None, description="Best reachable ranking, for simulated data.")
    slices: dict[str, dict[str, dict[str, float]]] = Field(description="slice -> group -> figures of the model.")
    slices_headline: dict[str, dict[str, dict[str, float]]] = Field(
        description="As `slices`, on the pairs of `metrics` and not on all: what the baselines' `slices` compare with."
    )
    validation: Figures = Field(description="Validation metrics of the chosen epoch.")
    training: TrainingFigures = Field(description="What training took.")
    query_ms: float | None = Field(
        None,
        description="Median time in which one user's ten items come about from scratch: query, scores of all items, "
        "the best of those not seen. What the index takes is in `index`.",
    )
    index: dict[str, Any] = Field(description="Kind of the index and its audit.")
    peak_memory_bytes: int = Field(description="Largest resident memory of the process.")
    environment: dict[str, Any] = Field(description="Machine, Python, package versions, devices and precision.")


def write_metrics(metrics: RunMetrics, folder: Path) -> None:
    """Write ``metrics.json``."""
    write_atomically(folder / METRICS_FILE, metrics.model_dump_json(indent=2) + "\n")


def read_metrics(run: Path) -> RunMetrics:
    """Read the ``metrics.json`` of a run.

    Raises:
      RunError: it is not one of this version.
    """
    path = run / METRICS_FILE
    try:
        return RunMetrics.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, OSError) as error:
        first = str(error).splitlines()[0]
        raise RunError(f"{path} cannot be read as this version writes it ({first}): train the run again.") from None
