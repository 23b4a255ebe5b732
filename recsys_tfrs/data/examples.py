"""Rows to be scored one by one: what is known of each, and what came of it. The form that ranking models learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.errors import DataError


@dataclass(frozen=True)
class Examples:
    """Rows in memory.

    Attributes:
      columns: raw values by field, each ``[num_rows]``, as `FeatureColumn` describes them.
      targets: ``[num_rows]`` float32 by name of the target; NaN where it is not known.
      weights: ``[num_rows]`` float32, how much each row counts, not negative; None: all the same.
      groups: ``[num_rows]`` object array of str, whose row it is, for metrics within users; None: nobody is known.
      probability: ``[num_rows]`` float32, the generator's own chance of each positive, for simulated data only.
    """

    columns: Mapping[str, FeatureColumn]
    targets: Mapping[str, NDArray[np.float32]]
    weights: NDArray[np.float32] | None = None
    groups: NDArray[np.object_] | None = None
    probability: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(column.values) for name, column in self.columns.items()}
        lengths |= {f"the target {name}": len(values) for name, values in self.targets.items()}
        for name in ("weights", "groups", "probability"):
            if (values := getattr(self, name)) is not None:
                lengths[name] = len(values)
        if len(set(lengths.values())) > 1:
            raise DataError(f"Columns of different length: {lengths}.")
        if not self.targets:
            raise DataError("Examples need a target: name the column that says what came of each row.")

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Examples:
        """Some of the rows."""

        def of(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[rows]

        return Examples(
            {name: FeatureColumn(name, column.kind, of(column.values)) for name, column in self.columns.items()},
            {name: of(values) for name, values in self.targets.items()},
            of(self.weights),
            of(self.groups),
            of(self.probability),
        )


def concatenate(parts: Sequence[Examples]) -> Examples:
    """The rows of all parts, which have the same columns and targets."""

    def of(values: Sequence[NDArray[Any] | None]) -> Any:
        known = [part for part in values if part is not None]
        return np.concatenate(known) if known else None

    first = parts[0]
    if len(parts) == 1:
        return first
    return Examples(
        {
            name: FeatureColumn(name, column.kind, of([part.columns[name].values for part in parts]))
            for name, column in first.columns.items()
        },
        {name: of([part.targets[name] for part in parts]) for name in first.targets},
        of([part.weights for part in parts]),
        of([part.groups for part in parts]),
        of([part.probability for part in parts]),
    )


class ExampleSource(Protocol):
    """Rows that are read as often as they are asked for, a part at a time, in the same order each time."""

    @property
    def num_rows(self) -> int:
        """Rows of all parts."""

    def chunks(self) -> Iterator[Examples]:
        """The rows, in parts that fit into memory; all parts have the same columns and targets."""


@dataclass(frozen=True)
class InMemory:
    """An `ExampleSource` of one part."""

    examples: Examples

    @property
    def num_rows(self) -> int:
        """Rows."""
        return len(self.examples)

    def chunks(self) -> Iterator[Examples]:
        """The rows."""
        yield self.examples


@dataclass(frozen=True)
class ExampleParts:
    """A data set of examples, in the parts in which it is learned from.

    Attributes:
      name: of the data set, for reports.
      split: how the parts were told apart.
      train: to fit on.
      validation: to select on.
      test: nobody looks at before the end.
      notes: sentences about what was skipped, merged or substituted while reading; shown to the user.
    """

    name: str
    split: str
    train: ExampleSource
    validation: ExampleSource
    test: ExampleSource
    notes: tuple[str, ...] = field(default_factory=tuple)
