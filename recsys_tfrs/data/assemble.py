"""Raw columns of whatever source -> `Interactions`: ids numbered, repeated rows merged, features put in place.

Internal ids are numbered by first appearance in the rows, then in the order of the user or item table, so that the
same files give the same numbers on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import FeatureColumn, Interactions, missing_value
from recsys_tfrs.data.timestamps import to_seconds
from recsys_tfrs.errors import DataError, UsageError
from recsys_tfrs.schema import Kind

_BUCKETS_PER_PAIR = 16

Duplicates = Literal["keep-last", "keep-first", "keep-all", "error"]


@dataclass(frozen=True)
class Policy:
    """What to do about rows that are wrong or come twice.

    Attributes:
      skip_bad_rows: leave out rows that cannot be read, and count them, instead of stopping at the first.
      duplicates: which row of a (user, item) pair that comes several times stays: the ``keep-last`` or
        ``keep-first`` in time (in file order where there is no time), ``keep-all``, or ``error``.
    """

    skip_bad_rows: bool = False
    duplicates: Duplicates = "keep-last"

    def __post_init__(self) -> None:
        if self.duplicates not in get_args(Duplicates):
            known = ", ".join(get_args(Duplicates))
            raise UsageError(f"{self.duplicates!r} is no policy for duplicates: use one of {known}.")


@dataclass(frozen=True)
class RawInteractions:
    """Rows as a reader found them.

    Attributes:
      users: ``[num_rows]`` positions in `user_ids`.
      items: ``[num_rows]`` positions in `item_ids`.
      ratings: ``[num_rows]`` float32, or None.
      times: ``[num_rows]`` int64 counts of seconds or of a smaller unit, or None.
      user_ids: ``[num_ids]`` object array of str, by first appearance.
      item_ids: ``[num_ids]`` object array of str, by first appearance.
      notes: what the reader skipped or guessed.
      weights: ``[num_rows]`` float32, finite and not negative, or None.
      context: name -> (kind, ``[num_rows]`` values as in `FeatureColumn`).
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    ratings: NDArray[np.float32] | None
    times: NDArray[np.int64] | None
    user_ids: NDArray[np.object_]
    item_ids: NDArray[np.object_]
    notes: tuple[str, ...] = ()
    weights: NDArray[np.float32] | None = None
    context: Mapping[str, tuple[Kind, NDArray[np.generic]]] = field(default_factory=dict)


@dataclass(frozen=True)
class FeatureTable:
    """What is known about users or items, one row each.

    Attributes:
      ids: ``[num_rows]`` object array of str.
      columns: name -> (kind, ``[num_rows]`` values as in `FeatureColumn`).
      title_column: the column to show beside an id, if any.
      notes: what the reader guessed.
    """

    ids: NDArray[np.object_]
    columns: Mapping[str, tuple[Kind, NDArray[np.generic]]]
    title_column: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Side:
    """The vocabulary of one side and its features, aligned."""

    ids: NDArray[np.object_]
    features: dict[str, FeatureColumn] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _number_side(side: str, seen: NDArray[np.object_], table: FeatureTable | None) -> _Side:
    """Vocabulary from 1: the ids of the rows first, then those only the table knows; features beside it."""
    if table is None:
        return _Side(np.concatenate([np.array([""], object), seen]))
    ids = pa.array(np.concatenate([np.array([""], object), seen, table.ids]), pa.string()).dictionary_encode()
    vocabulary = ids.dictionary.to_numpy(zero_copy_only=False)
    position = ids.indices.to_numpy()[1 + len(seen) :]
    if len(table.ids) and len(seen) and int(position.min()) > len(seen):
        raise DataError(
            f"No id of the {side} table occurs in the interactions: those hold ids such as {seen[0]!r}, the table such "
            f"as {table.ids[0]!r}. Call the table's column of those ids {side}_id, or make the ids agree."
        )
    features = {}
    for name, (kind, values) in table.columns.items():
        placed = np.empty(len(vocabulary), dtype=values.dtype)
        placed.fill(missing_value(kind))
        placed[position[::-1]] = values[::-1]  # backwards: of several rows about one id the first is written last
        features[name] = FeatureColumn(name, kind, placed)
    repeated = len(position) - len(np.unique(position))
    notes = (
        (f"Rows of the {side} table that repeat an id: {repeated:,}; the first of each was used.",) if repeated else ()
    )
    return _Side(vocabulary, features, (*table.notes, *notes))


def is_member(values: NDArray[np.int64], pool: NDArray[np.int64]) -> NDArray[np.bool_]:
    """``[len(values)]`` which values occur in the sorted, non-empty pool; much faster than `numpy.isin` here."""
    positions = np.minimum(np.searchsorted(pool, values), len(pool) - 1)
    return np.asarray(pool[positions] == values)


