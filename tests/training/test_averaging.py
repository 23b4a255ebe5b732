"""The moving average of weights, against the recursion written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.training.averaging import AveragedWeights, Averaging


@pytest.fixture
def model() -> tf.keras.Model:
    built = tf.keras.Sequential([tf.keras.layers.Dense(2, kernel_initializer="ones")])
    built.build([None, 1])
    return built


def kernel(model: tf.keras.Model) -> np.ndarray:
    return model.trainable_variables[0].numpy().ravel()


@pytest.mark.parametrize("decay", [0.25, 0.9])
def test_the_average_follows_its_recursion(model: tf.keras.Model, decay: float) -> None:
    averages = AveragedWeights(model, decay)
    expected = np.array([1.0, 1.0])
    for step, weight in enumerate([5.0, -3.0, 2.0, 7.0], start=1):
        model.trainable_variables[0].assign([[weight, 2 * weight]])
        averages.update()
        kept = min(decay, (1 + step) / (10 + step))  # 2/11, 3/12, 4/13, 5/14: short runs forget their start
        expected = kept * expected + (1 - kept) * np.array([weight, 2 * weight])
    np.testing.assert_allclose(averages.averages[0].numpy().ravel(), expected, rtol=1e-6)
    assert kernel(model).tolist() == [7.0, 14.0]
    averages.adopt()
    np.testing.assert_allclose(kernel(model), expected, rtol=1e-6)


def test_several_steps_may_be_taken_in_at_once(model: tf.keras.Model) -> None:
    averages = AveragedWeights(model, 0.25, every=3)
    seen = []
    for weight in (5.0, -3.0, 2.0, 7.0, 1.0, 9.0):
        model.trainable_variables[0].assign([[weight, 2 * weight]])
        averages.update()
        seen.append(averages.averages[0].numpy().ravel().tolist()[0])
    third = (1 - 0.25**3) * 2.0 + 0.25**3 * 1.0  # kept is min(1/4, 4/13)
    sixth = (1 - 0.25**3) * 9.0 + 0.25**3 * third
    np.testing.assert_allclose(seen, [1.0, 1.0, third, third, third, sixth], rtol=1e-6)


def test_weights_come_back_after_a_look_even_if_it_fails(model: tf.keras.Model) -> None:
    averages = AveragedWeights(model, 0.9)
    model.trainable_variables[0].assign([[4.0, 5.0]])
    with averages.adopted():
        assert kernel(model).tolist() == [1.0, 1.0]
    assert kernel(model).tolist() == [4.0, 5.0]
    with pytest.raises(KeyError), averages.adopted():
        raise KeyError
    assert kernel(model).tolist() == [4.0, 5.0]


def test_without_decay_the_weights_are_those_of_the_last_step(model: tf.keras.Model) -> None:
    averages = AveragedWeights(model, 0.0)
    model.trainable_variables[0].assign([[4.0, 5.0]])
    Averaging(averages).on_train_batch_end(0)
    with averages.adopted():
        assert kernel(model).tolist() == [4.0, 5.0]
    averages.adopt()
    assert kernel(model).tolist() == [4.0, 5.0]
