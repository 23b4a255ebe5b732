"""Candidates of a user -> the ranking model's predictions, what is about the user embedded once and not per candidate.

A field's embedding depends on that field alone. So the fields of all items are embedded when the model is exported,
and those of a user, his history and the moment once per request; a candidate costs one lookup.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from recsys_tfrs.layers.field_embeddings import Fields
from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.serving.entities import CPU
from recsys_tfrs.serving.inputs import Tensors
from recsys_tfrs.serving.ranking_inputs import PairInputs
from recsys_tfrs.serving.ranking_signatures import PartsInGraph, weights_of

#: Items whose fields are embedded at once.
_ITEMS_AT_ONCE = 4_096


class Ranked(NamedTuple):
    """What the ranking model says of candidates.

    Attributes:
      predictions: ``[batch, n]`` of the first target.
      order: ``[batch, n]`` the same before the sigmoid, or the clipping, which orders alike and never levels.
      spoke: ``[batch, num_parts]`` whether a part spoke for all candidates.
    """

    predictions: tf.Tensor
    order: tf.Tensor
    spoke: tf.Tensor


class CandidateRanker:
    """A ranking model over the items of a catalogue.

    Args:
      model: trained on pairs.
      inputs: of pairs; its items are the catalogue.

    Attributes:
      parts: of the model.
      resources: variables and tables that a SavedModel with these functions must own.
    """

    def __init__(self, model: Ranker, inputs: PairInputs) -> None:
        self._model, self._inputs = model, inputs
        self.parts = PartsInGraph(model)
        layout = inputs.layer.layout.names
        of_items = {field for side, field, _ in inputs.places if side == "item"}
        self._own = [name for name in layout if name not in of_items]
        self._of_items = [name for name in layout if name in of_items]
        both = [*self._own, *self._of_items]
        self._in_order = [both.index(name) for name in layout]
        self._items = tf.Variable(self._embedded_items(), trainable=False, name="items")
        self.resources: list[Any] = [*inputs.resources, *weights_of(model), self._items]

    def query(self, users: tf.Tensor, raw: Tensors, context: Tensors, history: tf.Tensor) -> tf.Tensor:
        """``[batch, num_own_fields, dim + 1]`` what is about the user and the moment, embedded.

        Args:
          users: ``[batch]`` internal ids.
          raw: user columns by name that replace what is stored.
          context: columns of the moment by name; what is left out is missing.
          history: ``[batch, any]`` internal item ids, oldest first, 0 anywhere; read where the model does.
        """
        inputs = self._inputs
        raw = {name: values for name, values in raw.items() if name in inputs.users.inputs}
        context = {name: values for name, values in context.items() if name in inputs.context.inputs}
        sides = {
            "user": inputs.users.encoded(users, raw),
            "context": inputs.context.encoded(inputs.context.not_given(tf.shape(users)[0]) | context),
        }
        made = {field: sides[side][column] for side, field, column in inputs.places if side in sides}
        if inputs.reads_history:
            made |= inputs.newest(history)
        return self._embedded(self._own, made)

    def rank(
        self,
        query: tf.Tensor,
        ids: tf.Tensor,
        silent: tf.Tensor,
        history: tf.Tensor | None = None,
        may_hold: tf.Tensor | None = None,
    ) -> Ranked:
        """Predict candidates.

        Args:
          query: output of `query`.
          ids: ``[batch, n]`` internal ids, 0 for none.
          silent: ``[batch, num_parts]`` True for parts not to be listened to.
          history: as of `query`.
          may_hold: scalar, whether a candidate may be in the history of its row, and is then left out of it; None:
            none is.
        """
        batch, count = tf.unstack(tf.shape(ids))
        shared = tf.broadcast_to(query[:, None], tf.concat([[batch, count], tf.shape(query)[1:]], 0))
        if may_hold is not None and history is not None and self._inputs.reads_history:
            shared = tf.cond(may_hold, lambda: self._each_with_own_history(shared, history, ids), lambda: shared)
        fields = tf.gather(tf.concat([shared, tf.gather(self._items, ids)], axis=2), self._in_order, axis=2)
        flat = tf.reshape(fields, [-1, len(self._in_order), self._items.shape[-1]])
        said = self._model.outputs_of_fields(Fields(flat[..., :-1], flat[..., -1]))
        heard, spoke = self.parts.heard(said, tf.repeat(silent, count, axis=0))
        total = self._model.total(heard)
        order = total[:, 0] * self._model.calibration[0, 0] + self._model.calibration[0, 1]
        spoke = tf.reshape(spoke, tf.stack([batch, count, len(self.parts.names)])) | (ids == 0)[:, :, None]
        return Ranked(
            tf.reshape(self._model.predictions(total)[:, 0], tf.shape(ids)),
            tf.reshape(order, tf.shape(ids)),
            tf.reduce_all(spoke, axis=1) & ~silent,
        )

    def _each_with_own_history(self, shared: tf.Tensor, history: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        batch, count = tf.unstack(tf.shape(ids))
        for name, newest in self._inputs.newest(tf.repeat(history, count, axis=0), tf.reshape(ids, [-1])).items():
            place = self._own.index(name)
            embedded = self._model.embeddings.of_field(name, newest)
            embedded = tf.reshape(embedded, tf.stack([batch, count, 1, embedded.shape[-1]]))
            shared = tf.concat([shared[:, :, :place], embedded, shared[:, :, place + 1 :]], axis=2)
        return shared

    def _embedded(self, names: list[str], encoded: Tensors) -> tf.Tensor:
        """``[rows, num_names, dim + 1]``, first-order weights last."""
        return tf.stack([self._model.embeddings.of_field(name, encoded[name]) for name in names], axis=1)

    def _embedded_items(self) -> tf.Tensor:
        """``[num_items + 1, num_item_fields, dim + 1]``."""
        items, blocks = self._inputs.items, []
        for low in range(0, items.ids.size, _ITEMS_AT_ONCE):
            with tf.device(CPU):
                columns = items.encoded(tf.range(low, min(low + _ITEMS_AT_ONCE, items.ids.size)), {})
            encoded = {field: columns[column] for side, field, column in self._inputs.places if side == "item"}
            blocks.append(self._embedded(self._of_items, encoded))
        return tf.concat(blocks, axis=0)