def _kept_rows(
    name: str, raw: RawInteractions, times: NDArray[np.int64] | None, duplicates: Duplicates
) -> tuple[NDArray[np.int64] | None, str | None]:
    """Sorted rows that stay, or None for all of them; and the sentence that says so."""
    if duplicates == "keep-all":
        return None, None
    pairs = raw.users.astype(np.int64) * len(raw.item_ids) + raw.items
    ordered = np.sort(pairs)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(repeated):
        return None, None
    # Searching all pairs among the repeated ones is slow: a table over their remainders leaves few to search.
    num_buckets = _BUCKETS_PER_PAIR * len(repeated) + 1
    likely = np.zeros(num_buckets, dtype=bool)
    likely[repeated % num_buckets] = True
    candidates = np.flatnonzero(likely[pairs % num_buckets])
    candidates = candidates[is_member(pairs[candidates], repeated)]
    if duplicates == "error":
        first = candidates[0]
        again = np.flatnonzero(pairs == pairs[first])[1]
        raise DataError(
            f"{name}: row {again + 1} repeats the pair of row {first + 1} (user {raw.user_ids[raw.users[first]]!r}, "
            f"item {raw.item_ids[raw.items[first]]!r}): remove it, or choose which row stays "
            "(keep-last, keep-first, keep-all)."
        )
    keys = (candidates, pairs[candidates]) if times is None else (candidates, times[candidates], pairs[candidates])
    candidates = candidates[np.lexsort(keys)]
    changes = pairs[candidates][1:] != pairs[candidates][:-1]
    stays = np.append(changes, True) if duplicates == "keep-last" else np.append(True, changes)
    dropped = candidates[~stays]
    keep = np.ones(len(pairs), dtype=bool)
    keep[dropped] = False
    return np.flatnonzero(keep), (
        f"Rows left out because they repeat a (user, item) pair: {len(dropped):,}; the "
        f"{'last' if duplicates == 'keep-last' else 'first'} row of each pair was kept ({duplicates})."
    )


def assemble(
    name: str,
    raw: RawInteractions,
    policy: Policy,
    *,
    user_table: FeatureTable | None = None,
    item_table: FeatureTable | None = None,
    notes: Sequence[str] = (),
) -> Interactions:
    """Number the ids, merge repeated rows and put the features where the ids are.

    Raises:
      DataError: no rows, a rating that is not finite, a negative time, fewer than two users or items, repeated rows
        where the policy forbids them, or a table that speaks of other ids.
    """
    if not len(raw.users):
        raise DataError(f"{name} holds no interactions: check the file and its columns.")
    if raw.ratings is not None and not np.isfinite(raw.ratings).all():
        row = int(np.argmin(np.isfinite(raw.ratings)))
        raise DataError(f"{name}: the rating of row {row + 1} is {raw.ratings[row]}; ratings must be finite numbers.")
    times, time_note = raw.times, None
    if times is not None:
        if int(times.min()) < 0:
            raise DataError(f"{name}: the timestamp of row {int(np.argmax(times < 0)) + 1} is negative, before 1970.")
        try:
            seconds = to_seconds(times)
        except ValueError as error:
            raise DataError(f"{name}: {error}") from None
        times, time_note = seconds.values, seconds.note
    users = _number_side("user", raw.user_ids, user_table)
    items = _number_side("item", raw.item_ids, item_table)
    for side, found in (("user", len(raw.user_ids)), ("item", len(items.ids) - 1)):
        if found < 2:
            raise DataError(
                f"{name} holds a single {side} ({(raw.user_ids if side == 'user' else raw.item_ids)[0]!r}): "
                f"there is nothing to recommend from fewer than two {side}s. Check the {side} column."
            )
    if raw.weights is not None and not raw.weights.any():
        raise DataError(f"{name}: every weight is 0, so there is nothing to learn from: check the weight column.")
    rows, duplicate_note = _kept_rows(name, raw, times, policy.duplicates)
    chosen = slice(None) if rows is None else rows
    return Interactions(
        name=name,
        users=raw.users[chosen] + np.int32(1),
        items=raw.items[chosen] + np.int32(1),
        ratings=None if raw.ratings is None else raw.ratings[chosen],
        timestamps=None if times is None else times[chosen],
        user_ids=users.ids,
        item_ids=items.ids,
        user_features=users.features,
        item_features=items.features,
        context_features={n: FeatureColumn(n, kind, values[chosen]) for n, (kind, values) in raw.context.items()},
        weights=None if raw.weights is None else raw.weights[chosen],
        title_column=None if item_table is None else item_table.title_column,
        notes=tuple(
            note
            for note in (*notes, *raw.notes, time_note, duplicate_note, *users.notes, *items.notes)
            if note is not None
        ),
    )
