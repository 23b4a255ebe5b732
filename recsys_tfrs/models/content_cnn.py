"""A convolutional network that hears or sees what an item is: content -> one attribute of the item.

A classifier of one attribute, multi-class: the probabilities of its values sum to 1, and an item has one of them.
From sound, either a log-mel spectrogram is made in the graph and read by 2-D convolutions, or the wave itself by 1-D
convolutions; pictures are read by 2-D convolutions. Blocks of a convolution, normalisation (of each map of a sound,
Ulyanov et al. 2016; of all maps of a picture, Ba et al. 2016), ReLU and max pooling; then mean and maximum over time
and pitch, or over the picture; then a dense layer whose output is the item's vector; then a softmax.

References: van den Oord, Dieleman and Schrauwen, Deep content-based music recommendation, NIPS 2013; Choi et al.,
Automatic tagging using deep convolutional neural networks, ISMIR 2016 (log-mel input); Guo et al., On calibration of
modern neural networks, ICML 2017 (temperature).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import Field

from recsys_tfrs.config import Section
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.content import Content, Decoder
from recsys_tfrs.layers.dropout import hashed_keep_mask
from recsys_tfrs.layers.spectrogram import LogMel
from recsys_tfrs.models.traced import Model

#: The family's own defaults of the ``training`` section.
TRAINING: dict[str, Any] = {
    "batch_size": 64,
    "epochs": 25,
    "learning_rate": 2e-3,
    "learning_rate_decay": "linear",
    "metric": "logloss",
    "validate_every": 1,
    "patience": 8,
    "refit": False,
}

#: Salts of the random numbers drawn in a step, see `layers.dropout.keep_mask`.
_SHIFT_SALT, _DROPOUT_SALT = 61, 62

#: Side of a kernel, and what is pooled, in pixels or frames; the same for waves, in samples.
_KERNEL, _POOL = 3, 2
_WAVE_KERNEL, _WAVE_POOL = 9, 4


class Config(Section):
    """Settings of the network."""

    sound: Literal["log-mel", "waveform"] = Field(
        "log-mel", description="What convolutions read of a sound: a log-mel spectrogram (2-D), or the wave (1-D)."
    )
    bands: int = Field(32, ge=8, le=128, description="Mel bands of a spectrogram.")
    frame: int = Field(256, ge=64, description="Samples of a window of the spectrogram.")
    step: int = Field(128, ge=16, description="Samples from one window to the next.")
    channels: list[int] = Field(
        [16, 32, 48, 64], min_length=1, description="Channels of each block of convolution and pooling."
    )
    vector: int = Field(16, ge=2, description="Size of an item's vector, the last hidden layer.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of pooled features dropped in training.")
    shift: bool = Field(True, description="Begin sounds at a random place in training, the end followed by the start.")


class ContentCNN(Model):
    """Content of items -> log-odds, calibrated probabilities and vectors.

    Attributes:
      config: settings.
      classes: values of the attribute, in the order of the outputs.
      temperature: what log-odds are divided by; 1 until calibrated.
      threshold: probability below which the model abstains; 0 until chosen.
    """

    def __init__(self, config: Config, decoder: Decoder, classes: Sequence[str], seed: int) -> None:
        super().__init__(name="content_cnn")
        self.config = config
        self.classes = [str(value) for value in classes]
        self.is_sound = decoder.medium == "audio"
        flat = self.is_sound and config.sound == "waveform"
        self._front = None
        if self.is_sound and not flat:
            if decoder.shape[0] < config.frame:
                raise ConfigError(
                    f"Sounds of {decoder.shape[0]} samples are shorter than a window of {config.frame}: raise "
                    "features.seconds, or lower model.frame."
                )
            rate = decoder.config.sample_rate
            self._front = LogMel(rate, bands=config.bands, frame=config.frame, step=config.step)
        he = tf.keras.initializers.HeNormal
        convolution, self._pool = (
            (tf.keras.layers.Conv1D, tf.keras.layers.MaxPool1D(_WAVE_POOL, padding="same"))
            if flat
            else (tf.keras.layers.Conv2D, tf.keras.layers.MaxPool2D(_POOL, padding="same"))
        )
        self._convolutions = [
            convolution(
                size,
                _WAVE_KERNEL if flat else _KERNEL,
                padding="same",
                kernel_initializer=he(seed + place),
                name=f"convolution_{place}",
            )
            for place, size in enumerate(config.channels)
        ]
        # Rectified maps differ less from item to item than by what all items have in common, and in noise training
        # would never find the rest. Of sounds each map by itself, as their level says nothing; of pictures all maps of
        # an item together, as colour does. No item depends on the others of its batch.
        self._norms = [
            tf.keras.layers.GroupNormalization(groups=-1 if self.is_sound else 1, name=f"normalization_{place}")
            for place in range(len(config.channels))
        ]
        self._over = [1] if flat else [1, 2]
        self._hidden = tf.keras.layers.Dense(
            config.vector, activation="relu", kernel_initializer=he(seed + 20), name="vector"
        )
        glorot = tf.keras.initializers.GlorotUniform(seed + 21)
        self._output = tf.keras.layers.Dense(len(classes), kernel_initializer=glorot, name="log_odds")
        self.temperature = self.add_weight(name="temperature", shape=(), initializer="ones", trainable=False)
        self.threshold = self.add_weight(name="threshold", shape=(), initializer="zeros", trainable=False)
        self(tf.zeros([1, *decoder.shape]))

    def vectors(self, contents: tf.Tensor, seed: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        """``[batch, vector]`` from ``[batch, ...]`` content.

        Args:
          contents: as `recsys_tfrs.features.content.Decoder` makes them.
          seed: ``[2]`` int32 seed of the step, in training.
          training: shift sounds and drop features.
        """
        if self.is_sound:
            if training and self.config.shift:
                place = tf.random.experimental.stateless_fold_in(seed, _SHIFT_SALT)
                by = tf.random.stateless_uniform([], place, 0, tf.shape(contents)[1], tf.int32)
                contents = tf.roll(contents, by, axis=1)
            maps = contents if self._front is None else self._front(contents)
            maps = maps[..., None] if self._front is not None else _of_power_one(maps)[..., None]
        else:
            maps = 2.0 * contents - 1.0
        for convolution, norm in zip(self._convolutions, self._norms, strict=True):
            maps = self._pool(tf.nn.relu(norm(convolution(maps))))
        pooled = tf.concat([tf.reduce_mean(maps, self._over), tf.reduce_max(maps, self._over)], axis=1)
        if training and self.config.dropout:
            kept = hashed_keep_mask(tf.shape(pooled), self.config.dropout, seed, _DROPOUT_SALT)
            pooled *= tf.cast(kept, pooled.dtype) / (1 - self.config.dropout)
        return tf.cast(self._hidden(pooled), tf.float32)

    def log_odds(self, vectors: tf.Tensor) -> tf.Tensor:
        """``[batch, num_classes]`` before calibration."""
        return tf.cast(self._output(vectors), tf.float32)

    def call(self, contents: tf.Tensor) -> tf.Tensor:
        """``[batch, num_classes]`` calibrated probabilities."""
        return self.probabilities(self.log_odds(self.vectors(contents)))

    def probabilities(self, log_odds: tf.Tensor) -> tf.Tensor:
        """Softmax at the model's temperature."""
        return tf.nn.softmax(log_odds / self.temperature)

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Mean cross-entropy of a batch made by `recsys_tfrs.training.content.ContentBatches`."""
        odds = self.log_odds(self.vectors(inputs["contents"], inputs["seed"], training))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=inputs["labels"], logits=odds)
        return tf.reduce_mean(losses)

    def describe(self, content: Content) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``[num_items, num_classes]`` log-odds and ``[num_items, vector]`` vectors of all items of a data set."""
        odds = [np.zeros((0, len(self.classes)), np.float32)]
        vectors = [np.zeros((0, self.config.vector), np.float32)]
        for _, contents in content.in_order():
            made = self._graph(contents)
            odds.append(made[0].numpy())
            vectors.append(made[1].numpy())
        return np.concatenate(odds), np.concatenate(vectors)

    @property
    def _graph(self) -> Any:
        """A graph of its own for each model; not by assignment, which Keras would take for a part to be saved."""

        def both(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            vectors = self.vectors(contents)
            return self.log_odds(vectors), vectors

        return self.__dict__.setdefault("_described", tf.function(both, reduce_retracing=True, autograph=False))


def build(config: Config, decoder: Decoder, classes: Sequence[str], seed: int) -> ContentCNN:
    """An untrained model whose weights exist.

    Args:
      config: of the model.
      decoder: what makes its inputs.
      classes: values of the attribute.
      seed: of the initial weights.

    Raises:
      ConfigError: fewer than two classes, or sounds too short for the spectrogram.
    """
    if len(classes) < 2:
        raise ConfigError(f"There is nothing to tell apart in one value of an attribute: got {list(classes)}.")
    return ContentCNN(config, decoder, classes, seed)


def _of_power_one(waves: tf.Tensor) -> tf.Tensor:
    power = tf.reduce_mean(tf.square(waves), axis=1, keepdims=True)
    return waves * tf.math.rsqrt(power + 1e-8)
