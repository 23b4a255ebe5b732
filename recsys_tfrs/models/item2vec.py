"""Item2vec: item vectors from what occurs together, by CBOW or skip-gram with negative sampling.

Mikolov et al., Distributed representations of words and phrases and their compositionality, NeurIPS 2013, section 2.2
(negative sampling, equation 4); Mikolov et al., Efficient estimation of word representations in vector space, 2013
(CBOW, skip-gram); Barkan and Koenigstein, Item2vec: Neural item embedding for collaborative filtering, MLSP 2016.

Every item i has an input vector v_i and an output vector u_i. Sentences are the lists of the users; there is no vector
of a user, and nothing about him but his list is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import Field

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import UsageError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoded import EncodedData, encode
from recsys_tfrs.features.encoders import Encoder
from recsys_tfrs.layers.embedding import SummedFeatures
from recsys_tfrs.layers.history import HistoryBag, ages
from recsys_tfrs.models.family import BatchesOf, FamilyConfig
from recsys_tfrs.models.retriever import Retriever
from recsys_tfrs.models.traced import traced_once
from recsys_tfrs.objectives.word2vec import NegativeSampling
from recsys_tfrs.schema import ITEM_ID

#: The family's own defaults of the ``training`` section: a list makes many pairs, so few of them fill a batch.
TRAINING: dict[str, Any] = {"batch_size": 1_024}


class Config(FamilyConfig):
    """Settings of item2vec."""

    batches_of: ClassVar[BatchesOf] = "pairs"

    dim: int = Field(128, ge=1, description="Size of input and output vectors.")
    mode: Literal["cbow", "skip-gram"] = Field(
        "cbow", description="Predict an item from the mean of its context, or each item of the context from it."
    )
    context: Literal["auto", "window", "list"] = Field(
        "auto",
        description="Context of an item: its neighbours in time, or a random sample of its list, whose order then "
        "does not matter; auto: both are tried and validation decides.",
    )
    window: int = Field(10, ge=1, description="Most items of a context on each side.")
    dynamic_window: bool = Field(
        True, description="Draw the reach of each context from 1 to `window`, so that near items weigh more."
    )
    subsample: float = Field(
        0.0, ge=0, lt=1, description="t: occurrences of items that make up a share f stay with sqrt(t / f); 0: all."
    )
    negatives: int = Field(5, ge=1, description="Negatives per positive, at most as many as there are items.")
    alpha: float = Field(0.75, ge=0, description="Negatives are drawn by an item's frequency to this power.")
    shared_negatives: int = Field(
        1_024,
        ge=1,
        description="Items drawn once for a batch to stand for the negatives of all its positives; from the size of "
        "the catalogue on nothing is drawn, and the expected value is computed over all items.",
    )
    normalize: bool = Field(True, description="Vectors of length 1, so that scores are cosines over `temperature`.")
    temperature: float = Field(0.15, gt=0, description="Cosines are divided by this; of no matter otherwise.")
    initial_scale: float = Field(0.05, gt=0, description="Standard deviation of the initial vectors.")
    candidates: Literal["output", "input"] = Field(
        "output", description="Recommend by output vectors, as trained, or by the likeness of input vectors."
    )
    popularity: float = Field(
        1.0, ge=0, description="Weight of log q in what is recommended: 1, what is likely; 0, what stands out."
    )
    recency_items: float = Field(
        10.0,
        ge=0,
        description="Items over which the weight in a query falls to a third, under `window`; 0: it does not fall.",
    )
    item_columns: bool = Field(
        False, description="Add the embeddings of item columns to the output vectors, which places items not trained."
    )

    def variants(self, has_times: bool) -> dict[str, Config]:
        """The settings that validation chooses from, by name; one unless `context` is left to it."""
        if self.context != "auto":
            return {self.context: self}
        ways: tuple[Literal["window", "list"], ...] = ("window", "list") if has_times else ("list",)
        return {way: self.model_copy(update={"context": way}) for way in ways}

    def pairs(self) -> dict[str, Any]:
        """Arguments of `recsys_tfrs.training.pairs.pair_batches`."""
        return {
            "window": self.window,
            "dynamic_window": self.dynamic_window,
            "shuffle": self.context == "list",
            "subsample": self.subsample,
        }


class InputVectors(tf.keras.layers.Layer):
    """Ids of the items' id vocabulary -> ``[num_ids, dim]`` input vectors v; id 0, the unknown, has none of its own."""

    def __init__(self, config: Config, vocabulary_size: int, seed: int) -> None:
        super().__init__(name="input_vectors")
        self._normalize = config.normalize
        self.bag = HistoryBag(vocabulary_size, config.dim, seed=seed, scale=config.initial_scale)

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Look up vectors."""
        vectors = tf.cast(tf.gather(self.bag.table, ids), self.compute_dtype)
        return tf.math.l2_normalize(vectors, axis=1) if self._normalize else vectors


class OutputVectors(tf.keras.layers.Layer):
    """Encoded item columns -> ``[batch, dim]`` output vectors u, and ``[batch]`` biases b."""

    def __init__(self, config: Config, encoders: Mapping[str, Encoder], seed: int) -> None:
        super().__init__(name="output_vectors")
        self._normalize = config.normalize
        self._vectors = SummedFeatures(encoders, config.dim, seed=seed, scale=config.initial_scale, name="item_vectors")
        self._bias = self.add_weight(
            name="bias", shape=(encoders[ITEM_ID].vocabulary_size,), initializer=tf.keras.initializers.Zeros()
        )

    def call(self, encoded: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Look up vectors and biases."""
        vectors = self._vectors(encoded)
        bias = tf.cast(tf.gather(self._bias, encoded[ITEM_ID]), self.compute_dtype)
        return (tf.math.l2_normalize(vectors, axis=1) if self._normalize else vectors), bias


