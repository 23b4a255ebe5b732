"""Two-tower retrieval: a query tower and a candidate tower that meet in a dot product.

Covington et al., Deep neural networks for YouTube recommendations, RecSys 2016 (history bag, softmax over the
corpus); Yi et al., Sampling-bias-corrected neural modeling, RecSys 2019 (two feature towers, in-batch softmax with
logQ); Liang et al., WWW 2018 (denoising the history, all of a user's items as targets).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from numpy.typing import NDArray
from pydantic import Field

from recsys_tfrs.config import Section
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.preprocessing import FeaturePreprocessor, item_preprocessor, user_preprocessor
from recsys_tfrs.layers.dropout import drop_items, drop_rows, keep_mask
from recsys_tfrs.layers.embedding import SummedFeatures
from recsys_tfrs.layers.history import HistoryBag
from recsys_tfrs.layers.mlp import ResidualMLP
from recsys_tfrs.objectives.frequency import StreamedFrequency
from recsys_tfrs.objectives.softmax import FullSoftmax, InBatchSoftmax
from recsys_tfrs.schema import ITEM_ID, USER_ID

#: Above this catalogue `objective = "auto"` scores the items of the batch instead of all items.
_LARGEST_FULL_SOFTMAX = 100_000


class Config(Section):
    """Settings of the two-tower model."""

    dim: int = Field(200, ge=1, description="Size of query and candidate vectors.")
    hidden: list[int] = Field([], description="Hidden layers of the query tower; none: it is linear.")
    normalize: bool = Field(True, description="Vectors of length 1, so that scores are cosines.")
    temperature: float = Field(0.2, gt=0, description="Scores are divided by this before the softmax.")
    history_dropout: float = Field(0.7, ge=0, lt=1, description="Share of the history hidden from the query.")
    empty_history: float = Field(0.02, ge=0, lt=1, description="Share of rows trained as if there were no history.")
    history_exponent: float = Field(0.5, ge=0, le=1, description="A history is divided by its length to this power.")
    user_id: bool = Field(True, description="Give each user a vector of his own.")
    user_id_dropout: float = Field(0.5, ge=0, lt=1, description="Share of rows trained as if the user were new.")
    objective: Literal["auto", "full-softmax", "in-batch"] = Field(
        "auto", description="Negatives: the whole catalogue, or the batch's items; auto goes by the catalogue's size."
    )
    log_q: bool = Field(True, description="Correct in-batch negatives for how often items are drawn.")
    positive_weights: Literal["uniform", "rating"] = Field("uniform", description="Weight of an interaction.")


def _small_normal(seed: int) -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.RandomNormal(stddev=0.05, seed=seed)


class QueryTower(tf.keras.layers.Layer):
    """User id, user features and history -> query vectors."""

    def __init__(self, config: Config, users: FeaturePreprocessor, num_history_ids: int, seed: int) -> None:
        super().__init__(name="query_tower")
        self._config = config
        encoders = {n: e for n, e in users.encoders.items() if n != USER_ID or config.user_id}
        self._features = SummedFeatures(encoders, config.dim, seed=seed, name="user_features") if encoders else None
        self._history = HistoryBag(num_history_ids, config.dim, seed=seed + 100, exponent=config.history_exponent)
        self._mlp = ResidualMLP(config.hidden, config.dim, seed=seed + 200)
        # What to ask for when nothing is known of a user; it ends up close to what is popular.
        self._anyone = self.add_weight(name="anyone", shape=(config.dim,), initializer=_small_normal(seed + 300))

    def call(self, encoded: dict[str, tf.Tensor], history: tf.RaggedTensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Return ``[batch, dim]`` query vectors.

        Args:
          encoded: output of the users' preprocessing layer.
          history: ``[batch, None]`` ids of the items' id vocabulary.
          seed: ``[2]`` int32 seed of the training step, which switches dropout on.
        """
        if seed is not None:
            history = drop_items(history, self._config.history_dropout, seed, salt=1)
            history = drop_rows(history, self._config.empty_history, seed, salt=3)
            keep = keep_mask(tf.shape(encoded[USER_ID]), self._config.user_id_dropout, seed, salt=2)
            encoded = {**encoded, USER_ID: tf.where(keep, encoded[USER_ID], 0)}
        query = self._history(history) + self._anyone
        if self._features is not None:
            query += self._features(encoded)
        query = self._mlp(query)
        return tf.math.l2_normalize(query, axis=1) if self._config.normalize else query


