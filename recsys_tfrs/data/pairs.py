"""Interactions -> pairs with what came of them: ratings, likes, or clicks beside items drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import ConfigError, DataError
from recsys_tfrs.schema import PairTarget

#: Times that an item drawn although its user knows it is drawn again.
_REDRAWS = 20


@dataclass(frozen=True)
class PairRows:
    """Users and items that are asked about together.

    Attributes:
      users, items: ``[num_rows]`` int32 internal ids.
      rows: ``[num_rows]`` int64 row of the interactions in whose circumstances each is asked.
      targets: ``[num_rows, num_targets]`` float32 what came of it; NaN where that is not known.
      weights: ``[num_rows]`` float32, how much each counts; None: all the same.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    rows: NDArray[np.int64]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32] | None = None


def default_target(interactions: Interactions) -> PairTarget:
    """``like`` where ratings differ, ``click`` where there is nothing to tell liked from disliked."""
    ratings = interactions.ratings
    return "click" if ratings is None or float(ratings.min()) == float(ratings.max()) else "like"


def check_targets(names: Sequence[str], interactions: Interactions) -> None:
    """See that interactions can tell the targets asked for.

    Raises:
      ConfigError: an unknown target, ratings asked for where there are none, or clicks beside other targets.
    """
    for name in names:
        if name not in get_args(PairTarget):
            raise ConfigError(
                f"target = {name!r} is not possible: of interactions there are {', '.join(get_args(PairTarget))}."
            )
    if "click" in names and len(names) > 1:
        raise ConfigError("target click stands alone: of items drawn at random there are neither ratings nor likes.")
    if names[0] != "click" and default_target(interactions) == "click":
        raise ConfigError(
            f"target {names[0]} needs ratings that differ, and {interactions.name} has none: use --set target=click, "
            "or name the column of ratings with --columns rating=NAME."
        )


def like_threshold(interactions: Interactions) -> float:
    """The rating a like begins at: the first on the scale that is three quarters of the way up, 4 of 1 to 5."""
    if interactions.ratings is None:
        raise DataError(f"{interactions.name} has no ratings to tell likes by.")
    scale = np.unique(interactions.ratings)
    return float(scale[np.searchsorted(scale, scale[0] + 0.75 * (scale[-1] - scale[0]) - 1e-6)])


def rated_pairs(
    interactions: Interactions, rows: NDArray[np.int64], targets: Sequence[str], like_from: float
) -> PairRows:
    """A pair for each interaction, with its rating or whether it was liked.

    Args:
      interactions: with ratings.
      rows: to make pairs of.
      targets: ``like`` and ``rating``, in the order of the columns.
      like_from: the rating a like begins at.

    Raises:
      DataError: all rows, or none, are likes.
    """
    if interactions.ratings is None:
        raise DataError(f"{interactions.name} has no ratings.")
    ratings = interactions.ratings[rows].astype(np.float32)
    likes = (ratings >= like_from).astype(np.float32)
    if "like" in targets and len(likes) and likes.min() == likes.max():
        raise DataError(
            f"{'All' if likes[0] else 'None'} of {len(likes):,} ratings are {like_from:g} or more, so there is nothing "
            "to tell apart: set data.like_from between the lowest and the highest rating."
        )
    columns = {"like": likes, "rating": ratings}
    weights = None if interactions.weights is None else interactions.weights[rows]
    made = np.stack([columns[name] for name in targets], axis=1)
    return PairRows(interactions.users[rows], interactions.items[rows], rows, made, weights)


def clicked_pairs(
    interactions: Interactions, rows: NDArray[np.int64], known: Histories, negatives: int, seed: int
) -> PairRows:
    """A pair of target 1 for each interaction, and `negatives` of target 0 with items drawn uniformly.

    None that the user is known to have touched, in `known` or in `rows`, is drawn; where most of the catalogue is
    known and no other is found, there are fewer. Items are drawn once, not anew in each epoch.

    Args:
      interactions: what happened.
      rows: to make pairs of.
      known: what else each user has done.
      negatives: for each interaction.
      seed: of the draw.
    """
    users, items = interactions.users[rows], interactions.items[rows]
    base = interactions.num_items + 1
    owners = np.repeat(np.arange(known.num_users + 1, dtype=np.int64), known.lengths)
    touched = np.unique(np.concatenate([owners * base + known.items, users.astype(np.int64) * base + items]))
    who, where = np.repeat(users, negatives), np.repeat(rows, negatives)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(1, base, len(who)).astype(np.int32)
    wrong = np.arange(len(who))
    for _ in range(_REDRAWS):
        keys = who[wrong].astype(np.int64) * base + drawn[wrong]
        found = np.minimum(np.searchsorted(touched, keys), len(touched) - 1)
        wrong = wrong[touched[found] == keys]
        if not len(wrong):
            break
        drawn[wrong] = rng.integers(1, base, len(wrong))
    kept = np.ones(len(who), bool)
    kept[wrong] = False
    weights = None
    if interactions.weights is not None:
        own = interactions.weights[rows]
        weights = np.concatenate([own, np.repeat(own, negatives)[kept]])
    labels = np.concatenate([np.ones(len(rows), np.float32), np.zeros(int(kept.sum()), np.float32)])
    return PairRows(
        np.concatenate([users, who[kept]]),
        np.concatenate([items, drawn[kept]]),
        np.concatenate([rows, where[kept]]),
        labels[:, None],
        weights,
    )
