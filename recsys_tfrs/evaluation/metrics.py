"""Accuracy with ties at their expected value, and what the lists look like beside it.

Tie rule: a target that shares its score with others stands on each of their places with equal probability, and a
metric is its expectation over that. So a scorer that says the same of all N candidates gets ``hit@k`` of exactly
k/N, not 1 (McSherry & Najork, "Computing Information Retrieval Performance Measures Efficiently in the Presence of
Tied Scores", ECIR 2008).

`hit`, `ndcg` and `mrr` are per test pair, each pair alone being relevant to itself; `recall` and `average_precision`
are per user, over the user's distinct test items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.evaluation.ranking import Ranking

#: Cutoffs of every accuracy metric.
KS = (1, 5, 10, 20, 50, 100)

#: Cutoff of coverage, novelty and Gini.
LIST_K = 10

Values = NDArray[np.float64]


def hit(ranking: Ranking, k: int) -> Values:
    """``[num_pairs]`` probability that the target is among the first k: ``clip((k - greater) / ties, 0, 1)``.

    Example:
      >>> from recsys_tfrs.evaluation.ranking import rank
      >>> class Scores:
      ...     def score(self, users):
      ...         return np.array([[0, 3, 2, 2, 1]], np.float32)  # of padding and four items
      >>> ranking = rank(Scores(), np.array([1]), np.array([3]), seen=None, num_items=4)
      >>> [float(hit(ranking, k)[0]) for k in (1, 2, 3)]  # item 3 is second or third
      [0.0, 0.5, 1.0]
    """
    return np.clip((k - ranking.greater) / ranking.ties, 0.0, 1.0)


def ndcg(ranking: Ranking, k: int) -> Values:
    """``[num_pairs]`` expected ``1 / log2(rank + 1)`` within k; the ideal DCG of a single target is 1."""
    return _expected_gain(ranking, 1.0 / np.log2(np.arange(2, k + 2)))


def mrr(ranking: Ranking, k: int) -> Values:
    """``[num_pairs]`` expected ``1 / rank`` within k.

    Example:
      >>> from types import SimpleNamespace
      >>> third_to_fourth = SimpleNamespace(greater=np.array([2]), ties=np.array([2]))
      >>> mrr(third_to_fourth, 10).round(6).tolist()  # (1/3 + 1/4) / 2
      [0.291667]
    """
    return _expected_gain(ranking, 1.0 / np.arange(1, k + 1))


def _expected_gain(ranking: Ranking, gains: Values) -> Values:
    """Mean of ``gains[rank - 1]`` over the ranks the target may take, ``greater + 1 .. greater + ties``."""
    cumulative = np.concatenate(([0.0], np.cumsum(gains)))
    first, last = _tied_places(ranking, len(gains))
    return np.asarray((cumulative[last] - cumulative[first]) / ranking.ties)


def _tied_places(ranking: Ranking, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places within k that come before the target's tied block, and before its end."""
    return np.minimum(ranking.greater, k), np.minimum(ranking.greater + ranking.ties, k)


def recall(ranking: Ranking, k: int) -> Values:
    """``[num_list_users]`` expected share of the user's distinct test items among the first k."""
    found = _sum_by_user(ranking, hit(ranking, k) * ranking.distinct)
    return found / _sum_by_user(ranking, ranking.distinct)


def average_precision(ranking: Ranking, k: int) -> Values:
    r"""``[num_list_users]`` exact expectation of average precision at k under ties; its mean is ``map@k``.

    ``AP@k = 1 / min(k, n) * sum over relevant ranks r <= k of (relevant up to r) / r`` for a user of n distinct
    test items. A relevant item tied with ``ties - 1`` others, m of the block being relevant and b relevant ones above
    it, takes rank ``greater + j`` with probability ``1 / ties``; the other ``m - 1`` relevant ones then precede it in
    ``(j - 1) * (m - 1) / (ties - 1)`` cases on average. With q that quotient and H the harmonic numbers, the
    sum over the ranks f+1..l of the block within k is ``((b + 1 - (f + 1) q) (H_l - H_f) + q (l - f)) / ties``.
    """
    above, in_block = ranking.relevant_around
    first, last = _tied_places(ranking, k)
    quotient = (in_block - 1) / np.maximum(ranking.ties - 1, 1)
    harmonic = np.concatenate(([0.0], np.cumsum(1.0 / np.arange(1, k + 1))))
    precision = (above + 1 - (first + 1) * quotient) * (harmonic[last] - harmonic[first]) + quotient * (last - first)
    total = _sum_by_user(ranking, precision / ranking.ties * ranking.distinct)
    return np.asarray(total / np.minimum(_sum_by_user(ranking, ranking.distinct), k))


