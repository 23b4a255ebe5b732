"""Where the target of every test pair stands among the whole catalogue, without sampling.

Sampled metrics can order two systems the wrong way round (Krichene & Rendle, "On Sampled Metrics for Item
Recommendation", KDD 2020), so every item is scored. A target is described by how many candidates score strictly
higher and how many score the same; what to make of ties is the metrics' business, see `metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import TrainingError

Scores = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

#: `Ranking.greater` of a target that is no candidate: beyond every cutoff.
MISS = np.iinfo(np.int64).max // 2

#: Items kept per user for lists, coverage and novelty.
LIST_LENGTH = 100

#: Scores held at once, about 16 MB of float32; a handful of temporaries of this size exist beside it.
BLOCK_SCORES = 1 << 22

#: From this many test pairs per user on, sorting a user's scores once is cheaper than comparing for every pair.
_SORT_FROM_PAIRS_PER_USER = 6


class Scorer(Protocol):
    """Whatever can score the whole catalogue for some users."""

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores ``[len(users), num_items + 1]``, higher is better; column 0 is padding and ignored."""
        ...


@dataclass(frozen=True)
class Ranking:
    """The standing of every test pair, and every test user's list.

    Attributes:
      users: ``[num_pairs]`` int32 internal user ids, in the order asked.
      items: ``[num_pairs]`` int32 internal ids of the targets.
      greater: ``[num_pairs]`` int64 candidates that score strictly higher; `MISS` where the target is no candidate.
      ties: ``[num_pairs]`` int64 candidates with the target's score, the target included; 1 for a miss.
      num_candidates: ``[num_pairs]`` int64 items that competed: catalogue without what is filtered.
      list_users: ``[num_list_users]`` int32 distinct users of `users`, ascending.
      top_items: ``[num_list_users, list_length]`` int32 best items first, equal scores by lower id, 0 where the
        candidates end.
      num_items: size of the catalogue the lists are drawn from.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    greater: NDArray[np.int64]
    ties: NDArray[np.int64]
    num_candidates: NDArray[np.int64]
    list_users: NDArray[np.int32]
    top_items: NDArray[np.int32]
    num_items: int

    @cached_property
    def user_index(self) -> NDArray[np.int64]:
        """``[num_pairs]`` position of each pair's user in `list_users`."""
        return np.searchsorted(self.list_users, self.users)

    @cached_property
    def distinct(self) -> Mask:
        """``[num_pairs]`` False for repetitions of a (user, item) pair."""
        keys = self.user_index * (int(self.items.max()) + 1) + self.items
        distinct = np.zeros(len(self), dtype=bool)
        distinct[np.unique(keys, return_index=True)[1]] = True
        return distinct

    @cached_property
    def relevant_around(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``[num_pairs]`` each: the user's distinct targets scored above this one, and those that tie with it.

        Itself included in the second; 0 for repetitions.
        """
        above, tied = np.zeros((2, len(self)), dtype=np.int64)
        chosen = np.flatnonzero(self.distinct)
        order = chosen[np.lexsort((self.greater[chosen], self.user_index[chosen]))]
        user, greater = self.user_index[order], self.greater[order]
        new_user = np.append(True, user[1:] != user[:-1])
        new_block = new_user | np.append(True, greater[1:] != greater[:-1])
        user_start = np.flatnonzero(new_user)[np.cumsum(new_user) - 1]
        block_starts = np.flatnonzero(new_block)
        block = np.cumsum(new_block) - 1
        above[order] = block_starts[block] - user_start
        tied[order] = np.diff(np.append(block_starts, len(order)))[block]
        return above, tied

    def __len__(self) -> int:
        return len(self.users)


def rank(
    scorer: Scorer,
    users: NDArray[np.integer[Any]],
    items: NDArray[np.integer[Any]],
    *,
    seen: Histories | None,
    num_items: int,
    catalogue: Mask | None = None,
    list_length: int = LIST_LENGTH,
    batch_users: int | None = None,
) -> Ranking:
    """Rank every target among all items its user has not seen.

    All pairs of a user share one row of scores. The user's other test items stay in as competitors. A target that
    is not in the catalogue, or that `seen` filters out, is a miss.

    Args:
      scorer: gives ``[num_users_asked, num_items + 1]`` scores. -inf is a legal score, the lowest.
      users: ``[num_pairs]`` internal user ids.
      items: ``[num_pairs]`` internal ids of the targets.
      seen: interactions never recommended again; None keeps everything a candidate.
      num_items: size of the catalogue, without the reserved id 0.
      catalogue: ``[num_items + 1]`` True where an item may be recommended; None for all.
      list_length: length of the lists kept per user, 0 for none.
      batch_users: users scored at once; by default as many as fit `BLOCK_SCORES`.

    Raises:
      ValueError: no pairs, arrays of unequal length, or scores of the wrong shape.
      TrainingError: a score is not a number.
    """
    return _rank_all(scorer, users, items, [seen], num_items, catalogue, list_length, batch_users)[0]


def rank_filtered_and_kept(
    scorer: Scorer,
    users: NDArray[np.integer[Any]],
    items: NDArray[np.integer[Any]],
    *,
    seen: Histories,
    num_items: int,
    catalogue: Mask | None = None,
    batch_users: int | None = None,
) -> tuple[Ranking, Ranking]:
    """`rank` with the seen items filtered, and with them kept, from one pass over the scores."""
    # Kept first: filtering marks the block's scores in place.
    kept, filtered = _rank_all(scorer, users, items, [None, seen], num_items, catalogue, LIST_LENGTH, batch_users)
    return filtered, kept


def _rank_all(
    scorer: Scorer,
    users: NDArray[np.integer[Any]],
    items: NDArray[np.integer[Any]],
    filters: list[Histories | None],
    num_items: int,
    catalogue: Mask | None,
    list_length: int,
    batch_users: int | None,
) -> list[Ranking]:
    if users.ndim != 1 or users.shape != items.shape or len(users) == 0:
        raise ValueError(f"Expected one target per user, at least one; got shapes {users.shape} and {items.shape}.")
    if catalogue is not None and catalogue.shape != (num_items + 1,):
        raise ValueError(f"The catalogue mask has shape {catalogue.shape}, expected {(num_items + 1,)}.")
    # Column 0 is never a candidate, so an id outside the catalogue can stand on it and be a miss.
    columns = np.where((items > 0) & (items <= num_items), items, 0)
    list_users, user_index = np.unique(users.astype(np.int32), return_inverse=True)
    rankings = [
        _empty_ranking(users.astype(np.int32), items.astype(np.int32), list_users, num_items, list_length)
        for _ in filters
    ]
    batch_users = batch_users or max(1, BLOCK_SCORES // (num_items + 1))
    for low, high, pairs in _user_blocks(user_index, len(list_users), batch_users):
        scores = _candidate_scores(scorer, list_users[low:high], num_items, catalogue)
        for ranking, seen in zip(rankings, filters, strict=True):
            if seen is not None:
                owner, position = seen.positions(list_users[low:high])
                scores[owner, seen.items[position]] = -np.inf
            _rank_block(ranking, scores, user_index[pairs] - low, columns[pairs], pairs, slice(low, high))
    return rankings


def _empty_ranking(
    users: NDArray[Any], items: NDArray[Any], list_users: NDArray[Any], num_items: int, length: int
) -> Ranking:
    greater, ties, candidates = np.zeros((3, len(users)), dtype=np.int64)
    top_items = np.zeros((len(list_users), min(length, num_items)), dtype=np.int32)
    return Ranking(users, items, greater, ties, candidates, list_users, top_items, num_items)


def _user_blocks(
    user_index: NDArray[np.int64], num_users: int, batch_users: int
) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Ranges of users, each with the numbers of its pairs."""
    order = np.argsort(user_index, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(user_index, minlength=num_users))))
    for low in range(0, num_users, batch_users):
        high = min(low + batch_users, num_users)
        yield low, high, order[starts[low] : starts[high]]


