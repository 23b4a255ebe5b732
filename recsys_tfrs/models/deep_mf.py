"""Deep matrix factorization: hidden layers over user and item together, beside the product that `mf` is made of.

``y_ui = mu + b_u + c_i + p_u . q_i + MLP([e_u, f_u, e_i, f_i])``: e are embeddings of the ids, f of the columns of
users and items. He et al., Neural collaborative filtering, WWW 2017 (NeuMF, equation 12: a product beside an MLP over
the concatenation, each with embeddings of its own; equation 7: cross-entropy with drawn items where there are no
ratings).

A network over a pair is no dot product, which an index could search. Retrieval therefore goes by a regression: what the
network says of item i, as a function of the user, is written as a constant and a combination of what it says of a few
landmark items, ``MLP_ui ~ m_i + sum_l MLP_ul x_il``, fitted over a sample of users. The query carries ``MLP_ul``, the
candidate ``x_il``. `predicted_ratings` uses the network itself.
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
from recsys_tfrs.layers.pair_mlp import PairMLP
from recsys_tfrs.layers.pair_side import PairSide
from recsys_tfrs.models.family import BatchesOf, FamilyConfig, ratings_differ
from recsys_tfrs.models.retriever import Retriever
from recsys_tfrs.models.traced import traced_once
from recsys_tfrs.objectives.factorization import damped_biases, penalty_weights
from recsys_tfrs.objectives.known_pairs import KnownPairs
from recsys_tfrs.schema import ITEM_ID, USER_ID

#: Defaults of the ``training`` section that differ from the other families'.
TRAINING: dict[str, Any] = {
    "epochs": 8,
    "batch_size": 500,
    "learning_rate": 3e-3,
    "learning_rate_decay": "linear",
    "average_decay": 0.0,
    "validate_every": 1,
}

#: Items whose outputs stand for those of all others in a query, and users over whom that is fitted.
_LANDMARK_ITEMS, _LANDMARK_USERS = 32, 128

#: Ridge of that regression, times the mean square of the landmarks' outputs and the number of users.
_RIDGE = 1e-3

#: Pairs whose ratings are predicted at a time.
_CHUNK = 20_000

Encoded = dict[str, tf.Tensor]
Ids = NDArray[np.integer[Any]]


class Config(FamilyConfig):
    """Settings of deep matrix factorization."""

    batches_of: ClassVar[BatchesOf] = "interactions"
    reads_histories: ClassVar[bool] = False

    objective: Literal["auto", "explicit", "implicit"] = Field(
        "auto",
        description="explicit: squared error of ratings; implicit: cross-entropy of what was chosen against drawn "
        "items; auto: explicit where there are ratings that differ, else implicit.",
    )
    networks: int = Field(2, ge=1, description="Independent networks, trained on the same batches and averaged.")
    dim: int = Field(20, ge=1, description="Factors of a network's product.")
    embedding: int = Field(
        16, ge=1, description="Size of a network's embeddings of user and item, as hidden layers see them."
    )
    hidden: list[int] = Field([64, 32], min_length=1, description="Hidden layers.")
    penalty: float = Field(0.6, ge=0, description="Weight of the squared factors and biases.")
    penalty_power: float = Field(
        0.5, ge=0, le=1, description="Each row of an entity with n rows pays the penalty over n to this power."
    )
    embedding_penalty: float = Field(0.05, ge=0, description="Weight of the squared embeddings.")
    kernel_penalty: float = Field(1e-4, ge=0, description="Weight of the squared weights of the hidden layers.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of the products of factors left out in training.")
    embedding_dropout: float = Field(0.2, ge=0, lt=1, description="The same of embeddings.")
    hidden_dropout: float = Field(0.1, ge=0, lt=1, description="The same of hidden units.")
    initial_scale: float = Field(
        0.03, gt=0, description="Standard deviation of the initial factors, times the root of those in a network."
    )
    bias_damping: float = Field(
        3.0, gt=0, description="Rows of average rating that damp the means which the biases start at."
    )
    negatives: int = Field(4, ge=1, description="Items drawn for each interaction under `implicit`.")

    @property
    def validation_metric(self) -> str:
        """What selection goes by."""
        return "rmse" if self.objective == "explicit" else "ndcg@100"

    def settled(self, ratings: NDArray[np.float32] | None) -> Config:
        """The same with the objective that `auto` stands for on data with these ratings.

        Raises:
          ConfigError: `explicit` without ratings, or all ratings are the same.
        """
        differ = ratings_differ(ratings)
        if self.objective == "auto":
            return self.model_copy(update={"objective": "explicit" if differ else "implicit"})
        if self.objective == "explicit" and not differ:
            raise ConfigError(
                "model.objective = 'explicit' predicts ratings, but the data set has none that differ: use 'implicit', "
                "which asks only what was chosen."
            )
        return self


class QueryTower(tf.keras.layers.Layer):
    """Encoded user columns -> ``[p_u, 1, MLP_ul]``. What is the same for all items is left to `predicted_ratings`.

    Args:
      users, items: the two sides.
      mlp: the hidden layers.
      landmarks: encoded columns of the landmark items.
      scale: of the factors, so that products are in units of the target.
    """

    def __init__(self, users: PairSide, items: PairSide, mlp: PairMLP, landmarks: Encoded, scale: float) -> None:
        super().__init__(name="query_tower")
        self.side, self._items, self._mlp, self._landmarks, self._scale = users, items, mlp, landmarks, scale

    def call(self, encoded: Encoded) -> tf.Tensor:
        """Return ``[batch, dim of the vectors]`` from the output of the users' preprocessing layer."""
        factors, _ = self.side.product(encoded)
        outputs = self._mlp.against(
            self._mlp.user_half(*self.side.hidden_input(encoded)),
            self._mlp.item_half(*self._items.hidden_input(self._landmarks)),
        )
        return tf.concat([factors * self._scale, tf.ones_like(factors[:, :1]), outputs], axis=1)


