"""The one form in which interactions reach every model, whatever file they came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import UNKNOWN, Kind

#: Scores the true preference of users for every item: ``truth(users) -> [num_users_asked, num_items + 1]``.
Oracle = Callable[[NDArray[np.int32]], NDArray[np.float32]]


@dataclass(frozen=True)
class FeatureColumn:
    """One side feature of all users or all items, indexed by internal id, or of all interactions, by row.

    Attributes:
      name: column name.
      kind: decides dtype and encoding.
      values: ``[num_entities + 1]``, row 0 being the unknown entity, or ``[num_rows]``. CATEGORICAL and TEXT: object
        array of str ("" = missing). MULTI_CATEGORICAL: object array of tuple[str, ...]. NUMERIC: float32 (NaN =
        missing). TIMESTAMP: float64 seconds since 1970-01-01 UTC (NaN = missing).
    """

    name: str
    kind: Kind
    values: NDArray[np.generic]


def missing_value(kind: Kind) -> object:
    """The value of row 0, and of an entity about which a column says nothing."""
    if kind in (Kind.NUMERIC, Kind.TIMESTAMP):
        return float("nan")
    return () if kind is Kind.MULTI_CATEGORICAL else ""


@dataclass(frozen=True)
class Interactions:
    """Who did what with what, when, and what is known about both.

    Internal ids are dense int32 from 1; 0 is reserved for padding and the unknown. External ids are strings as
    users know them; position in `user_ids` and `item_ids` is the internal id.

    The catalogue is all of `item_ids`: items of the item table that nobody has touched belong to it.

    Attributes:
      name: data set name for reports, for example ``movielens-100k``.
      users: ``[num_rows]`` int32 internal user ids, in file order.
      items: ``[num_rows]`` int32 internal item ids.
      ratings: ``[num_rows]`` float32, or None for implicit feedback.
      timestamps: ``[num_rows]`` int64 seconds since 1970-01-01 UTC, or None where the source has no time.
      weights: ``[num_rows]`` float32, how much each row counts in training, not negative; None: all the same.
      user_ids: ``[num_users + 1]`` object array of str, ``user_ids[0] == ""``.
      item_ids: ``[num_items + 1]`` object array of str, ``item_ids[0] == ""``.
      user_features: columns by name, each indexed by internal user id.
      item_features: columns by name, each indexed by internal item id.
      context_features: columns by name, each indexed by row: circumstances known before somebody chose.
      title_column: the item column to show beside an id, if there is one.
      official_folds: row numbers of official test folds by name (``u1``), where the source ships them.
      oracle: the generator's truth, for simulated data only.
      notes: sentences about what was skipped, merged or substituted while reading; shown to the user.
      in_order: without times, the rows of each user still stand in the order in which they happened.
      test_cases: ``[num_cases]`` int64 rows to be predicted, where the source ships such cases; each is the last of a
        user of its own, whose other rows are what he is asked with.
    """

    name: str
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    ratings: NDArray[np.float32] | None
    timestamps: NDArray[np.int64] | None
    user_ids: NDArray[np.object_]
    item_ids: NDArray[np.object_]
    user_features: Mapping[str, FeatureColumn] = field(default_factory=dict)
    item_features: Mapping[str, FeatureColumn] = field(default_factory=dict)
    context_features: Mapping[str, FeatureColumn] = field(default_factory=dict)
    weights: NDArray[np.float32] | None = None
    title_column: str | None = None
    official_folds: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    oracle: Oracle | None = None
    notes: tuple[str, ...] = ()
    in_order: bool = False
    test_cases: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        n = len(self.users)
        if n == 0:
            raise DataError(f"Data set {self.name!r} holds no interactions: check the file and its columns.")
        by_row = {column: getattr(self, column) for column in ("items", "ratings", "timestamps", "weights")}
        by_row |= {f"The context {name!r}": column.values for name, column in self.context_features.items()}
        for column, values in by_row.items():
            if values is not None and len(values) != n:
                raise DataError(f"{column} has {len(values)} rows where users has {n}.")
        for side, ids, vocabulary in (("user", self.users, self.user_ids), ("item", self.items, self.item_ids)):
            if int(ids.min()) <= UNKNOWN or int(ids.max()) >= len(vocabulary):
                raise DataError(
                    f"Internal {side} ids must lie in 1..{len(vocabulary) - 1}, but span {ids.min()}..{ids.max()}."
                )
        for side, columns, vocabulary in (
            ("user", self.user_features, self.user_ids),
            ("item", self.item_features, self.item_ids),
        ):
            for name, column_ in columns.items():
                if len(column_.values) != len(vocabulary):
                    raise DataError(
                        f"The {side} feature {name!r} has {len(column_.values)} rows, expected {len(vocabulary)}: "
                        "one per internal id, row 0 being the unknown."
                    )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def num_users(self) -> int:
        """Users known, without the reserved id 0."""
        return len(self.user_ids) - 1

    @property
    def num_items(self) -> int:
        """Size of the catalogue, without the reserved id 0."""
        return len(self.item_ids) - 1

    @property
    def is_ordered(self) -> bool:
        """Whether it is known in which order each user's interactions happened."""
        return self.timestamps is not None or self.in_order

    @property
    def titles(self) -> NDArray[np.object_]:
        """``[num_items + 1]`` what to show for an item: its title, or its id where there is no title."""
        if self.title_column is None:
            return self.item_ids
        titles = self.item_features[self.title_column].values
        return np.where(titles == "", self.item_ids, titles).astype(object)

    def with_notes(self, *notes: str) -> Interactions:
        """The same data with further sentences for the user."""
        return replace(self, notes=(*self.notes, *notes))