def _candidate_scores(scorer: Scorer, users: NDArray[np.int32], num_items: int, catalogue: Mask | None) -> Scores:
    """A copy of the scores in which -inf stands for "no candidate" and for nothing else."""
    scores = np.asarray(scorer.score(users))
    if scores.shape != (len(users), num_items + 1):
        raise ValueError(
            f"The scorer returned shape {scores.shape} for {len(users)} users, expected {(len(users), num_items + 1)}: "
            "one column per item, and column 0 for padding."
        )
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(np.float64)
    scores = np.maximum(scores, np.finfo(scores.dtype).min)
    scores[:, 0] = -np.inf
    if np.isnan(scores).any():
        user, item = np.argwhere(np.isnan(scores))[0]
        raise TrainingError(
            f"The score of item {item} for user {users[user]} (internal ids) is not a number, so nothing can be "
            "ranked: the model has diverged. Train it with a lower learning rate, and check its features for NaN."
        )
    if catalogue is not None:
        scores[:, ~catalogue] = -np.inf
    return scores


def _rank_block(
    into: Ranking,
    scores: Scores,
    row: NDArray[np.int64],
    column: NDArray[np.int32],
    pairs: NDArray[np.int64],
    users: slice,
) -> None:
    target = scores[row, column]
    length = into.top_items.shape[1]
    if len(row) >= _SORT_FROM_PAIRS_PER_USER * len(scores):
        ascending = np.sort(scores, axis=1)
        greater, ties = _count_sorted(ascending, row, target)
        cutoff = ascending[:, -length] if length else None
    else:
        greater, ties = _count_compared(scores, row, target)
        cutoff = np.partition(scores, -length, axis=1)[:, -length] if length else None
    missed = np.isneginf(target)
    into.greater[pairs] = np.where(missed, MISS, greater)
    into.ties[pairs] = np.where(missed, 1, ties)
    into.num_candidates[pairs] = np.count_nonzero(scores > -np.inf, axis=1)[row]
    if cutoff is not None:
        into.top_items[users] = _top_items(scores, cutoff, length)