class QueryTower(tf.keras.layers.Layer):
    """Lists -> ``[batch, dim + 1]``: the weighted mean of input vectors, and a 1 that meets what each item has alone.

    An empty list is the zero vector and that 1: what is asked for is popularity.
    """

    def __init__(self, config: Config, inputs: InputVectors) -> None:
        super().__init__(name="query_tower")
        self._inputs = inputs
        self._scale = 1.0 / config.temperature if config.normalize else 1.0
        self._recency_items = config.recency_items if config.context == "window" else 0.0

    def mean(self, items: tf.RaggedTensor) -> tf.Tensor:
        """``[batch, dim]`` mean of lists whose items weigh alike, scaled so that products with u are logits."""
        return self._weighted(items, tf.ones_like(items.flat_values, tf.float32))

    def call(self, encoded: dict[str, tf.Tensor], history: tf.RaggedTensor) -> tf.Tensor:
        """Queries of ``[batch, None]`` ids of the items' id vocabulary, oldest first; `encoded` is not looked at."""
        weights = tf.ones_like(history.flat_values, tf.float32)
        if self._recency_items:
            weights *= tf.exp(-ages(history) / self._recency_items)
        mean = self._weighted(history, weights)
        return tf.concat([mean, tf.ones_like(mean[:, :1])], axis=1)

    def _weighted(self, items: tf.RaggedTensor, weights: tf.Tensor) -> tf.Tensor:
        rows, num_rows = items.value_rowids(), items.nrows()
        weights = tf.where(items.flat_values > 0, weights, 0.0)
        total = tf.math.unsorted_segment_sum(weights, rows, num_rows)
        shares = tf.cast(tf.math.divide_no_nan(weights, tf.gather(total, rows)), self.compute_dtype)
        vectors = self._inputs(items.flat_values) * shares[:, None]
        return self._scale * tf.math.unsorted_segment_sum(vectors, rows, num_rows)


