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
    """The rating a like begins at: the first on the scale that is three quarters of the way up, 4 of 1 to 5.

    Raises:
      DataError: there are no ratings.
    """
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


class UntouchedItems:
    """Items that users are not known to have touched, drawn in proportion to ``max(count, 1)^alpha``.

    Args:
      known: what each user has done, which items are counted in, too.
      users, items: ``[num_pairs]`` what they have touched beside that.
      alpha: 0: all items alike.

    Attributes:
      log_q: ``[num_items + 1]`` float32 log of how many times as often as a uniform draw each item comes; 0 for none.
    """

    def __init__(
        self, known: Histories, users: NDArray[np.int32], items: NDArray[np.int32], alpha: float = 0.0
    ) -> None:
        self._base = known.num_items + 1
        counts = np.bincount(known.items, minlength=self._base)[1:]
        weights = np.maximum(counts, 1).astype(np.float64) ** alpha
        self.log_q = np.append(0.0, np.log(weights / weights.mean())).astype(np.float32)
        ends = np.cumsum(weights)
        # Without the last, which is all there is: rounding must not lead past it.
        self._ends = ends[:-1] / ends[-1]
        owners = np.repeat(np.arange(known.num_users + 1, dtype=np.int64), known.lengths)
        self._touched = np.unique(
            np.concatenate([owners * self._base + known.items, users.astype(np.int64) * self._base + items])
        )

    def draw(self, users: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
        """``[num_rows]`` an item for each of ``[num_rows]`` users, 0 where none is found.

        One that its user knows is drawn again, a few times: where most of the catalogue is known, there may be none.
        """
        drawn = self._any(len(users), rng)
        wrong = np.arange(len(users))
        for _ in range(_REDRAWS):
            keys = users[wrong].astype(np.int64) * self._base + drawn[wrong]
            found = np.minimum(np.searchsorted(self._touched, keys), len(self._touched) - 1)
            wrong = wrong[self._touched[found] == keys]
            if not len(wrong):
                break
            drawn[wrong] = self._any(len(wrong), rng)
        drawn[wrong] = 0
        return drawn

    def _any(self, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
        """``[count]`` items, whoever asks."""
        return (np.searchsorted(self._ends, rng.random(count), side="right") + 1).astype(np.int32)


def clicked_pairs(
    interactions: Interactions, rows: NDArray[np.int64], known: Histories, negatives: int, seed: int
) -> PairRows:
    """A pair of target 1 for each interaction, and `negatives` of target 0 with items drawn uniformly.

    None that the user is known to have touched, in `known` or in `rows`, is drawn; where no other is found, there are
    fewer. They are drawn once, as what is measured by has to stay the same; training draws its own
    (`recsys_tfrs.training.choices`).

    Args:
      interactions: what happened.
      rows: to make pairs of.
      known: what else each user has done.
      negatives: for each interaction.
      seed: of the draw.
    """
    own = all_clicked(interactions, rows)
    who = np.repeat(own.users, negatives)
    drawn = UntouchedItems(known, own.users, own.items).draw(who, np.random.default_rng(seed))
    kept = drawn > 0
    beside = np.repeat(np.arange(len(rows)), negatives)[kept]
    return PairRows(
        np.concatenate([own.users, own.users[beside]]),
        np.concatenate([own.items, drawn[kept]]),
        np.concatenate([rows, rows[beside]]),
        np.concatenate([own.targets, np.zeros((len(beside), 1), np.float32)]),
        None if own.weights is None else np.concatenate([own.weights, own.weights[beside]]),
    )


def all_clicked(interactions: Interactions, rows: NDArray[np.int64]) -> PairRows:
    """A pair of target 1 for each interaction, and no other.

    Args:
      interactions: what happened.
      rows: to make pairs of.
    """
    weights = None if interactions.weights is None else interactions.weights[rows]
    ones = np.ones((len(rows), 1), np.float32)
    return PairRows(interactions.users[rows], interactions.items[rows], rows, ones, weights)
