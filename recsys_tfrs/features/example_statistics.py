"""What encoders learn of a table that is read a part at a time: counts, moments and samples that grow with no row.

Each statistic of a field is fed the field's values chunk by chunk and hands the whole to the field's encoder.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoders import (
    CategoricalEncoder,
    Encoder,
    NormalizedNumericEncoder,
    NumericEncoder,
    TextEncoder,
)

#: Numbers of a field kept to place its quantiles; with them a boundary lies within a fifth of a percent of its rank.
SAMPLE_SIZE = 1 << 18
#: Different strings gathered before those of several chunks are merged.
_MERGE_AT = 1 << 20
#: Bytes of a different string beside its letters: offset, count, and its share of the table they are merged in.
_BYTES_EACH = 40


class Statistic(Protocol):
    """What is learned of one field."""

    def add(self, values: NDArray[Any]) -> None:
        """Take in ``[num_rows]`` values of a chunk, as `FeatureColumn` describes them."""

    def adapt(self) -> None:
        """Hand what was learned to the encoder."""


def statistic(name: str, encoder: Encoder, config: FeaturesConfig) -> Statistic:
    """The statistic that an encoder needs of the field `name`."""
    if isinstance(encoder, TextEncoder):
        return _Words(name, encoder, config)
    if isinstance(encoder, CategoricalEncoder):
        return _Strings(name, encoder, config)
    if isinstance(encoder, NormalizedNumericEncoder):
        return _Moments(encoder)
    if isinstance(encoder, NumericEncoder):
        return _Sample(encoder)
    return _Span(encoder)


class StringCounts:
    """How often each string came, over chunks; memory for the different ones only.

    Args:
      name: of the field, for messages.
      limit: different strings counted at most.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name, self._limit = name, limit
        self._strings: list[pa.Array] = []
        self._counts: list[NDArray[np.int64]] = []
        self._num_merged = self._num_gathered = 0

    def add(self, strings: pa.Array, weights: NDArray[np.int64] | None = None) -> None:
        """Count the strings of a chunk, each `weights` times, or once.

        Raises:
          ConfigError: there are too many different ones.
        """
        encoded = strings.dictionary_encode()
        codes = encoded.indices.to_numpy()
        counts = np.bincount(codes, weights, len(encoded.dictionary)).astype(np.int64)
        self._strings.append(encoded.dictionary.cast(pa.large_string()))
        self._counts.append(counts)
        self._num_gathered += len(counts)
        if self._num_gathered > _MERGE_AT + 2 * self._num_merged:
            self._merge()

    def finish(self) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
        """``(strings, counts)``, each ``[num_distinct]``.

        Raises:
          ConfigError: there are too many different ones.
        """
        self._merge()
        return np.asarray(self._strings[0].to_numpy(zero_copy_only=False), dtype=object), self._counts[0]

    def _merge(self) -> None:
        merged = pa.concat_arrays(self._strings or [pa.array([], pa.large_string())]).dictionary_encode()
        counts = np.concatenate([np.empty(0, np.int64), *self._counts])
        summed = np.bincount(merged.indices.to_numpy(), counts, len(merged.dictionary)).astype(np.int64)
        self._strings, self._counts = [merged.dictionary], [summed]
        self._num_merged = self._num_gathered = len(summed)
        if self._num_merged > self._limit:
            mean_length = (pc.sum(pc.binary_length(merged.dictionary)).as_py() or 0) / self._num_merged
            size = self._num_merged * (mean_length + _BYTES_EACH) / 1e9
            raise ConfigError(
                f"The field {self._name!r} has more than {self._limit:,} different strings: {self._num_merged:,} after "
                f"{int(summed.sum()):,} values, which take about {size:.2g} GB to count and more with every row. Hash "
                "strings instead with features.hash_buckets=100000, leave the column out with --columns "
                f"{self._name}=ignore, or raise features.max_distinct if the memory is there."
            )


class _Strings:
    """Counts of the strings of a field, one or several a row; nothing where strings are hashed."""

    def __init__(self, name: str, encoder: CategoricalEncoder, config: FeaturesConfig) -> None:
        self._encoder = encoder
        self._counts = StringCounts(name, config.max_distinct)

    def add(self, values: NDArray[Any]) -> None:
        if not self._encoder.needs_counts:
            return
        if self._encoder.raw_rank > 1:
            self._counts.add(string_lists(values).flatten())
        else:
            self._counts.add(pa.array(values, pa.string()))

    def adapt(self) -> None:
        self._encoder.adapt_counts(*self._counts.finish())


class _Words:
    """Counts of the words of a text field; a text that comes again is split once a chunk."""

    def __init__(self, name: str, encoder: TextEncoder, config: FeaturesConfig) -> None:
        self._encoder = encoder
        self._counts = StringCounts(name, config.max_distinct)

    def add(self, values: NDArray[Any]) -> None:
        encoded = pa.array(values, pa.string()).dictionary_encode()
        times = np.bincount(encoded.indices.to_numpy(), minlength=len(encoded.dictionary))
        words, texts = self._encoder.words(encoded.dictionary.to_numpy(zero_copy_only=False))
        self._counts.add(pa.array(words.astype(object), pa.string()), times[texts])

    def adapt(self) -> None:
        self._encoder.adapt_counts(*self._counts.finish())


class _Moments:
    """Mean and variance of the known numbers, merged over chunks (Chan, Golub and LeVeque 1983, equation 2.1)."""

    def __init__(self, encoder: NormalizedNumericEncoder) -> None:
        self._encoder = encoder
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, values: NDArray[Any]) -> None:
        known = self._encoder.scaled(values[np.isfinite(values)].astype(np.float64))
        if not len(known):
            return
        mean, total = float(known.mean()), self._count + len(known)
        apart = mean - self._mean
        self._squares += float(((known - mean) ** 2).sum()) + apart**2 * self._count * len(known) / total
        self._mean += apart * len(known) / total
        self._count = total

    def adapt(self) -> None:
        if self._count:
            self._encoder.adapt_moments(self._mean, self._squares / self._count)


class _Sample:
    """Up to `SAMPLE_SIZE` of the known numbers, all equally likely to be among them; all of them where there are fewer.

    Every number draws a key, and those with the smallest keys stay.
    """

    def __init__(self, encoder: NumericEncoder) -> None:
        self._encoder = encoder
        self._rng = np.random.default_rng(0)
        self._values, self._keys = np.empty(0, np.float32), np.empty(0)

    def add(self, values: NDArray[Any]) -> None:
        known = values[np.isfinite(values)]
        values = np.concatenate([self._values, known])
        keys = np.concatenate([self._keys, self._rng.random(len(known))])
        if len(keys) > SAMPLE_SIZE:
            chosen = np.argpartition(keys, SAMPLE_SIZE)[:SAMPLE_SIZE]
            values, keys = values[chosen], keys[chosen]
        self._values, self._keys = values, keys

    def adapt(self) -> None:
        self._encoder.adapt(self._values)


class _Span:
    """The oldest and the newest time."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._ends = np.empty(0)

    def add(self, values: NDArray[Any]) -> None:
        known = np.concatenate([self._ends, values[np.isfinite(values)]])
        self._ends = np.array([known.min(), known.max()]) if len(known) else known

    def adapt(self) -> None:
        self._encoder.adapt(self._ends)


def string_lists(values: NDArray[Any]) -> pa.ListArray:
    """Tuples of strings as an Arrow array of lists."""
    return pa.array(values, pa.list_(pa.string()))
