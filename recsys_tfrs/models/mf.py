"""Matrix factorization as a network without a hidden layer: one-hot user and item, factors, their product, biases.

``y_ui = mu + b_u + c_i + p_u . q_i``. Koren, Bell and Volinsky, Matrix factorization techniques for recommender
systems, IEEE Computer 2009 (explicit ratings, equations 3 to 5); Hu, Koren and Volinsky, Collaborative filtering for
implicit feedback datasets, ICDM 2008 (weighted squares over all pairs); Rendle et al., BPR, UAI 2009 (pairwise).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import Field

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoded import EncodedData, TrainingPairs, encode, training_pairs
from recsys_tfrs.layers.dropout import keep_mask
from recsys_tfrs.layers.factors import Factors
from recsys_tfrs.models.family import BatchesOf, FamilyConfig, ratings_differ
from recsys_tfrs.models.retriever import Retriever
from recsys_tfrs.objectives.factorization import damped_biases, penalty_weights, sum_of_squared_scores
from recsys_tfrs.objectives.positives import drawn_positive_mask
from recsys_tfrs.objectives.sampled import BPR
from recsys_tfrs.objectives.samplers import Sampler, UniformSampler, UnigramSampler
from recsys_tfrs.schema import ITEM_ID, USER_ID

#: Defaults of the ``training`` section that differ from the other families'.
TRAINING: dict[str, Any] = {
    "epochs": 15,
    "batch_size": 1_000,
    "learning_rate": 5e-3,
    "learning_rate_decay": "linear",
    "average_decay": 0.0,
    "validate_every": 1,
}

Objective = Literal["auto", "explicit", "implicit", "bpr"]
Ids = NDArray[np.integer[Any]]
Pair = tuple[tf.Tensor, tf.Tensor]


class Config(FamilyConfig):
    """Settings of matrix factorization."""

    batches_of: ClassVar[BatchesOf] = "interactions"
    reads_histories: ClassVar[bool] = False

    objective: Objective = Field(
        "auto",
        description="explicit: squared error of ratings; implicit: weighted squared error over all pairs; bpr: "
        "positives ahead of drawn items; auto: explicit where there are ratings that differ, else implicit.",
    )
    dim: int = Field(160, ge=1, description="Latent factors in all.")
    blocks: int = Field(
        8,
        ge=1,
        description="Under `explicit`, independent factorizations with an equal share of the factors, trained on the "
        "same batches and averaged, which is again one factorization; a divisor of `dim`.",
    )
    penalty: float = Field(0.6, ge=0, description="Weight of the squared factors.")
    bias_penalty: float = Field(0.6, ge=0, description="Weight of the squared biases.")
    penalty_power: float = Field(
        0.5, ge=0, le=1, description="Each row of an entity with n rows pays the penalty over n to this power."
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of the products of factors left out in training.")
    initial_scale: float = Field(
        0.03, gt=0, description="Standard deviation of the initial factors, times the root of those in a block."
    )
    bias_damping: float = Field(
        3.0, gt=0, description="Rows of average rating that damp the means which the biases start at."
    )
    unobserved_weight: float = Field(
        0.1, gt=0, description="Weight of a pair that is not in the data, under `implicit`; one that is has 1."
    )
    negatives: int = Field(100, ge=1, description="Items drawn for each batch under `bpr`, at most the catalogue.")
    negatives_from: Literal["uniform", "unigram"] = Field(
        "uniform", description="Draw them alike, or by count to the power 0.75, which are harder to stay ahead of."
    )

    @property
    def validation_metric(self) -> str:
        """What selection goes by."""
        return "rmse" if self.objective == "explicit" else "ndcg@100"

    def settled(self, ratings: NDArray[np.float32] | None) -> Config:
        """The same with the objective that `auto` stands for on data with these ratings.

        Raises:
          ConfigError: `explicit` without ratings, or all ratings are the same; `blocks` does not divide `dim`.
        """
        if self.dim % self.blocks:
            raise ConfigError(
                f"model.dim = {self.dim} does not split into model.blocks = {self.blocks} equal parts: choose a "
                "multiple, or blocks = 1."
            )
        varied = ratings_differ(ratings)
        if self.objective == "auto":
            return self.model_copy(update={"objective": "explicit" if varied else "implicit"})
        if self.objective == "explicit" and not varied:
            found = "has none" if ratings is None or not len(ratings) else f"gives {ratings[0]:g} in every row"
            raise ConfigError(
                f"model.objective = 'explicit' predicts ratings, but the data set {found}: use 'implicit' or 'bpr', "
                "which ask only what was chosen."
            )
        return self


class UserTower(tf.keras.layers.Layer):
    """User id -> ``[p_u, 1]``. The user's own bias changes none of his rankings and is left to `predicted_ratings`."""

    def __init__(self, factors: Factors, scale: float) -> None:
        super().__init__(name="query_tower")
        self.factors = factors
        self._scale = scale

    def call(self, encoded: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return ``[batch, dim + 1]`` from the output of the users' preprocessing layer."""
        factors, _ = self.factors(encoded[USER_ID])
        return tf.concat([factors * self._scale, tf.ones_like(factors[:, :1])], axis=1)


class ItemTower(tf.keras.layers.Layer):
    """Item id -> ``[q_i, c_i]``."""

    def __init__(self, factors: Factors, scale: float, deviation: float) -> None:
        super().__init__(name="candidate_tower")
        self.factors = factors
        self._scale = scale
        self._deviation = deviation

    def call(self, encoded: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return ``[batch, dim + 1]`` from the output of the items' preprocessing layer."""
        factors, biases = self.factors(encoded[ITEM_ID])
        bias = tf.reduce_mean(biases, axis=1, keepdims=True) * self._deviation
        return tf.concat([factors * self._scale, bias], axis=1)


class MatrixFactorization(Retriever):
    """Factors and biases of users and items; subclasses say what they are fitted to.

    Args:
      config: settled.
      data: the data set, encoded.
      histories: the training rows, grouped by user.
      seed: of the initial weights.

    Attributes:
      query_tower, candidate_tower: ``[p_u, 1]`` and ``[q_i, c_i]``.
    """

    #: In what units scores are; weights are those of standardised targets.
    _deviation = 1.0
    _blocks = 1

    def __init__(self, config: Config, data: EncodedData, histories: Histories, seed: int) -> None:
        super().__init__(data, name="mf")
        self._config = config
        pairs = training_pairs(data, histories)
        user_biases, item_biases = self._first_biases(pairs, histories.ratings)
        self._user_penalty = tf.constant(penalty_weights(pairs.of_users, config.penalty_power))
        self._item_penalty = tf.constant(penalty_weights(pairs.of_items, config.penalty_power))

        spread = config.initial_scale / (config.dim / self._blocks) ** 0.5
        scale = (self._deviation / self._blocks) ** 0.5
        user_factors = Factors(
            len(pairs.of_users), config.dim, self._blocks, scale=spread, biases=user_biases, seed=seed, name="users"
        )
        item_factors = Factors(
            len(pairs.of_items),
            config.dim,
            self._blocks,
            scale=spread,
            biases=item_biases,
            seed=seed + 1_000,
            name="items",
        )
        self.query_tower = UserTower(user_factors, scale)
        self.candidate_tower = ItemTower(item_factors, scale, self._deviation)
        self.create_weights()

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Loss of a batch made by `recsys_tfrs.training.pipeline.InteractionBatches`."""
        users = tf.gather(self.data.user_table[USER_ID], inputs["user"])
        items = tf.gather(self.data.item_table[ITEM_ID], inputs["item"])
        p, user_biases = self.query_tower.factors(users)
        q, item_biases = self.candidate_tower.factors(items)
        of_user, of_item = tf.gather(self._user_penalty, users), tf.gather(self._item_penalty, items)
        penalty = self._config.penalty * (of_user * _squares(p) + of_item * _squares(q))
        penalty += self._config.bias_penalty * (of_user * _squares(user_biases) + of_item * _squares(item_biases))
        return self._error(inputs, (p, user_biases), (q, item_biases), training) + tf.reduce_mean(penalty)

    def _error(self, inputs: dict[str, tf.Tensor], of_users: Pair, of_items: Pair, training: bool) -> tf.Tensor:
        """The loss of a batch without penalties, from the factors and biases of its users and items."""
        raise NotImplementedError

    def _first_biases(
        self, pairs: TrainingPairs, ratings: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
        """Where the biases start, by encoded id; None: users have none.

        Args:
          pairs: the training rows.
          ratings: ``[num_rows]``, if there are any.
        """
        raise NotImplementedError

    def _without_dropped(self, p: tf.Tensor, seed: tf.Tensor, training: bool) -> tf.Tensor:
        """User factors of which some are left out, and with them all their products, the others scaled up."""
        rate = self._config.dropout if training else 0.0
        return tf.where(keep_mask(tf.shape(p), rate, seed, salt=21), p / (1.0 - rate), 0.0) if rate else p


class ExplicitFactorization(MatrixFactorization):
    """Squared error of ratings.

    The weights are those of standardised ratings ``(r - mu) / sigma`` and of M blocks, the mean of which is predicted.
    The towers give units of the rating back: they hold ``p_u sqrt(sigma / M)`` and ``q_i sqrt(sigma / M)``.
    """

    def __init__(self, config: Config, data: EncodedData, histories: Histories, seed: int) -> None:
        if histories.ratings is None:
            raise ConfigError("model.objective = 'explicit' needs ratings, and the training rows have none.")
        self._blocks = config.blocks
        self._mean, self._deviation = data.rating_mean, data.rating_deviation
        self._range = float(histories.ratings.min()), float(histories.ratings.max())
        super().__init__(config, data, histories, seed)

    def _error(self, inputs: dict[str, tf.Tensor], of_users: Pair, of_items: Pair, training: bool) -> tf.Tensor:
        (p, user_biases), (q, item_biases) = of_users, of_items
        products = self._without_dropped(p, inputs["seed"], training) * q
        products = tf.reduce_sum(tf.reshape(products, [-1, self._blocks, self._config.dim // self._blocks]), axis=2)
        target = (inputs["rating"] - self._mean) / self._deviation
        error = _squares(target[:, None] - user_biases - item_biases - products)
        return tf.reduce_mean(inputs["weight"] * error if "weight" in inputs else error)

    def _first_biases(
        self, pairs: TrainingPairs, ratings: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
        targets = (np.asarray(ratings, np.float64) - self._mean) / self._deviation
        return damped_biases(
            pairs.users, pairs.items, targets, len(pairs.of_users), len(pairs.of_items), self._config.bias_damping
        )

    def predicted_ratings(self, users: Ids, items: Ids, histories: Histories | None = None) -> NDArray[np.float32]:
        """``[num_pairs]`` ratings ``mu + b_u + c_i + p_u . q_i``, held within the range of the training ratings.

        An unknown user or item adds nothing: of two of them the mean rating is all that can be said.

        Args:
          users: ``[num_pairs]`` internal ids.
          items: likewise.
          histories: of no matter; what a user has done is in his factors.
        """
        _, biases = self.query_tower.factors(self.data.user_table[USER_ID])
        of_users = self._mean + self._deviation * tf.reduce_mean(biases, axis=1).numpy()
        queries = self.query_tower(self.data.user_table).numpy()
        candidates = self.candidate_vectors().numpy()
        predicted = of_users[users] + np.einsum("nd,nd->n", queries[users], candidates[items])
        return np.asarray(np.clip(predicted, *self._range), dtype=np.float32)


class ImplicitFactorization(MatrixFactorization):
    """Weighted squares over all pairs: w (1 - s)^2 of those in the data, w_0 s^2 of all others (Hu et al., equation 3).

    The others are never enumerated: the squares of all scores come from two Gram matrices, those of the batch's own
    pairs are taken off again. The loss is that of the whole objective, divided by the rows of the data.
    """

    def __init__(self, config: Config, data: EncodedData, histories: Histories, seed: int) -> None:
        self._num_rows = len(histories.items)
        super().__init__(config, data, histories, seed)

    def _error(self, inputs: dict[str, tf.Tensor], of_users: Pair, of_items: Pair, training: bool) -> tf.Tensor:
        (p, _), (q, item_biases) = of_users, of_items
        score = tf.reduce_sum(p * q, axis=1) + item_biases[:, 0]
        weight = inputs.get("weight", tf.ones_like(score))
        unobserved = self._config.unobserved_weight
        observed = tf.reduce_mean(weight * tf.square(1.0 - score) - unobserved * tf.square(score))
        queries = self.query_tower({USER_ID: tf.range(1, self.users.encoders[USER_ID].vocabulary_size)})
        candidates = self.candidate_tower({ITEM_ID: tf.range(1, self.items.encoders[ITEM_ID].vocabulary_size)})
        return observed + unobserved * sum_of_squared_scores(queries, candidates) / self._num_rows

    def _first_biases(
        self, pairs: TrainingPairs, ratings: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
        """An item's score where it is the same for everybody."""
        others = self._config.unobserved_weight * (np.count_nonzero(pairs.of_users) - pairs.of_items)
        return None, pairs.of_items / (pairs.of_items + others + self._config.bias_damping)


class PairwiseFactorization(MatrixFactorization):
    """BPR: what a user has chosen ahead of what he has not (Rendle et al., section 4.1), items drawn for a batch."""

    def __init__(self, config: Config, data: EncodedData, histories: Histories, seed: int) -> None:
        super().__init__(config, data, histories, seed)
        self._known = tf.RaggedTensor.from_row_splits(histories.items, histories.offsets)
        number = min(config.negatives, data.num_items)
        self._sampler: Sampler = (
            UniformSampler(data.num_items, number)
            if config.negatives_from == "uniform"
            else UnigramSampler(data.item_counts, number)
        )
        self._bpr = BPR()

    def _error(self, inputs: dict[str, tf.Tensor], of_users: Pair, of_items: Pair, training: bool) -> tf.Tensor:
        p = self._without_dropped(of_users[0], inputs["seed"], training)
        q, item_biases = of_items
        positive = tf.reduce_sum(p * q, axis=1) + item_biases[:, 0]
        known = tf.gather(self._known, inputs["user"])
        drawn = self._sampler.sample(known, inputs["seed"], training)
        ids = tf.gather(self.data.item_table[ITEM_ID], drawn.ids)
        factors, biases = self.candidate_tower.factors(ids)
        scores = tf.matmul(p, factors, transpose_b=True) + biases[:, 0]
        # From an item without training rows nothing is learned.
        mask = drawn_positive_mask(known, drawn.ids, self.data.num_items) | (ids == 0)
        weight = inputs.get("weight", tf.ones_like(positive))
        loss: tf.Tensor = self._bpr(
            positive, scores, tf.range(tf.size(positive)), mask, weight, tf.zeros_like(drawn.log_q)
        )
        return loss

    def _first_biases(
        self, pairs: TrainingPairs, ratings: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
        """The log of how often an item is chosen, which orders items as popularity does."""
        return None, np.log1p(pairs.of_items)


def _squares(vectors: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(vectors), axis=1)


_KINDS: dict[str, type[MatrixFactorization]] = {
    "explicit": ExplicitFactorization,
    "implicit": ImplicitFactorization,
    "bpr": PairwiseFactorization,
}


def build(
    config: Config, features: FeaturesConfig, interactions: Interactions, histories: Histories, seed: int
) -> MatrixFactorization:
    """Adapt the id vocabularies on the training rows and make an untrained model; no column but the ids is used.

    Args:
      config: of the model.
      features: of the preprocessing layers.
      interactions: the data set.
      histories: the training rows, grouped by user.
      seed: of the initial weights.

    Raises:
      ConfigError: the objective and the data do not go together.
    """
    ids_only = features.model_copy(update={"user_columns": [], "item_columns": [], "context_columns": []})
    data = encode(ids_only, interactions, histories)
    config = config.settled(histories.ratings)
    return _KINDS[config.objective](config, data, histories, seed)
