"""What was put into the cart, as a column of interactions, and what is to be predicted of it."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import ADDED_TO_CART, Kind

#: Values of a categorical column that say so, in lower case, without anything but letters and digits.
_YES = frozenset({"1", "true", "yes", "cart", "addtocart", "addedtocart"})


class CartPairs(NamedTuple):
    """Items to be predicted, as `evaluation.ranking.rank` takes them.

    Attributes:
      users: ``[num_pairs]`` int32 internal ids of those who ask.
      items: ``[num_pairs]`` int32 internal ids of the items.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]


def carted_rows(interactions: Interactions, column: str = ADDED_TO_CART) -> NDArray[np.bool_] | None:
    """``[num_rows]`` whether each interaction put its item into the cart; None where nothing is said about it.

    A number says so unless it is 0 or missing; a category does if it is one of 1, true, yes, cart, add-to-cart and
    added-to-cart, however it is spelt, so that a column of kinds of events (view, addtocart) can be given as it is.

    Raises:
      DataError: the column is of another kind, or another column than the usual one was named and is not there.
    """
    if column not in interactions.context_features:
        if column == ADDED_TO_CART:
            return None
        raise DataError(
            f"There is no context column {column!r} that says what was put into the cart: declare it with --columns "
            f"{column}=numeric, or leave model.cart_column out."
        )
    found = interactions.context_features[column]
    if found.kind is Kind.NUMERIC:
        return np.asarray(np.nan_to_num(found.values.astype(np.float32)) != 0)
    if found.kind is not Kind.CATEGORICAL:
        raise DataError(
            f"Column {column!r}, which says what was put into the cart, is of kind {found.kind.value}: declare it as "
            f"numeric (0 or 1) or categorical with --columns {column}=numeric."
        )
    distinct, codes = np.unique(found.values.astype(str), return_inverse=True)
    said = np.array([re.sub(r"[^a-z0-9]+", "", value.lower()) in _YES for value in distinct], dtype=bool)
    return np.asarray(said[codes])


def next_carted(histories: Histories, carted: NDArray[np.bool_]) -> NDArray[np.int32]:
    """``[num_positions]`` the item put into the cart next after each position of the histories; 0 where none is.

    Args:
      histories: rows by user, in order.
      carted: ``[num_rows]`` of the interactions.
    """
    size = len(histories.items)
    if size == 0:
        return np.zeros(0, dtype=np.int32)
    at = np.arange(size)
    where = np.where(carted[histories.rows], at, size)
    # The smallest such position at or after each, and therefore after the one before.
    following = np.append(np.minimum.accumulate(where[::-1])[::-1], size)[1:]
    ends = np.repeat(histories.offsets[1:], histories.lengths)
    found = following < ends
    return np.where(found, histories.items[np.where(found, following, 0)], 0).astype(np.int32)


def cart_pairs(interactions: Interactions, rows_test: NDArray[np.int64], column: str = ADDED_TO_CART) -> CartPairs:
    """Every item that the rest of a test session puts into the cart, for each of its cases under the sessions split.

    The case ``s@n`` knows the first n - 1 clicks of session ``s``; its rest begins with the n-th, which is the target
    of the next click. Cases without any such item are left out.

    Args:
      interactions: the data with its cases, see `recsys_tfrs.data.sessions.split_interactions`.
      rows_test: targets of the cases.
      column: of the carts.
    """
    carted = carted_rows(interactions, column)
    none = CartPairs(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32))
    if carted is None:
        return none
    cases = interactions.users[rows_test]
    split = [name.rpartition("@") for name in interactions.user_ids[cases].tolist()]
    number = {name: user for user, name in enumerate(interactions.user_ids.tolist())}
    sessions = np.array([number.get(session, 0) if at else 0 for session, at, _ in split], dtype=np.int64)
    known = sessions > 0
    if not known.any():
        return none
    given = np.array([int(place) - 1 if at else 0 for _, at, place in split], dtype=np.int64)[known]
    cases, sessions = cases[known], sessions[known]
    is_session = np.zeros(interactions.num_users + 1, dtype=bool)
    is_session[sessions] = True
    histories = build_histories(interactions, np.flatnonzero(is_session[interactions.users]))
    owner, position = histories.positions(sessions)
    wanted = carted[histories.rows[position]] & (position - histories.offsets[sessions][owner] >= given[owner])
    return CartPairs(cases[owner[wanted]].astype(np.int32), histories.items[position[wanted]])
