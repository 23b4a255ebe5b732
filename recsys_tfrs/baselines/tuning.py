"""Baselines at their best: every setting is chosen on validation, then refitted on all of training.

An untuned baseline proves nothing (Rendle, Zhang & Koren, "On the Difficulty of Evaluating Baselines", 2019).
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from recsys_tfrs.baselines.biased_mf import BiasedMF, BiasedMFConfig
from recsys_tfrs.baselines.ease import EASE, EASEConfig
from recsys_tfrs.baselines.ials import IALS, IALSConfig
from recsys_tfrs.baselines.item_knn import ItemKNN, ItemKNNConfig
from recsys_tfrs.baselines.markov_chain import MarkovChain, MarkovChainConfig
from recsys_tfrs.baselines.matrix import Baseline
from recsys_tfrs.baselines.popularity import Popularity, PopularityConfig
from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.splits import Split
from recsys_tfrs.errors import UsageError
from recsys_tfrs.evaluation.metrics import ndcg
from recsys_tfrs.evaluation.protocol import Pairs, choose_pairs
from recsys_tfrs.evaluation.ranking import Scorer, rank
from recsys_tfrs.evaluation.rating_errors import LOWER_IS_BETTER, METRICS, rating_errors

#: Validation users settings are compared on, at most.
MAX_VALIDATION_USERS = 5_000

#: Field name -> values to try; the stages of one search follow each other, each around the best so far.
Stage = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class BaselineSpec:
    """How one baseline is built and searched.

    Attributes:
      build: configuration -> unfitted baseline.
      default: the configuration a search starts from.
      stages: searched where a fit takes seconds at most.
      stages_large: searched from `large_rows` training rows or `large_items` items on.
      large_rows: training rows from which fits are slow.
      large_items: catalogue size from which fits are slow.
      metric: what settings are chosen by.
    """

    build: Callable[[Any], Baseline]
    default: Any
    stages: Sequence[Stage]
    stages_large: Sequence[Stage] = ()
    large_rows: int = 2_000_000
    large_items: int = 1_000_000
    metric: Literal["ndcg@10", "rmse"] = "ndcg@10"


#: The baselines every model is compared with, by the name they have in ``metrics.json``.
BASELINES: dict[str, BaselineSpec] = {
    "popularity": BaselineSpec(Popularity, PopularityConfig(), ()),
    "item_knn": BaselineSpec(
        ItemKNN,
        ItemKNNConfig(),
        ({"weighting": ("cosine", "tfidf", "bm25"), "k": (10, 20, 50, 200, 500)},),
        ({"k": (50, 200)},),
    ),
    "ease": BaselineSpec(
        EASE,
        EASEConfig(),
        ({"l2": (20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)},),
        ({"l2": (100.0, 500.0)},),
        large_items=5_000,
    ),
    "ials": BaselineSpec(
        IALS,
        IALSConfig(),
        # At 100 the vectors of MovieLens 100K collapse: every number of factors gives the same, nearly popular, lists.
        ({"alpha": (1.0, 3.0, 10.0), "regularization": (1.0, 10.0, 30.0)}, {"factors": (16, 64, 128)}),
        ({"alpha": (1.0, 10.0)},),
    ),
    "biased_mf": BaselineSpec(
        BiasedMF,
        BiasedMFConfig(),
        ({"regularization": (1.0, 1.4, 2.0)}, {"implicit_penalty": (10.0, 100.0, None)}, {"factors": (20, 80)}),
        ({"regularization": (1.0, 1.4)},),
        metric="rmse",
    ),
    "markov_chain": BaselineSpec(
        MarkovChain,
        MarkovChainConfig(),
        ({"smoothing": (0.1, 100.0, 1000.0)}, {"steps": (3, 10)}),
        ({"smoothing": (0.1, 100.0)},),
    ),
}

#: Those that read histories in order: what sequence models are compared with beside the others.
SEQUENCE_BASELINES = ("markov_chain",)

#: Those that can be asked with a session they were not fitted on, by `ask_with` or because they ask for none.
SESSION_BASELINES = ("popularity", "item_knn", "markov_chain")

#: Those that rank by what was chosen, whatever its rating and its place: what lists are compared with.
RANKING_BASELINES = tuple(
    name for name, spec in BASELINES.items() if spec.metric != "rmse" and name not in SEQUENCE_BASELINES
)


@dataclass(frozen=True)
class Trial:
    """One setting tried.

    Attributes:
      config: the settings.
      metric: of `BaselineSpec`.
      value: of that metric on validation, fitted without it.
    """

    config: dict[str, Any]
    metric: str
    value: float


@dataclass(frozen=True)
class TunedBaseline:
    """A baseline ready to be evaluated on test, or the reason why it is not.

    Attributes:
      name: key in `BASELINES`.
      scorer: fitted on all training rows; None if skipped.
      config: the chosen settings; None if skipped.
      trials: everything tried, in order; empty where there is nothing to choose.
      seconds: wall time of search and refit.
      peak_bytes: most memory that the refit's arrays held at once, beside the data; what compiled libraries allocate
        outside of numpy is not in it.
      skipped: why this baseline was not run, or None.
    """

    name: str
    scorer: Scorer | None
    config: dict[str, Any] | None
    trials: tuple[Trial, ...]
    seconds: float
    skipped: str | None = None
    peak_bytes: int | None = None


def baseline_names(
    asked: Sequence[str] | Literal["auto"], metric: str, *, in_order: bool = False, of_sessions: bool = False
) -> list[str]:
    """The baselines to run beside a model.

    Args:
      asked: names, or ``auto``: those that rank, beside a model that is chosen by its rating errors also those that
        predict ratings, beside one that reads histories in order also those that do.
      metric: what the model is chosen by.
      in_order: whether the model reads histories in order.
      of_sessions: keep those alone that can be asked with sessions they were not fitted on.

    Raises:
      UsageError: a name that is not a baseline.
    """
    if asked == "auto":
        named = [*RANKING_BASELINES, *(SEQUENCE_BASELINES if in_order else ())]
        return [
            name
            for name, spec in BASELINES.items()
            if (name in named or (metric in METRICS and spec.metric == "rmse"))
            and (not of_sessions or name in SESSION_BASELINES)
        ]
    unknown = [name for name in asked if name not in BASELINES]
    if unknown:
        raise UsageError(f"Unknown baselines {unknown}: choose from {', '.join(BASELINES)}.")
    return [name for name in asked if not of_sessions or name in SESSION_BASELINES]


def tuned_baselines(
    interactions: Interactions,
    split: Split,
    *,
    names: Sequence[str] = RANKING_BASELINES,
    pairs: Pairs = "all",
    filter_seen: bool = True,
    max_users: int = MAX_VALIDATION_USERS,
    seed: int = 0,
    report: Callable[[str], None] | None = None,
) -> dict[str, TunedBaseline]:
    """Tune, then refit each baseline. The test rows are never looked at.

    Args:
      interactions: the data set.
      split: settings are chosen on ``split.validation`` after fitting on ``split.selection_train``, by ndcg@10, or by
        rmse where ratings are predicted; the chosen one is fitted again on ``split.train``.
      names: which of `BASELINES`.
      pairs: which validation rows count, as in `evaluation.protocol.choose_pairs`.
      filter_seen: leave a user's training items out of the ranking.
      max_users: validation users to compare settings on, at most.
      seed: of the sample of validation users and of initial vectors.
      report: is told one sentence per baseline.

    Raises:
      UsageError: a name that is not a baseline.
      SplitError: no validation pair is left.
    """
    names = baseline_names(names, "")
    search = _Search.prepare(interactions, split, pairs, filter_seen, max_users, seed)
    train = build_histories(interactions, split.train)
    known = build_histories(interactions, split.known) if len(split.given) else None
    tuned = {}
    for name in names:
        tuned[name] = _tune(name, search, train, known, seed)
        if report is not None:
            report(_sentence(tuned[name]))
    return tuned


@dataclass(frozen=True)
class _Search:
    """Everything a setting is judged by.

    Attributes:
      histories: to fit on.
      known: to ask with, where that is something else.
      users, items, ratings: to predict.
      filter_seen: leave what a user has had out of the ranking.
    """

    histories: Histories
    known: Histories | None
    users: Any
    items: Any
    ratings: Any
    filter_seen: bool

    @classmethod
    def prepare(
        cls, interactions: Interactions, split: Split, pairs: Pairs, filter_seen: bool, max_users: int, seed: int
    ) -> _Search:
        fitted_on = split.selection_train
        rows = choose_pairs(interactions, fitted_on, split.validation, pairs=pairs, max_users=max_users, seed=seed)
        return cls(
            build_histories(interactions, fitted_on),
            build_histories(interactions, split.selection_known) if len(split.given) else None,
            interactions.users[rows],
            interactions.items[rows],
            None if interactions.ratings is None else interactions.ratings[rows],
            filter_seen,
        )

    def value(self, baseline: Any, metric: str) -> float:
        baseline.fit(self.histories)
        _ask_with(baseline, self.known)
        if metric == "rmse":
            predicted = baseline.predicted_ratings(self.users, self.items)
            return rating_errors(predicted, self.ratings, self.users, intervals=False).metrics["rmse"]
        ranking = rank(
            baseline,
            self.users,
            self.items,
            seen=self.histories if self.filter_seen else None,
            num_items=self.histories.num_items,
            list_length=0,
        )
        return float(np.mean(ndcg(ranking, 10)))


def _ask_with(baseline: Any, known: Histories | None) -> None:
    """Let a baseline be asked with other histories than it was fitted on, if it can be."""
    if known is not None and hasattr(baseline, "ask_with"):
        baseline.ask_with(known)


def _tune(name: str, search: _Search, train: Histories, known: Histories | None, seed: int) -> TunedBaseline:
    spec = BASELINES[name]
    started = time.perf_counter()
    large = len(train.items) >= spec.large_rows or train.num_items >= spec.large_items
    config = _start(spec.default, seed, large)
    reason = spec.build(config).refusal(train) or spec.build(config).refusal(search.histories)
    if reason is not None:
        return TunedBaseline(name, None, None, (), time.perf_counter() - started, reason)
    tried: dict[Any, float] = {}
    best = min if spec.metric in LOWER_IS_BETTER else max
    try:
        # Fits of a fraction of a second lose more to starting and joining threads than they win.
        with threadpool_limits(limits=None if large else 1, user_api="blas"):
            for stage in spec.stages_large if large else spec.stages:
                for candidate in _around(config, stage):
                    if candidate not in tried:
                        tried[candidate] = search.value(spec.build(candidate), spec.metric)
                config = best(tried, key=lambda c: tried[c])
            baseline = spec.build(config)
            peak = _peak_bytes(lambda: baseline.fit(train))
        _ask_with(baseline, known)
    except MemoryError as error:
        return TunedBaseline(name, None, None, (), time.perf_counter() - started, f"out of memory: {error}")
    trials = tuple(Trial(asdict(c), spec.metric, value) for c, value in tried.items())
    return TunedBaseline(name, baseline, asdict(config), trials, time.perf_counter() - started, peak_bytes=peak)


def _peak_bytes(work: Callable[[], None]) -> int:
    """Run something, and say how much more memory it held at most than there was before."""
    already = tracemalloc.is_tracing()
    if already:
        tracemalloc.reset_peak()
    else:
        tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        work()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        if not already:
            tracemalloc.stop()
    return peak - before


def _start(default: Any, seed: int, large: bool) -> Any:
    given = {"seed": seed, "num_threads": 0 if large else 1}
    return replace(default, **{name: value for name, value in given.items() if hasattr(default, name)})


def _around(config: Any, stage: Stage) -> Iterator[Any]:
    for values in product(*stage.values()):
        yield replace(config, **dict(zip(stage, values, strict=True)))


def _sentence(tuned: TunedBaseline) -> str:
    if tuned.skipped is not None:
        return f"{tuned.name} skipped: {tuned.skipped}"
    return f"{tuned.name} tuned over {len(tuned.trials)} settings in {tuned.seconds:.1f} s: {tuned.config}"
