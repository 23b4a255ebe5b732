"""Examples -> the arrays that ranking models read, chunk by chunk: encoders learned from training rows, then all rows.

What a chunk holds a hundred times is encoded once: its different strings go through the encoder, the same object that
the exported graph holds, and the rows gather from the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.examples import Examples, ExampleSource
from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.errors import ConfigError, DataError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoders import Encoder, make_encoder
from recsys_tfrs.features.example_statistics import Statistic, statistic, string_lists
from recsys_tfrs.features.fields import EncodedExamples, ExamplePreprocessor

#: Rows encoded at a time, also where a chunk holds more.
_BLOCK_ROWS = 1 << 18


class GroupCodes:
    """Groups, such as users, as int32 codes by first appearance; 0 is "", the unknown.

    Parts of a data set encoded with one object agree on who is who.
    """

    def __init__(self) -> None:
        self._codes = {"": 0}

    def __len__(self) -> int:
        return len(self._codes) - 1

    def encode(self, groups: NDArray[np.object_]) -> NDArray[np.int32]:
        """``[num_rows]`` codes of ``[num_rows]`` strings."""
        encoded = pa.array(groups, pa.string()).dictionary_encode()
        known = self._codes
        codes = [known.setdefault(group, len(known)) for group in encoded.dictionary.to_pylist()]
        return np.asarray(np.array(codes, dtype=np.int32)[encoded.indices.to_numpy()])


def adapt_encoders(source: ExampleSource, config: FeaturesConfig) -> dict[str, Encoder]:
    """Encoders of all fields, adapted on the rows of `source`, which should be those of training alone.

    Memory is that of one chunk and of the different strings of each field; numbers cost a sample, means and spans.

    Args:
      source: training rows.
      config: how each kind is encoded; `numeric = "log"` suits counts.

    Returns:
      Encoder by field, in the order of the columns.

    Raises:
      ConfigError: a field has more different strings than `config.max_distinct`.
      DataError: there are no rows.
    """
    encoders: dict[str, Encoder] = {}
    statistics: dict[str, Statistic] = {}
    for block in _blocks(source):
        for name, column in block.columns.items():
            if name not in encoders:
                encoders[name] = make_encoder(column.kind, config, name)
                statistics[name] = statistic(name, encoders[name], config)
            statistics[name].add(column.values)
    if not encoders:
        raise DataError(
            "There is nothing to learn vocabularies and statistics from: no training rows, or no column but labels, "
            "weight, group and what is ignored. Name more columns with --columns."
        )
    for learned in statistics.values():
        learned.adapt()
    return encoders


def encode_examples(
    source: ExampleSource,
    layer: ExamplePreprocessor,
    target_names: Sequence[str],
    folder: Path | None = None,
    *,
    groups: GroupCodes | None = None,
) -> EncodedExamples:
    """All rows of `source` as arrays, the same that `layer` makes of them row by row.

    Args:
      source: rows.
      layer: encoders and layout.
      target_names: columns of the targets, in order.
      folder: where the arrays are written as ``.npy`` files and mapped from, so that they need not fit into memory;
        None: they are made in memory.
      groups: codes of the groups; pass the same object for all parts of a data set.

    Raises:
      ConfigError: there is no such target.
      DataError: a field of `layer` is not in the rows, or the source gives another number of rows than it said.
    """
    groups = GroupCodes() if groups is None else groups
    store = _Store(folder, source.num_rows)
    names: list[str] = []
    for block in _blocks(source):
        encoded = _encode_columns(block.columns, layer)
        names = list(encoded)
        made = {f"columns.{name}": values for name, values in encoded.items()}
        made["targets"] = _targets(block, target_names)
        if block.groups is not None:
            made["groups"] = groups.encode(block.groups)
        by_row = {"weights": block.weights, "probability": block.probability}
        made |= {name: values for name, values in by_row.items() if values is not None}
        store.append(made)
    arrays = store.finish()
    return EncodedExamples(
        columns={name: arrays[f"columns.{name}"] for name in names},
        targets=arrays["targets"],
        weights=arrays.get("weights"),
        groups=arrays.get("groups"),
        probability=arrays.get("probability"),
    )


def encode_column(encoder: Encoder, column: FeatureColumn) -> NDArray[Any]:
    """What `encoder` makes of a column: ``[num_rows]`` or ``[num_rows, width]``."""
    if encoder.raw_dtype != tf.string:
        return np.asarray(encoder(encoder.raw(column.values)))
    if encoder.raw_rank == 1:
        strings = pa.array(column.values, pa.string()).dictionary_encode()
        return np.asarray(_encode_distinct(encoder, strings)[strings.indices.to_numpy()])
    lists = string_lists(column.values)
    offsets = lists.offsets.to_numpy()
    strings = lists.flatten().dictionary_encode()
    ids = _encode_distinct(encoder, strings)[strings.indices.to_numpy()][:, 0]
    lengths = np.diff(offsets)
    place = np.arange(len(ids)) - np.repeat(offsets[:-1] - offsets[0], lengths)
    kept = place < encoder.width
    padded = np.zeros((len(lengths), encoder.width), dtype=ids.dtype)
    padded[np.repeat(np.arange(len(lengths)), lengths)[kept], place[kept]] = ids[kept]
    return padded


def _encode_distinct(encoder: Encoder, strings: pa.DictionaryArray) -> NDArray[Any]:
    """Encoded form of each different string: ``[num_distinct]``, or ``[num_distinct, width]``."""
    raw = tf.constant(strings.dictionary.to_pylist(), tf.string)
    return np.asarray(encoder(raw[:, None] if encoder.raw_rank > 1 else raw))


def _encode_columns(columns: Mapping[str, FeatureColumn], layer: ExamplePreprocessor) -> dict[str, NDArray[Any]]:
    missing = [name for name in layer.encoders if name not in columns]
    if missing:
        raise DataError(
            f"The examples lack {', '.join(missing)}, which the model was made for: they have {', '.join(columns)}."
        )
    with tf.device("/cpu:0"):  # string lookups exist for the CPU only
        encoded = {name: tf.constant(encode_column(encoder, columns[name])) for name, encoder in layer.encoders.items()}
        return {name: np.asarray(values) for name, values in layer.assemble(encoded).items()}


def _targets(block: Examples, names: Sequence[str]) -> NDArray[np.float32]:
    unknown = [name for name in names if name not in block.targets]
    if unknown or not names:
        raise ConfigError(
            f"There is no target {', '.join(unknown) or 'named'}: the examples have {', '.join(block.targets)}."
        )
    return np.stack([block.targets[name] for name in names], axis=1).astype(np.float32, copy=False)


def _blocks(source: ExampleSource) -> Iterator[Examples]:
    """The rows in parts of `_BLOCK_ROWS` at most."""
    for examples in source.chunks():
        for low in range(0, len(examples), _BLOCK_ROWS):
            yield examples.take(slice(low, low + _BLOCK_ROWS)) if len(examples) > _BLOCK_ROWS else examples


class _Store:
    """Arrays of a known number of rows that are filled from the front, in memory or in files."""

    def __init__(self, folder: Path | None, num_rows: int) -> None:
        self._folder, self._num_rows, self._filled = folder, num_rows, 0
        self._arrays: dict[str, NDArray[Any]] = {}
        self._paths: dict[str, Path] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def append(self, rows: Mapping[str, NDArray[Any]]) -> None:
        end = self._filled + len(rows["targets"])
        if end > self._num_rows:
            raise DataError(self._changed(f"at least {end:,}"))
        for name, values in rows.items():
            if name not in self._arrays:
                self._arrays[name] = self._make(name, (self._num_rows, *values.shape[1:]), values.dtype)
            self._arrays[name][self._filled : end] = values
        self._filled = end

    def finish(self) -> dict[str, NDArray[Any]]:
        if self._filled != self._num_rows or not self._arrays:
            raise DataError(self._changed(f"{self._filled:,}"))
        if self._folder is None:
            return self._arrays
        for array in self._arrays.values():
            array.flush()  # type: ignore[attr-defined]
        self._arrays.clear()
        return {name: np.load(path, mmap_mode="r") for name, path in self._paths.items()}

    def _make(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        if self._folder is None:
            return np.empty(shape, dtype)
        # Fields may have names that are no names of files.
        self._paths[name] = self._folder / f"array_{len(self._paths)}.npy"
        return np.lib.format.open_memmap(self._paths[name], mode="w+", dtype=dtype, shape=shape)

    def _changed(self, found: str) -> str:
        return (
            f"Expected {self._num_rows:,} rows, found {found}: there are none, or the file changed while it was read. "
            "Start again with files that stand still."
        )
