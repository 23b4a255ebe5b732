"""What the columns of a table of examples are: label, weight, group, time, and fields of some kind.

A column without a declared kind gets one from its first rows, and every inference is said in a note:

* numbers are NUMERIC if there are more than 100 different ones, or if any has a fraction; others are CATEGORICAL, as
  are numbers with leading zeros and those of a column named like an id (``id``, ``user_id``, ``movieId``, ``sku``);
* text is MULTI_CATEGORICAL where at least a tenth of its cells hold a ``|``, and CATEGORICAL otherwise;
* in Parquet files, lists are MULTI_CATEGORICAL, dates and timestamps are TIMESTAMP, true/false is CATEGORICAL, and so
  are whole numbers beyond 2^53, such as hashes, which a float would round.

A column with the role of label, weight or timestamp is no field unless its kind is declared too; the group is a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from recsys_tfrs.data.example_files import ExampleFile
from recsys_tfrs.data.example_request import SEVERAL, DeclaredColumns
from recsys_tfrs.data.table_files import ID_NAMES, guess_column
from recsys_tfrs.errors import DataError, UsageError
from recsys_tfrs.schema import Kind

_LABEL_NAMES = ("label", "click", "clicked", "is_click", "is_clicked", "target", "like", "y")
_ID = re.compile(r"(.*[_ -])?(id|Id|ID)|.*[a-z](Id|ID)")
_ID_NAMES = {name.lower() for side in ("user", "item") for name in ID_NAMES[side]}
_FEW = 100
_SEVERAL_SHARE = 0.1
_LEADING_ZERO = r"^\s*[+-]?0[0-9]"


@dataclass(frozen=True)
class ExampleColumns:
    """The roles of a table's columns.

    Attributes:
      labels: columns of the labels.
      kinds: fields, by column.
      weight: column of the weights, or None.
      group: column that says whose row it is, or None.
      timestamp: column of the time, or None.
      binary: whether labels are 0 and 1.
      signed: whether a label of -1 stands for 0.
    """

    labels: tuple[str, ...]
    kinds: Mapping[str, Kind]
    weight: str | None = None
    group: str | None = None
    timestamp: str | None = None
    binary: bool = True
    signed: bool = False

    def types(self) -> dict[str, pa.DataType | None]:
        """Columns to read; those of numbers with their type."""
        text: dict[str, pa.DataType | None] = dict.fromkeys(self.labels)
        text |= {name: None for name in (self.group, self.timestamp) if name is not None}
        text |= {name: pa.float64() if kind is Kind.NUMERIC else None for name, kind in self.kinds.items()}
        return text | ({self.weight: pa.float64()} if self.weight is not None else {})


def usual_label(names: Iterable[str]) -> str | None:
    """The column that is called as labels usually are, if any."""
    found = list(names)
    return next((name for usual in _LABEL_NAMES for name in found if name.lower() == usual), None)


def choose_columns(file: ExampleFile, declared: DeclaredColumns, *, binary: bool) -> tuple[ExampleColumns, list[str]]:
    """Roles and kinds of the training file's columns, and notes about what was guessed.

    Raises:
      DataError: there is no label, or the file has no rows.
      UsageError: a declared column is not there, or plays two roles.
    """
    chosen, notes = _roles(file, declared)
    labels = chosen.pop("label")
    named = [*declared.kinds, *declared.ignored]
    unknown = [name for name in named if name not in file.names]
    contrary = [name for name, kind in declared.kinds.items() if file.signed and file.kinds.get(name, kind) != kind]
    if unknown:
        raise UsageError(
            f"--columns names {', '.join(unknown)}, which {file.path} does not have: it has {_listed(file.names)}."
        )
    if contrary:
        raise UsageError(f"--columns {contrary[0]}=: the kinds of the fields of {file.path} follow from its lines.")
    no_fields = {*labels, *declared.ignored}
    no_fields |= {name for role in ("weight", "timestamp") for name in chosen[role]} - set(declared.kinds)
    fields = [name for name in file.names if name not in no_fields]
    if leaked := [name for name in labels if name in declared.kinds]:
        raise UsageError(f"The label {leaked[0]!r} cannot be a field as well: leave its kind out of --columns.")
    sample = file.sample()
    if not sample.num_rows:
        raise DataError(f"{file.path} has no rows: expected examples, one a line.")
    kinds, inferred = {}, []
    for name in fields:
        if name in chosen["group"]:
            kinds[name] = declared.kinds.get(name, Kind.CATEGORICAL)
        elif name in declared.kinds or name in file.kinds:
            kinds[name] = declared.kinds.get(name) or file.kinds[name]
        else:
            kinds[name] = infer_kind(name, sample.column(name))
            inferred.append(f"{name}={kinds[name].value}")
    if inferred:
        notes.append(
            f"Kinds inferred from the first rows of {file.path.name}: {', '.join(inferred)} (change one with --columns "
            "NAME=KIND, leave one out with NAME=ignore)."
        )
    first = {role: next(iter(names), None) for role, names in chosen.items()}
    return ExampleColumns(tuple(labels), kinds, **first, binary=binary, signed=file.signed), notes


def infer_kind(name: str, column: pa.ChunkedArray) -> Kind:
    """The kind of a column nobody declared, by the module's rules."""
    of = pa.types
    if of.is_list(column.type) or of.is_large_list(column.type):
        return Kind.MULTI_CATEGORICAL
    if of.is_timestamp(column.type) or of.is_date(column.type):
        return Kind.TIMESTAMP
    if of.is_integer(column.type) or of.is_floating(column.type) or of.is_decimal(column.type):
        try:
            return _kind_of_numbers(name, column.cast(pa.float64()))
        except pa.ArrowInvalid:  # as a float it would become another number
            return Kind.CATEGORICAL
    if not (of.is_string(column.type) or of.is_large_string(column.type)):
        return Kind.CATEGORICAL
    filled = column.filter(pc.greater(pc.binary_length(column), 0))
    if not len(filled):
        return Kind.CATEGORICAL
    try:
        numbers = filled.cast(pa.float64())
    except pa.ArrowInvalid:
        bars = pc.mean(pc.match_substring(filled, "|")).as_py()
        return Kind.MULTI_CATEGORICAL if bars >= _SEVERAL_SHARE else Kind.CATEGORICAL
    if pc.any(pc.match_substring_regex(filled, _LEADING_ZERO)).as_py():
        return Kind.CATEGORICAL
    return _kind_of_numbers(name, numbers)


