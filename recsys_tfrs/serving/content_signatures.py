"""The signatures of an exported content model: bytes of a file, or a wave or picture, in; attribute and vector out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from recsys_tfrs.features.content import Decoder
from recsys_tfrs.models.content_cnn import ContentCNN
from recsys_tfrs.serving.inputs import Tensors
from recsys_tfrs.serving.ranking_signatures import weights_of

#: Inputs of the two signatures: bytes, and what they decode to.
CONTENTS, WAVE, PICTURE = "contents", "wave", "picture"

#: Signature that takes what is decoded already.
DECODED = "decoded"


class ContentSignatures(tf.Module):
    """Name an item's attribute from its content.

    Args:
      model: trained and calibrated.
      decoder: from the bytes of a file to the model's input.

    Attributes:
      decoded_input: name of the input of `DECODED`.
    """

    def __init__(self, model: ContentCNN, decoder: Decoder) -> None:
        super().__init__(name="content")
        self._resources = weights_of(model)
        self._classes = tf.Variable(model.classes, trainable=False)
        self.decoded_input = WAVE if decoder.medium == "audio" else PICTURE
        # No attribute: a Keras layer would be exported with a function for each of its call modes.
        self._of_model: Callable[[], ContentCNN] = lambda: model
        self._of_decoder: Callable[[], Decoder] = lambda: decoder

    def functions(self) -> dict[str, Any]:
        """`tf.function` by signature name, for `tf.saved_model.save`."""
        decoder = self._of_decoder()
        shape = [None] * (1 if decoder.medium == "audio" else 2) + list(decoder.shape[2:])
        contents = tf.TensorSpec([None], tf.string, name=CONTENTS)
        decoded = tf.TensorSpec([None, *shape], tf.float32, name=self.decoded_input)
        return {
            "serving_default": tf.function(
                lambda contents: self.describe(decoder.decode_all(contents)),
                input_signature=[contents],
                autograph=False,
            ),
            DECODED: tf.function(
                lambda values: self.describe(decoder.fitted_in_graph(values)),
                input_signature=[decoded],
                autograph=False,
            ),
        }

    def describe(self, values: tf.Tensor) -> Tensors:
        """What the model tells of decoded content.

        Returns:
          ``attribute`` ``[batch]``, "" where the model abstains; ``confidence`` ``[batch]``; ``probability`` ``[batch,
          num_classes]``, in the order of the manifest's ``classes``; ``vector`` ``[batch, vector]``.
        """
        model = self._of_model()
        vectors = model.vectors(values)
        probabilities = model.probabilities(model.log_odds(vectors))
        confidence = tf.reduce_max(probabilities, axis=1)
        with tf.device("/cpu:0"):  # strings exist for the CPU only
            named = tf.gather(self._classes, tf.argmax(probabilities, axis=1))
            attribute = tf.where(confidence >= model.threshold, named, "")
        return {"attribute": attribute, "confidence": confidence, "probability": probabilities, "vector": vectors}
