"""Columns of an interactions table that say in what circumstances somebody acted: device, place, price paid.

Only declared columns are read (``--columns device=categorical``): a table of interactions often holds columns that
are known only afterwards, which would be no context but a leak.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_tfrs.data.ids import encode_ids
from recsys_tfrs.data.table_features import column_values
from recsys_tfrs.data.table_files import plain_values
from recsys_tfrs.schema import Kind

_NUMBERS = (Kind.NUMERIC, Kind.TIMESTAMP)


class ContextRows:
    """Values of context columns, collected batch by batch: a pointer or a number per row and column.

    Args:
      label: the file's name in messages.
      kinds: what each column holds.
    """

    def __init__(self, label: str, kinds: Mapping[str, Kind]) -> None:
        self._label = label
        self._kinds = kinds
        self._batches: dict[str, list[NDArray[np.generic]]] = {name: [] for name in kinds}

    def append(self, columns: Mapping[str, pa.ChunkedArray | pa.Array]) -> None:
        """Add the rows of a batch.

        Raises:
          DataError: a cell cannot be read as its column's kind.
        """
        for name, kind in self._kinds.items():
            column = columns[name]
            chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
            self._batches[name].append(self._values(name, chunked, kind))

    def finish(self) -> dict[str, tuple[Kind, NDArray[np.generic]]]:
        """``{name: (kind, [num_rows] values as in FeatureColumn)}``; empties this."""
        batches, self._batches = self._batches, {}
        return {name: (self._kinds[name], np.concatenate(values)) for name, values in batches.items()}

    def _values(self, name: str, column: pa.ChunkedArray, kind: Kind) -> NDArray[np.generic]:
        label = f"{self._label}, column {name!r}"
        column = plain_values(column)
        if kind in _NUMBERS or not pa.types.is_string(column.type):
            return column_values(label, column, kind)
        # A string that comes a million times is one Python object.
        codes = encode_ids(pc.fill_null(column, "").combine_chunks())
        distinct = column_values(label, pa.chunked_array([codes.dictionary]), kind)
        return np.asarray(distinct[codes.indices.to_numpy()])