class CandidateTower(tf.keras.layers.Layer):
    """Encoded item columns -> ``[q_i, c_i + m_i, x_il]``.

    Args:
      items, users: the two sides.
      mlp: the hidden layers.
      landmarks: encoded columns of the landmark users, over whom the regression is fitted.
      queries: of them, how they ask.
      scale: of the factors.
      deviation: standard deviation of the target.
    """

    def __init__(
        self,
        items: PairSide,
        users: PairSide,
        mlp: PairMLP,
        landmarks: Encoded,
        queries: QueryTower,
        *,
        scale: float,
        deviation: float,
    ) -> None:
        super().__init__(name="candidate_tower")
        self.side, self._users, self._mlp, self._landmarks, self._queries = items, users, mlp, landmarks, queries
        self._scale, self._deviation = scale, deviation

    def call(self, encoded: Encoded) -> tf.Tensor:
        """Return ``[batch, dim of the vectors]`` from the output of the items' preprocessing layer."""
        factors, biases = self.side.product(encoded)
        outputs = self._mlp.against(
            self._mlp.item_half(*self.side.hidden_input(encoded)),
            self._mlp.user_half(*self._users.hidden_input(self._landmarks)),
        )  # [batch, users]
        asked = self._queries(self._landmarks)[:, factors.shape[1] + 1 :]  # [users, landmark items]
        means, mean_asked = tf.reduce_mean(outputs, axis=1, keepdims=True), tf.reduce_mean(asked, axis=0)
        around = asked - mean_asked
        gram = tf.matmul(around, around, transpose_a=True)
        ridge = _RIDGE * tf.reduce_mean(tf.linalg.diag_part(gram)) + 1e-9
        gram += ridge * tf.eye(tf.shape(gram)[0])
        shares = tf.transpose(
            tf.linalg.solve(gram, tf.matmul(around, outputs - means, transpose_a=True, transpose_b=True))
        )
        alone = tf.reduce_mean(biases, axis=1, keepdims=True) + means - tf.linalg.matvec(shares, mean_asked)[:, None]
        return tf.concat([factors * self._scale, alone * self._deviation, shares * self._deviation], axis=1)


