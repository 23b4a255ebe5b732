"""Methods traced once for each object, in silence however many objects there are."""

from __future__ import annotations

import logging

import numpy as np
import tensorflow as tf

from recsys_tfrs.models.traced import TracedOnce, traced_once


class Scaled:
    """Multiplies by its own factor and counts how often it is traced."""

    def __init__(self, factor: float) -> None:
        self.factor = tf.Variable(factor)
        self.traces = 0

    @traced_once(tf.RaggedTensorSpec([None, None], tf.float32, ragged_rank=1), tf.TensorSpec([], tf.float32))
    def apply(self, values: tf.RaggedTensor, added: tf.Tensor) -> tf.RaggedTensor:
        """Multiply and add."""
        self.traces += 1
        return values * self.factor + added


def test_many_objects_trace_once_each_without_a_warning() -> None:
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("tensorflow")
    logger.addHandler(handler)
    try:
        objects = [Scaled(float(factor)) for factor in range(8)]
        for factor, one in enumerate(objects):
            found = one.apply(tf.ragged.constant([[1.0], [], [2.0, 3.0]]), tf.constant(0.5))
            assert found.to_list() == [[factor + 0.5], [], [2 * factor + 0.5, 3 * factor + 0.5]]
    finally:
        logger.removeHandler(handler)
    assert not heard
    objects[3].apply(tf.ragged.constant([[1.0, 1.0]], dtype=tf.float32), tf.constant(1.0))
    assert [one.traces for one in objects] == [1] * 8


def test_a_graph_sees_what_a_variable_has_become() -> None:
    one = Scaled(2.0)
    asked = tf.ragged.constant([[4.0]]), tf.constant(0.0)
    before = one.apply(*asked)
    one.factor.assign(3.0)
    np.testing.assert_array_equal([before.to_list(), one.apply(*asked).to_list()], [[[8.0]], [[12.0]]])


def test_what_it_is_can_be_read_from_the_class() -> None:
    assert isinstance(Scaled.apply, TracedOnce)
    assert Scaled.apply.__doc__ == "Multiply and add."
