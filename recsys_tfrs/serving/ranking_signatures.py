"""The signatures of an exported ranking model: raw fields in, predictions out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.serving.entities import CPU
from recsys_tfrs.serving.inputs import Input, Tensors, signature
from recsys_tfrs.serving.ranking_inputs import RankingInputs, input_names

SCORE, PARTS, WITHOUT = "score", "parts", "without"


class PartsInGraph:
    """A ranking model whose parts stand in for each other.

    A part that is left out, or whose output for a row is not finite, says its mean in training there, so that the
    others still answer and on the same scale.

    Args:
      model: trained.

    Attributes:
      names: of the parts, in order.
      resources: variables that a SavedModel with these functions must own.
    """

    def __init__(self, model: Ranker) -> None:
        self.names = [str(part) for part in model.parts]
        self._model = model
        with tf.device(CPU):
            self._table = tf.Variable(_spoken(self.names), trainable=False)
        # Among the variables of a model Keras counts vocabularies, which are not.
        self.resources = [*(v for v in model.variables if isinstance(v, tf.Variable)), self._table]

    def outputs(self, encoded: Tensors, left_out: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
        """What each part says, ``[batch, num_targets]`` by name, and ``[batch, num_parts]`` whether it said it itself.

        Args:
          encoded: tensors of the model's preprocessing.
          left_out: ``[batch, num_parts]`` True for parts not to be listened to.
        """
        said = self._model.outputs_of_parts(encoded)
        made, spoke = {}, []
        for place, (name, output) in enumerate(said.items()):
            itself = ~left_out[:, place] & tf.reduce_all(tf.math.is_finite(output), axis=1)
            made[str(name)] = tf.where(itself[:, None], output, self._model.part_means[place])
            spoke.append(itself)
        return made, tf.stack(spoke, axis=1)

    def spoken(self, spoke: tf.Tensor) -> tf.Tensor:
        """``[batch]`` strings such as ``linear+deep``, from ``[batch, num_parts]`` who spoke."""
        with tf.device(CPU):
            code = tf.reduce_sum(tf.cast(spoke, tf.int32) * [2**place for place in range(len(self.names))], axis=1)
            return tf.gather(self._table, code)

    def left_out(self, names: tf.Tensor) -> tf.Tensor:
        """``[batch, num_parts]`` which parts ``[batch, any]`` names, "" for none, leave out.

        Raises:
          tf.errors.InvalidArgumentError: (when run) there is no such part.
        """
        with tf.device(CPU):
            named = names[:, :, None] == tf.constant(self.names)
            known = tf.reduce_all((names == "") | tf.reduce_any(named, axis=2))
            check = tf.debugging.Assert(known, [f"without may name {', '.join(self.names)}, but names:", names])
            with tf.control_dependencies([check]):
                return tf.reduce_any(named, axis=1)


class RankingSignatures(tf.Module):
    """Predict, take apart and transform.

    Args:
      model: trained.
      inputs: from raw fields to encoded ones.

    Attributes:
      outputs: name of the output by target.
    """

    def __init__(self, model: Ranker, inputs: RankingInputs) -> None:
        super().__init__(name="ranking")
        self._parts = PartsInGraph(model)
        self._resources = [*inputs.resources, *self._parts.resources]
        self.outputs = input_names([target.name for target in model.targets], taken=(SCORE, PARTS))
        # Neither is an attribute: a Keras layer would be exported with a function for each of its call modes.
        self._of_model: Callable[[], Ranker] = lambda: model
        self._of_inputs: Callable[[], RankingInputs] = lambda: inputs

    def functions(self) -> dict[str, Any]:
        """`tf.function` by signature name, for `tf.saved_model.save`."""
        inputs = self._of_inputs()
        fields, short = list(inputs.inputs), [declared for declared in inputs.inputs if declared.name in inputs.short]
        without = Input(WITHOUT, tf.string, 2, "")
        made = {
            "serving_default": signature(self.predict, [*fields, without], inputs.required),
            "parts": signature(self.parts, [*fields, without], inputs.required),
            "transform": signature(self.transform, fields, inputs.required),
        }
        if short:
            made["score_pair"] = signature(self.predict, short, inputs.required)
        return made

    def predict(self, inputs: Tensors) -> Tensors:
        """Predict each row.

        Args:
          inputs: fields; ``without`` ``[batch, any]`` names of parts to leave out, padded with "".

        Returns:
          ``score`` ``[batch]``, the prediction of the first target; that of each target by its name; ``parts``
          ``[batch]`` which parts spoke, as in ``linear+fm+deep``.
        """
        said, spoke = self._said(inputs)
        model = self._of_model()
        predicted = model.predictions(model.total(said))  # type: ignore[arg-type]
        return {
            SCORE: predicted[:, 0],
            **{name: predicted[:, place] for place, name in enumerate(self.outputs.values())},
            PARTS: self._parts.spoken(spoke),
        }

    def parts(self, inputs: Tensors) -> Tensors:
        """What each part contributes.

        Returns:
          ``[batch, num_targets]`` by name of the part, and ``bias``: log-odds of a binary target after calibration,
          points of a rating. They add up to the prediction, or its log-odds. ``parts`` as in `predict`.
        """
        said, spoke = self._said(inputs)
        model = self._of_model()
        rating = np.array([target.kind == "rating" for target in model.targets])
        unit = tf.constant(np.where(rating, [t.deviation for t in model.targets], 1.0), tf.float32)
        origin = tf.constant(np.where(rating, [t.mean for t in model.targets], 0.0), tf.float32)
        factor, shift = model.calibration[:, 0] * unit, model.calibration[:, 1] * unit
        bias = tf.broadcast_to(factor * model.bias + shift + origin, tf.shape(next(iter(said.values()))))
        contributions = {name: output * factor for name, output in said.items()}
        return {**contributions, "bias": bias, PARTS: self._parts.spoken(spoke)}

    def transform(self, inputs: Tensors) -> Tensors:
        """Every field as the model is given it, by the name of its input."""
        source = self._of_inputs()
        return {source.input_of.get(field, field): values for field, values in source.fields(inputs).items()}

    def _said(self, inputs: Tensors) -> tuple[Tensors, tf.Tensor]:
        source = self._of_inputs()
        encoded = source.layer.assemble(source.fields(inputs))
        rows = tf.shape(next(iter(inputs.values())))[0]
        without = inputs.get(WITHOUT, tf.fill(tf.stack([rows, 0]), ""))
        return self._parts.outputs(encoded, self._parts.left_out(without))


def _spoken(names: list[str]) -> tf.Tensor:
    """``[2 ** num_parts]`` what to say of each choice of parts, the first part the lowest bit."""
    choices = range(2 ** len(names))
    return tf.constant(["+".join(n for place, n in enumerate(names) if choice >> place & 1) for choice in choices])