class DeepFactorization(Retriever):
    """Products and hidden layers; subclasses say what they are fitted to.

    Args:
      config: settled.
      data: the data set, encoded.
      histories: the training rows, grouped by user.
      seed: of the initial weights.

    Attributes:
      query_tower, candidate_tower: ``[p_u, 1, MLP_ul]`` and ``[q_i, c_i + m_i, x_il]``.
      mlp: the hidden layers.
    """

    #: In what units outputs are; weights are those of standardised targets.
    _deviation = 1.0

    def __init__(self, config: Config, data: EncodedData, histories: Histories, seed: int) -> None:
        super().__init__(data, name="deep_mf")
        self._config = config
        pairs = training_pairs(data, histories)
        self._user_penalty = tf.constant(penalty_weights(pairs.of_users, config.penalty_power))
        self._item_penalty = tf.constant(penalty_weights(pairs.of_items, config.penalty_power))
        user_biases, item_biases = self._first_biases(pairs, histories.ratings)

        self.mlp = PairMLP(
            config.embedding,
            config.embedding,
            config.hidden,
            config.networks,
            dropout=config.hidden_dropout,
            seed=seed + 2_000,
        )
        scale = (self._deviation / config.networks) ** 0.5
        sizes = config.model_dump(include={"networks", "dim", "embedding", "initial_scale"})
        user_side = PairSide(data.users.encoders, USER_ID, user_biases, hidden=config.hidden[0], seed=seed, **sizes)
        item_side = PairSide(
            data.items.encoders, ITEM_ID, item_biases, hidden=config.hidden[0], seed=seed + 1_000, **sizes
        )
        draw = np.random.default_rng(seed)
        some_users = _drawn(draw, np.flatnonzero(histories.lengths), _LANDMARK_USERS)
        some_items = _drawn(draw, np.flatnonzero(data.item_counts), _LANDMARK_ITEMS)
        self.query_tower = QueryTower(user_side, item_side, self.mlp, data.encoded_items(some_items), scale)
        self.candidate_tower = CandidateTower(
            item_side,
            user_side,
            self.mlp,
            data.encoded_users(some_users),
            self.query_tower,
            scale=scale,
            deviation=self._deviation,
        )
        self.create_weights()

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Loss of a batch made by `recsys_tfrs.training.pipeline.InteractionBatches`."""
        error, penalty = self._error_and_penalty(inputs, inputs["seed"] if training else None)
        weight = inputs.get("weight", tf.ones_like(error))
        kernels = self._config.kernel_penalty * self.mlp.squared_kernels()
        return tf.reduce_mean(weight * error) + tf.reduce_mean(penalty) + kernels

    def _error_and_penalty(self, inputs: dict[str, tf.Tensor], seed: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """``[batch]`` errors of interactions, summed over networks, and the penalties of all pairs looked at."""
        raise NotImplementedError

    def _first_biases(
        self, pairs: TrainingPairs, ratings: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the biases start, by encoded id.

        Args:
          pairs: the training rows.
          ratings: ``[num_rows]``, if there are any.
        """
        raise NotImplementedError

    def _pairs(self, users: tf.Tensor, items: tf.Tensor, seed: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """``[num_pairs, networks]`` outputs for internal ids, and the ``[num_pairs]`` penalties of their weights."""
        config = self._config
        of_users, of_items = self.data.encoded_users(users), self.data.encoded_items(items)
        user_side, item_side = self.query_tower.side, self.candidate_tower.side
        (p, b), (q, c) = user_side.product(of_users), item_side.product(of_items)
        products = tf.reshape(_dropped(p * q, config.dropout, seed, 21), [-1, config.networks, config.dim])
        (e, user_columns), (g, item_columns) = user_side.hidden_input(of_users), item_side.hidden_input(of_items)
        deep = self.mlp(
            self.mlp.user_half(_dropped(e, config.embedding_dropout, seed, 22), user_columns),
            self.mlp.item_half(_dropped(g, config.embedding_dropout, seed, 23), item_columns),
            seed,
        )
        outputs = b + c + tf.reduce_sum(products, axis=2) + tf.transpose(deep)
        by_user = tf.gather(self._user_penalty, of_users[USER_ID])
        by_item = tf.gather(self._item_penalty, of_items[ITEM_ID])
        penalty = config.penalty * (by_user * _squares(p, b) + by_item * _squares(q, c))
        embeddings = tf.reduce_sum(tf.square(e), [0, 2]), tf.reduce_sum(tf.square(g), [0, 2])
        return outputs, penalty + config.embedding_penalty * (by_user * embeddings[0] + by_item * embeddings[1])


class ExplicitDeepFactorization(DeepFactorization):
    """Squared error of ratings. The weights are those of standardised ratings ``(r - mu) / sigma``."""

    def __init__(self, config: Config, data: EncodedData, histories: Histories, seed: int) -> None:
        if histories.ratings is None:
            raise ConfigError("model.objective = 'explicit' needs ratings, and the training rows have none.")
        self._mean, self._deviation = data.rating_mean, data.rating_deviation
        self._range = float(histories.ratings.min()), float(histories.ratings.max())
        super().__init__(config, data, histories, seed)

    def predicted_ratings(self, users: Ids, items: Ids, histories: Histories | None = None) -> NDArray[np.float32]:
        """``[num_pairs]`` ratings by the whole network, held within the range of the training ratings.

        Args:
          users: ``[num_pairs]`` internal ids.
          items: likewise.
          histories: of no matter; what a user has done is in his vectors.
        """
        chunks = [np.zeros(0, np.float32)]
        for low in range(0, len(users), _CHUNK):
            of_users, of_items = (tf.constant(ids[low : low + _CHUNK], tf.int32) for ids in (users, items))
            chunks.append(tf.reduce_mean(self._traced_outputs(of_users, of_items), axis=1).numpy())
        predicted = self._mean + self._deviation * np.concatenate(chunks)
        return np.asarray(np.clip(predicted, *self._range), dtype=np.float32)

    @traced_once(*[tf.TensorSpec([None], tf.int32)] * 2)
    def _traced_outputs(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        return self._pairs(users, items, None)[0]

    def _error_and_penalty(self, inputs: dict[str, tf.Tensor], seed: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        outputs, penalty = self._pairs(inputs["user"], inputs["item"], seed)
        target = (inputs["rating"] - self._mean) / self._deviation
        return _squares(target[:, None] - outputs), penalty

    def _first_biases(
        self, pairs: TrainingPairs, ratings: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        targets = (np.asarray(ratings, np.float64) - self._mean) / self._deviation
        return damped_biases(
            pairs.users, pairs.items, targets, len(pairs.of_users), len(pairs.of_items), self._config.bias_damping
        )


class ImplicitDeepFactorization(DeepFactorization):
    """Cross-entropy of the interactions, and of items drawn alike that the user is not known to have chosen."""

    def __init__(self, config: Config, data: EncodedData, histories: Histories, seed: int) -> None:
        super().__init__(config, data, histories, seed)
        self._known = KnownPairs(histories)

    def _error_and_penalty(self, inputs: dict[str, tf.Tensor], seed: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        users, number = inputs["user"], self._config.negatives
        batch = tf.size(users)
        others = tf.repeat(users, number)
        drawn = tf.random.stateless_uniform(
            [batch * number], inputs["seed"], minval=1, maxval=self.data.num_items + 1, dtype=tf.int32
        )
        outputs, penalty = self._pairs(
            tf.concat([users, others], axis=0), tf.concat([inputs["item"], drawn], axis=0), seed
        )
        chosen = tf.reduce_sum(tf.nn.softplus(-outputs[:batch]), axis=1)
        unknown = tf.cast(~self._known(others, drawn), outputs.dtype)
        rejected = tf.reduce_sum(tf.nn.softplus(outputs[batch:]), axis=1) * unknown
        return chosen + tf.reduce_sum(tf.reshape(rejected, [-1, number]), axis=1), penalty

    def _first_biases(
        self, pairs: TrainingPairs, ratings: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The logit of a pair whose user is not looked at: an item's rows against how often it is drawn."""
        rows_if_alike = max(1, len(pairs.items)) / max(1, len(pairs.of_items) - 1)
        odds = (pairs.of_items + self._config.bias_damping) / (rows_if_alike + self._config.bias_damping)
        return np.zeros(len(pairs.of_users)), np.log(odds / self._config.negatives)


def _drawn(draw: np.random.Generator, ids: Ids, number: int) -> tf.Tensor:
    """At most so many of the ids; the unknown one where there are none."""
    some = draw.permutation(ids)[:number]
    return tf.constant(some if len(some) else [0], tf.int32)


def _dropped(x: tf.Tensor, rate: float, seed: tf.Tensor | None, salt: int) -> tf.Tensor:
    if seed is None or not rate:
        return x
    return tf.where(keep_mask(tf.shape(x), rate, seed, salt), x / (1.0 - rate), tf.zeros([], x.dtype))


def _squares(*vectors: tf.Tensor) -> tf.Tensor:
    return tf.add_n([tf.reduce_sum(tf.square(v), axis=1) for v in vectors])


_KINDS: dict[str, type[DeepFactorization]] = {
    "explicit": ExplicitDeepFactorization,
    "implicit": ImplicitDeepFactorization,
}


def build(
    config: Config, features: FeaturesConfig, interactions: Interactions, histories: Histories, seed: int
) -> DeepFactorization:
    """Adapt the preprocessing layers on the training rows and make an untrained model.

    Args:
      config: of the model.
      features: of the preprocessing layers.
      interactions: the data set.
      histories: the training rows, grouped by user.
      seed: of the initial weights.

    Raises:
      ConfigError: the objective and the data do not go together.
    """
    config = config.settled(histories.ratings)
    return _KINDS[config.objective](config, encode(features, interactions, histories), histories, seed)
