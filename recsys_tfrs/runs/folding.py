"""The folding scores of a trained model: how much it shows users that they have nothing to do with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.simulated import simulate
from recsys_tfrs.data.simulated_config import UNLEARNABLE_SUFFIX, config_for, parse_name
from recsys_tfrs.errors import UsageError
from recsys_tfrs.evaluation.folding import (
    ForeignShare,
    Groups,
    Overlap,
    foreign_share,
    multi_hot,
    overlap,
    related_groups,
)
from recsys_tfrs.evaluation.ranking import Ranking
from recsys_tfrs.runs.prepared import Prepared
from recsys_tfrs.schema import Kind

#: Stands for a column: the groups that simulated data was made of, one an item.
TRUE_GROUPS = "true-groups"

#: Items of each user's list that are looked at.
LIST_LENGTH = 10

#: A group that is missed by luck with at most this probability counts as avoided.
LUCK = 0.05


@dataclass(frozen=True)
class Folding:
    """Both sides of folding: what users are shown, and how the items lie.

    Attributes:
      never_touched: share of the test users' lists from groups they never touched.
      avoided: the same from groups they left alone, and hardly by accident.
      overlap: of unrelated groups in the embedding space.
      num_groups: groups there are.
    """

    never_touched: ForeignShare
    avoided: ForeignShare
    overlap: Overlap
    num_groups: int


def item_groups(prepared: Prepared, column: str) -> Groups:
    """``[num_items + 1, num_groups]`` groups of the items.

    Args:
      prepared: the data set.
      column: an item column of categories, or `TRUE_GROUPS`.

    Raises:
      UsageError: there is no such column, or the data has no true groups.
      DataError: the column holds no categories.
    """
    data = prepared.interactions
    if column in data.item_features:
        return multi_hot(data.item_features[column])[1]
    if column == TRUE_GROUPS and data.oracle is not None and not data.name.endswith(UNLEARNABLE_SUFFIX):
        size, _ = parse_name(data.name)
        config = prepared.config.data
        made = simulate(config_for(size, config.num_rows), seed=config.seed)
        # A k-core has left items out: who is who is known by the external ids, of which "" is the unknown item's.
        ids = made.interactions.item_ids.astype(str)
        order = np.argsort(ids)
        group = made.world.item_group[order[np.searchsorted(ids, data.item_ids.astype(str), sorter=order)]]
        return np.asarray(group[:, None] == np.arange(group.max() + 1))  # item 0 is of group -1
    kinds = (Kind.CATEGORICAL, Kind.MULTI_CATEGORICAL)
    there = [name for name, values in data.item_features.items() if values.kind in kinds]
    raise UsageError(
        f"Folding is measured on an item column of categories, or for simulated data that can be learnt on "
        f"{TRUE_GROUPS!r}. {data.name} has no {column!r}; its columns of categories: {', '.join(there) or 'none'}."
    )


def measure_folding(
    ranking: Ranking, vectors: NDArray[np.floating[Any]], histories: Histories, groups: Groups
) -> Folding:
    """The folding scores of a model; items are unrelated if they share no group.

    Groups whose users keep apart, such as languages, could be related by their users (`related_groups`); where nearly
    everybody touches every group, as with genres, that would leave no two unrelated.

    Args:
      ranking: with the lists of the test users, seen items left out.
      vectors: ``[num_items + 1, dim]`` the items' embeddings by internal id.
      histories: training histories.
      groups: ``[num_items + 1, num_groups]`` groups of each item.

    Raises:
      DataError: fewer than two items have a group.
    """
    top_items = ranking.top_items[:, :LIST_LENGTH]
    return Folding(
        never_touched=foreign_share(ranking.list_users, top_items, histories, groups),
        avoided=foreign_share(ranking.list_users, top_items, histories, groups, LUCK),
        overlap=overlap(vectors, groups, related_groups(histories, groups, 1.0)),
        num_groups=groups.shape[1],
    )


def print_folding(console: Console, column: str, folding: Folding) -> None:
    """One line per score, each beside what chance would give."""
    lists, items = folding.never_touched, folding.overlap
    table = Table(
        title=f"folding over the {folding.num_groups} groups of {column}, lists of {LIST_LENGTH} of "
        f"{lists.num_users:,} test users",
        title_justify="left",
    )
    for heading in ("share", "found", "by chance", "found / chance"):
        table.add_column(heading, justify="left" if heading == "share" else "right")
    for what, share, chance in (
        ("of lists, from groups never touched", lists.share, lists.chance),
        (f"of lists, from groups avoided (by luck: {LUCK:.0%})", folding.avoided.share, folding.avoided.chance),
        ("of ten nearest items, from unrelated groups", items.neighbour_share, items.neighbour_chance),
    ):
        table.add_row(what, f"{share:.4f}", f"{chance:.4f}", f"{share / chance:.2f}" if chance else "-")
    console.print(table)
    if items.centroid_cosine is not None:
        console.print(
            f"mean cosine between the centroids of {items.num_unrelated_pairs:,} pairs of unrelated groups: "
            f"{items.centroid_cosine:.3f} (1: they lie on top of each other)"
        )