def check_same_columns(train: ExampleFile, other: ExampleFile, columns: ExampleColumns) -> list[str]:
    """Notes about columns that only `other` has, which are not read.

    Raises:
      DataError: `other` lacks a column of the training file.
    """
    missing = [name for name in columns.types() if name not in other.names]
    if missing:
        raise DataError(
            f"{other.path} has no column {_listed(missing)}, which the training rows of {train.path} have: it has "
            f"{_listed(other.names)}. Files of one data set need the same columns, in any order."
        )
    further = [name for name in other.names if name not in train.names]
    return [f"Columns that only {other.path.name} has are not read: {_listed(further)}."] if further else []


def _roles(file: ExampleFile, declared: DeclaredColumns) -> tuple[dict[str, list[str]], list[str]]:
    """Columns by role, none or one but for labels."""
    chosen: dict[str, list[str]] = {}
    guessed = []
    label = declared.roles.get("label")
    if label is None:
        usable = [name for name in file.names if name not in declared.kinds and name not in declared.ignored]
        guess = usual_label(usable)
        if guess is None:
            raise DataError(
                f"{file.path} has no column that is clearly the label; it has {_listed(file.names)}: say which with "
                "--columns label=NAME."
            )
        chosen["label"] = [guess]
        if not file.kinds:  # a format that knows its kinds knows its label
            guessed.append(f"label={guess}")
    else:
        chosen["label"] = [label] if label in file.names else label.split(SEVERAL)
    for role in ("weight", "group", "timestamp"):
        name = declared.roles.get(role)
        if name is None and role == "group":
            found = guess_column(file.names, "user")
            if found not in (None, "id", *chosen["label"], *declared.ignored):
                name = found
                guessed.append(f"group={found}")
        chosen[role] = [name] if name else []
    for role, names in chosen.items():
        for name in names:
            if name not in file.names:
                raise DataError(f"{file.path} has no column {name!r} for the {role}; it has {_listed(file.names)}.")
    taken = [name for names in chosen.values() for name in names]
    if len(set(taken)) != len(taken):
        played = ", ".join(f"{role}={SEVERAL.join(names)}" for role, names in chosen.items() if names)
        raise UsageError(f"One column of {file.path} cannot play two roles: {played}.")
    note = f"Columns of {file.path.name} guessed from their names: {', '.join(guessed)} (say otherwise with --columns)."
    return chosen, [note] if guessed else []


def _kind_of_numbers(name: str, numbers: pa.ChunkedArray) -> Kind:
    if _ID.fullmatch(name) or name.lower() in _ID_NAMES:
        return Kind.CATEGORICAL
    known = numbers.filter(pc.is_finite(numbers))
    if not len(known):
        return Kind.CATEGORICAL
    whole = pc.all(pc.equal(known, pc.floor(known))).as_py()
    return Kind.NUMERIC if not whole or pc.count_distinct(known).as_py() > _FEW else Kind.CATEGORICAL


def _listed(names: list[str]) -> str:
    return ", ".join(names[:50]) + (f" and {len(names) - 50} more" if len(names) > 50 else "")