class CandidateTower(tf.keras.layers.Layer):
    """Item id and item features -> candidate vectors."""

    def __init__(self, config: Config, items: FeaturePreprocessor, seed: int) -> None:
        super().__init__(name="candidate_tower")
        self._config = config
        self._features = SummedFeatures(items.encoders, config.dim, seed=seed, name="item_features")

    def call(self, encoded: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return ``[batch, dim]`` candidate vectors from the output of the items' preprocessing layer."""
        candidate = self._features(encoded)
        return tf.math.l2_normalize(candidate, axis=1) if self._config.normalize else candidate


class TwoTowerModel(tfrs.Model):
    """Two towers, their preprocessing layers, and the softmax that trains them.

    Attributes:
      users, items: preprocessing layers, adapted on training rows.
      query_tower, candidate_tower: the towers.
    """

    def __init__(
        self,
        config: Config,
        users: FeaturePreprocessor,
        items: FeaturePreprocessor,
        interactions: Interactions,
        max_history: int,
        seed: int,
    ) -> None:
        super().__init__(name="two_tower")
        self._config = config
        self._max_history = max_history
        self._num_items = interactions.num_items
        self.users, self.items = users, items
        self._user_table = users.table(interactions.user_ids, interactions.user_features)
        self._item_table = items.table(interactions.item_ids, interactions.item_features)
        self.query_tower = QueryTower(config, users, items.encoders[ITEM_ID].vocabulary_size, seed)
        self.candidate_tower = CandidateTower(config, items, seed + 1_000)
        self._full = config.objective == "full-softmax" or (
            config.objective == "auto" and interactions.num_items <= _LARGEST_FULL_SOFTMAX
        )
        self._task = FullSoftmax() if self._full else InBatchSoftmax()
        self._frequency = None if self._full else StreamedFrequency(interactions.num_items)

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Loss of a batch made by `recsys_tfrs.training.pipeline.UserBatches`."""
        positives: tf.RaggedTensor = inputs["positives"]
        queries = self.query_vectors(inputs["user"], positives, inputs["seed"] if training else None)
        weights = self._weights(inputs)
        if self._full:
            return self._task(self._scores(queries, self.candidate_vectors()), positives, weights)
        candidates, _ = tf.unique(positives.flat_values)
        if training:
            self._frequency.observe(positives.flat_values)
        log_q = self._frequency(candidates, tf.size(positives.flat_values))
        vectors = self.candidate_tower({name: tf.gather(t, candidates) for name, t in self._item_table.items()})
        return self._task(
            self._scores(queries, vectors),
            candidates,
            positives,
            weights,
            log_q if self._config.log_q else tf.zeros_like(log_q),
            self._num_items,
        )

    @tf.function(reduce_retracing=True)
    def query_vectors(self, users: tf.Tensor, history: tf.RaggedTensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """``[batch, dim]`` vectors of ``[batch]`` internal user ids with ``[batch, None]`` internal item ids."""
        encoded = {name: tf.gather(table, users) for name, table in self._user_table.items()}
        newest = history[:, -self._max_history :]
        known = newest.with_flat_values(tf.gather(self._item_table[ITEM_ID], newest.flat_values))
        return self.query_tower(encoded, known, seed)

    def candidate_vectors(self) -> tf.Tensor:
        """``[num_items + 1, dim]`` vectors of the whole catalogue by internal id; row 0 is padding."""
        return self.candidate_tower(self._item_table)

    def _scores(self, queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        return tf.matmul(queries, candidates, transpose_b=True) / self._config.temperature

    def _weights(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        if self._config.positive_weights == "rating" and "ratings" in inputs:
            return inputs["ratings"].flat_values
        return tf.ones_like(inputs["positives"].flat_values, tf.float32)


def build(
    config: Config, features: FeaturesConfig, interactions: Interactions, histories: Histories, seed: int
) -> TwoTowerModel:
    """Adapt the preprocessing layers on the training rows and make an untrained model.

    Args:
      config: of the model.
      features: of the preprocessing layers.
      interactions: the data set.
      histories: the training rows, grouped by user.
      seed: of the initial weights.
    """
    known_users = histories.lengths > 0
    known_items: NDArray[np.bool_] = np.bincount(histories.items, minlength=interactions.num_items + 1) > 0
    users = user_preprocessor(interactions, known_users, features)
    items = item_preprocessor(interactions, known_items, features)
    model = TwoTowerModel(config, users, items, interactions, features.max_history, seed)
    # One call of each tower creates all weights, so that checkpoints restore at once.
    model.query_vectors(tf.constant([0]), tf.ragged.constant([[]], dtype=tf.int32, ragged_rank=1))
    model.candidate_vectors()
    return model
