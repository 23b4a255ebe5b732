"""Averaging of weights over training steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf


class AveragedWeights(tf.Module):
    """Exponential moving average of a model's trainable weights, which generalises better than the last step's.

    ``average <- average + (1 - d_t) (weights - average)`` with ``d_t = min(decay, (1 + t) / (10 + t))``, so that
    short runs are not held back by their initial weights.

    Reference: Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992.

    Args:
      model: built.
      decay: in ``[0, 1)``; 0 keeps the weights of the last step.
      every: steps between which nothing is taken in, since that passes over all weights; what is then taken in counts
        for all of them.
    """

    def __init__(self, model: tf.keras.Model, decay: float, every: int = 1) -> None:
        super().__init__(name="averaged_weights")
        self._weights = model.trainable_variables
        self._decay = decay
        self._every = every
        self.averages = [tf.Variable(w, trainable=False) for w in self._weights] if decay else []
        self.steps = tf.Variable(0.0, trainable=False)

    @tf.function
    def update(self) -> None:
        """Take in the weights after a step."""
        self.steps.assign_add(1.0)
        if tf.equal(tf.math.floormod(self.steps, self._every), 0.0):
            kept = tf.minimum(self._decay, (1.0 + self.steps) / (10.0 + self.steps))
            rate = 1.0 - tf.pow(kept, self._every)
            for average, weight in zip(self.averages, self._weights, strict=True):
                average.assign_add(rate * (weight - average))

    def adopt(self) -> None:
        """Give the model the averages for good."""
        for average, weight in zip(self.averages, self._weights, strict=bool(self.averages)):
            weight.assign(average)

    @contextmanager
    def adopted(self) -> Iterator[None]:
        """Give the model the averages for a while, for validation."""
        present = [tf.identity(w) for w in self._weights] if self.averages else []
        self.adopt()
        try:
            yield
        finally:
            for value, weight in zip(present, self._weights, strict=bool(present)):
                weight.assign(value)


class Averaging(tf.keras.callbacks.Callback):
    """Update the averages after every batch."""

    def __init__(self, averages: AveragedWeights) -> None:
        super().__init__()
        self._averages = averages

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Take in the step."""
        if self._averages.averages:
            self._averages.update()
