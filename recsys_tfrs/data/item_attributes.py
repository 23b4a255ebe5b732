"""A table of items in which an attribute is known of some, and the same table with what a model says of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from recsys_tfrs.data.table_features import strings
from recsys_tfrs.data.table_files import choose_column, read_whole
from recsys_tfrs.errors import DataError

_SEPARATOR = "|"


@dataclass(frozen=True)
class AttributeTable:
    """Items with an attribute that is known of some.

    Attributes:
      table: all columns as they were read.
      id_column: name of the column of ids.
      attribute: name of the column of the attribute.
      item_ids: ``[num_rows]`` object array of str, all different.
      values: ``[num_rows]`` object array of str, "" where the attribute is not known.
      notes: what was guessed or left out.
    """

    table: pa.Table
    id_column: str
    attribute: str
    item_ids: NDArray[np.object_]
    values: NDArray[np.object_]
    notes: tuple[str, ...] = ()

    def values_of(self, item_ids: NDArray[np.object_]) -> NDArray[np.object_]:
        """The attribute of other items, in their order; "" where it is not known."""
        known = dict(zip(self.item_ids.tolist(), self.values.tolist(), strict=True))
        return np.array([known.get(item, "") for item in item_ids.tolist()], dtype=object)


def attribute_table(item_ids: NDArray[np.object_], attribute: str, values: NDArray[np.object_]) -> AttributeTable:
    """A table of nothing but ids and the attribute."""
    table = pa.table({"item_id": pa.array(item_ids, pa.string()), attribute: pa.array(values, pa.string())})
    return AttributeTable(table, "item_id", attribute, item_ids, values)


def read_attribute_table(
    path: Path, attribute: str | None, id_column: str | None = None, *, skip_bad_rows: bool = False
) -> AttributeTable:
    """A CSV, TSV or Parquet table with one row per item, of which the first of several about one item counts.

    Args:
      path: the file.
      attribute: column of the attribute; None: the only one beside the ids.
      id_column: column of the ids; None guesses among the usual names.
      skip_bad_rows: leave out lines that do not parse, instead of stopping at the first.

    Raises:
      DataError: no such file or column, an empty id, or several values of the attribute for one item.
    """
    as_text = {name for name in (attribute, id_column) if name}
    table, notes = read_whole(path, "item", as_text, skip_bad_rows)
    ids_name, guessed = choose_column(path, table.column_names, "item", id_column)
    if guessed:
        notes.append(f"Column {ids_name!r} of {path.name} was taken as the item id.")
    others = [name for name in table.column_names if name != ids_name]
    if attribute is None and len(others) != 1:
        raise DataError(
            f"{path} has {len(others)} columns beside the ids ({', '.join(others) or 'none'}): say with "
            "--set data.attribute=NAME which of them content shall tell."
        )
    attribute = others[0] if attribute is None else attribute
    if attribute not in others:
        raise DataError(f"{path} has no column {attribute!r} beside the ids; it has {', '.join(others)}.")
    ids = strings(table.column(ids_name))
    if (empty := np.flatnonzero(ids == "")).size:
        raise DataError(f"{path}: the item id in column {ids_name!r} is empty in row {empty[0] + 1} of the table.")
    first = np.sort(np.unique(ids.astype(str), return_index=True)[1])
    if len(first) < len(ids):
        notes.append(f"Rows of {path.name} that repeat an id: {len(ids) - len(first):,}; the first of each was used.")
        table, ids = table.take(pa.array(first)), ids[first]
    kind = table.column(attribute).type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        raise DataError(_several(path, attribute, "lists"))
    values = np.array([value.strip() for value in strings(table.column(attribute))], dtype=object)
    several = np.flatnonzero([_SEPARATOR in value for value in values])
    if several.size:
        raise DataError(_several(path, attribute, repr(values[several[0]])))
    return AttributeTable(table, ids_name, attribute, ids, values, tuple(notes))


def write_filled(
    known: AttributeTable,
    item_ids: NDArray[np.object_],
    predicted: NDArray[np.object_],
    columns: Mapping[str, NDArray[np.float32]],
    path: Path,
) -> list[str]:
    """Write the table with the attribute filled in and further columns, as Parquet, for `--items`.

    What is known stays. Items of which there is content and no row get one, at the end; of items without content the
    further columns are null, which a model reads as unknown.

    Args:
      known: the table as it was read; its columns with the names of new ones are replaced.
      item_ids: ``[num_items]`` items with content, all different.
      predicted: ``[num_items]`` the attribute as predicted, "" where the model abstains.
      columns: ``[num_items]`` values by name.
      path: of the file.

    Returns:
      Columns of the table that were replaced.
    """
    place = {item: row for row, item in enumerate(item_ids.tolist())}
    listed = set(known.item_ids.tolist())
    added = [item for item in item_ids.tolist() if item not in listed]
    ids = [*known.item_ids.tolist(), *added]
    rows = np.array([place.get(item, -1) for item in ids])
    told = np.array([*known.values.tolist(), *[""] * len(added)], dtype=object)
    guessed = np.where(rows >= 0, predicted[rows], "") if len(item_ids) else np.full(len(ids), "", dtype=object)
    attribute = np.where(told != "", told, guessed)
    made = {known.id_column: pa.array(ids, pa.string())}
    for name in known.table.column_names:
        if name not in (known.id_column, known.attribute, *columns):
            of_table = known.table.column(name).combine_chunks()
            made[name] = pa.concat_arrays([of_table, pa.nulls(len(added), of_table.type)])
    made[known.attribute] = pa.array([value or None for value in attribute.tolist()], pa.string())
    for name, values in columns.items():
        made[name] = pa.array(values[rows], pa.float32(), mask=rows < 0)
    temporary = path.with_name(f".{path.name}.tmp")
    pyarrow.parquet.write_table(pa.table(made), temporary)
    temporary.replace(path)
    return [name for name in known.table.column_names if name in columns]


def _several(path: Path, attribute: str, came: str) -> str:
    return (
        f"{path}: the column {attribute!r} holds {came}, several values for one item; content tells one of each item: "
        "name a column of the main one."
    )
