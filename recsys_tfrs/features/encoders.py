"""One encoder per kind of column: raw values in, numbers for embedding or for reading in.

An encoder is a Keras layer over TensorFlow's own preprocessing layers, so that the very same object encodes the
cached training tables and the strings of a serving request. Ids 0 are padding or missing, and embed to nothing.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.schema import Kind

_DAY = 86_400.0
_YEAR = 365.2425 * _DAY

#: Of the mean: numbers that differ by less do so by rounding.
_CONSTANT = 1e-6


class Encoder(tf.keras.layers.Layer):
    """Raw values of one column -> tensor.

    Attributes:
      vocabulary_size: ids lie in ``[0, vocabulary_size)``; 0 for an encoder whose output is dense.
      width: trailing size of the output; 1 where the output has no trailing axis.
      raw_dtype: dtype of a raw value.
      raw_rank: 1 for one value per row, 2 for several.
      missing: the raw value that stands for "not known".
    """

    vocabulary_size: int = 0
    width: int = 1
    raw_dtype: tf.DType = tf.string
    raw_rank: int = 1
    missing: Any = ""

    def __init__(self, **kwargs: Any) -> None:
        # Keras would cast seconds since 1970 to float32, 128 s apart, and years to bfloat16, 8 apart.
        super().__init__(autocast=False, **kwargs)

    def adapt(self, values: NDArray[Any]) -> None:
        """Learn vocabulary or statistics from training values only."""
        raise NotImplementedError

    def missing_rows(self, rows: int | tf.Tensor) -> tf.Tensor:
        """``[rows]``, or ``[rows, 1]`` of several values per row: the raw tensor that says nothing of so many rows."""
        shape = tf.stack([rows] + [1] * (self.raw_rank - 1))
        return tf.fill(shape, tf.constant(self.missing, self.raw_dtype))

    def raw(self, values: NDArray[Any]) -> tf.Tensor:
        """Turn a `FeatureColumn`'s values into the raw tensor a request would carry."""
        return tf.constant(values.astype(str) if self.raw_dtype == tf.string else values, dtype=self.raw_dtype)


class IdEncoder(Encoder):
    """External ids -> ``[batch]`` int32 ids from 1; whatever was not in training is 0, the unknown."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lookup = tf.keras.layers.StringLookup(num_oov_indices=1, mask_token=None)

    def adapt(self, values: NDArray[Any]) -> None:
        """Take the distinct ids in the order given, which keeps them in internal-id order."""
        self._lookup.set_vocabulary([str(v) for v in values])
        self.vocabulary_size = len(values) + 1

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Look up ``[batch]`` strings."""
        return tf.cast(self._lookup(values), tf.int32)


