"""The leak detector: data with the same marginals in which nothing beyond item popularity can be learnt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import FeatureColumn, Interactions, Oracle
from recsys_tfrs.data.splits import Split

_ROUNDS = 12  # partners tried for a repeated pair before the table of pairs is made anew


def make_unlearnable(interactions: Interactions, rng: np.random.Generator) -> Interactions:
    """The same data with every link shuffled away.

    Kept exactly: each user's number of events and their times, each item's number of events, the ratings as a
    whole, no user-item pair twice. Gone: who took which item, in what order and when, which rating belongs to what,
    and whose features are whose. Given these marginals the best ranking is the same for every user, the unseen
    items by their number of events: that is the oracle of the result, and `popularity_bound` its hit rate.
    """
    items = _shuffle_items(interactions.users, interactions.items, interactions.num_items, rng)
    events = np.bincount(items, minlength=interactions.num_items + 1).astype(np.float32)
    events[0] = -np.inf
    return replace(
        interactions,
        items=items,
        ratings=None if interactions.ratings is None else rng.permutation(interactions.ratings),
        user_features=_permuted(interactions.user_features.values(), interactions.num_users, rng),
        item_features=_permuted(interactions.item_features.values(), interactions.num_items, rng),
        oracle=_same_for_everybody(events),
    )


def popularity_bound(
    interactions: Interactions, split: Split, k: int = 10, *, rows: NDArray[np.int64] | None = None
) -> float:
    """Hit@k of the ranking by true popularity, seen items filtered: the most unlearnable data allow.

    True popularity is the number of events in all rows, test rows included, which no model knows. A model above it
    by more than sampling error (``sqrt(p (1 - p) / num_test)``) has seen what it must not see.

    Args:
      interactions: an unlearnable data set (for a learnable one this is merely popularity with hindsight).
      split: rows of `split.train` are the seen items.
      k: length of the list.
      rows: the rows ranked, by default `split.test`; give the same ones as to the model, for example warm pairs only.

    Returns:
      Mean over the rows of the chance to be among the first k; ties stand in random order.
    """
    events = np.bincount(interactions.items, minlength=interactions.num_items + 1)
    levels, level = np.unique(-events, return_inverse=True)  # 0 = most popular
    level = level.reshape(-1)
    per_level = np.bincount(level[1:], minlength=len(levels))
    better = np.cumsum(per_level) - per_level

    histories = build_histories(interactions, split.train)
    owner = np.repeat(np.arange(len(histories.lengths)), histories.lengths)
    seen_keys = np.sort(owner * len(levels) + level[histories.items])
    rows = split.test if rows is None else rows
    users, target = interactions.users[rows], level[interactions.items[rows]]
    start = histories.offsets[users]
    below = np.searchsorted(seen_keys, users.astype(np.int64) * len(levels) + target, side="left")
    upto = np.searchsorted(seen_keys, users.astype(np.int64) * len(levels) + target, side="right")
    ahead = better[target] - (below - start)
    tied = per_level[target] - (upto - below)  # with the target itself, which is unseen
    return float(np.clip((k - ahead) / tied, 0.0, 1.0).mean())


def _shuffle_items(
    users: NDArray[np.int32], items: NDArray[np.int32], num_items: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Permute items over rows, then swap rows at random until no user has an item twice."""
    items = rng.permutation(items)
    owners = users.astype(np.int64) * (num_items + 1)
    while True:
        keys = owners + items
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        repeated = order[1:][keys[1:] == keys[:-1]]
        if len(repeated) == 0:
            return items
        for _ in range(_ROUNDS):
            partners = rng.integers(0, len(items), len(repeated))
            allowed = ~_contains(keys, owners[repeated] + items[partners])
            allowed &= ~_contains(keys, owners[partners] + items[repeated])
            # A row takes part in one swap of a round.
            _, first = np.unique(partners, return_index=True)
            once = np.zeros(len(partners), dtype=bool)
            once[first] = True
            allowed &= once & ~np.isin(partners, repeated)
            left, right = repeated[allowed], partners[allowed]
            items[left], items[right] = items[right], items[left]
            repeated = repeated[~allowed]
            if len(repeated) == 0:
                break


def _contains(sorted_keys: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.asarray(sorted_keys[found] == keys)


def _permuted(columns: Iterable[FeatureColumn], count: int, rng: np.random.Generator) -> dict[str, FeatureColumn]:
    """The same feature rows dealt to other entities; columns stay together, row 0 stays."""
    order = np.concatenate([[0], 1 + rng.permutation(count)])
    return {column.name: replace(column, values=column.values[order]) for column in columns}


def _same_for_everybody(scores: NDArray[np.float32]) -> Oracle:
    def oracle(users: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.tile(scores, (len(users), 1))

    return oracle
