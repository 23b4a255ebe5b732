"""What the families share that ask with a history: what is hidden in training, what is predicted, how it is measured.

A family brings a query tower and a candidate tower; this file trains them. Liang et al., Variational autoencoders for
collaborative filtering, WWW 2018 (denoising the history, all of a user's items as targets); Covington et al., Deep
neural networks for YouTube recommendations, RecSys 2016 (softmax over the corpus).
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from recsys_tfrs.features.encoded import EncodedData
from recsys_tfrs.layers.candidate import CandidateTower
from recsys_tfrs.layers.dropout import keep_mask
from recsys_tfrs.layers.embedding import SummedFeatures
from recsys_tfrs.layers.history import WeightedHistory
from recsys_tfrs.layers.members import CandidateMembers, Members
from recsys_tfrs.layers.mlp import ResidualMLP
from recsys_tfrs.models.history_config import HistoryConfig
from recsys_tfrs.models.retriever import Retriever
from recsys_tfrs.models.traced import traced_once
from recsys_tfrs.objectives.hiding import Hidden, ages_when_asked, hide_any, hide_around, hide_newest
from recsys_tfrs.objectives.negative_sampling import NegativeSampling
from recsys_tfrs.objectives.sampled import SampledSoftmax
from recsys_tfrs.objectives.softmax import FullSoftmax
from recsys_tfrs.objectives.stream_samplers import InBatchSampler
from recsys_tfrs.schema import ITEM_ID

#: Above this catalogue `objective = "auto"` scores the items of the batch instead of all items.
LARGEST_FULL_SOFTMAX = 100_000

#: The same where context gives every interaction a query, and a row of scores, of its own.
LARGEST_FULL_SOFTMAX_IN_CONTEXT = 5_000

#: Between the seeds of two members; large and odd, so that no member gets what another one had in a step nearby.
_MEMBER_STRIDE = 1_000_003


class HistoryTower(tf.keras.layers.Layer):
    """History, context and whatever a family adds about the user -> query vectors.

    ``q = g(h + a + c)``: h the weighted history, a what the family adds (`about`), c the embeddings of the context, g
    hidden layers that add to their input.

    Args:
      config: of the family.
      data: the data set, encoded.
      hidden: hidden layers of g; none: the identity.
      seed: of the initial weights.
      name: of the layer.
    """

    def __init__(self, config: HistoryConfig, data: EncodedData, hidden: list[int], seed: int, name: str) -> None:
        super().__init__(name=name)
        self._normalize = config.normalize
        scale = config.initial_scale
        self.history = WeightedHistory(
            data.items.encoders[ITEM_ID].vocabulary_size,
            config.dim,
            rating_weight=config.rating_weight,
            recency_boost={"newest": config.recency_boost, "around": config.around_boost}.get(config.hide, 0.0),
            recency_items=config.around_items if config.hide == "around" else config.recency_items,
            seed=seed + 100,
            scale=scale,
        )
        self._context = SummedFeatures(
            data.context.encoders, config.dim, seed=seed + 150, scale=scale / 2, name="context"
        )
        # What to ask for when nothing is known of a user; it ends up close to what is popular.
        self.anyone = self.add_weight(
            name="anyone",
            shape=(config.dim,),
            initializer=tf.keras.initializers.RandomNormal(stddev=scale, seed=seed + 300),
        )
        self._mlp = ResidualMLP(hidden, config.dim, seed=seed + 200)

    def about(self, encoded: dict[str, tf.Tensor], count: tf.Tensor) -> tf.Tensor:
        """What is added to the history: ``[batch, dim]``.

        Args:
          encoded: output of the users' preprocessing layer.
          count: ``[batch, 1]`` float32 length of the history, unknown and hidden items left out.
        """
        raise NotImplementedError

    def call(
        self,
        encoded: dict[str, tf.Tensor],
        history: tf.RaggedTensor,
        deviation: tf.Tensor | None = None,
        age: tf.Tensor | None = None,
        kept: tf.Tensor | None = None,
        context: dict[str, tf.Tensor] | None = None,
        asks: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Return query vectors, ``[batch, dim]``, or ``[num_asked, dim]`` where users ask several times.

        Args:
          encoded: output of the users' preprocessing layer.
          history: ``[batch, None]`` ids of the items' id vocabulary, oldest first.
          deviation: of the history's ratings, see `WeightedHistory`.
          age: of the history's items, likewise.
          kept: which histories may be seen, likewise.
          context: output of the context's preprocessing layer, ``[batch or num_asked, ...]``; None: there is none.
          asks: ``[num_asked]`` row of the batch that asks in each context; None: each asks once.
        """
        bag, count = self.history(history, deviation, age, kept)
        known = bag + self.about(encoded, count)
        if asks is not None:
            known = tf.gather(known, asks)
        if context is not None:
            known += self._context(context)
        query = self._mlp(known)
        return tf.math.l2_normalize(query, axis=1) if self._normalize else query


