"""What all ranking models are: fields -> embeddings -> parts that speak at once, their sum the prediction.

Guo et al., DeepFM: a factorization-machine based neural network for CTR prediction, IJCAI 2017
(https://arxiv.org/abs/1703.04247): ``y = sigmoid(y_FM + y_DNN)``, both reading the same embeddings. Each family is a
choice of parts:

===========  ======================================================  ==================================================
part         output                                                  source
===========  ======================================================  ==================================================
``linear``   ``sum_i w_i x_i``                                       logistic regression
``fm``       ``sum_{i<j} <v_i, v_j> x_i x_j``                        Rendle, ICDM 2010, equation 1
``deep``     ``W relu(... relu(W_1 [v_1; ...; v_n]) ...)``           DeepFM, equation 4
``cross``    ``W x_L``, ``x_{l+1} = x_0 * (U V x_l + b) + x_l``      Wang et al., DCN V2, WWW 2021, equation 1
===========  ======================================================  ==================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from numpy.typing import NDArray
from pydantic import Field, field_validator

from recsys_tfrs.features.encoders import IdEncoder
from recsys_tfrs.features.fields import IDS, EncodedExamples, ExamplePreprocessor
from recsys_tfrs.features.pair_examples import history_widths
from recsys_tfrs.layers.dropout import keep_mask
from recsys_tfrs.layers.factorization_machine import pairwise_interactions
from recsys_tfrs.layers.field_embeddings import FieldEmbeddings, Fields
from recsys_tfrs.layers.tower import Tower
from recsys_tfrs.models.family import BatchesOf, FamilyConfig
from recsys_tfrs.models.traced import Model
from recsys_tfrs.objectives.prediction import PredictionLoss, Target

Part = Literal["linear", "fm", "deep", "cross"]

#: The families' own defaults of the ``training`` section.
TRAINING: dict[str, Any] = {
    "batch_size": 4_096,
    "epochs": 60,
    "learning_rate": 2e-3,
    "validate_every": 1,
    "patience": 3,
}

#: Rows that are predicted at once.
_PREDICTED_ROWS = 16_384

#: Held down lightly, long embeddings know by heart who returns to what, which `embedding_decay` does not let them. They
#: start larger, as products of small ones grow slowly.
_LIGHT: dict[str, Any] = {"regularization": "lookups", "embedding_l2": 0.003, "dim": 64, "initial_scale": 0.1}

#: Settings that `regularization = "auto"` chooses from, by name, of models with hidden layers and without.
_VARIANTS: dict[str, dict[str, Any]] = {
    "rows": {"regularization": "rows"},
    "normalized": {"regularization": "normalized", "embedding_decay": 0.05},
    "lookups": {**_LIGHT, "hidden": [128], "dropout": 0.5},
}
_VARIANTS_WITHOUT_HIDDEN: dict[str, dict[str, Any]] = {
    "lookups": {"regularization": "lookups", "dim": 64},
    "lookups-light": _LIGHT,
}

#: Salts of the random numbers drawn in a step, see `layers.dropout.keep_mask`; a tower draws from its own upwards.
_EMBEDDING_SALT, _UNKNOWN_SALT, _TOWER_SALT = 41, 42, 50


RankerConfigT = TypeVar("RankerConfigT", bound="RankerConfig")


class RankerConfig(FamilyConfig):
    """Settings of ranking models; a family is a choice of `parts`."""

    batches_of: ClassVar[BatchesOf] = "examples"

    regularization: Literal["auto", "rows", "normalized", "lookups"] = Field(
        "auto",
        description="rows: all embeddings decay (`embedding_decay`), so that what is rare is held at nothing; "
        "normalized: the same, and what goes into the hidden layers is normalised by the batch (Ioffe and Szegedy, "
        "ICML 2015); lookups: the embeddings of a batch decay (`embedding_l2`), so that what is frequent is held "
        "closest; auto: validation decides between them, each with its own size of embeddings and hidden layers, "
        "without hidden layers between two weights of lookups. What is not at its default stays.",
    )
    parts: list[Part] = Field(["linear", "fm", "deep"], min_length=1, description="What the prediction is the sum of.")
    dim: int = Field(16, ge=1, description="Size of the embedding of a field.")
    hidden: list[int] = Field([400, 400, 400], description="Hidden layers of the deep part.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of outputs of hidden layers dropped in training.")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="Share of fields dropped in training.")
    unknown_rate: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of user and item ids, and of histories, replaced by the unknown in training, so that the "
        "rest of an example learns to speak for those never seen.",
    )
    embedding_l2: float = Field(
        0.03, ge=0, description="Under `lookups`, weight in the loss of the squared length of an example's embeddings."
    )
    linear_l2: float = Field(
        0.0, ge=0, description="Weight in the loss of the squared first-order weights, under every regularisation."
    )
    embedding_decay: float = Field(
        0.01, ge=0, description="Unless `lookups`, weight in the loss of half the squared length of all embeddings."
    )
    cross_layers: int = Field(3, ge=1, description="Layers of the cross part.")
    initial_scale: float = Field(0.01, gt=0, description="Standard deviation of the initial embeddings.")

    def variants(self: RankerConfigT, has_times: bool) -> dict[str, RankerConfigT]:
        """The settings that validation chooses from."""
        if self.regularization != "auto" or not {"fm", "deep", "cross"} & set(self.parts):
            return {self.regularization: self}
        tried = _VARIANTS if "deep" in self.parts else _VARIANTS_WITHOUT_HIDDEN
        # Told by values, not by what was assigned: a run that is resumed reads all settings from its file.
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        open_to = {name for name, default in defaults.items() if getattr(self, name) == default}
        return {
            name: self.model_copy(update={k: v for k, v in update.items() if k in open_to})
            for name, update in tried.items()
        }

    @property
    def of_rows(self) -> bool:
        """Whether all embeddings decay; until validation has decided, too."""
        return self.regularization != "lookups"

    @field_validator("parts")
    @classmethod
    def _once_each(cls, parts: list[Part]) -> list[Part]:
        if len(set(parts)) < len(parts):
            raise ValueError("a part is named twice")
        return parts


class Ranker(Model):
    """A sum of parts over shared field embeddings.

    Args:
      config: of the family.
      preprocessor: of the raw fields.
      targets: what is predicted.
      seed: of the initial weights.
      name: of the model.

    Attributes:
      config, preprocessor, targets: as given.
      parts: names of the parts, in order.
      embeddings: of the fields.
      calibration: ``[num_targets, 2]`` factor and shift of the outputs, fitted after training; 1 and 0 before.
      part_means: ``[num_parts, num_targets]`` mean output of each part in training, which stands in for one that is
        switched off.
    """

    def __init__(
        self, config: RankerConfig, preprocessor: ExamplePreprocessor, targets: Sequence[Target], seed: int, name: str
    ) -> None:
        super().__init__(name=name)
        self.config, self.preprocessor, self.targets = config, preprocessor, list(targets)
        self.parts: list[Part] = list(config.parts)
        wide = bool({"fm", "deep", "cross"} & set(self.parts))
        count = len(self.targets)
        self.embeddings = FieldEmbeddings(
            preprocessor.layout, config.dim if wide else 0, scale=config.initial_scale, seed=seed
        )
        start = [_logit(target.mean) if target.kind == "binary" else 0.0 for target in self.targets]
        self.bias = self.add_weight(
            name="bias", shape=(count,), initializer=tf.keras.initializers.Constant(np.array(start, np.float32))
        )
        # How much of a part that has a single output each target takes.
        self.shares = {
            part: self.add_weight(name=f"share_of_{part}", shape=(count,), initializer="ones")
            for part in self.parts
            if part in ("linear", "fm") and count > 1
        }
        if "deep" in self.parts:
            self.tower = Tower(
                config.hidden,
                dropout=config.dropout,
                batch_norm=config.regularization == "normalized",
                seed=seed + 10,
                salt=_TOWER_SALT,
            )
            self.deep_output = _output(count, seed + 30, "deep_output")
        if "cross" in self.parts:
            self.crosses = [
                tfrs.layers.dcn.Cross(kernel_initializer=tf.keras.initializers.GlorotUniform(seed + 40 + layer))
                for layer in range(config.cross_layers)
            ]
            self.cross_output = _output(count, seed + 60, "cross_output")
        unit = np.tile(np.array([1.0, 0.0], np.float32), (count, 1))
        self.calibration = self.add_weight(
            name="calibration", shape=unit.shape, initializer=tf.keras.initializers.Constant(unit), trainable=False
        )
        self.part_means = self.add_weight(
            name="part_means", shape=(len(self.parts), count), initializer="zeros", trainable=False
        )
        # Fields of ids, of which there are always some that training has not seen.
        encoders = preprocessor.encoders
        self._single_ids = tf.constant([isinstance(encoders[name], IdEncoder) for name in preprocessor.layout.single])
        self._several_ids = list(history_widths(preprocessor))
        self._loss = PredictionLoss(self.targets)
        self.outputs_of_parts(preprocessor(_one_row(preprocessor)))  # all weights exist from here on

    def outputs_of_parts(self, encoded: Mapping[str, tf.Tensor]) -> dict[Part, tf.Tensor]:
        """What each part says of the preprocessor's output: ``[batch, num_targets]`` float32 by name."""
        return self.outputs_of_fields(self.fields(encoded))

    def fields(self, encoded: Mapping[str, tf.Tensor], seed: tf.Tensor | None = None, training: bool = False) -> Fields:
        """Embeddings and first-order weights of the fields of an example.

        Args:
          encoded: output of the preprocessor.
          seed: ``[2]`` int32 seed of the step, in training.
          training: apply dropout.
        """
        fields: Fields = self.embeddings(dict(encoded))
        if training and self.config.embedding_dropout:
            rate = self.config.embedding_dropout
            kept = tf.cast(keep_mask(tf.shape(fields.weights), rate, seed, _EMBEDDING_SALT), fields.weights.dtype)
            kept /= 1 - rate
            fields = Fields(fields.vectors * kept[:, :, None], fields.weights * kept)
        return fields

    def call(self, encoded: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """``[batch, num_targets]`` predictions, probabilities and ratings, from the preprocessor's output."""
        return self.predictions(self.total(self.outputs_of_parts(encoded)))

    def total(self, outputs: Mapping[Part, tf.Tensor]) -> tf.Tensor:
        """``[batch, num_targets]`` sum of the parts' outputs, the bias added."""
        return tf.add_n([*outputs.values()]) + self.bias

    def predictions(self, total: tf.Tensor) -> tf.Tensor:
        """``[batch, num_targets]`` sums of parts -> ``[batch, num_targets]`` probabilities and ratings."""
        total = total * self.calibration[:, 0] + self.calibration[:, 1]
        columns = []
        for place, target in enumerate(self.targets):
            column = total[:, place]
            if target.kind == "binary":
                columns.append(tf.sigmoid(column))
            else:
                columns.append(tf.clip_by_value(target.mean + target.deviation * column, target.low, target.high))
        return tf.stack(columns, axis=1)

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Loss of a batch made by `recsys_tfrs.training.examples.ExampleBatches`, or `lists` and `choices` beside it.

        Logits of choices are corrected by how often their items are drawn (``log_q``), as sampled softmaxes are (Bengio
        and Senecal, IEEE Transactions on Neural Networks 19, 2008), so that outputs do not depend on the draw.
        """
        seed = inputs["seed"]
        columns = self._some_unknown(inputs["columns"], seed) if training else inputs["columns"]
        fields = self.fields(columns, seed, training)
        outputs = self.outputs_of_fields(fields, seed, training)
        total = self.total(outputs)
        if "log_q" in inputs:
            # What comes often as a negative is that much less likely to be one that was chosen; uniformly, it is not.
            total -= inputs["log_q"][:, None]
        loss = self._loss(total, inputs["targets"], inputs.get("weights"), inputs.get("places"))
        rows = tf.cast(tf.shape(fields.weights)[0], tf.float32)
        if self.config.of_rows and self.config.embedding_decay:
            loss += self.config.embedding_decay * tf.nn.l2_loss(self.embeddings.table[:, : self.embeddings.dim])
        if not self.config.of_rows and self.config.embedding_l2:
            loss += self.config.embedding_l2 * tf.reduce_sum(tf.square(tf.cast(fields.vectors, tf.float32))) / rows
        if self.config.linear_l2 and "linear" in self.parts:
            loss += self.config.linear_l2 * tf.reduce_sum(tf.square(tf.cast(fields.weights, tf.float32))) / rows
        return loss

    def compile(self, *args: Any, **settings: Any) -> None:
        """Keras's own; fields are embedded so that XLA can compile it where that is asked for."""
        self.embeddings.compiled = bool(settings.get("jit_compile"))
        super().compile(*args, **settings)

    def predict_examples(self, examples: EncodedExamples) -> NDArray[np.float32]:
        """``[num_rows, num_targets]`` predictions of examples, however many."""
        return self._by_blocks(self, examples, len(self.targets))

    def totals_of(self, examples: EncodedExamples) -> NDArray[np.float32]:
        """``[num_rows, num_targets]`` sums of the parts, before calibration."""
        return self._by_blocks(self._total, examples, len(self.targets))

    def take_part_means(self, examples: EncodedExamples) -> None:
        """Remember what each part says on average, for when it is switched off."""
        count = len(self.targets)
        outputs = self._by_blocks(self._outputs, examples, len(self.parts) * count)
        self.part_means.assign(outputs.mean(axis=0).reshape(len(self.parts), count))

    def _some_unknown(self, columns: Mapping[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Replace some of the ids by 0, each field for itself."""
        rate, made = self.config.unknown_rate, dict(columns)
        if not rate:
            return made
        if IDS in made and len(self._single_ids):
            kept = keep_mask(tf.shape(made[IDS]), rate, seed, _UNKNOWN_SALT)
            made[IDS] = tf.where(kept | ~self._single_ids, made[IDS], 0)
        for place, name in enumerate(self._several_ids):
            kept = keep_mask(tf.shape(made[name])[:1], rate, seed, _UNKNOWN_SALT + 1 + place)
            made[name] = tf.where(kept[:, None], made[name], 0)
        return made

    def _by_blocks(
        self, function: Callable[[dict[str, tf.Tensor]], tf.Tensor], examples: EncodedExamples, width: int
    ) -> NDArray[np.float32]:
        # A graph of its own for each model and function: TensorFlow would count those of all models as one function
        # traced again and again, and warn of it. Not by assignment, which Keras would take for a part to be saved.
        graphs = self.__dict__.setdefault("_graphs", {})
        name = getattr(function, "__name__", "predictions")
        if name not in graphs:
            specs = {key: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for key, v in examples.columns.items()}
            graphs[name] = tf.function(lambda encoded: function(encoded), autograph=False).get_concrete_function(specs)
        made = [np.zeros((0, width), np.float32)]
        for low in range(0, len(examples), _PREDICTED_ROWS):
            part = examples.take(slice(low, low + _PREDICTED_ROWS))
            made.append(graphs[name]({key: tf.constant(values) for key, values in part.columns.items()}).numpy())
        return np.concatenate(made)

    def _total(self, encoded: dict[str, tf.Tensor]) -> tf.Tensor:
        return self.total(self.outputs_of_parts(encoded))

    def _outputs(self, encoded: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.concat(list(self.outputs_of_parts(encoded).values()), axis=1)

    def outputs_of_fields(
        self, fields: Fields, seed: tf.Tensor | None = None, training: bool = False
    ) -> dict[Part, tf.Tensor]:
        """What each part says of embedded fields, ``[batch, num_targets]`` float32 by name; see `outputs_of_parts`."""
        made: dict[Part, tf.Tensor] = {}
        count = len(self.targets)
        for part in self.parts:
            if part == "linear":
                made[part] = self._shared(part, tf.reduce_sum(fields.weights, axis=1))
            elif part == "fm":
                made[part] = self._shared(part, pairwise_interactions(fields.vectors))
            elif part == "deep":
                made[part] = self.deep_output(self.tower(_side_by_side(fields), seed=seed, training=training))
            else:
                crossed = flat = _side_by_side(fields)
                for cross in self.crosses:
                    crossed = cross(flat, crossed)
                made[part] = self.cross_output(crossed)
        return {part: tf.reshape(tf.cast(output, tf.float32), [-1, count]) for part, output in made.items()}

    def _shared(self, part: Part, output: tf.Tensor) -> tf.Tensor:
        output = output[:, None]
        return output * tf.cast(self.shares[part], output.dtype) if part in self.shares else output


def builder(name: str) -> Callable[[RankerConfig, ExamplePreprocessor, Sequence[Target], int], Ranker]:
    """What makes an untrained model of the family `name`."""

    def build(config: RankerConfig, preprocessor: ExamplePreprocessor, targets: Sequence[Target], seed: int) -> Ranker:
        """Make an untrained model.

        Args:
          config: of the model.
          preprocessor: of the fields, adapted on training rows.
          targets: what is predicted.
          seed: of the initial weights.
        """
        return Ranker(config, preprocessor, targets, seed, name)

    return build


def _side_by_side(fields: Fields) -> tf.Tensor:
    """``[batch, num_fields x dim]``."""
    return tf.reshape(fields.vectors, [-1, fields.vectors.shape[1] * fields.vectors.shape[2]])


def _output(count: int, seed: int, name: str) -> tf.keras.layers.Dense:
    initial = tf.keras.initializers.GlorotUniform(seed)
    return tf.keras.layers.Dense(count, use_bias=False, kernel_initializer=initial, name=name)


def _one_row(preprocessor: ExamplePreprocessor) -> dict[str, tf.Tensor]:
    """A raw row of which nothing is known."""
    name, encoder = next(iter(preprocessor.encoders.items()))
    return {name: encoder.missing_rows(1)}


def _logit(share: float) -> float:
    share = min(max(share, 1e-4), 1 - 1e-4)
    return float(np.log(share / (1 - share)))
