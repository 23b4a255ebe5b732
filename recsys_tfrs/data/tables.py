"""Interactions of your own: a CSV or TSV file, a Parquet file, or a folder of Parquet files.

Read block by block, so that 25 million rows need memory for their numbers and not for their text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from recsys_tfrs.data.assemble import Policy, RawInteractions, assemble
from recsys_tfrs.data.column_names import said, usable_names, with_usable_names
from recsys_tfrs.data.delimited import Layout, read_rows
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.parquet_rows import read_parquet_rows
from recsys_tfrs.data.table_features import read_feature_table
from recsys_tfrs.data.table_files import (
    ACCEPTED,
    FEATURE_TABLE,
    choose_column,
    guess_column,
    is_text,
    open_text,
    parquet_file,
    parquet_parts,
    read_header,
)
from recsys_tfrs.errors import DataError, UsageError
from recsys_tfrs.schema import Kind

ROLES = ("user", "item", "rating", "timestamp", "weight")

#: Key of `--columns` that names what tells sessions apart; it takes the place of the user.
SESSION = "session"


@dataclass(frozen=True)
class Columns:
    """What ``--columns`` says.

    Attributes:
      roles: ``user``, ``item``, ``rating``, ``timestamp`` or ``weight`` -> column name; "" says that there is none.
      kinds: column of the user or item table, or context column of the interactions -> its declared kind.
    """

    roles: Mapping[str, str]
    kinds: Mapping[str, Kind]

    @classmethod
    def parse(cls, columns: Mapping[str, str]) -> Columns:
        """Tell roles from kinds: ``user=uid, item=sku, brand=categorical``; ``session=sid`` takes the user's place.

        Raises:
          UsageError: a value that should be a kind is none, or the user or item column is given as empty.
        """
        if SESSION in columns:
            columns = {**columns, "user": columns[SESSION]}
            del columns[SESSION]
        roles = {key: value for key, value in columns.items() if key in ROLES}
        for role in ("user", "item"):
            if roles.get(role) == "":
                raise UsageError(f"--columns {role}= names no column; every interaction needs a {role}.")
        known = [kind.value for kind in Kind]
        for key, value in columns.items():
            if key not in ROLES and value not in known:
                raise UsageError(
                    f"--columns {key}={value} is not understood: use {', '.join(ROLES)} = a column name, or "
                    f"the name of a feature column = one of {', '.join(known)}."
                )
        return cls(roles, {key: Kind(value) for key, value in columns.items() if key not in ROLES})


def load_table(
    path: Path,
    columns: Mapping[str, str],
    policy: Policy,
    *,
    items: Path | None = None,
    users: Path | None = None,
) -> Interactions:
    """Interactions of one's own, with optional tables about the items and the users.

    Args:
      path: CSV, TSV or Parquet file, or a folder of Parquet files.
      columns: see `Columns.parse`; roles that are not named are guessed from the usual names. A column with a declared
        kind that only the interactions have is context.
      policy: about bad and repeated rows.
      items: a table with one row per item; items nobody has touched belong to the catalogue.
      users: a table with one row per user.

    Raises:
      DataError: a file is missing or malformed; the message names file and line.
      UsageError: `columns` is not understood.
    """
    spec = Columns.parse(columns)
    tables = {}
    for side, table in (("user", users), ("item", items)):
        if table is not None:
            # The id column of a table of its own may be called otherwise than in the interactions.
            names_id = spec.roles.get(side) if has_column(table, spec.roles.get(side)) else None
            tables[side] = read_feature_table(table, side, names_id, spec.kinds, skip_bad_rows=policy.skip_bad_rows)
    elsewhere = set[str]().union(*(table.columns for table in tables.values()))
    raw = read_table(path, spec.roles, policy, {name: k for name, k in spec.kinds.items() if name not in elsewhere})
    called: list[str] = []
    for side, table in (("item", items), ("user", users)):
        if table is not None:
            tables[side] = with_usable_names(tables[side], table.name, called)
            called += tables[side].columns
    names = usable_names(raw.context, called)
    context = {names[name]: column for name, column in raw.context.items()}
    raw = replace(raw, context=context, notes=(*raw.notes, *said(names, path.name)))
    name = path.stem.removesuffix(".csv").removesuffix(".tsv")  # of .csv.gz
    return assemble(name, raw, policy, user_table=tables.get("user"), item_table=tables.get("item"))


def read_table(
    path: Path, roles: Mapping[str, str], policy: Policy, context: Mapping[str, Kind] | None = None
) -> RawInteractions:
    """The rows of an interactions table, before ids are numbered.

    Args:
      path: CSV, TSV or Parquet file, or a folder of Parquet files.
      roles: see `Columns`.
      policy: about bad rows.
      context: further columns to read and their kinds.

    Raises:
      DataError: the file is missing or malformed, or a named column is not there; the message names file and line.
      UsageError: it is no table, one column has two roles, or a declared one is nowhere.
    """
    context = context or {}
    if not path.exists():
        raise DataError(f"{path} does not exist: check the path.")
    if parts := parquet_parts(path):
        with parquet_file(parts[0]) as file:
            chosen, notes = _choose(parts[0], file.schema_arrow.names, roles, context)
        raw = read_parquet_rows(parts, chosen, context=context, skip_bad_rows=policy.skip_bad_rows)
        return replace(raw, notes=(*notes, *raw.notes))
    if not is_text(path):
        raise UsageError(f"{path} is not a table this can read: expected {ACCEPTED}.")
    with open_text(path) as stream:
        names, delimiter = read_header(path, stream)
        chosen, notes = _choose(path, names, roles, context)
        layout = Layout(
            tuple(names),
            user=chosen["user"] or "",
            item=chosen["item"] or "",
            rating=chosen["rating"],
            timestamp=chosen["timestamp"],
            weight=chosen["weight"],
            context=context,
            delimiter=delimiter,
            quoted=True,
            header_lines=1,
        )
        raw = read_rows(stream, str(path), layout, skip_bad_rows=policy.skip_bad_rows)
    return replace(raw, notes=(*notes, *raw.notes))


def has_column(table: Path, name: str | None) -> bool:
    """Whether a column of that name is in a table's header; no name is none.

    Raises:
      DataError: the table cannot be read.
    """
    return bool(name) and name in header(table)


def header(table: Path) -> list[str]:
    """Names of a table's columns.

    Raises:
      DataError: the table cannot be read.
    """
    if parts := parquet_parts(table):
        with parquet_file(parts[0]) as file:
            return list(file.schema_arrow.names)
    with open_text(table) as stream:
        return list(read_header(table, stream, FEATURE_TABLE)[0])


def _choose(
    path: Path, names: list[str], roles: Mapping[str, str], context: Mapping[str, Kind]
) -> tuple[dict[str, str | None], list[str]]:
    """A column per role, and a note about what was guessed; context columns are only looked for."""
    unknown = [name for name in context if name not in names]
    if unknown:
        raise UsageError(
            f"--columns declares {', '.join(unknown)}, which neither {path} nor an --items or --users table has."
        )
    chosen: dict[str, str | None] = {}
    guessed = []
    for role in ROLES:
        declared = roles.get(role)
        if role in ("user", "item") or declared:
            chosen[role], was_guess = choose_column(path, names, role, declared)
        else:
            # A weight is never guessed: it changes what is learnt.
            asked = declared == "" or role == "weight"
            chosen[role], was_guess = (None, False) if asked else (guess_column(names, role), True)
        if was_guess:
            guessed.append(f"{role}={chosen[role] or '(none)'}")
    taken = [*(name for name in chosen.values() if name is not None), *context]
    if len(set(taken)) != len(taken):
        played = [f"{role}={column}" for role, column in chosen.items() if column]
        played += [f"{column}={kind.value}" for column, kind in context.items()]
        raise UsageError(
            f"One column of {path} cannot play two roles: {', '.join(played)}. Say which is which with --columns."
        )
    note = f"Columns of {path.name} guessed from their names: {', '.join(guessed)} (say otherwise with --columns)."
    return chosen, [note] if guessed else []
