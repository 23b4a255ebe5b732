"""The base of every family that retrieves: what training, evaluation, index and export ask of a model."""

from __future__ import annotations

import tensorflow as tf

from recsys_tfrs.features.encoded import EncodedData
from recsys_tfrs.models.traced import Model, untraced


class Retriever(Model):
    """A query and a candidate meet in a dot product; subclasses bring the two towers and `compute_loss`.

    As it stands, a query is what the encoded columns of a user say. Families that ask with more, such as a history,
    override `query_vectors` and `encoded_query_vectors` together.

    Args:
      data: the data set, encoded.
      name: of the model.

    Attributes:
      data: as given.
      users, items, context: preprocessing layers, adapted on training rows.
      query_tower, candidate_tower: layers that take the output of `users` and of `items`; set by the subclass.
      scores_catalogue: whether a training step scores the whole catalogue, which costs memory.
      score_matrices: how many times it does.
    """

    query_tower: tf.keras.layers.Layer
    candidate_tower: tf.keras.layers.Layer
    scores_catalogue = False
    score_matrices = 1

    def __init__(self, data: EncodedData, name: str) -> None:
        super().__init__(name=name)
        self.data = data
        self.users, self.items, self.context = data.users, data.items, data.context

    def create_weights(self) -> None:
        """Call each tower once, so that all weights exist and checkpoints restore at once."""
        with untraced():
            self.query_vectors(tf.constant([0]), tf.ragged.constant([[]], dtype=tf.int32, ragged_rank=1))
            self.candidate_vectors()

    def query_vectors(
        self,
        users: tf.Tensor,
        history: tf.RaggedTensor,
        ratings: tf.RaggedTensor | None = None,
        rows: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Vectors of known users with given histories.

        Args:
          users: ``[batch]`` internal user ids; 0 for an unknown one.
          history: ``[batch, None]`` internal item ids, oldest first.
          ratings: ``[batch, None]`` float32 aligned with `history`; None: none of them stands out.
          rows: ``[batch]`` int64 row of the interactions in whose context each user asks, -1 for none; None: none.

        Returns:
          ``[batch, dim]``.
        """
        return self.query_tower(self.data.encoded_users(users))

    def encoded_query_vectors(
        self,
        encoded: dict[str, tf.Tensor],
        history: tf.RaggedTensor,
        ratings: tf.RaggedTensor | None = None,
        context: dict[str, tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """As `query_vectors`, of users and moments whose columns are encoded already, in an exported graph."""
        return self.query_tower(encoded)

    def candidate_vectors(self) -> tf.Tensor:
        """``[num_items + 1, dim]`` vectors of the whole catalogue by internal id; row 0 is padding."""
        return self.candidate_tower(self.data.item_table)
