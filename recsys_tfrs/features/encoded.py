"""A data set as models see it: preprocessing layers adapted on training rows, and every row encoded once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoders import deviation_of
from recsys_tfrs.features.preprocessing import (
    FeaturePreprocessor,
    context_preprocessor,
    context_table,
    item_preprocessor,
    user_preprocessor,
)
from recsys_tfrs.schema import ITEM_ID, USER_ID


@dataclass(frozen=True)
class EncodedData:
    """What a model needs to know of a data set.

    Attributes:
      users, items, context: preprocessing layers.
      user_table, item_table: encoded columns by internal id.
      context_table: encoded columns of interaction r at r + 1, of nothing known at 0; empty where none is used.
      num_items: size of the catalogue.
      item_counts: ``[num_items + 1]`` training interactions of each item.
      rating_mean, rating_deviation: of the training ratings; 0 and 1 where there are none.
      max_history: newest items of a history that enter a query.
    """

    users: FeaturePreprocessor
    items: FeaturePreprocessor
    context: FeaturePreprocessor
    user_table: dict[str, tf.Tensor]
    item_table: dict[str, tf.Tensor]
    context_table: dict[str, tf.Tensor]
    num_items: int
    item_counts: NDArray[np.int64]
    rating_mean: float
    rating_deviation: float
    max_history: int

    def encoded_users(self, users: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded columns of internal user ids."""
        return {name: tf.gather(table, users) for name, table in self.user_table.items()}

    def encoded_items(self, items: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded columns of internal item ids."""
        return {name: tf.gather(table, items) for name, table in self.item_table.items()}

    def item_vocabulary_ids(self, items: tf.RaggedTensor) -> tf.RaggedTensor:
        """Internal item ids -> ids of the items' id vocabulary.

        Items that training has not seen are 0, and so are those that came into the catalogue after it.
        """
        table = self.item_table[ITEM_ID]
        known = tf.where(items.flat_values < len(table), items.flat_values, 0)
        return items.with_flat_values(tf.gather(table, known))

    def encoded_context(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded context of rows of the interactions, -1 for nothing known."""
        return {name: tf.gather(table, rows + 1) for name, table in self.context_table.items()}


def encode(
    features: FeaturesConfig, interactions: Interactions, histories: Histories, characters: int = 0
) -> EncodedData:
    """Adapt the preprocessing layers on the training rows and encode the data set.

    Args:
      features: of the preprocessing layers.
      interactions: the data set.
      histories: the training rows, grouped by user.
      characters: read texts of items by so many of their characters instead of by words; 0: by words.
    """
    item_counts = np.bincount(histories.items, minlength=interactions.num_items + 1)
    users = user_preprocessor(interactions, histories.lengths > 0, features)
    items = item_preprocessor(interactions, item_counts > 0, features, characters)
    context = context_preprocessor(interactions, histories.rows, features)
    ratings = np.zeros(1) if histories.ratings is None else histories.ratings.astype(np.float64)
    mean, variance = float(ratings.mean()), float(ratings.var())
    return EncodedData(
        users=users,
        items=items,
        context=context,
        user_table=users.table(interactions.user_ids, interactions.user_features),
        item_table=items.table(interactions.item_ids, interactions.item_features),
        context_table=context_table(context, interactions),
        num_items=interactions.num_items,
        item_counts=item_counts,
        rating_mean=mean,
        rating_deviation=deviation_of(mean, variance),
        max_history=features.max_history,
    )


class TrainingPairs(NamedTuple):
    """Training rows as pairs of encoded ids, in the order of the histories.

    Attributes:
      users, items: ``[num_rows]`` ids of the vocabularies.
      of_users, of_items: ``[vocabulary_size]`` rows of each id.
    """

    users: NDArray[np.integer[Any]]
    items: NDArray[np.integer[Any]]
    of_users: NDArray[np.int64]
    of_items: NDArray[np.int64]


def training_pairs(data: EncodedData, histories: Histories) -> TrainingPairs:
    """The training rows by the ids that embeddings are looked up with.

    Args:
      data: the data set, encoded.
      histories: the training rows, grouped by user.
    """
    internal = np.repeat(np.arange(histories.num_users + 1), histories.lengths)
    users, items = data.user_table[USER_ID].numpy()[internal], data.item_table[ITEM_ID].numpy()[histories.items]
    of_users = np.bincount(users, minlength=data.users.encoders[USER_ID].vocabulary_size)
    of_items = np.bincount(items, minlength=data.items.encoders[ITEM_ID].vocabulary_size)
    return TrainingPairs(users, items, of_users, of_items)
