"""Everything that is measured in a run, on the same test pairs by the same rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.baselines.tuning import TunedBaseline, tuned_baselines
from recsys_tfrs.evaluation.intervals import paired_differences
from recsys_tfrs.evaluation.protocol import Evaluation, Pairs, evaluate
from recsys_tfrs.evaluation.ranking import Scorer
from recsys_tfrs.runs.metrics_file import BaselineDetails, Comparison
from recsys_tfrs.runs.prepared import Prepared


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
    """

    model: Evaluation
    model_all_pairs: Evaluation
    tuned: dict[str, TunedBaseline]
    baselines: dict[str, Evaluation]
    oracle: Evaluation | None

    def details(self) -> dict[str, BaselineDetails]:
        """How each baseline came to its figures."""
        return {
            name: BaselineDetails(
                config=tuned.config,
                seconds=tuned.seconds,
                skipped=tuned.skipped,
                metrics_seen_kept=self.baselines[name].metrics_seen_kept if name in self.baselines else {},
            )
            for name, tuned in self.tuned.items()
        }

    def comparisons(self) -> dict[str, dict[str, Comparison]]:
        """The model against each baseline, paired over users."""
        return {name: compare(self.model, baseline) for name, baseline in self.baselines.items()}


def measure(prepared: Prepared, scorer: Scorer, pairs: Pairs | None = None) -> Evaluation:
    """Measure a scorer on the test part, on the configured pairs or on those asked for."""
    return evaluate(
        scorer,
        prepared.interactions,
        prepared.split.train,
        prepared.split.test,
        pairs=pairs or prepared.config.pairs,
        max_users=prepared.config.evaluation.max_users,
    )


def compare(model: Evaluation, other: Evaluation) -> dict[str, Comparison]:
    """Differences of the accuracy metrics, model minus other."""
    differences = paired_differences(model.user_sums, other.user_sums)
    return {
        metric: Comparison(difference=d.difference, interval=(d.low, d.high), p_value=d.p_value)
        for metric, d in differences.items()
    }


def measure_all(prepared: Prepared, scorer: Scorer, report: Callable[[str], None]) -> Measured:
    """Measure the model, the tuned baselines and the truth.

    Args:
      prepared: data and split.
      scorer: the trained model.
      report: is told one sentence per baseline.
    """
    config = prepared.config
    model = measure(prepared, scorer)
    tuned = tuned_baselines(
        prepared.interactions,
        prepared.split,
        names=config.evaluation.baselines,
        pairs=config.pairs,
        seed=config.seed,
        report=report,
    )
    oracle = prepared.interactions.oracle
    return Measured(
        model=model,
        model_all_pairs=model if config.pairs == "all" else measure(prepared, scorer, "all"),
        tuned=tuned,
        baselines={name: measure(prepared, t.scorer) for name, t in tuned.items() if t.scorer is not None},
        oracle=None if oracle is None else measure(prepared, OracleScorer(oracle)),
    )