def _sum_by_user(ranking: Ranking, values: NDArray[Any]) -> Values:
    # Everybody listed has a pair, so there are as many sums as users.
    return np.bincount(ranking.user_index, weights=values).astype(np.float64)


def accuracy_columns(ks: Sequence[int] = KS) -> list[str]:
    """Names of the accuracy metrics, in the order of `UserSums`' columns."""
    return [f"{name}@{k}" for name in ("hit", "ndcg", "mrr", "recall", "map") for k in ks]


@dataclass(frozen=True)
class UserSums:
    """Accuracy summed up per user: what the means and the bootstrap over users need, and no more.

    Attributes:
      names: ``[num_metrics]`` metric names.
      users: ``[num_users]`` internal user ids, ascending.
      sums: ``[num_users, num_metrics]`` sum over the user's pairs, or the user's own value.
      weights: ``[num_users, num_metrics]`` the pairs summed, or 1 for a metric per user.
    """

    names: list[str]
    users: NDArray[np.int32]
    sums: Values
    weights: Values

    def means(self) -> Values:
        """``[num_metrics]`` the metrics themselves."""
        means: Values = self.sums.sum(axis=0) / self.weights.sum(axis=0)
        return means


def user_sums(ranking: Ranking, ks: Sequence[int] = KS) -> UserSums:
    """Every accuracy metric of every user, one column at a time so that memory stays per user, not per pair."""
    num_pairs = _sum_by_user(ranking, np.ones(len(ranking)))
    names = accuracy_columns(ks)
    sums, weights = np.empty((2, len(ranking.list_users), len(names)))
    for column, (values, per_pair) in enumerate(_columns(ranking, ks)):
        sums[:, column] = _sum_by_user(ranking, values) if per_pair else values
        weights[:, column] = num_pairs if per_pair else 1.0
    return UserSums(names, ranking.list_users, sums, weights)


def _columns(ranking: Ranking, ks: Sequence[int]) -> Iterator[tuple[Values, bool]]:
    for per_pair in (hit, ndcg, mrr):
        yield from ((per_pair(ranking, k), True) for k in ks)
    for per_user in (recall, average_precision):
        yield from ((per_user(ranking, k), False) for k in ks)


def accuracy(ranking: Ranking, ks: Sequence[int] = KS) -> dict[str, float]:
    """Means of the accuracy metrics: `hit`, `ndcg`, `mrr` over pairs, `recall` and `map` over users."""
    return as_dict(user_sums(ranking, ks))


def as_dict(sums: UserSums) -> dict[str, float]:
    """The means of `UserSums` by metric name."""
    return dict(zip(sums.names, sums.means().tolist(), strict=True))


def identical_lists(ranking: Ranking, k: int = LIST_K) -> float:
    """Share of the test users who get the commonest of all lists of k, whatever the order in it.

    Near 1 a system has collapsed: it says the same to everybody. Meaningful where nothing is filtered, since what
    somebody has seen makes his list his own.
    """
    lists = np.sort(ranking.top_items[:, :k], axis=1)
    return float(np.unique(lists, axis=0, return_counts=True)[1].max() / len(lists))


def list_metrics(ranking: Ranking, item_counts: NDArray[np.int64], k: int = LIST_K) -> dict[str, float]:
    """What the first k of every test user's list look like, whether or not they are right.

    ``coverage@k`` is the share of the catalogue that stands in at least one list; ``novelty@k`` the mean of
    ``-log2(share of training interactions)`` in bits, an item without any counting as one (Vargas & Castells, RecSys
    2011); ``gini@k`` the Gini coefficient of how often each item of the catalogue is recommended: 0 when
    all are equally often, near 1 when a few take every place.

    Args:
      ranking: has lists of at least k items.
      item_counts: ``[num_items + 1]`` training interactions of each item.
      k: length of the lists looked at.

    Raises:
      ValueError: the ranking kept shorter lists than k although the catalogue is larger.
    """
    if ranking.top_items.shape[1] < min(k, ranking.num_items):
        raise ValueError(f"The ranking keeps lists of {ranking.top_items.shape[1]}, expected at least {k}.")
    shown = ranking.top_items[:, :k]
    shown = shown[shown > 0]
    times_shown = np.sort(np.bincount(shown, minlength=ranking.num_items + 1)[1:])
    share = np.maximum(item_counts, 1) / max(int(item_counts.sum()), 1)
    n = ranking.num_items
    # Sorted form of the mean absolute difference over twice the mean.
    gini = 2.0 * np.arange(1, n + 1) @ times_shown / (n * times_shown.sum()) - (n + 1) / n
    return {
        f"coverage@{k}": float(np.count_nonzero(times_shown) / n),
        f"novelty@{k}": float(-np.log2(share[shown]).mean()),
        f"gini@{k}": float(gini),
    }
