"""Everything that is measured in a run, on the same test pairs by the same rules."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.baselines.tuning import TunedBaseline, tuned_baselines
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.evaluation.intervals import Difference, paired_differences
from recsys_tfrs.evaluation.protocol import Evaluation, Pairs, choose_pairs, evaluate
from recsys_tfrs.evaluation.ranking import Scorer, rank
from recsys_tfrs.evaluation.rating_errors import RatingErrors, rating_differences, rating_errors
from recsys_tfrs.runs.carts import cart_scorer, carts_of, measure_carts
from recsys_tfrs.runs.metrics_file import BaselineDetails, Comparison
from recsys_tfrs.runs.prepared import Prepared

#: The trained model, among systems named for baselines.
MODEL = "model"

#: Users asked one by one to time a query.
_TIMED_USERS = 50


class OracleScorer:
    """The generator's truth about simulated users, as a scorer."""

    def __init__(self, oracle: Callable[[NDArray[np.int32]], NDArray[np.float32]]) -> None:
        self.score = oracle


@dataclass(frozen=True)
class Measured:
    """The figures of the model, of the baselines and of the truth.

    Attributes:
      model: on the headline pairs.
      model_all_pairs: on all test rows.
      tuned: the baselines' settings, or why one was skipped.
      baselines: their figures on the headline pairs.
      oracle: the best reachable figures, for simulated data.
      ratings: errors of the predicted ratings on the headline pairs, of a model that predicts them.
      baseline_ratings: the same of the baselines that predict ratings.
      query_ms: milliseconds of a query by system, see `query_milliseconds`; the model's under `MODEL`.
      carts: see `recsys_tfrs.runs.carts.measure_carts`; the model's under `MODEL`.
    """

    model: Evaluation
    model_all_pairs: Evaluation
    tuned: dict[str, TunedBaseline]
    baselines: dict[str, Evaluation]
    oracle: Evaluation | None
    ratings: RatingErrors | None = None
    baseline_ratings: dict[str, RatingErrors] = field(default_factory=dict)
    query_ms: dict[str, float] = field(default_factory=dict)
    carts: dict[str, dict[str, float]] = field(default_factory=dict)

    def figures(self) -> tuple[dict[str, float], dict[str, list[float]]]:
        """The model's metrics on the headline pairs and their intervals, of ranking and of ratings."""
        if self.ratings is None:
            return self.model.metrics, self.model.intervals
        return self.model.metrics | self.ratings.metrics, self.model.intervals | self.ratings.intervals

    def baseline_figures(self) -> dict[str, dict[str, float]]:
        """The baselines' metrics on the headline pairs, of ranking and, where they predict them, of ratings."""
        return {
            name: evaluation.metrics | (self.baseline_ratings[name].metrics if name in self.baseline_ratings else {})
            for name, evaluation in self.baselines.items()
        }

    def details(self) -> dict[str, BaselineDetails]:
        """How each baseline came to its figures."""
        return {
            name: BaselineDetails(
                config=tuned.config,
                seconds=tuned.seconds,
                peak_bytes=tuned.peak_bytes,
                query_ms=self.query_ms.get(name),
                skipped=tuned.skipped,
                metrics_seen_kept=self.baselines[name].metrics_seen_kept if name in self.baselines else {},
                intervals=self._baseline_intervals(name),
                slices=self.baselines[name].slices if name in self.baselines else {},
            )
            for name, tuned in self.tuned.items()
        }

    def _baseline_intervals(self, name: str) -> dict[str, tuple[float, float]]:
        of_ranking = self.baselines[name].intervals if name in self.baselines else {}
        of_ratings = self.baseline_ratings[name].intervals if name in self.baseline_ratings else {}
        return {metric: (low, high) for metric, (low, high) in (of_ranking | of_ratings).items()}

    def comparisons(self) -> dict[str, dict[str, Comparison]]:
        """The model against each baseline, paired over users; in rating errors where both predict ratings."""
        compared = {name: compare(self.model, baseline) for name, baseline in self.baselines.items()}
        if self.ratings is not None:
            for name, errors in self.baseline_ratings.items():
                differences = rating_differences(self.ratings.user_sums, errors.user_sums)
                compared[name] |= {metric: _comparison(difference) for metric, difference in differences.items()}
        return compared


def measure(prepared: Prepared, scorer: Scorer, pairs: Pairs | None = None) -> Evaluation:
    """Measure a scorer on the test part, on the configured pairs or on those asked for."""
    return evaluate(
        scorer,
        prepared.interactions,
        prepared.split.train,
        prepared.split.test,
        pairs=pairs or prepared.config.pairs,
        max_users=prepared.config.evaluation.max_users,
        filter_seen=prepared.config.filters_seen,
        rows_given=prepared.split.given,
        catalogue=prepared.catalogue(prepared.train),
    )


