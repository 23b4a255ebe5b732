"""Data sets small enough to see through, shared by the tests of models and training."""

from __future__ import annotations

import numpy as np

from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.schema import MOVIE_GENRES, MOVIE_TITLE, MOVIE_YEAR, RAW_USER_AGE, USER_GENDER, Kind


def _ids(prefix: str, count: int) -> np.ndarray:
    return np.array(["", *(f"{prefix}{i}" for i in range(1, count + 1))], dtype=object)


def _column(name: str, kind: Kind, missing: object, values: list) -> FeatureColumn:
    array = np.empty(len(values) + 1, dtype=np.float32 if kind is Kind.NUMERIC else object)
    array[0] = missing
    array[1:] = values
    return FeatureColumn(name, kind, array)


def interactions_of(
    users: np.ndarray,
    items: np.ndarray,
    num_users: int,
    num_items: int,
    *,
    ratings: np.ndarray | None = None,
    timestamps: np.ndarray | None = None,
    features: bool = False,
) -> Interactions:
    """Interactions of these pairs; features that say whether an id is odd, and a little noise beside."""
    user_features, item_features = {}, {}
    if features:
        user_columns = [
            _column(USER_GENDER, Kind.CATEGORICAL, "", ["FM"[u % 2] for u in range(1, num_users + 1)]),
            _column(RAW_USER_AGE, Kind.NUMERIC, np.nan, [20 + 7 * u % 40 for u in range(1, num_users + 1)]),
        ]
        item_columns = [
            _column(
                MOVIE_GENRES,
                Kind.MULTI_CATEGORICAL,
                (),
                [("odd" if i % 2 else "even", f"third {i % 3}") for i in range(1, num_items + 1)],
            ),
            _column(MOVIE_TITLE, Kind.TEXT, "", [f"The {'ab'[i % 2]} film {i % 4}" for i in range(1, num_items + 1)]),
            _column(MOVIE_YEAR, Kind.NUMERIC, np.nan, [1980 + i for i in range(1, num_items + 1)]),
        ]
        user_features = {column.name: column for column in user_columns}
        item_features = {column.name: column for column in item_columns}
    return Interactions(
        name="tiny",
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        ratings=None if ratings is None else ratings.astype(np.float32),
        timestamps=None if timestamps is None else timestamps.astype(np.int64),
        user_ids=_ids("u", num_users),
        item_ids=_ids("i", num_items),
        user_features=user_features,
        item_features=item_features,
    )


def all_rows(interactions: Interactions) -> Histories:
    """Every row, by user."""
    return build_histories(interactions, np.arange(len(interactions)))


def random_interactions(num_users: int, num_items: int, num_rows: int, *, features: bool = True) -> Interactions:
    """Distinct random pairs with ratings, times and features; every user and item occurs if rows suffice."""
    rng = np.random.default_rng(5)
    once = np.arange(max(num_users, num_items))
    certain = np.unique((once % num_users) * num_items + once % num_items)
    others = rng.permutation(np.setdiff1d(np.arange(num_users * num_items), certain))[: num_rows - len(certain)]
    user, item = np.divmod(np.concatenate([certain, others]), num_items)
    return interactions_of(
        user + 1,
        item + 1,
        num_users,
        num_items,
        ratings=rng.integers(1, 6, len(user)),
        timestamps=1_500_000_000 + rng.permutation(len(user)) * 3_600,
        features=features,
    )


def checkerboard(size: int) -> tuple[Interactions, np.ndarray]:
    """Two groups: odd users like odd items, even users even ones, all of them but one.

    User u lacks item u, which is the only item left to recommend him that his group likes.

    Returns:
      The interactions, and ``[size]`` the item withheld from each user in turn.
    """
    user, item = np.divmod(np.arange(size * size), size)
    liked = (user % 2 == item % 2) & (user != item)
    order = np.random.default_rng(3).permutation(np.count_nonzero(liked))
    board = interactions_of(user[liked][order] + 1, item[liked][order] + 1, size, size, timestamps=10**9 + order)
    return board, np.arange(1, size + 1, dtype=np.int32)
