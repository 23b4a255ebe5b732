"""External ids, read batch by batch -> dense numbers and a vocabulary."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_ZERO = ord("0")


class IdColumn:
    """External ids, collected batch by batch as dictionary codes: four bytes a row whatever the ids' length."""

    def __init__(self) -> None:
        self._batches: list[pa.DictionaryArray] = []

    def append(self, batch: pa.DictionaryArray) -> None:
        """Add a batch, as `encode_ids` returns it.

        Raises:
          ValueError: an id is missing or empty.
        """
        if not len(batch):
            return
        if batch.null_count or pc.min(pc.binary_length(batch.dictionary)).as_py() == 0:
            raise ValueError("an id is empty")
        self._batches.append(batch)

    def extend(self, other: IdColumn) -> None:
        """Add all batches of another column."""
        self._batches.extend(other._batches)

    def __len__(self) -> int:
        return sum(map(len, self._batches))

    def finish(self) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
        """``(codes [num_rows] from 0, ids [num_ids])`` numbered by first appearance; empties the column."""
        batches, self._batches = self._batches, []
        if not batches:
            return np.empty(0, np.int32), np.empty(0, object)
        merged = encode_ids(pa.concat_arrays([batch.dictionary for batch in batches]))
        renumbered = np.split(merged.indices.to_numpy(), np.cumsum([len(batch.dictionary) for batch in batches])[:-1])
        codes = np.concatenate(
            [numbers[batch.indices.to_numpy()] for numbers, batch in zip(renumbered, batches, strict=True)]
        )
        return codes.astype(np.int32, copy=False), merged.dictionary.to_numpy(zero_copy_only=False)


def encode_ids(strings: pa.StringArray) -> pa.DictionaryArray:
    """Strings as int32 codes over the different ones, by first appearance.

    Numbers are hashed several times faster than strings, so ids that are whole numbers take that way.
    """
    numbers = _whole_numbers(strings)
    if numbers is None:
        return strings.dictionary_encode()
    encoded = numbers.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices, encoded.dictionary.cast(pa.string()))


def _whole_numbers(strings: pa.StringArray) -> pa.Int64Array | None:
    """The strings as numbers, if writing each number down again gives exactly the string it came from."""
    if not len(strings) or strings.null_count:
        return None
    _, offsets_buffer, data_buffer = strings.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    lengths = np.diff(offsets)
    if lengths.min() == 0:
        return None
    first = np.frombuffer(data_buffer, np.uint8)[offsets[:-1]]
    # Signs and leading zeros would get lost: 7, 07, -0 and 0 are four ids. What else is no number fails the cast.
    if first.min() < _ZERO or ((first == _ZERO) & (lengths > 1)).any():
        return None
    try:
        return strings.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
