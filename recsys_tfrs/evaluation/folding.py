"""Folding: unrelated groups of items that end up in the same place of the embedding space.

A model that is trained on positives alone, or against negatives that never tell two groups apart, may lay one group
over another. Its users then get recommendations from groups they have nothing to do with. This measures both sides:
what users are shown, and how the items lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.errors import ConfigError, DataError
from recsys_tfrs.schema import Kind

Groups = NDArray[np.bool_]

#: Rows of a table of all items that are worked on at a time.
_CHUNK = 256


@dataclass(frozen=True)
class ForeignShare:
    """How much of users' lists comes from groups they never touched.

    Attributes:
      share: mean over users of the share of their list; 0: no user is shown anything foreign.
      chance: the same for lists drawn from all items alike, so what a model without any idea would get.
      num_users: users over whom the means are taken.
    """

    share: float
    chance: float
    num_users: int


@dataclass(frozen=True)
class Overlap:
    """How far unrelated groups lie over each other in the embedding space.

    Attributes:
      neighbour_share: mean over items of the share of their nearest neighbours (by cosine) from unrelated groups.
      neighbour_chance: the same for neighbours drawn from all items alike; 0 where all groups are related.
      centroid_cosine: mean cosine between the centroids of unrelated groups, of items scaled to length 1; None where
        all groups are related. 1: they lie on top of each other.
      num_unrelated_pairs: pairs of groups that are unrelated.
    """

    neighbour_share: float
    neighbour_chance: float
    centroid_cosine: float | None
    num_unrelated_pairs: int


def multi_hot(column: FeatureColumn) -> tuple[list[str], Groups]:
    """Groups of items, or of users, out of a column of categories.

    Returns:
      Sorted labels, and ``[num_entities + 1, num_groups]`` bool; rows without a category are all False.

    Raises:
      DataError: the column holds no categories.
    """
    if column.kind not in (Kind.CATEGORICAL, Kind.MULTI_CATEGORICAL):
        raise DataError(f"groups are made from a column of categories; {column.name!r} is {column.kind.value}.")
    values = column.values.tolist()
    rows = [row if isinstance(row, tuple) else (row,) for row in values]
    labels = sorted({label for row in rows for label in row} - {""})
    code = {label: i for i, label in enumerate(labels)}
    groups = np.zeros((len(rows), len(labels)), bool)
    pairs = [(i, code[label]) for i, row in enumerate(rows) for label in row if label]
    if pairs:
        groups[tuple(np.array(pairs).T)] = True
    return labels, groups


def touched_groups(histories: Histories, users: NDArray[np.integer[Any]], groups: Groups) -> Groups:
    """``[len(users), num_groups]`` bool: whether a user has any item of a group.

    Args:
      histories: training histories.
      users: internal user ids.
      groups: ``[num_items + 1, num_groups]`` groups of each item.
    """
    owner, position = histories.positions(users)
    touched = np.zeros((len(users), groups.shape[1]), bool)
    items = histories.items[position]
    for group in range(groups.shape[1]):  # one at a time: all of them beside all interactions would be large
        touched[owner[groups[items, group]], group] = True
    return touched


def avoided_groups(histories: Histories, users: NDArray[np.integer[Any]], groups: Groups, luck: float = 0.05) -> Groups:
    """``[len(users), num_groups]`` bool: whether a user left a group alone and it hardly was by accident.

    A user of five items has touched few groups, and that says little about the rest. Were his n items drawn as
    everybody's are, of which the group has the share s, he would miss the group with probability ``(1 - s)^n``.

    Args:
      histories: training histories.
      users: internal user ids.
      groups: ``[num_items + 1, num_groups]`` groups of each item.
      luck: most probable miss that still counts as avoiding; 1: every group that was not touched.

    Raises:
      ConfigError: `luck` is no probability.
    """
    if not 0 < luck <= 1:
        raise ConfigError(f"the probability of missing a group by luck must lie above 0 and up to 1, not {luck}.")
    share = groups[histories.items].mean(axis=0) if len(histories.items) else np.zeros(groups.shape[1])
    missed_by_luck = (1.0 - share) ** histories.lengths[users][:, None]
    return np.asarray(~touched_groups(histories, users, groups) & (missed_by_luck <= luck))


def foreign_share(
    users: NDArray[np.integer[Any]],
    top_items: NDArray[np.integer[Any]],
    histories: Histories,
    groups: Groups,
    luck: float = 1.0,
) -> ForeignShare:
    """Share of users' lists from groups they never touched, or from those they avoid.

    An item is foreign if it has groups, the user touched none of them, and avoids at least one. Items without a group
    say nothing and are left out of lists and catalogue, and users without a grouped item in their history or list out
    of the means.

    Args:
      users: ``[num_users]`` internal user ids.
      top_items: ``[num_users, k]`` internal item ids, 0 for none.
      histories: training histories.
      groups: ``[num_items + 1, num_groups]`` groups of each item.
      luck: see `avoided_groups`; 1: to avoid a group is not to have touched it.

    Raises:
      ConfigError: `luck` is no probability.
    """
    touched = touched_groups(histories, users, groups)
    avoided = avoided_groups(histories, users, groups, luck)
    grouped: Groups = np.any(groups, axis=1)
    grouped[0] = False
    listed = grouped[top_items]
    foreign = np.empty(top_items.shape, bool)
    of_catalogue = np.zeros(len(users))
    catalogue = groups[grouped].T.astype(np.float32)
    for start in range(0, len(users), _CHUNK):
        part = slice(start, start + _CHUNK)
        if grouped.any():
            is_known = touched[part].astype(np.float32) @ catalogue > 0
            is_avoided = avoided[part].astype(np.float32) @ catalogue > 0
            of_catalogue[part] = (is_avoided & ~is_known).mean(axis=1)
        shown = groups[top_items[part]]
        is_known = (shown & touched[part, None, :]).any(axis=2)
        foreign[part] = (shown & avoided[part, None, :]).any(axis=2) & ~is_known
    counted = touched.any(axis=1) & listed.any(axis=1)
    if not counted.any():
        return ForeignShare(0.0, 0.0, 0)
    shares = (listed & foreign).sum(axis=1)[counted] / listed.sum(axis=1)[counted]
    return ForeignShare(float(shares.mean()), float(of_catalogue[counted].mean()), int(counted.sum()))


def related_groups(histories: Histories, groups: Groups, threshold: float = 0.0) -> Groups:
    """``[num_groups, num_groups]`` bool: whether two groups have users in common. Every group is related to itself.

    Args:
      histories: training histories.
      groups: ``[num_items + 1, num_groups]`` groups of each item.
      threshold: share of the smaller group's users, above which those in common relate the two. 0: a single user
        does; 1: only what shares a group is related, whatever its users do.
    """
    touched = touched_groups(histories, np.arange(histories.num_users + 1), groups).astype(np.float64)
    common = touched.T @ touched
    size = np.diag(common)
    smaller = np.maximum(np.minimum(size[:, None], size[None, :]), 1.0)
    return np.asarray((common / smaller > threshold) | np.eye(len(common), dtype=bool))


def overlap(
    vectors: NDArray[np.floating[Any]],
    groups: Groups,
    related: Groups,
    *,
    num_neighbours: int = 10,
    max_items: int = 2_000,
    seed: int = 0,
) -> Overlap:
    """How far unrelated groups lie over each other in the embedding space.

    Two items are unrelated if no group of one is related to a group of the other. Items without a group are left
    out. Of neighbours at the same distance, those with the lower id count.

    Args:
      vectors: ``[num_items + 1, dim]`` by internal item id; row 0 is ignored.
      groups: ``[num_items + 1, num_groups]`` groups of each item.
      related: ``[num_groups, num_groups]``, see `related_groups`.
      num_neighbours: neighbours of each item.
      max_items: items whose neighbours are looked up, drawn at random where there are more.
      seed: of that draw.

    Raises:
      DataError: fewer than two items have a group.
    """
    items = np.flatnonzero(groups[1:].any(axis=1)) + 1
    if len(items) < 2:
        raise DataError(f"overlap of groups needs at least two items that have a group, but there are {len(items)}.")
    member = groups[items].astype(np.float32)
    points = _unit(np.asarray(vectors)[items].astype(np.float64))
    asked = np.arange(len(items))
    if len(items) > max_items:
        asked = np.sort(np.random.default_rng(seed).choice(len(items), max_items, replace=False))
    num_neighbours = min(num_neighbours, len(items) - 1)
    shares, chances = np.empty(len(asked)), np.empty(len(asked))
    for start in range(0, len(asked), _CHUNK):
        rows = asked[start : start + _CHUNK]
        cosine = points[rows] @ points.T
        cosine[np.arange(len(rows)), rows] = -np.inf  # not its own neighbour
        nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :num_neighbours]
        unrelated = member[rows] @ related.astype(np.float32) @ member.T == 0
        part = slice(start, start + len(rows))
        shares[part] = np.take_along_axis(unrelated, nearest, axis=1).mean(axis=1)
        chances[part] = unrelated.sum(axis=1) / (len(items) - 1)
    centroids = _unit(member.T.astype(np.float64) @ points)
    inhabited: Groups = np.any(member, axis=0)
    first, second = np.nonzero(np.triu(~related & inhabited[:, None] & inhabited[None, :], k=1))
    cosines = (centroids[first] * centroids[second]).sum(axis=1)
    return Overlap(
        neighbour_share=float(shares.mean()),
        neighbour_chance=float(chances.mean()),
        centroid_cosine=float(cosines.mean()) if len(cosines) else None,
        num_unrelated_pairs=len(cosines),
    )


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows scaled to length 1; a row of zeros stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0))