class CandidateTower(tf.keras.layers.Layer):
    """Encoded item columns -> ``[batch, dim + 1]``: a vector, and what is added to the score whatever is asked.

    Args:
      config: of the family.
      inputs: where candidates are input vectors.
      outputs: where they are output vectors, with their biases.
      log_q: ``[vocabulary_size]`` by id of the items' id vocabulary.
    """

    def __init__(
        self, config: Config, inputs: InputVectors, outputs: OutputVectors, log_q: NDArray[np.float32]
    ) -> None:
        super().__init__(name="candidate_tower")
        self._vectors: InputVectors | OutputVectors = outputs if config.candidates == "output" else inputs
        self._popularity = config.popularity
        # A weight, so that an export of a later data set keeps what was counted in training.
        initial = tf.keras.initializers.Constant(log_q)
        self._log_q = self.add_weight(name="log_q", shape=log_q.shape, initializer=initial, trainable=False)

    def call(self, encoded: dict[str, tf.Tensor]) -> tf.Tensor:
        """Candidates as a query meets them."""
        ids = encoded[ITEM_ID]
        alone = self._popularity * tf.cast(tf.gather(self._log_q, ids), self.compute_dtype)
        if isinstance(self._vectors, OutputVectors):
            vectors, bias = self._vectors(encoded)
            alone += bias
        else:
            vectors = self._vectors(ids)
        return tf.concat([vectors, alone[:, None]], axis=1)


