"""Lazy Adam against Keras's own where they agree, and against arithmetic where they do not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.training.config import TrainingConfig
from recsys_tfrs.training.fit import LARGE_TABLE, make_optimizer
from recsys_tfrs.training.lazy_adam import LazyAdam


def table() -> tf.Variable:
    return tf.Variable(tf.reshape(tf.range(12.0), [4, 3]))


def rows_of(values: list[list[float]], rows: list[int]) -> tf.IndexedSlices:
    return tf.IndexedSlices(tf.constant(values), tf.constant(rows), dense_shape=tf.constant([4, 3]))


def stepped(optimizer: tf.keras.optimizers.Optimizer, gradients: list) -> tf.Variable:
    weights = table()
    optimizer.build([weights])
    for gradient in gradients:
        optimizer.apply_gradients([(gradient, weights)])
    return weights


def test_rows_met_in_every_step_move_as_under_adam_and_the_others_stay() -> None:
    gradients = [
        rows_of([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], [2, 0]),
        rows_of([[1.0, 1.0, 2.0], [-3.0, 0.0, 1.0]], [0, 2]),
    ]
    lazy = stepped(LazyAdam(0.1), gradients).numpy()
    adam = stepped(tf.keras.optimizers.Adam(0.1), gradients).numpy()
    np.testing.assert_allclose(lazy, adam, rtol=2e-5)
    np.testing.assert_array_equal(lazy[[1, 3]], table().numpy()[[1, 3]])
    assert np.abs(lazy[[0, 2]] - table().numpy()[[0, 2]]).min() > 0


def test_a_row_stands_still_while_it_is_not_met() -> None:
    """Adam would move row 0 in the second step by what it remembers of the first."""
    first, second, third = (rows_of([[2.0, 2.0, 2.0]], [row]) for row in (0, 1, 0))
    after_one, after_two = (stepped(LazyAdam(0.1), steps).numpy() for steps in ([first], [first, second]))
    np.testing.assert_array_equal(after_one[0], after_two[0])
    adam = [stepped(tf.keras.optimizers.Adam(0.1), steps).numpy() for steps in ([first], [first, second])]
    assert np.abs(adam[0][0] - adam[1][0]).min() > 0.01
    # The third step: m = 0.9 x 0.2 + 0.1 x 2, v = 0.999 x 0.004 + 0.001 x 4, corrected for three steps.
    m, v = 0.9 * 0.2 + 0.1 * 2, 0.999 * 0.004 + 0.001 * 4
    change = 0.1 * np.sqrt(1 - 0.999**3) / (1 - 0.9**3) * m / (np.sqrt(v) + 1e-7)
    after_three = stepped(LazyAdam(0.1), [first, second, third]).numpy()
    np.testing.assert_allclose(after_three[0], after_two[0] - change, rtol=1e-5)


def test_rows_met_several_times_are_summed_first() -> None:
    twice = stepped(LazyAdam(0.1), [rows_of([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], [1, 1])]).numpy()
    once = stepped(LazyAdam(0.1), [rows_of([[2.0, 4.0, 6.0]], [1])]).numpy()
    np.testing.assert_allclose(twice, once, rtol=1e-6)


def test_dense_gradients_are_adams() -> None:
    gradients = [tf.ones([4, 3]), tf.reshape(tf.range(12.0), [4, 3])]
    np.testing.assert_array_equal(stepped(LazyAdam(0.1), gradients), stepped(tf.keras.optimizers.Adam(0.1), gradients))


@pytest.mark.parametrize(
    ("choice", "rows", "is_lazy"),
    [
        ("auto", LARGE_TABLE, False),
        ("auto", LARGE_TABLE + 1, True),
        ("adam", LARGE_TABLE + 1, False),
        ("lazy-adam", 1, True),
    ],
)
def test_auto_goes_by_the_largest_table(choice: str, rows: int, is_lazy: bool) -> None:
    config = TrainingConfig(optimizer=choice, learning_rate=0.5)
    made = make_optimizer(config, None, rows)
    assert isinstance(made, LazyAdam) == is_lazy
    assert float(made.learning_rate) == 0.5
    falling = make_optimizer(TrainingConfig(optimizer=choice, learning_rate_decay="linear"), 10, rows)
    assert isinstance(falling, LazyAdam) == is_lazy
