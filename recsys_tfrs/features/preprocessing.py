"""The one preprocessing layer: training tables and serving requests pass through the same object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoders import Encoder, IdEncoder, make_encoder
from recsys_tfrs.schema import ITEM_ID, USER_ID, USER_ZIP_CODE

#: Columns that name almost each user for himself: memorised, not generalised, so used only when asked for.
_IDS_IN_DISGUISE = frozenset({USER_ZIP_CODE})


class FeaturePreprocessor(tf.keras.layers.Layer):
    """Raw columns -> encoded tensors, for the users or for the items of a data set.

    Attributes:
      id_name: ``user_id`` or ``item_id``, the id column, always present.
      encoders: encoder by column name, the id column first.
    """

    def __init__(self, id_name: str, columns: Mapping[str, FeatureColumn], config: FeaturesConfig) -> None:
        super().__init__(name=f"{id_name}_preprocessor", autocast=False)
        self.id_name = id_name
        self.encoders: dict[str, Encoder] = {id_name: IdEncoder(name=id_name)}
        for name, column in columns.items():
            self.encoders[name] = make_encoder(column.kind, config, name)

    def adapt(self, ids: NDArray[Any], columns: Mapping[str, FeatureColumn], known: NDArray[np.bool_]) -> None:
        """Learn vocabularies and statistics from the entities that occur in training rows.

        Args:
          ids: ``[num_entities + 1]`` external ids by internal id.
          columns: side features by name.
          known: ``[num_entities + 1]`` True for the entities that occur in training rows.
        """
        self.encoders[self.id_name].adapt(ids[known])
        for name, encoder in self.encoders.items():
            if name != self.id_name:
                encoder.adapt(columns[name].values[known])

    def call(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Encode a batch of raw columns; a column that is left out is missing for every row."""
        batch = tf.shape(raw[self.id_name])[0]
        return {
            name: encoder(raw[name] if name in raw else self._missing(encoder, batch))
            for name, encoder in self.encoders.items()
        }

    def table(self, ids: NDArray[Any], columns: Mapping[str, FeatureColumn]) -> dict[str, tf.Tensor]:
        """Encode all entities once; row = internal id. Training gathers from here and never sees a string."""
        raw = {self.id_name: tf.constant(ids.astype(str))}
        for name, encoder in self.encoders.items():
            if name != self.id_name:
                raw[name] = encoder.raw(columns[name].values)
        with tf.device("/cpu:0"):  # string lookups exist for the CPU only
            return dict(self(raw))

    def input_signature(self) -> dict[str, tf.TensorSpec]:
        """Name, dtype and shape of each raw column in a serving request."""
        return {
            name: tf.TensorSpec([None] * encoder.raw_rank, encoder.raw_dtype, name=name)
            for name, encoder in self.encoders.items()
        }

    @staticmethod
    def _missing(encoder: Encoder, batch: tf.Tensor) -> tf.Tensor:
        shape = tf.stack([batch] + [1] * (encoder.raw_rank - 1))
        return tf.fill(shape, tf.constant(encoder.missing, encoder.raw_dtype))


def user_preprocessor(
    interactions: Interactions, known_users: NDArray[np.bool_], config: FeaturesConfig
) -> FeaturePreprocessor:
    """The users' preprocessing layer, adapted on the users of the training rows."""
    columns = _chosen(interactions.user_features, config.user_columns, "user")
    layer = FeaturePreprocessor(USER_ID, columns, config)
    layer.adapt(interactions.user_ids, columns, known_users)
    return layer


def item_preprocessor(
    interactions: Interactions, known_items: NDArray[np.bool_], config: FeaturesConfig
) -> FeaturePreprocessor:
    """The items' preprocessing layer, adapted on the items of the training rows."""
    columns = _chosen(interactions.item_features, config.item_columns, "item")
    layer = FeaturePreprocessor(ITEM_ID, columns, config)
    layer.adapt(interactions.item_ids, columns, known_items)
    return layer


def _chosen(columns: Mapping[str, FeatureColumn], names: list[str] | None, side: str) -> dict[str, FeatureColumn]:
    if names is None:
        return {name: column for name, column in columns.items() if name not in _IDS_IN_DISGUISE}
    unknown = [name for name in names if name not in columns]
    if unknown:
        raise ConfigError(
            f"features.{side}_columns names {', '.join(unknown)}, which the data set does not have: "
            f"it has {', '.join(columns) or 'none'}."
        )
    return {name: columns[name] for name in names}