class CategoricalEncoder(Encoder):
    """Strings of a small set -> ``[batch]`` int32: 0 missing, 1 unknown or rare, then by falling frequency."""

    def __init__(self, config: FeaturesConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._config = config
        self._layer = _lookup_or_hash(config)

    @property
    def needs_counts(self) -> bool:
        """Whether there is a vocabulary to learn; hashing needs none."""
        return not self._config.hash_buckets

    def labels(self) -> list[str] | None:
        """What each id stands for, or None where strings are hashed."""
        return ["missing", "rare", *self._layer.get_vocabulary()[2:]] if self.needs_counts else None

    def adapt(self, values: NDArray[Any]) -> None:
        """Count the strings of training entities."""
        self.adapt_counts(*np.unique(values[values != ""].astype(str), return_counts=True))

    def adapt_counts(self, distinct: NDArray[Any], counts: NDArray[np.int64]) -> None:
        """The same from strings counted elsewhere: ``[num_distinct]`` different strings and how often each came."""
        if not self.needs_counts:
            self.vocabulary_size = self._config.hash_buckets + 1
            return
        vocabulary = _most_frequent(distinct, counts, self._config)
        self._layer.set_vocabulary(vocabulary)
        self.vocabulary_size = len(vocabulary) + 2

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Look up ``[batch]`` strings."""
        return tf.cast(self._layer(values), tf.int32)


class MultiCategoricalEncoder(CategoricalEncoder):
    """Several strings -> ``[batch, max_values]`` int32, padded with 0."""

    raw_rank = 2

    def __init__(self, config: FeaturesConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.width = config.max_values

    def adapt(self, values: NDArray[Any]) -> None:
        """Count the strings of training entities, each entity's own once per occurrence."""
        super().adapt(np.array([v for row in values for v in row], dtype=object))

    def raw(self, values: NDArray[Any]) -> tf.Tensor:
        """Pad tuples with "" to a rectangle."""
        longest = max((len(row) for row in values), default=0)
        padded = np.full((len(values), max(longest, 1)), "", dtype=object)
        for i, row in enumerate(values):
            padded[i, : len(row)] = row
        return tf.constant(padded.astype(str))

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Look up ``[batch, any width]`` strings, "" being padding; values beyond `max_values` are dropped."""
        ids = super().call(values)[:, : self.width]
        return tf.pad(ids, [[0, 0], [0, self.width - tf.shape(ids)[1]]])


class TextEncoder(Encoder):
    """Texts -> ``[batch, max_words]`` int32 word ids: 0 padding, 1 unknown or rare, then by falling frequency."""

    def __init__(self, config: FeaturesConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = config.max_words
        self._config = config
        self._layer = tf.keras.layers.TextVectorization(
            standardize=_plain_words, output_sequence_length=config.max_words
        )

    def adapt(self, values: NDArray[Any]) -> None:
        """Count the words of training texts."""
        words, _ = self.words(values)
        self.adapt_counts(*np.unique(words, return_counts=True))

    def adapt_counts(self, distinct: NDArray[Any], counts: NDArray[np.int64]) -> None:
        """The same from words counted elsewhere: ``[num_distinct]`` different words and how often each came."""
        vocabulary = _most_frequent(distinct, counts, self._config)
        self._layer.set_vocabulary(vocabulary)
        self.vocabulary_size = len(vocabulary) + 2

    @staticmethod
    def words(texts: NDArray[Any]) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
        """``(words [num_words], texts [num_words])``: the words of all texts in order, and whose each is."""
        split = tf.strings.split(_plain_words(tf.constant(texts.astype(str))))
        return np.char.decode(split.flat_values.numpy().astype(bytes), "utf-8"), split.value_rowids().numpy()

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Split and look up ``[batch]`` strings."""
        return tf.cast(self._layer(values), tf.int32)


class NumericEncoder(Encoder):
    """Numbers -> ``[batch]`` int32 quantile buckets from 1; 0 is missing (NaN)."""

    raw_dtype = tf.float32
    missing = math.nan

    def __init__(self, config: FeaturesConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._num_buckets = config.numeric_buckets
        self._layer = tf.keras.layers.Discretization(bin_boundaries=[0.0])

    def adapt(self, values: NDArray[Any]) -> None:
        """Place the boundaries at quantiles, so that each bucket holds about as many training entities."""
        known = values[np.isfinite(values)]
        inner = np.linspace(0, 1, self._num_buckets + 1)[1:-1]
        boundaries = np.unique(np.quantile(known, inner)) if len(known) else np.array([0.0])
        self._layer = tf.keras.layers.Discretization(bin_boundaries=boundaries.tolist())
        self.vocabulary_size = len(boundaries) + 2

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Find the bucket of ``[batch]`` numbers."""
        known = tf.math.is_finite(values)
        bucket = self._layer(tf.where(known, values, tf.zeros_like(values)))
        return tf.where(known, tf.cast(bucket, tf.int32) + 1, 0)


def deviation_of(mean: float, variance: float) -> float:
    """The standard deviation to divide numbers by; 1 where they differ by no more than float32 can tell."""
    deviation = math.sqrt(variance)
    return deviation if deviation > _CONSTANT * max(1.0, abs(mean)) else 1.0


class NormalizedNumericEncoder(Encoder):
    """Numbers -> ``[batch, 2]`` float32: the value with mean 0 and variance 1 in training, and 1 where missing."""

    raw_dtype = tf.float32
    missing = math.nan
    width = 2

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._layer = tf.keras.layers.Normalization(axis=None, mean=0.0, variance=1.0, dtype=tf.float32)

    def adapt(self, values: NDArray[Any]) -> None:
        """Measure mean and variance of the known values."""
        known = self.scaled(values[np.isfinite(values)]).astype(np.float64)
        if len(known):
            self.adapt_moments(float(known.mean()), float(known.var()))

    def adapt_moments(self, mean: float, variance: float) -> None:
        """The same from mean and variance of `scaled` values measured elsewhere."""
        self._layer = tf.keras.layers.Normalization(
            axis=None, mean=mean, variance=deviation_of(mean, variance) ** 2, dtype=tf.float32
        )

    def scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        """Known numbers on the scale that is normalised."""
        return values

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Normalise ``[batch]`` numbers; a missing one is the mean, 0."""
        known = tf.math.is_finite(values)
        normalized = tf.where(known, self._layer(self._scale(tf.where(known, values, 0.0))), 0.0)
        return tf.stack([normalized, tf.cast(~known, tf.float32)], axis=1)

    def _scale(self, values: tf.Tensor) -> tf.Tensor:
        return values


class LogNumericEncoder(NormalizedNumericEncoder):
    """As `NormalizedNumericEncoder`, of the logarithm: for counts and amounts, a few of which are very large.

    The logarithm is ``sign(x) log(1 + |x|)``, which is 0 at 0 and knows negative numbers.
    """

    def scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        """Logarithms of known numbers."""
        return np.asarray(np.sign(values) * np.log1p(np.abs(values)))

    def _scale(self, values: tf.Tensor) -> tf.Tensor:
        return tf.sign(values) * tf.math.log1p(tf.abs(values))


class TimestampEncoder(Encoder):
    """Seconds since 1970 UTC -> ``[batch, 8]`` float32.

    Sine and cosine of the hour of the day, the day of the week and the day of the year; recency, 0 at the oldest and
    1 at the newest training time; and 1 where missing.
    """

    raw_dtype = tf.float64
    missing = math.nan
    width = 8

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._oldest, self._newest = 0.0, 1.0

    def adapt(self, values: NDArray[Any]) -> None:
        """Find the span of training time."""
        known = values[np.isfinite(values)]
        if len(known):
            self._oldest = float(known.min())
            self._newest = max(float(known.max()), self._oldest + 1.0)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Encode ``[batch]`` seconds."""
        known = tf.math.is_finite(values)
        seconds = tf.where(known, values, tf.zeros_like(values))
        columns = []
        for period in (_DAY, 7 * _DAY, _YEAR):
            turn = tf.math.floormod(seconds, tf.constant(period, tf.float64)) / period
            angle = tf.cast(turn * 2 * math.pi, tf.float32)
            columns += [tf.sin(angle), tf.cos(angle)]
        columns.append(tf.cast((seconds - self._oldest) / (self._newest - self._oldest), tf.float32))
        encoded = tf.stack(columns, axis=1) * tf.cast(known, tf.float32)[:, None]
        return tf.concat([encoded, tf.cast(~known, tf.float32)[:, None]], axis=1)


def make_encoder(kind: Kind, config: FeaturesConfig, name: str) -> Encoder:
    """Choose the encoder of a column kind."""
    name = layer_name(name)
    match kind:
        case Kind.CATEGORICAL:
            return CategoricalEncoder(config, name=name)
        case Kind.MULTI_CATEGORICAL:
            return MultiCategoricalEncoder(config, name=name)
        case Kind.TEXT:
            return TextEncoder(config, name=name)
        case Kind.NUMERIC:
            if config.numeric == "normalized":
                return NormalizedNumericEncoder(name=name)
            if config.numeric == "log":
                return LogNumericEncoder(name=name)
            return NumericEncoder(config, name=name)
        case Kind.TIMESTAMP:
            return TimestampEncoder(name=name)


def layer_name(column: str) -> str:
    """What the layer of a column is called.

    TensorFlow refuses spaces, signs and other scripts in the names of graph nodes; columns may have any name.
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", column).strip("_") or "column"


def _plain_words(texts: tf.Tensor) -> tf.Tensor:
    """Lower case with punctuation turned into spaces; letters and digits of every script stay."""
    return tf.strings.regex_replace(tf.strings.lower(texts, encoding="utf-8"), r"[^\pL\pM\pN]+", " ")


def _lookup_or_hash(config: FeaturesConfig) -> tf.keras.layers.Layer:
    if config.hash_buckets:
        return tf.keras.layers.Hashing(config.hash_buckets + 1, mask_value="")
    return tf.keras.layers.StringLookup(num_oov_indices=1, mask_token="")


def _most_frequent(distinct: NDArray[Any], counts: NDArray[np.int64], config: FeaturesConfig) -> list[str]:
    """Strings by falling frequency, ties in alphabetical order, so that the order is the same everywhere."""
    least = config.min_frequency
    distinct, counts = distinct[distinct != ""], counts[distinct != ""]
    if len(counts) > config.max_vocabulary:
        # Whatever is rarer than the last one that fits need not be sorted.
        least = max(least, int(np.partition(counts, -config.max_vocabulary)[-config.max_vocabulary]))
    distinct, counts = distinct[counts >= least].astype(str), counts[counts >= least]
    order = np.lexsort((distinct, -counts))[: config.max_vocabulary]
    # A lookup layer refuses an empty vocabulary; a word nobody writes keeps it valid and is never matched.
    return [str(v) for v in distinct[order]] or ["\x01"]
