"""The softmax DNN: one network from what is known of a query to a distribution over the whole corpus.

Covington et al., Deep neural networks for YouTube recommendations, RecSys 2016, section 3: with x the dense and sparse
features of a query, ``psi(x)`` the last hidden layer and V the item embeddings, ``p_hat = softmax(psi(x) V^T)``; the
loss is the cross-entropy against the distribution p of the user's own items. The history in x is denoised as in Liang
et al., Variational autoencoders for collaborative filtering, WWW 2018.

A query is nothing but its features: there is no vector per user, so queries never seen in training are as good as any.
"""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import tensorflow as tf
from pydantic import Field

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoded import EncodedData, encode
from recsys_tfrs.layers.dropout import keep_mask
from recsys_tfrs.layers.embedding import SummedFeatures
from recsys_tfrs.models.history_config import Hide, HistoryConfig
from recsys_tfrs.models.history_model import (
    HistoryModel,
    HistoryTower,
    candidate_towers,
    member_seeds,
    scores_catalogue,
)
from recsys_tfrs.objectives.negative_sampling import NegativeSampling
from recsys_tfrs.objectives.sampled import LossName, make_loss
from recsys_tfrs.objectives.stream_samplers import SamplerName, make_sampler
from recsys_tfrs.schema import UNKNOWN, USER_ID

#: Members of `members` = 0, where a training step scores the whole catalogue.
_MEMBERS = 4


class Config(HistoryConfig):
    """Settings of the softmax DNN."""

    sampled_objective: ClassVar[str] = "sampled-softmax"

    members: int = Field(
        0,
        ge=0,
        description="Networks trained side by side, each from initial weights and with hidden items of its own; scores "
        f"are the mean of theirs, vectors theirs laid end to end; 0: {_MEMBERS} where a training step scores the whole "
        "catalogue, 1 where the catalogue is too large for that.",
    )
    mask_positives: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Under the full softmax, share of the members that leave a user's other items out of the softmax "
        "of each of them.",
    )
    hidden: list[int] = Field([256], description="Hidden layers of psi; none: psi is linear.")
    objective: Literal[
        "auto", "full-softmax", "in-batch", "sampled-softmax", "bpr", "warp", "gbce", "positives-only"
    ] = Field(
        "auto",
        description="The softmax over the catalogue or over the batch's items (auto goes by the catalogue's size), or "
        "a loss over the negatives that `sampler` draws; positives-only shows what happens without any.",
    )
    sampler: SamplerName = Field("mixed", description="How the negatives of the sampled losses are drawn.")
    num_negatives: int = Field(1_000, ge=1, description="Negatives drawn per batch.")
    sampler_alpha: float = Field(0.75, ge=0, description="`unigram` draws by popularity to this power.")
    num_hard: int = Field(
        0, ge=0, description="Of the drawn negatives, keep so many per query, those it scores highest; 0: all."
    )
    user_weight: float = Field(
        1.0,
        ge=0,
        le=1,
        description="A user counts by the number of his items to this power: 1 treats every interaction alike, 0 every "
        "user, which is the cross-entropy against his normalised items.",
    )
    user_columns_dropout: float = Field(
        0.5, ge=0, lt=1, description="Share of rows trained as if nothing but the history were known of the user."
    )

    @property
    def _ways(self) -> tuple[Hide, ...]:
        return ("around", "newest")


class Psi(HistoryTower):
    """Features of a query -> ``psi(x)``, its place among the item embeddings.

    ``psi(x) = s + W_n f(... f(W_1 s + b_1))``, ``s`` being a linear map of the features: the bag of the history, the
    embeddings of sparse columns of user and context, and dense ones, among them how much has been watched. The hidden
    layers add to their input and start at nothing, so that depth has to earn its place.
    """

    def __init__(self, config: Config, data: EncodedData, seed: int) -> None:
        super().__init__(config, data, config.hidden, seed, name="psi")
        scale = config.initial_scale
        columns = {name: encoder for name, encoder in data.users.encoders.items() if name != USER_ID}
        self._features = SummedFeatures(columns, config.dim, seed=seed, scale=scale / 5, name="user_features")
        self._length = tf.keras.layers.Dense(
            config.dim,
            use_bias=False,
            kernel_initializer=tf.keras.initializers.RandomNormal(stddev=scale / 5, seed=seed + 400),
            name="history_length",
        )

    def about(self, encoded: dict[str, tf.Tensor], count: tf.Tensor) -> tf.Tensor:
        """The user's columns, how much he has watched, and while that is nothing what suits anyone."""
        is_new = tf.cast(tf.equal(count, 0), self.compute_dtype)
        length = self._length(tf.cast(tf.math.log1p(count), self.compute_dtype))
        return self._features(encoded) + length + is_new * self.anyone


class SoftmaxModel(HistoryModel):
    """`HistoryModel` with the weights, the dropout and the losses of the softmax DNN."""

    _config: Config

    def __init__(self, config: Config, data: EncodedData, seed: int) -> None:
        seeds = member_seeds(seed, config.members or (_MEMBERS if scores_catalogue(config, data) else 1))
        queries = [Psi(config, data, seed) for seed in seeds]
        super().__init__(config, data, queries, candidate_towers(config, data, seeds), name="softmax")

    def _negative_sampling(self) -> NegativeSampling:
        config = self._config
        if config.objective in ("auto", "in-batch"):
            return super()._negative_sampling()
        # Without negatives nothing has to be drawn: the batch's own items stand there unused.
        sampler = "in-batch" if config.objective == "positives-only" else config.sampler
        num_items, counts = self.data.num_items, self.data.item_counts
        return NegativeSampling(
            make_sampler(sampler, num_items, counts, config.num_negatives, config.sampler_alpha),
            make_loss(cast("LossName", config.objective), num_items),
            log_q=config.log_q,
            num_hard=config.num_hard,
        )

    def _encoded_users(self, users: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        keep = keep_mask(tf.shape(users), self._config.user_columns_dropout, seed, salt=2)
        return self.data.encoded_users(tf.where(keep, users, UNKNOWN))

    def _target_weights(self, positives: tf.RaggedTensor, weights: tf.Tensor) -> tf.Tensor:
        """Normalised per user, as p is, times the user's own weight."""
        rows = positives.value_rowids()
        total = tf.math.unsorted_segment_sum(weights, rows, positives.nrows())
        return weights * tf.gather(tf.math.divide_no_nan(total**self._config.user_weight, total), rows)


def build(
    config: Config, features: FeaturesConfig, interactions: Interactions, histories: Histories, seed: int
) -> SoftmaxModel:
    """Adapt the preprocessing layers on the training rows and make an untrained model.

    Args:
      config: of the model.
      features: of the preprocessing layers.
      interactions: the data set.
      histories: the training rows, grouped by user.
      seed: of the initial weights.
    """
    return SoftmaxModel(config, encode(features, interactions, histories), seed)
