"""Two-tower retrieval: a query tower and a candidate tower that meet in a dot product.

Covington et al., Deep neural networks for YouTube recommendations, RecSys 2016 (history bag, softmax over the
corpus); Yi et al., Sampling-bias-corrected neural modeling, RecSys 2019 (two feature towers, in-batch softmax with
logQ); Liang et al., WWW 2018 (denoising the history, all of a user's items as targets).
"""

from __future__ import annotations

import tensorflow as tf
from pydantic import Field

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoded import EncodedData, encode
from recsys_tfrs.layers.dropout import keep_mask
from recsys_tfrs.layers.embedding import SummedFeatures
from recsys_tfrs.models.history_config import HistoryConfig
from recsys_tfrs.models.history_model import HistoryModel, HistoryTower, candidate_towers, member_seeds
from recsys_tfrs.schema import USER_ID


class Config(HistoryConfig):
    """Settings of the two-tower model."""

    hidden: list[int] = Field([], description="Hidden layers of the query tower; none: it is linear.")
    user_id: bool = Field(True, description="Give each user a vector of his own beside his history.")
    user_id_dropout: float = Field(0.2, ge=0, lt=1, description="Share of rows trained as if the user were new.")


class QueryTower(HistoryTower):
    """User id, user features, history and context -> query vectors.

    What is known of a user beside his id and his history speaks only while there is no history: added to every query,
    it makes them alike, and costs accuracy on all but new users.
    """

    def __init__(self, config: Config, data: EncodedData, seed: int) -> None:
        super().__init__(config, data, config.hidden, seed, name="query_tower")
        scale = config.initial_scale
        columns = {name: encoder for name, encoder in data.users.encoders.items() if name != USER_ID}
        own = {USER_ID: data.users.encoders[USER_ID]} if config.user_id else {}
        self._features = SummedFeatures(columns, config.dim, seed=seed, scale=scale / 2, name="user_features")
        self._own = SummedFeatures(own, config.dim, seed=seed + 50, scale=scale / 5, name="user_vectors")

    def about(self, encoded: dict[str, tf.Tensor], count: tf.Tensor) -> tf.Tensor:
        """The user's own vector, and while he has no history his columns and what suits anyone."""
        is_new = tf.cast(tf.equal(count, 0), self.compute_dtype)
        return is_new * (self._features(encoded) + self.anyone) + self._own(encoded)


class TwoTowerModel(HistoryModel):
    """`HistoryModel` whose users are unknown now and then, so that a new user still gets something."""

    _config: Config

    def _encoded_users(self, users: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        encoded = self.data.encoded_users(users)
        keep = keep_mask(tf.shape(users), self._config.user_id_dropout, seed, salt=2)
        return {**encoded, USER_ID: tf.where(keep, encoded[USER_ID], 0)}


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
    data = encode(features, interactions, histories)
    seeds = member_seeds(seed, config.members)
    queries = [QueryTower(config, data, seed) for seed in seeds]
    return TwoTowerModel(config, data, queries, candidate_towers(config, data, seeds), name="two_tower")
