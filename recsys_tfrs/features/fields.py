"""Fields of an example -> the few tensors that a ranking model reads.

All fields that hold a single id stand side by side in one tensor, all numbers in another, so that a model looks up and
multiplies once instead of once per field. Fields with several values (genres, words, a history) keep a tensor of their
own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.errors import DataError
from recsys_tfrs.features.encoders import Encoder

#: Keys of the encoded tensors of an example; a field with several values stands under its own name.
IDS, VALUES = "__ids__", "__values__"


@dataclass(frozen=True)
class FieldLayout:
    """Where each field is found among the encoded tensors.

    Attributes:
      single: vocabulary size of each field of one id, in the order of the columns of `IDS`.
      several: vocabulary size of each field of several ids, whose padding is 0.
      dense: number of columns of each field of numbers, in the order of the columns of `VALUES`.
    """

    single: Mapping[str, int]
    several: Mapping[str, int]
    dense: Mapping[str, int]

    @property
    def names(self) -> list[str]:
        """All fields, in the order in which models lay them out."""
        return [*self.single, *self.several, *self.dense]


class ExamplePreprocessor(tf.keras.layers.Layer):
    """Raw fields -> encoded tensors, by encoders that are adapted already.

    Args:
      encoders: adapted encoder by field.

    Attributes:
      encoders: as given.
      layout: where each field went.

    Raises:
      DataError: there is no field.
    """

    def __init__(self, encoders: Mapping[str, Encoder]) -> None:
        super().__init__(name="example_preprocessor", autocast=False)
        if not encoders:
            raise DataError("A ranking model needs a field at least: declare the columns that it may read.")
        self.encoders = dict(encoders)
        single, several, dense = {}, {}, {}
        for name, encoder in encoders.items():
            if not encoder.vocabulary_size:
                dense[name] = encoder.width
            elif encoder.width > 1 or encoder.raw_rank > 1:
                several[name] = encoder.vocabulary_size
            else:
                single[name] = encoder.vocabulary_size
        self.layout = FieldLayout(single, several, dense)

    def call(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Encode a batch of raw fields; a field that is left out is missing for every row.

        Returns:
          `IDS`: ``[batch, num_single]`` int32, `VALUES`: ``[batch, num_values]`` float32, and ``[batch, width]`` int32
          for each field of several ids; a key is there where a field needs it.
        """
        batch = tf.shape(next(iter(raw.values())))[0]
        encoded = {
            name: encoder(raw[name] if name in raw else encoder.missing_rows(batch))
            for name, encoder in self.encoders.items()
        }
        return self.assemble(encoded)

    def assemble(self, encoded: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The tensors of `call` from those of the encoders."""
        layout, made = self.layout, {}
        if layout.single:
            made[IDS] = tf.stack([encoded[name] for name in layout.single], axis=1)
        if layout.dense:
            columns = [encoded[name] for name in layout.dense]
            made[VALUES] = tf.concat([c if c.shape.rank == 2 else c[:, None] for c in columns], axis=1)
        return made | {name: encoded[name] for name in layout.several}


@dataclass(frozen=True)
class EncodedExamples:
    """Examples as models read them; arrays may lie on disk.

    Attributes:
      columns: the tensors of `ExamplePreprocessor` as arrays, by the same keys.
      targets: ``[num_rows, num_targets]`` float32; NaN where one is not known.
      weights: ``[num_rows]`` float32, how much each row counts; None: all the same.
      groups: ``[num_rows]`` int32, whose row it is; None: nobody is known.
      probability: ``[num_rows]`` float32, the generator's own chance of a positive, for simulated data.
    """

    columns: Mapping[str, NDArray[Any]]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32] | None = None
    groups: NDArray[np.int32] | None = None
    probability: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: NDArray[np.integer] | slice) -> EncodedExamples:
        """Some of the rows."""

        def of(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[rows]

        return EncodedExamples(
            {name: of(values) for name, values in self.columns.items()},
            of(self.targets),
            of(self.weights),
            of(self.groups),
            of(self.probability),
        )