class Item2Vec(Retriever):
    """Two vectors per item, trained on centers and contexts, asked with lists.

    Args:
      config: of the family.
      data: the data set, encoded.
      item_ids: ``[num_items + 1]`` external ids, by which similar items and analogies are asked for.
      seed: of the initial weights.

    Attributes:
      inputs, outputs: the two vectors of every item.
      query_tower, candidate_tower: made of them.

    Raises:
      ConfigError: more negatives per positive than items.
    """

    def __init__(self, config: Config, data: EncodedData, item_ids: NDArray[np.object_], seed: int) -> None:
        super().__init__(data, name="item2vec")
        self._config = config
        self._position = {external: position for position, external in enumerate(item_ids) if position}
        self._item_ids = item_ids
        self._task = NegativeSampling(data.item_counts, config.negatives, config.alpha, config.shared_negatives)
        ids = data.items.encoders[ITEM_ID]
        described = {name: encoder for name, encoder in data.items.encoders.items() if config.item_columns}
        encoders = {ITEM_ID: ids, **described}
        self._item_table = {name: data.item_table[name] for name in encoders}
        self.inputs = InputVectors(config, ids.vocabulary_size, seed)
        self.outputs = OutputVectors(config, encoders, seed + 1_000)
        self.query_tower = QueryTower(config, self.inputs)
        self.candidate_tower = CandidateTower(config, self.inputs, self.outputs, self._log_q_by_vocabulary())
        self.outputs(self._encoded_items(tf.constant([0])))
        self.create_weights()

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Loss of a batch made by `recsys_tfrs.training.pairs.PairBatches`."""
        center, context = inputs["center"], inputs["context"]
        if self._config.mode == "skip-gram":
            asked = tf.RaggedTensor.from_row_lengths(center, tf.ones_like(center))
            targets, asks, weights = context.flat_values, context.value_rowids(), inputs.get("context_weight")
            weights = None if weights is None else weights.flat_values
        else:
            asked = context
            targets, asks, weights = center, tf.range(tf.size(center)), inputs.get("center_weight")
        queries = self.query_tower.mean(self.data.item_vocabulary_ids(asked))  # [num_queries, dim]
        vectors, bias = self.outputs(self._encoded_items(targets))  # [num_positives, dim]
        positive_scores = tf.reduce_sum(tf.gather(queries, asks) * vectors, axis=1) + bias
        noise = self._task.noise(context, targets, inputs["seed"])
        vectors, bias = self.outputs(self._encoded_items(noise.ids))  # [num_noise, dim]
        noise_scores = tf.matmul(queries, vectors, transpose_b=True) + bias
        weights = tf.ones_like(targets, tf.float32) if weights is None else weights
        return self._task(positive_scores, noise_scores, asks, weights, noise)

    def query_vectors(
        self,
        users: tf.Tensor,
        history: tf.RaggedTensor,
        ratings: tf.RaggedTensor | None = None,
        rows: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """``[batch, dim + 1]`` vectors of ``[batch, None]`` lists of internal item ids, oldest first.

        Users, ratings and moments of asking are not looked at.
        """
        return self._traced_query_vectors(history)

    @traced_once(tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1))
    def _traced_query_vectors(self, history: tf.RaggedTensor) -> tf.Tensor:
        return self.encoded_query_vectors({}, history)

    def encoded_query_vectors(
        self,
        encoded: dict[str, tf.Tensor],
        history: tf.RaggedTensor,
        ratings: tf.RaggedTensor | None = None,
        context: dict[str, tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """As `query_vectors`, in an exported graph."""
        return self.query_tower(encoded, self.data.item_vocabulary_ids(history[:, -self.data.max_history :]))

    def candidate_vectors(self) -> tf.Tensor:
        """``[num_items + 1, dim + 1]`` vectors of the whole catalogue by internal id; row 0 is padding."""
        return self.candidate_tower(self._item_table)

    def similar_items(self, item: str, k: int = 10) -> list[tuple[str, float]]:
        """The items whose input vectors are nearest to that of an item.

        Args:
          item: external id.
          k: how many at most.

        Returns:
          ``(external id, cosine)``, nearest first.

        Raises:
          UsageError: the item is unknown or does not occur in training, or k is less than 1.
        """
        position = self._trained(item)
        return self._nearest(self.directions()[position], [position], k)

    def analogy(self, a: str, b: str, c: str, k: int = 10) -> list[tuple[str, float]]:
        """What is to c as b is to a: the items nearest to ``v_b - v_a + v_c``, with all three left out.

        Mikolov, Yih and Zweig, Linguistic regularities in continuous space word representations, NAACL 2013.

        Args:
          a: external id of the item that b is compared with.
          b: external id.
          c: external id.
          k: how many at most.

        Returns:
          ``(external id, cosine)``, nearest first.

        Raises:
          UsageError: as `similar_items`.
        """
        positions = [self._trained(item) for item in (a, b, c)]
        of_a, of_b, of_c = self.directions()[positions]
        return self._nearest(of_b - of_a + of_c, positions, k)

    def _nearest(self, direction: NDArray[np.float32], left_out: list[int], k: int) -> list[tuple[str, float]]:
        if k < 1:
            raise UsageError(f"k must be at least 1, not {k}.")
        cosines = self.directions() @ (direction / max(float(np.linalg.norm(direction)), 1e-12))
        cosines[self.data.item_counts == 0] = -np.inf  # what training has not seen has no vector
        cosines[left_out] = -np.inf
        best = np.argsort(-cosines, kind="stable")[:k]
        return [(str(self._item_ids[i]), float(cosines[i])) for i in best if np.isfinite(cosines[i])]

    def directions(self) -> NDArray[np.float32]:
        """``[num_items + 1, dim]`` input vectors of length 1."""
        vectors = tf.cast(self.inputs(self.data.item_table[ITEM_ID]), tf.float32)
        directions: NDArray[np.float32] = tf.math.l2_normalize(vectors, axis=1).numpy()
        return directions

    def _trained(self, item: str) -> int:
        position = self._position.get(item)
        if position is None:
            raise UsageError(
                f"There is no item {item!r} in the catalogue, which holds ids such as {self._item_ids[1]!r}."
            )
        if self.data.item_counts[position] == 0:
            raise UsageError(
                f"Item {item!r} does not occur in the training rows, so it has no vector: ask for another."
            )
        return position

    def _log_q_by_vocabulary(self) -> NDArray[np.float32]:
        """`NegativeSampling.log_q` by id of the items' id vocabulary; an item unseen in training counts as one."""
        ids = self.data.item_table[ITEM_ID].numpy()
        log_q = np.full(self.data.items.encoders[ITEM_ID].vocabulary_size, self._task.log_q[0])
        log_q[ids[1:]] = self._task.log_q[1:]
        log_q[0] = self._task.log_q[0]
        return log_q

    def _encoded_items(self, items: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.gather(table, items) for name, table in self._item_table.items()}


def build(
    config: Config, features: FeaturesConfig, interactions: Interactions, histories: Histories, seed: int
) -> Item2Vec:
    """Adapt the preprocessing layers on the training rows and make an untrained model.

    Args:
      config: of the model.
      features: of the preprocessing layers.
      interactions: the data set.
      histories: the training rows, grouped by user.
      seed: of the initial weights.
    """
    return Item2Vec(config, encode(features, interactions, histories), interactions.item_ids, seed)
