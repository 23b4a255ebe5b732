"""The basic retrieval recipe of the TFRS documentation, to compare with.

https://www.tensorflow.org/recommenders/examples/basic_retrieval: a vector per user id and per film title, the
in-batch softmax of `tfrs.tasks.Retrieval`, `FactorizedTopK` over the films in batches of 128, Adagrad at 0.1, batches
of 8,192 that are cached once they are assembled, 3 epochs, vectors of 32. Written anew from that description.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import Interactions

EPOCHS = 3
LEARNING_RATE = 0.1
_USER, _TITLE = "user_id", "movie_title"


class BasicRetrieval(tfrs.Model):
    """Two lookup tables and the retrieval task.

    Args:
      interactions: give the vocabularies: all users and all titles, as in the tutorial.
      dim: size of the vectors.
      metrics_in_fit: update `FactorizedTopK` at every training step, as published.
    """

    def __init__(self, interactions: Interactions, dim: int, metrics_in_fit: bool) -> None:
        super().__init__()
        self._metrics_in_fit = metrics_in_fit
        titles = interactions.titles[1:].astype(str)
        self.users = _tower(np.unique(interactions.user_ids[1:].astype(str)), dim)
        self.titles = _tower(np.unique(titles), dim)
        movies = tf.data.Dataset.from_tensor_slices(titles)
        metrics = tfrs.metrics.FactorizedTopK(candidates=movies.batch(128).map(self.titles))
        self.task = tfrs.tasks.Retrieval(metrics=metrics)
        self.compile(optimizer=tf.keras.optimizers.Adagrad(learning_rate=LEARNING_RATE))

    def compute_loss(self, features: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Loss of a batch of user ids and film titles."""
        return self.task(
            self.users(features[_USER]), self.titles(features[_TITLE]), compute_metrics=self._metrics_in_fit
        )


def _tower(vocabulary: NDArray[np.str_], dim: int) -> tf.keras.Sequential:
    return tf.keras.Sequential(
        [
            tf.keras.layers.StringLookup(vocabulary=vocabulary, mask_token=None),
            tf.keras.layers.Embedding(len(vocabulary) + 1, dim),
        ]
    )


def training_batches(interactions: Interactions, rows: NDArray[np.int64], batch_size: int) -> tf.data.Dataset:
    """Shuffled once, batched, cached: strings, as the tutorial has them."""
    columns = {
        _USER: interactions.user_ids[interactions.users[rows]].astype(str),
        _TITLE: interactions.titles[interactions.items[rows]].astype(str),
    }
    return tf.data.Dataset.from_tensor_slices(columns).shuffle(100_000, seed=42).batch(batch_size).cache()


def vectors(model: BasicRetrieval, interactions: Interactions) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``[num_users + 1, dim]`` and ``[num_items + 1, dim]`` by internal id; films of one title share a vector."""
    users = model.users(tf.constant(interactions.user_ids.astype(str))).numpy()
    items = model.titles(tf.constant(interactions.titles.astype(str))).numpy()
    return users, items
