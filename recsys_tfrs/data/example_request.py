"""What is asked of a table of examples: files, roles of columns, kinds, parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from recsys_tfrs.errors import UsageError
from recsys_tfrs.schema import Kind

#: How files of examples are written: tables with a header, libsvm / libfm lines, Criteo's layout without a header.
Format = Literal["table", "libfm", "criteo"]

#: In front of a path, say how the file is written where that cannot be seen.
PREFIXES: dict[str, Format] = {"libfm:": "libfm", "libsvm:": "libfm", "criteo:": "criteo"}

#: Data set of clicks that needs no file.
SIMULATED_CLICKS = "simulated-clicks"
#: In the place of a kind: the column is not read.
IGNORE = "ignore"
#: Joins the names of several labels: ``label=click+like``.
SEVERAL = "+"

_ROLES = ("label", "weight", "group", "timestamp")


@dataclass(frozen=True)
class ExampleRequest:
    """A table of examples that somebody wants to learn from.

    Attributes:
      dataset: path of one file that is split, also with ``libfm:`` or ``criteo:`` before it, or ``simulated-clicks``;
        None where files are given part by part.
      train: file of the training rows; what is not given beside it is split off it.
      validation: file of the validation rows.
      test: file of the test rows.
      columns: ``label``, ``weight``, ``group``, ``timestamp`` -> column name (several labels as ``click+like``; ""
        says that there is none); any other key is a column, its value a `recsys_tfrs.schema.Kind` or ``ignore``.
      binary: labels are 0 and 1; False: they are any numbers, such as ratings.
      test_fraction: of the rows of a file that is split.
      validation_fraction: of the rows of a file that is split.
      seed: of a random split and of simulated data.
      stream_above: bytes of all files above which rows are read anew each time instead of being kept in memory.
    """

    dataset: str | None = None
    train: Path | None = None
    validation: Path | None = None
    test: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    binary: bool = True
    test_fraction: float = 0.1
    validation_fraction: float = 0.1
    seed: int = 42
    stream_above: int = 256 << 20

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.train is None):
            given = "neither" if self.dataset is None else f"--dataset {self.dataset} and --train {self.train}"
            raise UsageError(
                "Expected either one data set to split (--dataset) or a file of training rows (--train), but "
                f"{given} came."
            )
        if self.train is None and (self.validation or self.test):
            raise UsageError("--valid and --test are files beside --train: give the training rows with --train.")
        shares = (self.test_fraction, self.validation_fraction)
        if min(shares) <= 0 or sum(shares) >= 1:
            raise UsageError(
                f"Test and validation rows must be shares of the file between 0 and 1 that leave something to train "
                f"on, but are {self.test_fraction:g} and {self.validation_fraction:g}."
            )

    def files(self) -> tuple[dict[str, Path], Format | None]:
        """``({part: path}, format)``: the files by the part they hold, and how they are said to be written."""
        if self.train is not None:
            given = {"train": self.train, "validation": self.validation, "test": self.test}
            return {part: path.expanduser() for part, path in given.items() if path is not None}, None
        name = self.dataset or ""
        for prefix, form in PREFIXES.items():
            if name.startswith(prefix):
                return {"train": Path(name.removeprefix(prefix)).expanduser()}, form
        return {"train": Path(name).expanduser()}, None


@dataclass(frozen=True)
class DeclaredColumns:
    """What ``--columns`` says.

    Attributes:
      roles: ``label``, ``weight``, ``group``, ``timestamp`` -> column name; "" says that there is none.
      kinds: column -> declared kind.
      ignored: columns that are not read.
    """

    roles: Mapping[str, str]
    kinds: Mapping[str, Kind]
    ignored: frozenset[str]

    @classmethod
    def parse(cls, columns: Mapping[str, str]) -> DeclaredColumns:
        """Tell roles from kinds.

        Raises:
          UsageError: a value that should be a kind is none.
        """
        known = [kind.value for kind in Kind]
        roles = {key: value for key, value in columns.items() if key in _ROLES}
        rest = {key: value for key, value in columns.items() if key not in _ROLES}
        for key, value in rest.items():
            if value not in known and value != IGNORE:
                raise UsageError(
                    f"--columns {key}={value} is not understood: use {', '.join(_ROLES)} = a column name, or the name "
                    f"of a column = one of {', '.join(known)}, {IGNORE}."
                )
        if roles.get("label") == "":
            raise UsageError("--columns label= names no column; every example needs a label.")
        kinds = {key: Kind(value) for key, value in rest.items() if value != IGNORE}
        return cls(roles, kinds, frozenset(rest) - set(kinds))
