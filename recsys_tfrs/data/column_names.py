"""Names of columns under which an exported model can take them.

An input of a SavedModel is an argument of a Python function, and TensorFlow makes no difference between capital and
small letters: ``my col``, ``class`` and ``_id`` are no names, and ``Price`` and ``price`` are one.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace

from recsys_tfrs.data.assemble import FeatureTable


def usable_names(names: Iterable[str], elsewhere: Iterable[str] = ()) -> dict[str, str]:
    """``{name in the file: name from here on}``, most of them the same.

    Args:
      names: of the columns of a table.
      elsewhere: names of other tables, whose spelling is taken over.

    Example:
      >>> usable_names(["sku", "my col", "my_col", "Größe", "class", "_id", "价格"])["my col"]
      'my_col_2'
      >>> usable_names(["price"], elsewhere=["Price"])
      {'price': 'Price'}
    """
    spelled = {name.lower(): name for name in elsewhere}
    found: dict[str, str] = {}
    taken: set[str] = set()
    # A name that is fine is kept, even if another one, further in front, would become the same.
    for name in sorted(names, key=lambda name: not _is_usable(name)):
        base = spelled.get(name.lower(), _usable(name))
        chosen, count = base, 1
        while chosen.lower() in taken:
            count += 1
            chosen = f"{base}_{count}"
        taken.add(chosen.lower())
        found[name] = chosen
    return found


def with_usable_names(table: FeatureTable, file: str, elsewhere: Iterable[str] = ()) -> FeatureTable:
    """A table whose columns have usable names, and a note of those that are other ones; see `usable_names`."""
    names = usable_names(table.columns, elsewhere)
    return replace(
        table,
        columns={names[name]: column for name, column in table.columns.items()},
        title_column=None if table.title_column is None else names[table.title_column],
        notes=(*table.notes, *said(names, file)),
    )


def said(names: Mapping[str, str], file: str) -> list[str]:
    """A note about the columns of a file that are called otherwise from here on, or none."""
    other = [f"{name!r} is {chosen}" for name, chosen in names.items() if chosen != name]
    if not other:
        return []
    return [
        f"Columns of {file} have another name from here on, as inputs of an exported model are letters, digits and _: "
        f"{', '.join(other)}."
    ]


def _is_usable(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None and not keyword.iskeyword(name)


def _usable(name: str) -> str:
    if _is_usable(name):
        return name
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", plain).strip("_")
    if not plain or plain[0].isdigit() or keyword.iskeyword(plain):
        plain = f"column_{plain}".rstrip("_")
    return plain