class HistoryModel(Retriever):
    """A query tower over history, user and context, a candidate tower, and the softmax that trains them.

    Of either tower there are one or several members. Each pair of them has a loss of its own, as if it were alone.

    Args:
      config: of the family.
      data: the data set, encoded.
      query_towers: of the family, one per member.
      candidate_towers: of encoded item columns, one per member.
      name: of the model.

    Attributes:
      data: as given.
      users, items, context: preprocessing layers, adapted on training rows.
      query_tower, candidate_tower: all members of either.
      scores_catalogue: whether a training step scores the whole catalogue.
    """

    def __init__(
        self,
        config: HistoryConfig,
        data: EncodedData,
        query_towers: Sequence[HistoryTower],
        candidate_towers: Sequence[CandidateTower],
        name: str,
    ) -> None:
        super().__init__(data, name)
        self._config = config
        self.query_tower = Members(query_towers, "query_tower")
        self.candidate_tower = CandidateMembers(candidate_towers, "candidate_tower")
        self._catalogue = self.candidate_tower.matrices(data.item_table)
        self.scores_catalogue = scores_catalogue(config, data)
        self.score_matrices = len(query_towers)
        masked = masked_members(config.mask_positives, len(query_towers))
        self._tasks: list[FullSoftmax | NegativeSampling] = (
            [FullSoftmax(mask) for mask in masked]
            if self.scores_catalogue
            else [self._negative_sampling()] * len(query_towers)
        )
        self.create_weights()

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Mean loss of the members on a batch made by `recsys_tfrs.training.pipeline.UserBatches`."""
        members = zip(self.query_tower.towers, self.candidate_tower.towers, self._tasks, strict=True)
        return tf.add_n(
            [
                self._member_loss(*member, inputs, inputs["seed"] + [number * _MEMBER_STRIDE, 0], training)
                for number, member in enumerate(members)
            ]
        ) / len(self.query_tower.towers)

    def _member_loss(
        self,
        query_tower: HistoryTower,
        candidate_tower: CandidateTower,
        task: FullSoftmax | NegativeSampling,
        inputs: dict[str, tf.Tensor],
        seed: tf.Tensor,
        training: bool,
    ) -> tf.Tensor:
        positives: tf.RaggedTensor = inputs["positives"]
        hidden = self._hide(positives, seed)
        deviation = self._deviation(positives, inputs.get("ratings"))
        context, asks = self._asked(inputs, seed)
        queries = query_tower(
            self._encoded_users(inputs["user"], seed),
            self.data.item_vocabulary_ids(
                tf.ragged.boolean_mask(positives, positives.with_flat_values(hidden.visible))
            ),
            deviation=tf.boolean_mask(deviation, hidden.visible),
            age=tf.boolean_mask(hidden.age, hidden.visible),
            kept=tf.cast(keep_mask(tf.shape(inputs["user"]), self._config.empty_history, seed, salt=3), tf.float32),
            context=context,
            asks=asks,
        )
        weights = hidden.target_weight * tf.exp(self._config.target_rating_weight * deviation)
        if "weights" in inputs:
            weights *= inputs["weights"].flat_values
        weights = self._target_weights(positives, weights)
        temperature = self._config.temperature
        if isinstance(task, FullSoftmax):
            catalogue = candidate_tower.catalogue(self._catalogue)
            scores = tf.matmul(queries, catalogue, transpose_b=True) / temperature
            return task(scores, positives, weights, own_query=asks is not None)
        return task(
            queries,
            lambda items: candidate_tower(self.data.encoded_items(items)),
            positives,
            weights,
            seed,
            temperature=temperature,
            own_query=asks is not None,
            training=training,
        )

    def query_vectors(
        self,
        users: tf.Tensor,
        history: tf.RaggedTensor,
        ratings: tf.RaggedTensor | None = None,
        rows: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """See `Retriever.query_vectors`."""
        if ratings is None:
            ratings = history.with_flat_values(tf.zeros_like(history.flat_values, tf.float32))
        if rows is None:
            rows = tf.fill(tf.shape(users), tf.constant(-1, tf.int64))
        return self._traced_query_vectors(users, history, ratings, rows)

    @traced_once(
        tf.TensorSpec([None], tf.int32),
        tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1),
        tf.RaggedTensorSpec([None, None], tf.float32, ragged_rank=1),
        tf.TensorSpec([None], tf.int64),
    )
    def _traced_query_vectors(
        self, users: tf.Tensor, history: tf.RaggedTensor, ratings: tf.RaggedTensor, rows: tf.Tensor
    ) -> tf.Tensor:
        return self.encoded_query_vectors(
            self.data.encoded_users(users), history, ratings, self.data.encoded_context(rows)
        )

    def encoded_query_vectors(
        self,
        encoded: dict[str, tf.Tensor],
        history: tf.RaggedTensor,
        ratings: tf.RaggedTensor | None = None,
        context: dict[str, tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """As `query_vectors`, of users and moments whose columns are encoded already, in an exported graph."""
        if context is None:
            context = self.data.encoded_context(tf.fill([history.nrows()], tf.constant(-1, tf.int64)))
        newest = history[:, -self.data.max_history :]
        deviation = history.with_flat_values(self._deviation(history, ratings))[:, -self.data.max_history :]
        return self.query_tower(
            encoded,
            self.data.item_vocabulary_ids(newest),
            deviation=deviation.flat_values,
            age=ages_when_asked(newest, is_now=self._config.hide == "newest"),
            context=context,
        )

    def candidate_vectors(self) -> tf.Tensor:
        """``[num_items + 1, dim]`` vectors of the whole catalogue by internal id; row 0 is padding."""
        return self.candidate_tower.catalogue(self._catalogue)

    def _hide(self, positives: tf.RaggedTensor, seed: tf.Tensor) -> Hidden:
        c = self._config
        if c.hide == "newest":
            return hide_newest(positives, c.newest_hide_rate, c.newest_horizon, c.newest_share, c.hide_rate, seed)
        if c.hide == "around":
            return hide_around(positives, c.hide_rate, c.around_items, c.around_floor, seed)
        return hide_any(positives, c.hide_rate, seed)

    def _deviation(self, history: tf.RaggedTensor, ratings: tf.RaggedTensor | None) -> tf.Tensor:
        """``[num_values]`` rating minus the user's mean, in standard deviations; 0 where there are no ratings."""
        if ratings is None:
            return tf.zeros_like(history.flat_values, tf.float32)
        rows, count = ratings.value_rowids(), tf.cast(ratings.row_lengths(), tf.float32)
        total = tf.math.unsorted_segment_sum(ratings.flat_values, rows, ratings.nrows())
        mean = tf.gather(tf.math.divide_no_nan(total, count), rows)
        return (ratings.flat_values - mean) / self.data.rating_deviation

    def _asked(
        self, inputs: dict[str, tf.Tensor], seed: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor] | None, tf.Tensor | None]:
        """The encoded context of every positive, and which user of the batch asks in it; twice None without any."""
        if not self.data.context_table:
            return None, None
        rows = inputs["rows"].flat_values
        known = keep_mask(tf.shape(rows), self._config.context_dropout, seed, salt=7)
        return self.data.encoded_context(tf.where(known, rows, -1)), inputs["positives"].value_rowids()

    def _negative_sampling(self) -> NegativeSampling:
        """What the model is trained against where the catalogue is not scored."""
        sampler = InBatchSampler(self.data.num_items)
        return NegativeSampling(sampler, SampledSoftmax(), log_q=self._config.log_q)

    def _encoded_users(self, users: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the query may know of ``[batch]`` users in training; families withhold some of it."""
        raise NotImplementedError

    def _target_weights(self, positives: tf.RaggedTensor, weights: tf.Tensor) -> tf.Tensor:
        """``[num_positives]`` weights in the loss, from how much each interaction counts by itself."""
        return weights


def scores_catalogue(config: HistoryConfig, data: EncodedData) -> bool:
    """Whether a training step scores the whole catalogue."""
    largest = LARGEST_FULL_SOFTMAX_IN_CONTEXT if data.context_table else LARGEST_FULL_SOFTMAX
    return config.objective == "full-softmax" or (config.objective == "auto" and data.num_items <= largest)


def masked_members(share: float, members: int) -> list[bool]:
    """Which members leave a user's other items out of the softmax of each: the last ones, rounded half to even."""
    return [number >= members - round(share * members) for number in range(members)]


def member_seeds(seed: int, members: int) -> list[int]:
    """A seed of the initial weights for each member; that of the first is the given one."""
    return [seed + number * _MEMBER_STRIDE for number in range(members)]


def candidate_towers(config: HistoryConfig, data: EncodedData, seeds: Sequence[int]) -> list[CandidateTower]:
    """A candidate tower per seed."""
    return [
        CandidateTower(
            data.items, config.dim, normalize=config.normalize, scale=config.initial_scale, seed=seed + 1_000
        )
        for seed in seeds
    ]
