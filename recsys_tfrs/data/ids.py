"""External ids, read batch by batch -> dense numbers and a vocabulary."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_ZERO, _NINE = ord("0"), ord("9")
_LONGEST_INTEGER = 18  # digits that always fit 64 bits


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
    if lengths.min() == 0 or lengths.max() > _LONGEST_INTEGER:
        return None
    text = np.frombuffer(data_buffer, np.uint8)
    first, last = text[offsets[:-1]], text[offsets[1:] - 1]
    # No sign, no blank at either end, no leading zero: 7, 07, +7 and "7 " are four ids.
    if min(first.min(), last.min()) < _ZERO or max(first.max(), last.max()) > _NINE:
        return None
    if ((first == _ZERO) & (lengths > 1)).any():
        return None
    try:
        return strings.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
