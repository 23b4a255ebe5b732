"""The one preprocessing layer: training tables and serving requests pass through the same object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.characters import CharacterEncoder
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoders import Encoder, IdEncoder, layer_name, make_encoder
from recsys_tfrs.schema import ADDED_TO_CART, ITEM_ID, TIMESTAMP, USER_ID, USER_ZIP_CODE, Kind

#: Columns that name almost each user for himself: memorised, not generalised, so used only when asked for.
_IDS_IN_DISGUISE = frozenset({USER_ZIP_CODE})

#: What is known only after somebody has chosen, and would tell what he chose.
_OUTCOMES = frozenset({ADDED_TO_CART})

#: Rows encoded at once: strings of variable length pass through arrays of the longest one's.
_BLOCK_ROWS = 1 << 20


class FeaturePreprocessor(tf.keras.layers.Layer):
    """Raw columns -> encoded tensors, for the users, the items or the context of a data set.

    Args:
      id_name: see below.
      columns: side features by name.
      config: how each kind is encoded.
      characters: read texts by so many of their characters instead of by words; 0: by words.

    Attributes:
      id_name: ``user_id`` or ``item_id``, the id column, always present; None for context, which has no id.
      encoders: encoder by column name, the id column first.
    """

    def __init__(
        self,
        id_name: str | None,
        columns: Mapping[str, FeatureColumn],
        config: FeaturesConfig,
        characters: int = 0,
    ) -> None:
        super().__init__(name=f"{id_name or 'context'}_preprocessor", autocast=False)
        self.id_name = id_name
        self.encoders: dict[str, Encoder] = {} if id_name is None else {id_name: IdEncoder(name=id_name)}
        for name, column in columns.items():
            if characters and column.kind is Kind.TEXT:
                self.encoders[name] = CharacterEncoder(characters, name=layer_name(name))
            else:
                self.encoders[name] = make_encoder(column.kind, config, name)

    def adapt(
        self, ids: NDArray[Any] | None, columns: Mapping[str, FeatureColumn], known: NDArray[np.bool_ | np.int64]
    ) -> None:
        """Learn vocabularies and statistics from the entities that occur in training rows, or from those rows.

        Args:
          ids: ``[num_entities + 1]`` external ids by internal id; None for context.
          columns: side features by name.
          known: ``[num_entities + 1]`` True for the entities that occur in training rows; for context, those rows.
        """
        if self.id_name is not None and ids is not None:
            self.encoders[self.id_name].adapt(ids[known])
        for name, encoder in self.encoders.items():
            if name != self.id_name:
                encoder.adapt(columns[name].values[known])

    def call(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Encode a batch of raw columns; a column that is left out is missing for every row."""
        batch = tf.shape(next(iter(raw.values())))[0] if raw else 0
        return {
            name: encoder(raw[name] if name in raw else encoder.missing_rows(batch))
            for name, encoder in self.encoders.items()
        }

    def table(self, ids: NDArray[Any] | None, columns: Mapping[str, FeatureColumn]) -> dict[str, tf.Tensor]:
        """Encode all entities once; row = internal id. Training gathers from here and never sees a string.

        Args:
          ids: ``[num_entities + 1]`` external ids; None for context.
          columns: side features by name, all as long as `ids`.

        Returns:
          A tensor per column, its first axis that of `ids` or of the columns.
        """
        values = {name: columns[name].values for name in self.encoders if name != self.id_name}
        if self.id_name is not None and ids is not None:
            values = {self.id_name: ids, **values}
        length = len(next(iter(values.values()))) if values else 0
        blocks = [self._encoded_block(values, low) for low in range(0, length, _BLOCK_ROWS)]
        return {name: tf.concat([block[name] for block in blocks], axis=0) for name in values}

    def not_given(self, rows: int | tf.Tensor) -> dict[str, tf.Tensor]:
        """Raw columns of `rows` rows about which nothing is known."""
        return {name: encoder.missing_rows(rows) for name, encoder in self.encoders.items()}

    def _encoded_block(self, values: Mapping[str, NDArray[Any]], low: int) -> dict[str, tf.Tensor]:
        raw = {name: self.encoders[name].raw(column[low : low + _BLOCK_ROWS]) for name, column in values.items()}
        with tf.device("/cpu:0"):  # string lookups exist for the CPU only
            return dict(self(raw))

    def input_signature(self) -> dict[str, tf.TensorSpec]:
        """Name, dtype and shape of each raw column in a serving request."""
        return {
            name: tf.TensorSpec([None] * encoder.raw_rank, encoder.raw_dtype, name=name)
            for name, encoder in self.encoders.items()
        }


def user_preprocessor(
    interactions: Interactions, known_users: NDArray[np.bool_], config: FeaturesConfig
) -> FeaturePreprocessor:
    """The users' preprocessing layer, adapted on the users of the training rows."""
    columns = _chosen(interactions.user_features, config.user_columns, "user")
    layer = FeaturePreprocessor(USER_ID, columns, config)
    layer.adapt(interactions.user_ids, columns, known_users)
    return layer


def item_preprocessor(
    interactions: Interactions, known_items: NDArray[np.bool_], config: FeaturesConfig, characters: int = 0
) -> FeaturePreprocessor:
    """The items' preprocessing layer, adapted on the items of the training rows; see `FeaturePreprocessor`."""
    columns = _chosen(interactions.item_features, config.item_columns, "item")
    layer = FeaturePreprocessor(ITEM_ID, columns, config, characters)
    layer.adapt(interactions.item_ids, columns, known_items)
    return layer


def context_preprocessor(
    interactions: Interactions, rows: NDArray[np.int64], config: FeaturesConfig
) -> FeaturePreprocessor:
    """The context's preprocessing layer, adapted on the training rows; without any encoder where none is used."""
    columns = context_columns(interactions, config)
    layer = FeaturePreprocessor(None, columns, config)
    layer.adapt(None, columns, rows)
    return layer


def context_columns(interactions: Interactions, config: FeaturesConfig) -> dict[str, FeatureColumn]:
    """What is used of the moment of asking: ``[num_rows]`` values by column name.

    Raises:
      ConfigError: a column is named that the data set does not have.
    """
    if config.context_columns is None:
        return {name: column for name, column in interactions.context_features.items() if name not in _OUTCOMES}
    return _chosen(circumstances(interactions), config.context_columns, "context")


def context_table(layer: FeaturePreprocessor, interactions: Interactions) -> dict[str, tf.Tensor]:
    """``[num_rows + 1, ...]`` encoded context by column: that of row r at r + 1, and at 0 that of nothing known."""
    if not layer.encoders:
        return {}
    nothing = layer(layer.not_given(1))
    table = layer.table(None, circumstances(interactions))
    return {name: tf.concat([nothing[name], values], axis=0) for name, values in table.items()}


def circumstances(interactions: Interactions) -> dict[str, FeatureColumn]:
    """All that is known of the moment of each interaction, its time included."""
    if interactions.timestamps is None or TIMESTAMP in interactions.context_features:
        return dict(interactions.context_features)
    seconds = interactions.timestamps.astype(np.float64)
    return {**interactions.context_features, TIMESTAMP: FeatureColumn(TIMESTAMP, Kind.TIMESTAMP, seconds)}


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
