"""The one way every model and every baseline is measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import SplitError
from recsys_tfrs.evaluation.intervals import confidence_intervals
from recsys_tfrs.evaluation.metrics import UserSums, as_dict, identical_lists, list_metrics, user_sums
from recsys_tfrs.evaluation.ranking import MISS, Ranking, Scorer, rank, rank_filtered_and_kept
from recsys_tfrs.evaluation.slices import SliceTable, slice_accuracy

Rows = NDArray[np.int64]

#: ``all``: every test row is a test pair. ``warm``: those whose user and item both occur in the training rows.
Pairs = Literal["all", "warm"]


@dataclass(frozen=True)
class Evaluation:
    """One system's figures on one set of test pairs.

    Attributes:
      metrics: accuracy and list metrics by name (``hit@10`` ...), seen items filtered unless that was switched off.
      metrics_seen_kept: the same with every item a candidate, as the TFRS tutorials measure.
      intervals: ``{metric: [low, high]}``, 95% bootstrap over users, of the accuracy metrics; empty if not asked for.
      slices: ``{slice: {group: {"num_pairs", "hit@10", "ndcg@10"}}}``.
      identical_lists: share of the test users who get the commonest list of ten, nothing filtered.
      ranking: what `metrics` were computed from.
      num_pairs: test pairs measured.
      num_pairs_all: test rows given.
      num_pairs_seen: measured pairs whose target the filter removed, misses for every system; 0 without filter.
    """

    metrics: dict[str, float]
    metrics_seen_kept: dict[str, float]
    intervals: dict[str, list[float]]
    slices: SliceTable
    identical_lists: float
    ranking: Ranking
    num_pairs: int
    num_pairs_all: int
    num_pairs_seen: int

    @cached_property
    def user_sums(self) -> UserSums:
        """Accuracy per user, for `intervals.paired_differences`."""
        return user_sums(self.ranking)


def choose_pairs(
    interactions: Interactions,
    rows_train: Rows,
    rows_test: Rows,
    *,
    pairs: Pairs = "all",
    max_users: int | None = None,
    seed: int = 0,
) -> Rows:
    """The test rows to measure on, in the order given.

    Args:
      interactions: the data set.
      rows_train: rows the system was fitted on.
      rows_test: rows to choose from.
      pairs: see `Pairs`.
      max_users: measure on a random sample of this many test users, for very large test parts.
      seed: of that sample.

    Raises:
      SplitError: nothing is left to measure on.
    """
    chosen = np.asarray(rows_test, dtype=np.int64)
    if pairs == "warm":
        known_users = np.zeros(interactions.num_users + 1, dtype=bool)
        known_items = np.zeros(interactions.num_items + 1, dtype=bool)
        known_users[interactions.users[rows_train]] = True
        known_items[interactions.items[rows_train]] = True
        chosen = chosen[known_users[interactions.users[chosen]] & known_items[interactions.items[chosen]]]
    elif pairs != "all":
        raise ValueError(f"pairs is 'all' or 'warm', not {pairs!r}.")
    if len(chosen) == 0:
        raise SplitError(
            f"None of the {len(rows_test)} rows can be measured with evaluation.pairs={pairs}: of no row do user and "
            "item both occur in training. Use --set evaluation.pairs=all, or another --split."
        )
    test_users = np.unique(interactions.users[chosen])
    if max_users is not None and len(test_users) > max_users:
        sample = np.random.default_rng(seed).choice(test_users, max_users, replace=False)
        chosen = chosen[np.isin(interactions.users[chosen], sample)]
    return chosen


def evaluate(
    scorer: Scorer,
    interactions: Interactions,
    rows_train: Rows,
    rows_test: Rows,
    *,
    filter_seen: bool = True,
    pairs: Pairs = "all",
    intervals: bool = True,
    max_users: int | None = None,
    seed: int = 0,
    batch_users: int | None = None,
    rows_given: Rows | None = None,
    catalogue: NDArray[np.bool_] | None = None,
) -> Evaluation:
    """Full-ranking evaluation over the whole catalogue.

    Works the same for test (``split.train``, ``split.test``) and validation (``split.selection_train``,
    ``split.validation``).

    Args:
      scorer: the system; must have been fitted on `rows_train` only.
      interactions: the data set.
      rows_train: rows the system was fitted on; they define what a user has seen, and what is popular.
      rows_test: rows to measure on.
      filter_seen: leave a user's training items out of the ranking.
      pairs: see `Pairs`.
      intervals: compute bootstrap intervals.
      max_users: see `choose_pairs`.
      seed: of the bootstrap and of the sample of users.
      batch_users: users scored at once; by default chosen by the size of the catalogue.
      rows_given: what users had done before they asked, where that is not among `rows_train`: seen, too; for slices.
      catalogue: ``[num_items + 1]`` True where an item may be recommended, other targets being missed; None: all.

    Raises:
      SplitError: nothing is left to measure on.
      TrainingError: the scorer gave a score that is not a number.
    """
    rows = choose_pairs(interactions, rows_train, rows_test, pairs=pairs, max_users=max_users, seed=seed)
    users, items = interactions.users[rows], interactions.items[rows]
    num_items = interactions.num_items
    if filter_seen:
        seen = build_histories(interactions, rows_train if rows_given is None else np.union1d(rows_train, rows_given))
        ranking, kept = rank_filtered_and_kept(
            scorer, users, items, seen=seen, num_items=num_items, batch_users=batch_users, catalogue=catalogue
        )
    else:
        ranking = kept = rank(
            scorer, users, items, seen=None, num_items=num_items, batch_users=batch_users, catalogue=catalogue
        )
    item_counts = np.bincount(interactions.items[rows_train], minlength=num_items + 1)
    sums = user_sums(ranking)
    metrics = {**as_dict(sums), **list_metrics(ranking, item_counts)}
    return Evaluation(
        metrics=metrics,
        metrics_seen_kept=metrics if kept is ranking else _all_metrics(kept, item_counts),
        intervals=confidence_intervals(sums, seed=seed) if intervals else {},
        slices=slice_accuracy(ranking, interactions, rows_train, rows_given),
        identical_lists=identical_lists(kept),
        ranking=ranking,
        num_pairs=len(rows),
        num_pairs_all=len(rows_test),
        num_pairs_seen=int(np.count_nonzero((ranking.greater == MISS) & (kept.greater != MISS))),
    )


def _all_metrics(ranking: Ranking, item_counts: NDArray[np.int64]) -> dict[str, float]:
    return {**as_dict(user_sums(ranking)), **list_metrics(ranking, item_counts)}
