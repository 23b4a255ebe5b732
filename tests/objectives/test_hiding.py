"""What the query may see, and what it must predict."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.layers.history import ages
from recsys_tfrs.objectives.hiding import Hidden, ages_when_asked, hide_any, hide_around, hide_newest

SEED = tf.constant([1, 2])


def of_lengths(lengths: list[int]) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_row_lengths(tf.range(1, sum(lengths) + 1), lengths)


def by_row(values: tf.Tensor, lengths: list[int]) -> list[np.ndarray]:
    return np.split(values.numpy(), np.cumsum(lengths)[:-1])


def newest(
    lengths: list[int],
    *,
    rate: float = 0.0,
    horizon: float = 3.0,
    share: float = 1.0,
    any_rate: float = 0.0,
    seed: tf.Tensor = SEED,
) -> Hidden:
    return hide_newest(of_lengths(lengths), rate, horizon, share, any_rate, seed)


def test_ages_count_from_the_newest() -> None:
    assert ages(of_lengths([3, 0, 1, 2])).numpy().tolist() == [2, 1, 0, 0, 1, 0]


def test_any_item_may_be_hidden_and_every_item_is_predicted() -> None:
    lengths = [5_000, 0, 5_000]
    hidden = hide_any(of_lengths(lengths), 0.7, SEED)
    assert hidden.visible.numpy().mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / 10_000))
    assert hidden.target_weight.numpy().tolist() == [1.0] * 10_000
    np.testing.assert_array_equal(hidden.age.numpy(), np.tile(np.arange(4_999, -1, -1), 2))


def test_hiding_is_a_function_of_the_seed() -> None:
    histories = of_lengths([20] * 20)
    for hide in (
        lambda seed: hide_any(histories, 0.5, seed),
        lambda seed: newest([20] * 20, rate=0.5, seed=seed),
        lambda seed: hide_around(histories, 0.5, 3.0, 0.2, seed),
    ):
        first, again, other = hide(SEED), hide(SEED), hide(tf.constant([1, 3]))
        for one, same in zip(first, again, strict=True):
            np.testing.assert_array_equal(one.numpy(), same.numpy())
        assert (first.visible.numpy() != other.visible.numpy()).any()


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=8),
    step=st.integers(0, 1_000),
    rate=st.sampled_from([0.0, 0.5]),
)
def test_no_target_is_visible_and_weights_add_up_to_the_length(lengths: list[int], step: int, rate: float) -> None:
    hidden = newest(lengths, rate=rate, seed=tf.constant([7, step]))
    for visible, age, weight in zip(*(by_row(values, lengths) for values in hidden), strict=True):
        length = len(visible)
        assert not (visible & (weight > 0)).any() or length == 1
        assert weight.sum() == pytest.approx(length, rel=1e-5)
        if length > 1:
            assert (age >= 0).any()
            assert (age < 0).any()
            np.testing.assert_array_equal(weight > 0, age < 0)  # what is predicted comes after what is seen
            np.testing.assert_array_equal(np.diff(age), -1)  # oldest first
            if rate == 0:
                np.testing.assert_array_equal(visible, age >= 0)


def test_targets_count_the_less_the_later_they_come() -> None:
    lengths = [9] * 30
    hidden = newest(lengths, horizon=2.0)
    for age, weight in zip(by_row(hidden.age, lengths), by_row(hidden.target_weight, lengths), strict=True):
        future = weight[age < 0]
        expected = np.exp(-np.arange(len(future)) / 2.0)
        np.testing.assert_allclose(future, 9 * expected / expected.sum(), rtol=1e-5)


def test_the_moment_of_asking_is_uniform() -> None:
    lengths = [4] * 6_000
    hidden = newest(lengths)
    num_future = (hidden.age.numpy().reshape(-1, 4) < 0).sum(axis=1)
    shares = np.bincount(num_future, minlength=5) / 6_000
    assert shares[0] == shares[4] == 0
    np.testing.assert_allclose(shares[1:4], 1 / 3, atol=5 * np.sqrt(2 / 9 / 6_000))


def test_part_of_the_past_is_hidden_too() -> None:
    hidden = newest([11] * 2_000, rate=0.3)
    past = hidden.age.numpy() >= 0
    share = hidden.visible.numpy()[past].mean()
    assert share == pytest.approx(0.7, abs=5 * np.sqrt(0.21 / past.sum()))


def test_a_share_of_the_users_is_treated_so_and_the_others_as_under_any() -> None:
    lengths = [5] * 4_000
    hidden = newest(lengths, share=0.25, any_rate=0.6)
    visible, age, weight = (values.numpy().reshape(-1, 5) for values in hidden)
    treated = (age < 0).any(axis=1)
    assert treated.mean() == pytest.approx(0.25, abs=5 * np.sqrt(0.1875 / 4_000))
    assert np.isposinf(age[~treated]).all()  # asked at no moment, so no item is newer than another
    np.testing.assert_array_equal(weight[~treated], 1)
    assert visible[~treated].mean() == pytest.approx(0.4, abs=5 * np.sqrt(0.24 / (5 * 3_000)))


def test_users_with_a_single_item_fall_back() -> None:
    lengths = [1] * 3_000 + [0]
    hidden = newest(lengths, rate=0.0, any_rate=0.4)
    assert hidden.target_weight.numpy().tolist() == [1.0] * 3_000
    assert np.isposinf(hidden.age.numpy()).all()
    assert hidden.visible.numpy().mean() == pytest.approx(0.6, abs=5 * np.sqrt(0.24 / 3_000))


class TestAround:
    def test_targets_near_the_moment_weigh_most_and_a_users_add_up_to_his_length(self) -> None:
        lengths = [30] * 200
        hidden = hide_around(of_lengths(lengths), 0.5, 3.0, 0.2, SEED)
        moments = []
        for age, weight in zip(by_row(hidden.age, lengths), by_row(hidden.target_weight, lengths), strict=True):
            moment = int(np.argmin(age))
            moments.append(moment)
            assert age.tolist() == np.abs(np.arange(30) - moment).tolist()
            expected = 0.2 + np.exp(-age / 3.0)
            np.testing.assert_allclose(weight, expected * 30 / expected.sum(), rtol=1e-5)
        # Every place of the history is as likely as any: 200 draws of 30 places leave few out.
        assert len(set(moments)) > 20
        assert 10 < np.mean(moments) < 19

    def test_what_is_seen_is_as_under_any(self) -> None:
        histories = of_lengths([50] * 20)
        seen = hide_around(histories, 0.6, 3.0, 0.2, SEED).visible
        np.testing.assert_array_equal(seen, hide_any(histories, 0.6, SEED).visible)

    def test_short_histories(self) -> None:
        hidden = hide_around(of_lengths([1, 0, 2]), 0.0, 3.0, 0.0, SEED)
        assert hidden.visible.numpy().all()
        assert hidden.target_weight.numpy()[0] == pytest.approx(1)
        assert hidden.target_weight.numpy()[1:].sum() == pytest.approx(2)
        assert sorted(hidden.age.numpy()[1:].tolist()) == [0, 1]


def test_when_asked_the_moment_is_now_or_there_is_none() -> None:
    lists = tf.ragged.constant([[1, 2, 3], [], [4]], dtype=tf.int32)
    np.testing.assert_array_equal(ages_when_asked(lists, is_now=True), [2.0, 1.0, 0.0, 0.0])
    np.testing.assert_array_equal(ages_when_asked(lists, is_now=False), [np.inf] * 4)
