"""The signatures of an exported ranking model: raw fields in, predictions out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from recsys_tfrs.models.ranker import Part, Ranker
from recsys_tfrs.serving.inputs import Input, Tensors, signature
from recsys_tfrs.serving.ranking_inputs import RankingInputs, input_names
from recsys_tfrs.serving.speakers import WITHOUT, left_out, spoken

SCORE, PARTS = "score", "parts"


class PartsInGraph:
    """The parts of a ranking model, which stand in for each other.

    A part that is left out, or whose output for a row is not finite, says its mean in training there, so that the
    others still answer and on the same scale.

    Args:
      model: trained.

    Attributes:
      names: of the parts, in order.
    """

    def __init__(self, model: Ranker) -> None:
        self.names = [str(part) for part in model.parts]
        self._model = model

    def heard(self, said: Mapping[Part, tf.Tensor], silent: tf.Tensor) -> tuple[dict[Part, tf.Tensor], tf.Tensor]:
        """What counts, ``[batch, num_targets]`` by part, and ``[batch, num_parts]`` whether the part said it itself.

        Args:
          said: outputs of all parts.
          silent: ``[batch, num_parts]`` True for parts not to be listened to.
        """
        made, spoke = {}, []
        for place, (name, output) in enumerate(said.items()):
            itself = ~silent[:, place] & tf.reduce_all(tf.math.is_finite(output), axis=1)
            made[name] = tf.where(itself[:, None], output, self._model.part_means[place])
            spoke.append(itself)
        return made, tf.stack(spoke, axis=1)


def weights_of(model: tf.keras.Model) -> list[tf.Variable]:
    """Variables of a model; Keras counts vocabularies among them, which are none."""
    return [variable for variable in model.variables if isinstance(variable, tf.Variable)]


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
        self._resources = [*inputs.resources, *weights_of(model)]
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
        predicted = model.predictions(model.total(said))
        return {
            SCORE: predicted[:, 0],
            **{name: predicted[:, place] for place, name in enumerate(self.outputs.values())},
            PARTS: spoken(spoke, self._parts.names),
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
        contributions = {str(part): output * factor for part, output in said.items()}
        return {**contributions, "bias": bias, PARTS: spoken(spoke, self._parts.names)}

    def transform(self, inputs: Tensors) -> Tensors:
        """Every field as the model is given it, by the name of its input."""
        source = self._of_inputs()
        return {source.input_of.get(field, field): values for field, values in source.fields(inputs).items()}

    def _said(self, inputs: Tensors) -> tuple[dict[Part, tf.Tensor], tf.Tensor]:
        source = self._of_inputs()
        said = self._of_model().outputs_of_parts(source.layer.assemble(source.fields(inputs)))
        without = inputs.get(WITHOUT, tf.fill(tf.stack([tf.shape(next(iter(inputs.values())))[0], 0]), ""))
        return self._parts.heard(said, left_out(without, self._parts.names))
