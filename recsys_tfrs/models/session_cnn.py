"""Session-based recommendation with 3-D convolutions over what was clicked, in which order, and how the words look.

Tuan and Phuong, 3D convolutional networks for session-based recommendation with content features, RecSys 2017
(https://doi.org/10.1145/3109859.3109900): the last n clicks, each a plane of characters, stacked to a block of time x
characters x alphabet; two tasks, the next click and what is put into the cart.

Items are ranked by what is known of them, and of an item that training has not seen that is its text: it needs no
vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf
from pydantic import Field, field_validator

from recsys_tfrs.data.carts import carted_rows
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoded import EncodedData, encode
from recsys_tfrs.layers.blocks import ConvolutionTower, RecurrentWindow, SessionTower, TowerSettings, Window, newest
from recsys_tfrs.layers.described_items import DescribedItems
from recsys_tfrs.models.family import BatchesOf, FamilyConfig
from recsys_tfrs.models.retriever import Retriever
from recsys_tfrs.models.traced import traced_once
from recsys_tfrs.objectives.next_item import NextItemSoftmax, SampledNextItem
from recsys_tfrs.objectives.sampled import SampledSoftmax
from recsys_tfrs.schema import ADDED_TO_CART

#: Above this catalogue `objective = "auto"` scores a sample of the items: all of them are read in every step.
LARGEST_FULL_SOFTMAX = 5_000

#: The family's own defaults of the ``training`` section.
TRAINING: dict[str, Any] = {
    "batch_size": 512,
    "epochs": 6,
    "learning_rate_decay": "linear",
    "metric": "ndcg@20",
    "validate_every": 1,
    "patience": 2,
}

#: Queries of the two tasks.
CLICK, CART = "click", "cart"


class Config(FamilyConfig):
    """Settings of session-based recommendation with 3-D convolutions."""

    batches_of: ClassVar[BatchesOf] = "clicks"
    sampled_objective: ClassVar[str] = "cross-entropy"

    window: int = Field(8, ge=1, description="Newest clicks of a session that are read.")
    characters: int = Field(64, ge=8, description="Characters read of all texts of an item together.")
    over_time: Literal["convolution", "gru"] = Field(
        "convolution",
        description="What puts the clicks together: 3-D convolutions, or for comparison a GRU over the items' vectors.",
    )
    content: bool = Field(True, description="Read texts and other columns of items; without, an item is its id.")
    dim: int = Field(128, ge=1, description="Size of item vectors and queries.")
    character_dim: int = Field(16, ge=1, description="Size of a character's vector.")
    character_width: int = Field(5, ge=1, description="Characters that a filter of the first convolution sees.")
    channels: int = Field(32, ge=1, description="Filters of the first convolution, which are the block's third axis.")
    text_filters: int = Field(64, ge=1, description="Filters of the convolution behind an item's own vector.")
    subword_width: int = Field(
        4, ge=0, le=8, description="Characters of the subwords added to an item's own vector, 2 or more; 0: none."
    )
    subword_buckets: int = Field(16_384, ge=1, description="Rows of the subwords' table, in which they are hashed.")
    filters: list[int] = Field(
        [32, 64], min_length=2, max_length=2, description="Filters of the two convolutions over the block."
    )
    gated_filters: int = Field(
        128, ge=1, description="Filters of the gated convolution over the clicked items' vectors."
    )
    units: int = Field(256, ge=1, description="Size of the hidden layer, or of the GRU's state.")
    temperature: float = Field(0.08, gt=0, description="Scores are divided by this before a loss.")
    initial_scale: float = Field(0.05, gt=0, description="Standard deviation of the initial embeddings.")
    id_dropout: float = Field(
        0.3, ge=0, lt=1, description="Share of items read without their id in a step, so that texts learn to do alone."
    )
    input_dropout: float = Field(0.02, ge=0, lt=1, description="Dropout of the clicked items' vectors.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout of the hidden layer.")
    empty_rate: float = Field(
        0.02, ge=0, lt=1, description="Share of windows emptied, which stand for who comes without a history."
    )
    cart_column: str = Field(ADDED_TO_CART, description="Column of the interactions that says what was carted.")
    cart_weight: float = Field(1.0, ge=0, description="Weight of the loss of what is carted next; 0: not learnt.")
    objective: Literal["auto", "full-softmax", "cross-entropy"] = Field(
        "auto",
        description="The softmax over the catalogue, or against the batch's targets and `num_samples` drawn items; "
        "auto: by the catalogue's size.",
    )
    num_samples: int = Field(1_024, ge=1, description="Items drawn per batch.")
    sample_alpha: float = Field(0.75, ge=0, description="They are drawn by popularity to this power.")

    @field_validator("subword_width")
    @classmethod
    def _not_single(cls, value: int) -> int:
        if value == 1:
            raise ValueError("a subword has 2 characters or more; 0 for none")
        return value

    @property
    def ranks_new_items(self) -> bool:
        """Whether items that training has not seen are candidates."""
        return self.content

    def history_items(self, features: FeaturesConfig) -> int:
        """How many of the newest clicks enter a query."""
        return min(self.window, features.max_history)

    def clicks(self) -> dict[str, Any]:
        """Arguments of `recsys_tfrs.training.clicks.click_batches`."""
        return {"size": self.window}


class SessionCNN(Retriever):
    """The newest clicks -> a query for the next click, and one for the cart.

    Args:
      config: of the family.
      data: the data set, encoded, its texts by characters.
      has_carts: whether the data says what was put into the cart.
      seed: of the initial weights.
    """

    candidate_tower: DescribedItems
    query_tower: SessionTower

    def __init__(self, config: Config, data: EncodedData, has_carts: bool, seed: int) -> None:
        super().__init__(data, name="session_cnn")
        self._config = config
        self._size = min(config.window, data.max_history)
        self.candidate_tower = DescribedItems(
            data,
            dim=config.dim,
            length=config.characters,
            character_dim=config.character_dim,
            channels=config.channels,
            filters=config.text_filters,
            width=config.character_width,
            subword_width=config.subword_width,
            subword_buckets=config.subword_buckets,
            reads=config.content,
            id_dropout=config.id_dropout,
            scale=config.initial_scale,
            seed=seed + 1_000,
        )
        self.has_carts = has_carts and config.cart_weight > 0
        settings = TowerSettings(
            size=self._size,
            dim=config.dim,
            units=config.units,
            heads=(CLICK, CART) if self.has_carts else (CLICK,),
            dropout=config.dropout,
            input_dropout=config.input_dropout,
            empty_rate=config.empty_rate,
            seed=seed,
        )
        if config.over_time == "gru":
            self.query_tower = RecurrentWindow(settings)
        else:
            first, second = config.filters
            self.query_tower = ConvolutionTower(settings, config.channels, (first, second), config.gated_filters)
        self.scores_catalogue = config.objective == "full-softmax" or (
            config.objective == "auto" and data.num_items <= LARGEST_FULL_SOFTMAX
        )
        self.score_matrices = 2 if self.has_carts else 1
        # What training has not seen is never a target, and as a negative would only learn to come last.
        self._trained = np.append(0, np.flatnonzero(data.item_counts[1:]) + 1).astype(np.int32)
        place = np.zeros(data.num_items + 1, dtype=np.int32)
        place[self._trained] = np.arange(len(self._trained))
        self._place = tf.constant(place)
        self._softmax = NextItemSoftmax()
        self._sampled = None
        if not self.scores_catalogue:
            counts = data.item_counts[self._trained]
            self._sampled = SampledNextItem(
                SampledSoftmax(), counts, config.num_samples, config.sample_alpha, log_q=True
            )
        self.create_weights()

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Loss of a batch made by `recsys_tfrs.training.clicks`."""
        seed = inputs["seed"]
        clicks = inputs["clicks"][:, -self._size :]
        window = self._window(clicks, seed, training) if self._sampled else self._trained_window(clicks, seed, training)
        queries = self.query_tower(window, seed, training=training)
        weights = inputs.get("weights", tf.ones_like(inputs["targets"], tf.float32))
        loss = self._loss(window, queries[CLICK], inputs["targets"], weights, seed, training)
        if self.has_carts and "carts" in inputs:
            asked = tf.where(inputs["carts"] > 0)[:, 0]
            carted, weights = tf.gather(inputs["carts"], asked), tf.gather(weights, asked)
            of_carts = self._loss(window, tf.gather(queries[CART], asked), carted, weights, seed, training)
            loss += self._config.cart_weight * of_carts
        return loss

    def query_vectors(
        self,
        users: tf.Tensor,
        history: tf.RaggedTensor,
        ratings: tf.RaggedTensor | None = None,
        rows: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """``[batch, dim]`` of ``[batch, None]`` histories of internal item ids, oldest first; nothing else is read."""
        return self._traced_queries(history)[CLICK]

    def cart_vectors(self, history: tf.RaggedTensor) -> tf.Tensor:
        """As `query_vectors`, of what will be put into the cart; of the next click where no carts were learnt from."""
        queries = self._traced_queries(history)
        return queries.get(CART, queries[CLICK])

    @traced_once(tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1))
    def _traced_queries(self, history: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        return self._queries(history)

    def encoded_query_vectors(
        self,
        encoded: dict[str, tf.Tensor],
        history: tf.RaggedTensor,
        ratings: tf.RaggedTensor | None = None,
        context: dict[str, tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """As `query_vectors`, in an exported graph."""
        return self._queries(history)[CLICK]

    def encoded_cart_vectors(self, history: tf.RaggedTensor) -> tf.Tensor:
        """As `cart_vectors`, in an exported graph."""
        queries = self._queries(history)
        return queries.get(CART, queries[CLICK])

    def candidate_vectors(self) -> tf.Tensor:
        """``[num_items + 1, dim]`` vectors of the whole catalogue by internal id; row 0 is padding."""
        return self.candidate_tower.candidates(self.candidate_tower.read_catalogue().vectors)

    def block(self, history: tf.RaggedTensor) -> tf.Tensor:
        """``[batch, window, positions, channels]`` what the 3-D convolutions read, to be looked at.

        Only of ``over_time = "convolution"``.
        """
        window = self._window(self._known(history))
        there = window.clicks > 0
        vectors = tf.where(
            there[..., None], tf.gather(window.items.vectors, window.places), self.query_tower.padding_vector
        )
        return self.query_tower.block(window, vectors, there)

    def _queries(self, history: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        queries: dict[str, tf.Tensor] = self.query_tower(self._window(self._known(history)))
        return queries

    def _known(self, history: tf.RaggedTensor) -> tf.Tensor:
        """``[batch, window]`` newest items; those that are neither trained on nor described are left out."""
        ids = tf.where(history.flat_values < len(self.candidate_tower.says), history.flat_values, 0)
        says = history.with_flat_values(tf.gather(self.candidate_tower.says, ids))
        return newest(tf.ragged.boolean_mask(history.with_flat_values(ids), says), self._size)

    def _window(self, clicks: tf.Tensor, seed: tf.Tensor | None = None, training: bool = False) -> Window:
        """Clicks with what is read of them, of each item once."""
        distinct, places = tf.unique(tf.reshape(clicks, [-1]))
        items = self.candidate_tower.read(distinct, seed, training)
        return Window(clicks, items, tf.reshape(places, tf.shape(clicks)))

    def _trained_window(self, clicks: tf.Tensor, seed: tf.Tensor, training: bool) -> Window:
        """The same beside all items that training has seen, which are candidates."""
        items = self.candidate_tower.read(tf.constant(self._trained), seed, training)
        return Window(clicks, items, tf.gather(self._place, clicks))

    def _loss(
        self,
        window: Window,
        queries: tf.Tensor,
        targets: tf.Tensor,
        weights: tf.Tensor,
        seed: tf.Tensor,
        training: bool,
    ) -> tf.Tensor:
        queries = queries / self._config.temperature
        tower, targets = self.candidate_tower, tf.gather(self._place, targets)
        if self._sampled is None:
            return self._softmax(queries, tower.candidates(window.items.vectors), targets, weights)

        def candidates(places: tf.Tensor) -> tf.Tensor:
            return tower.candidates(tower.read(tf.gather(self._trained, places), seed, training).vectors)

        return self._sampled(queries, candidates, targets, weights, seed)


def build(
    config: Config, features: FeaturesConfig, interactions: Interactions, histories: Histories, seed: int
) -> SessionCNN:
    """Adapt the preprocessing layers on the training rows and make an untrained model.

    Args:
      config: of the model.
      features: of the preprocessing layers; what is known of the moment of asking is not read.
      interactions: the data set.
      histories: the training rows, grouped by user.
      seed: of the initial weights.

    Raises:
      DataError: see `recsys_tfrs.data.carts.carted_rows`.
    """
    carted = carted_rows(interactions, config.cart_column)
    has_carts = carted is not None and bool(carted[histories.rows].any())
    features = features.model_copy(update={"context_columns": []})
    return SessionCNN(config, encode(features, interactions, histories, config.characters), has_carts, seed)