def _count_compared(
    scores: Scores, row: NDArray[np.int64], target: Scores
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Candidates above, and at, each pair's target: one comparison with every item."""
    greater, ties = np.empty((2, len(row)), dtype=np.int64)
    step = max(1, BLOCK_SCORES // scores.shape[1])
    for low in range(0, len(row), step):
        chunk = slice(low, low + step)
        rivals = scores[row[chunk]]
        greater[chunk] = np.count_nonzero(rivals > target[chunk, None], axis=1)
        ties[chunk] = np.count_nonzero(rivals == target[chunk, None], axis=1)
    return greater, ties


def _count_sorted(
    ascending: Scores, row: NDArray[np.int64], target: Scores
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same from sorted rows, by binary search in all pairs' rows at once."""
    below, not_above = np.zeros((2, len(row)), dtype=np.int64)
    width = ascending.shape[1]
    for power in reversed(range(width.bit_length())):
        for count, precedes in ((below, np.less), (not_above, np.less_equal)):
            probe = count + (1 << power)
            inside = probe <= width
            inside &= precedes(ascending[row, np.minimum(probe, width) - 1], target)
            count += inside.astype(np.int64) << power
    return width - not_above, not_above - below


def _top_items(scores: Scores, cutoff: Scores, length: int) -> NDArray[np.int32]:
    """``[num_users, length]`` best items first, equal scores by lower id, 0 where the candidates end."""
    cutoff = np.maximum(cutoff, np.finfo(scores.dtype).min)
    chosen = np.flatnonzero(scores >= cutoff[:, None])
    row, column = np.divmod(chosen, scores.shape[1])
    counts = np.bincount(row, minlength=len(scores))
    place = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    # Ties at the cutoff make rows longer than `length`; ids stand in ascending order, which the stable sort keeps.
    width = max(length, int(counts.max(initial=0)))
    ids = np.zeros((len(scores), width), dtype=np.int32)
    negative = np.full((len(scores), width), np.inf, dtype=scores.dtype)
    ids[row, place] = column
    negative[row, place] = -scores[row, column]
    order = np.argsort(negative, axis=1, kind="stable")[:, :length]
    return np.take_along_axis(ids, order, axis=1)
