"""Sequential retrieval with gated recurrent units: what comes next, from what somebody just did.

Hidasi et al., Session-based recommendations with recurrent neural networks, ICLR 2016 (https://arxiv.org/abs/1511.06939;
GRU4Rec: the network, session-parallel mini-batches, TOP1); Hidasi and Karatzoglou, Recurrent neural networks with top-k
gains for session-based recommendations, CIKM 2018 (https://arxiv.org/abs/1706.03847; sampled negatives, TOP1-max,
BPR-max, tied vectors); the tutorial of TensorFlow Recommenders on sequential retrieval (windows and labels).

A query is nothing but its history: there is no vector of a user, so a session never seen is as good as any.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

import tensorflow as tf
from pydantic import Field

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoded import EncodedData, encode
from recsys_tfrs.layers.items import ItemVectors
from recsys_tfrs.layers.recurrent import RecurrentTower
from recsys_tfrs.layers.transposed import transposed
from recsys_tfrs.models.family import BatchesOf, FamilyConfig
from recsys_tfrs.models.retriever import Retriever
from recsys_tfrs.models.traced import traced_once
from recsys_tfrs.objectives.next_item import DrawnNextItem, NextItemSoftmax, SampledNextItem
from recsys_tfrs.objectives.session import SessionLossName, make_session_loss
from recsys_tfrs.schema import ITEM_ID

#: Above this catalogue `objective = "auto"` scores a sample of the items instead of all.
LARGEST_FULL_SOFTMAX = 50_000

#: The family's own defaults of the ``training`` section.
TRAINING: dict[str, Any] = {
    "batch_size": 1_024,
    "epochs": 20,
    "learning_rate_decay": "linear",
    "validate_every": 1,
    "patience": 4,
    "refit": "auto",
}


class Config(FamilyConfig):
    """Settings of sequential retrieval with GRUs."""

    batches_of: ClassVar[BatchesOf] = "sequences"
    compiles: ClassVar[bool] = False  # columns of items are averaged by a sparse product
    sampled_objective: ClassVar[str] = "cross-entropy"

    dim: int = Field(128, ge=1, description="Size of query and candidate vectors.")
    units: list[int] = Field([256], min_length=1, description="Size of the state of each stacked GRU layer.")
    input: Literal["tied", "embedding", "one-hot"] = Field(
        "tied",
        description="What enters for an item: its candidate vector, a vector of its own, or 1-of-N, whose embedding is "
        "the matrix of the first layer.",
    )
    item_columns: bool = Field(
        True, description="Add the embeddings of item columns to candidate vectors, which places items not trained."
    )
    rating_input: bool = Field(True, description="Read the rating beside each item, where the data has ratings.")
    gap_input: bool = Field(
        False, description="Read how long before each item the one before it was, where times are known."
    )
    normalize: bool = Field(True, description="Vectors of length 1, so that scores are cosines.")
    temperature: float = Field(0.08, gt=0, description="Scores are divided by this before a loss.")
    item_bias: bool = Field(False, description="Give every item a bias, so that scores need not be cosines alone.")
    initial_scale: float = Field(0.05, gt=0, description="Standard deviation of the initial embeddings.")
    input_dropout: float = Field(0.2, ge=0, lt=1, description="Dropout of what enters the first layer.")
    dropout: float = Field(0.4, ge=0, lt=1, description="Dropout of the state that leaves each layer.")
    unknown_rate: float = Field(
        0.02, ge=0, lt=1, description="Share of inputs replaced by the unknown item, which stands for empty histories."
    )
    examples: Literal["sequences", "session-parallel", "windows"] = Field(
        "sequences",
        description="Every position of whole sequences in buckets of their length; sequences one after the other in "
        "`rows` rows, with the state carried; or every target with a window before it.",
    )
    max_length: int = Field(
        200, ge=1, description="Newest items of a history that are read; under `windows`, `window`."
    )
    most_batches: int = Field(
        128,
        ge=0,
        description="Under `sequences`, batches of one pass: of more data, each holds more targets than "
        "`training.batch_size`, up to 8,192; 0: however many there are.",
    )
    rows: int = Field(512, ge=1, description="Sequences walked through at a time under `session-parallel`.")
    window: int = Field(10, ge=1, description="Items before a target under `windows`.")
    objective: Literal["auto", "full-softmax", "cross-entropy", "bpr", "top1", "bpr-max", "top1-max", "gbce"] = Field(
        "auto",
        description="The softmax over the catalogue, or a loss against the batch's targets and `num_samples` drawn "
        "items; auto: the former or sampled cross-entropy, by the catalogue's size.",
    )
    num_samples: int = Field(2_048, ge=0, description="Items drawn per batch.")
    batch_negatives: bool = Field(
        True, description="The batch's own targets are negatives too; without them, only what is drawn is scored."
    )
    sample_alpha: float = Field(0.75, ge=0, description="They are drawn by popularity to this power.")
    log_q: bool = Field(True, description="Correct sampled losses for how likely each item was to be there.")
    score_penalty: float = Field(1.0, ge=0, description="lambda of BPR-max, which holds negatives' scores at 0.")
    calibration: float = Field(0.75, ge=0, le=1, description="t of gBCE.")

    @property
    def longest(self) -> int:
        """Newest items of a history that enter a query."""
        return self.window if self.examples == "windows" else self.max_length

    def history_items(self, features: FeaturesConfig) -> int:
        """How many of the newest items of a history enter a query."""
        return min(self.longest, features.max_history)

    def sequences(self) -> dict[str, Any]:
        """Arguments of `recsys_tfrs.training.sequences.next_item_batches`."""
        return {
            "examples": self.examples,
            "max_length": self.max_length,
            "most_batches": self.most_batches,
            "rows": self.rows,
            "window": self.window,
            "with_gaps": self.gap_input,
        }


class GRUModel(Retriever):
    """Items -> states -> queries, trained to score the item that came next.

    Args:
      config: of the family.
      data: the data set, encoded.
      has_ratings: whether histories come with ratings.
      seed: of the initial weights.
    """

    candidate_tower: ItemVectors
    query_tower: RecurrentTower

    def __init__(self, config: Config, data: EncodedData, has_ratings: bool, seed: int) -> None:
        super().__init__(data, name="gru")
        self._config = config
        self._longest = min(config.longest, data.max_history)
        self.candidate_tower = ItemVectors(
            data,
            config.dim,
            columns=config.item_columns,
            normalize=config.normalize,
            bias=config.item_bias,
            scale=config.initial_scale,
            seed=seed + 1_000,
        )
        self.query_tower = RecurrentTower(
            vocabulary_size=data.items.encoders[ITEM_ID].vocabulary_size,
            dim=config.dim,
            units=config.units,
            tied=config.input == "tied",
            one_hot=config.input == "one-hot",
            reads_ratings=has_ratings and config.rating_input,
            reads_gaps=config.gap_input,
            normalize=config.normalize,
            constant=config.item_bias,
            input_dropout=config.input_dropout,
            dropout=config.dropout,
            unknown_rate=config.unknown_rate,
            scale=config.initial_scale,
            seed=seed,
        )
        ids = data.item_table[ITEM_ID]
        described = config.input == "tied" and self.candidate_tower.has_columns
        self._says = tf.concat([[False], tf.ones_like(ids[1:], tf.bool) if described else ids[1:] > 0], axis=0)
        self.scores_catalogue = config.objective == "full-softmax" or (
            config.objective == "auto" and data.num_items <= LARGEST_FULL_SOFTMAX
        )
        self._softmax, self._sampled = NextItemSoftmax(), None if self.scores_catalogue else _sampled(config, data)
        # Where the rows of the batch before ended; in checkpoints, so that a resumed run walks on.
        parallel = config.examples == "session-parallel"
        self._carried = [
            tf.Variable(tf.zeros([config.rows, units]), trainable=False, name=f"carried_{layer}")
            for layer, units in enumerate(config.units if parallel else [])
        ]
        self.create_weights()

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Loss of a batch made by `recsys_tfrs.training.sequences`."""
        # To score all items, or because the columns of all of them are a single product.
        catalogue = None
        if self._sampled is None or self.candidate_tower.has_columns:
            catalogue = self.candidate_tower.read_catalogue()
        states = self.query_tower.states(
            tf.gather(self.data.item_table[ITEM_ID], inputs["inputs"]),
            self._read(inputs["inputs"], catalogue),
            self._deviation(inputs.get("ratings")),
            inputs.get("gaps"),
            before=[tf.convert_to_tensor(state) for state in self._carried] or None,
            kept=1.0 - tf.cast(inputs["starts"], tf.float32) if "starts" in inputs else None,
            seed=inputs["seed"],
            training=training,
        )
        if training and self._carried:
            for carried, state in zip(self._carried, states.of_layers, strict=True):
                carried.assign(tf.stop_gradient(state[-1]))
        asked = tf.where(inputs["targets"] > 0)
        targets = tf.gather_nd(inputs["targets"], asked)
        weights = tf.gather_nd(inputs["weights"], asked) if "weights" in inputs else tf.ones_like(targets, tf.float32)
        queries = self.query_tower.queries(tf.gather_nd(states.last, asked)) / self._config.temperature
        # Scores are most of a step's arithmetic, and the part that bears fewer digits.
        queries = tf.cast(queries, tf.keras.mixed_precision.global_policy().compute_dtype)
        if self._sampled is None:
            candidates = self.candidate_tower.candidates(catalogue, self.data.item_table[ITEM_ID])
            return self._softmax(queries, tf.cast(candidates, queries.dtype), targets, weights)
        return self._sampled(
            queries, lambda items: self._candidates(items, catalogue), targets, weights, inputs["seed"]
        )

    def query_vectors(
        self,
        users: tf.Tensor,
        history: tf.RaggedTensor,
        ratings: tf.RaggedTensor | None = None,
        rows: tf.Tensor | None = None,
        gaps: tf.RaggedTensor | None = None,
    ) -> tf.Tensor:
        """``[batch, dim]`` of ``[batch, None]`` histories of internal item ids, oldest first, with ratings and gaps.

        Users and moments of asking are not looked at.
        """
        if ratings is None:
            ratings = history.with_flat_values(tf.fill(tf.shape(history.flat_values), self.data.rating_mean))
        if gaps is None:
            gaps = history.with_flat_values(tf.zeros_like(history.flat_values))
        return self._traced_query_vectors(history, ratings, gaps)

    @traced_once(
        tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1),
        tf.RaggedTensorSpec([None, None], tf.float32, ragged_rank=1),
        tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1),
    )
    def _traced_query_vectors(
        self, history: tf.RaggedTensor, ratings: tf.RaggedTensor, gaps: tf.RaggedTensor
    ) -> tf.Tensor:
        return self.encoded_query_vectors({}, history, ratings, gaps=gaps)

    def encoded_query_vectors(
        self,
        encoded: dict[str, tf.Tensor],
        history: tf.RaggedTensor,
        ratings: tf.RaggedTensor | None = None,
        context: dict[str, tf.Tensor] | None = None,
        gaps: tf.RaggedTensor | None = None,
    ) -> tf.Tensor:
        """As `query_vectors`, in an exported graph.

        Items that say nothing, being neither trained on nor described, are left out; a history without any other is
        that of the unknown item.
        """
        ids = tf.where(history.flat_values < len(self._says), history.flat_values, 0)
        says = history.with_flat_values(tf.gather(self._says, ids))
        items = tf.ragged.boolean_mask(history.with_flat_values(ids), says)[:, -self._longest :]
        lengths = tf.maximum(items.row_lengths(), 1)
        shape = tf.stack([items.nrows(), tf.reduce_max(tf.concat([lengths, [1]], axis=0))])
        padded = transposed(items.to_tensor(shape=shape))
        deviation = None
        if ratings is not None:
            read = tf.ragged.boolean_mask(ratings, says)[:, -self._longest :]
            deviation = self._deviation(transposed(read.to_tensor(self.data.rating_mean, shape=shape)))
        before = None
        if self.reads_gaps and gaps is not None:
            read = tf.ragged.boolean_mask(gaps, says)[:, -self._longest :]
            before = transposed(read.to_tensor(0, shape=shape))
        states = self.query_tower.states(
            tf.gather(self.data.item_table[ITEM_ID], padded), self._read(padded, None), deviation, before
        )
        return self.query_tower.queries(tf.gather(tf.transpose(states.last, [1, 0, 2]), lengths - 1, batch_dims=1))

    def step(self, items: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One more item of a live session.

        An item that says nothing leaves the state as it is; at the start of a session it stands for the unknown item,
        as an empty history does. Ratings and times are not told here.

        Args:
          items: ``[batch]`` internal item ids.
          state: ``[batch, state_size]`` what the step before returned; zeros at the start.

        Returns:
          ``[batch, state_size]``, and ``[batch, dim]`` query vectors.
        """
        items = tf.where(items < len(self._says), items, 0)
        says = tf.gather(self._says, items)
        vectors = None
        if self._config.input == "tied":
            vectors = self.candidate_tower.read(self.data.encoded_items(items))
        after, last = self.query_tower.step(tf.gather(self.data.item_table[ITEM_ID], items), vectors, state, ~says)
        starts = tf.reduce_all(state == 0, axis=1)
        read = (says | starts)[:, None]
        before = state[:, -last.shape[1] :]
        return tf.where(read, after, state), self.query_tower.queries(tf.where(read, last, before))

    @property
    def reads_gaps(self) -> bool:
        """Whether histories are to be told with the times between their items."""
        return self._config.gap_input

    @property
    def state_size(self) -> int:
        """Numbers that a live session carries from step to step."""
        return self.query_tower.state_size

    def candidate_vectors(self) -> tf.Tensor:
        """``[num_items + 1, dim]`` vectors of the whole catalogue by internal id; row 0 is padding."""
        return self.candidate_tower.catalogue()

    def _read(self, items: tf.Tensor, catalogue: tf.Tensor | None) -> tf.Tensor | None:
        """``[times, rows, dim]`` what is read of internal item ids; None where they enter by vectors of their own."""
        if self._config.input != "tied":
            return None
        if catalogue is not None:
            return tf.where(items[..., None] > 0, tf.gather(catalogue, items), 0.0)
        flat = self.candidate_tower.read(self.data.encoded_items(tf.reshape(items, [-1])))
        return tf.reshape(flat, tf.concat([tf.shape(items), [self._config.dim]], axis=0))

    def _candidates(self, items: tf.Tensor, catalogue: tf.Tensor | None) -> tf.Tensor:
        if catalogue is None:
            return self.candidate_tower(self.data.encoded_items(items))
        return self.candidate_tower.candidates(
            tf.gather(catalogue, items), tf.gather(self.data.item_table[ITEM_ID], items)
        )

    def _deviation(self, ratings: tf.Tensor | None) -> tf.Tensor | None:
        if ratings is None:
            return None
        return (ratings - self.data.rating_mean) / self.data.rating_deviation


def _sampled(config: Config, data: EncodedData) -> SampledNextItem | DrawnNextItem:
    name = "cross-entropy" if config.objective == "auto" else config.objective
    loss = make_session_loss(
        cast("SessionLossName", name),
        data.num_items,
        regularization=config.score_penalty,
        calibration=config.calibration,
    )
    task = SampledNextItem if config.batch_negatives else DrawnNextItem
    return task(loss, data.item_counts, config.num_samples, config.sample_alpha, log_q=config.log_q)


def build(
    config: Config, features: FeaturesConfig, interactions: Interactions, histories: Histories, seed: int
) -> GRUModel:
    """Adapt the preprocessing layers on the training rows and make an untrained model.

    Args:
      config: of the model.
      features: of the preprocessing layers.
      interactions: the data set.
      histories: the training rows, grouped by user.
      seed: of the initial weights.
    """
    return GRUModel(config, encode(features, interactions, histories), histories.ratings is not None, seed)