def rating_metrics(prepared: Prepared, model: Any, rows: NDArray[np.int64], known: Histories) -> dict[str, float]:
    """``rmse`` and ``mae`` on some rows of a model that predicts ratings; nothing for others.

    Args:
      prepared: the data set.
      model: has `predicted_ratings` if it predicts them.
      rows: to predict.
      known: what the model may know of each user.
    """
    errors = measure_ratings(prepared, model, rows, known, intervals=False)
    return {} if errors is None else errors.metrics


def measure_ratings(
    prepared: Prepared, model: Any, rows: NDArray[np.int64], known: Histories, *, intervals: bool = True
) -> RatingErrors | None:
    """The rating errors of a model on some rows, or None where it, or the data, has no ratings."""
    interactions = prepared.interactions
    if interactions.ratings is None or not hasattr(model, "predicted_ratings"):
        return None
    users, items = interactions.users[rows], interactions.items[rows]
    predicted = model.predicted_ratings(users, items, known)
    return rating_errors(predicted, interactions.ratings[rows], users, intervals=intervals)


def compare(model: Evaluation, other: Evaluation) -> dict[str, Comparison]:
    """Differences of the accuracy metrics, model minus other."""
    differences = paired_differences(model.user_sums, other.user_sums)
    return {metric: _comparison(difference) for metric, difference in differences.items()}


def _comparison(found: Difference) -> Comparison:
    return Comparison(difference=found.difference, interval=(found.low, found.high), p_value=found.p_value)


def query_milliseconds(prepared: Prepared, scorer: Scorer) -> float:
    """Median time in which one user's list of ten comes about: all items scored, seen ones left out, the best chosen.

    The same work for every system, in this process, one test user at a time.
    """
    data = prepared.interactions
    users = np.unique(data.users[prepared.split.test])[:_TIMED_USERS]
    seconds = []
    for user in (users[:1], *(users[place : place + 1] for place in range(len(users)))):
        started = time.perf_counter()
        rank(scorer, user, np.ones_like(user), seen=prepared.train, num_items=data.num_items, list_length=10)
        seconds.append(time.perf_counter() - started)
    # The first call starts threads and traces graphs.
    return 1e3 * float(np.median(seconds[1:]))


def headline_ratings(prepared: Prepared, model: Any) -> RatingErrors | None:
    """The rating errors of a trained model on the test pairs that `measure` ranks; None where it predicts none."""
    split = prepared.split
    rows = choose_pairs(
        prepared.interactions,
        split.train,
        split.test,
        pairs=prepared.config.pairs,
        max_users=prepared.config.evaluation.max_users,
    )
    return measure_ratings(prepared, model, rows, prepared.train)


def measure_all(prepared: Prepared, model: Any, scorer: Scorer, report: Callable[[str], None]) -> Measured:
    """Measure the model, the tuned baselines and the truth.

    Args:
      prepared: data and split.
      model: trained.
      scorer: the same, as a scorer.
      report: is told one sentence per baseline.
    """
    config = prepared.config
    evaluation = measure(prepared, scorer)
    tuned = tuned_baselines(
        prepared.interactions,
        prepared.split,
        names=config.evaluation.baselines,
        pairs=config.pairs,
        filter_seen=config.filters_seen,
        seed=config.seed,
        report=report,
    )
    oracle = prepared.interactions.oracle
    fitted = {name: baseline.scorer for name, baseline in tuned.items() if baseline.scorer is not None}
    ratings = {name: headline_ratings(prepared, baseline) for name, baseline in fitted.items()}
    # Asked first: a scorer of carts computes the vectors of the whole catalogue.
    carted = carts_of(prepared)
    return Measured(
        model=evaluation,
        model_all_pairs=evaluation if config.pairs == "all" else measure(prepared, scorer, "all"),
        tuned=tuned,
        baselines={name: measure(prepared, baseline) for name, baseline in fitted.items()},
        oracle=None if oracle is None else measure(prepared, OracleScorer(oracle)),
        ratings=headline_ratings(prepared, model),
        baseline_ratings={name: errors for name, errors in ratings.items() if errors is not None},
        query_ms={name: query_milliseconds(prepared, system) for name, system in {MODEL: scorer, **fitted}.items()},
        carts={}
        if carted is None
        else measure_carts(prepared, {MODEL: cart_scorer(prepared, model), **fitted}, carted),
    )
