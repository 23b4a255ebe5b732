"""Listwise losses, against arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.objectives.listwise import LIST_LOSSES, ApproxNDCG, ListMLE, SoftmaxCrossEntropy, in_lists
from recsys_tfrs.objectives.prediction import PredictionLoss, Target

NAN = math.nan


def test_listmle_is_minus_the_log_of_the_chance_of_the_true_order() -> None:
    """Of scores 1, 3 and 2 in the order 3rd, 1st, 2nd: e^2/(e^1+e^3+e^2) x e^1/(e^1+e^3) x 1."""
    loss = ListMLE()(tf.constant([[1.0, 0.0, 5.0]]), tf.constant([[1.0, 3.0, 2.0]]))
    e = math.exp
    assert float(loss) == pytest.approx(-math.log(e(2) / (e(1) + e(3) + e(2)) * e(1) / (e(1) + e(3))), rel=1e-5)


def test_listmle_keeps_rows_of_one_label_in_their_order() -> None:
    scores = [0.5, -1.0, 2.0]
    loss = ListMLE()(tf.constant([[0.0, 1.0, 0.0]]), tf.constant([scores]))
    e = math.exp
    chance = e(-1.0) / (e(0.5) + e(-1.0) + e(2.0)) * e(0.5) / (e(0.5) + e(2.0))
    assert float(loss) == pytest.approx(-math.log(chance), rel=1e-5)


def test_softmax_is_minus_the_log_of_the_chance_of_what_was_chosen() -> None:
    loss = SoftmaxCrossEntropy()(tf.constant([[0.0, 1.0, 0.0]]), tf.constant([[1.0, 3.0, 2.0]]))
    e = math.exp
    assert float(loss) == pytest.approx(-math.log(e(3) / (e(1) + e(3) + e(2))), rel=1e-5)


def test_softmax_weighs_rows_by_their_share_of_the_labels() -> None:
    loss = SoftmaxCrossEntropy()(tf.constant([[1.0, 3.0]]), tf.constant([[0.5, -1.0]]))
    e = math.exp
    total = math.log(e(0.5) + e(-1.0))
    assert float(loss) == pytest.approx(0.25 * (total - 0.5) + 0.75 * (total + 1.0), rel=1e-5)


def test_softmax_takes_shares_within_each_list() -> None:
    labels, scores = tf.constant([[1.0, 0.0], [1.0, 3.0]]), tf.constant([[0.5, -1.0], [0.5, -1.0]])
    alone = [float(SoftmaxCrossEntropy()(labels[one : one + 1], scores[:1])) for one in (0, 1)]
    assert float(SoftmaxCrossEntropy()(labels, scores)) == pytest.approx(sum(alone), rel=1e-5)


def test_approximate_ndcg_counts_smoothly_who_stands_above() -> None:
    """Scores 0.6 and 0.8 of labels 1 and 0 at a temperature of 0.1: the first has rank 1 + sigmoid(2)."""
    loss = ApproxNDCG()(tf.constant([[1.0, 0.0]]), tf.constant([[0.6, 0.8]]))
    rank = 1 + 1 / (1 + math.exp(-2))
    assert float(loss) == pytest.approx(1 - 1 / math.log2(1 + rank), rel=1e-5)


def test_approximate_ndcg_of_graded_labels_is_taken_of_the_best_order() -> None:
    """Labels 1, 3, 2 have gains 1, 7, 3; far apart, scores in the order 1st, 3rd, 2nd give ranks 1, 3, 2."""
    loss = ApproxNDCG()(tf.constant([[1.0, 3.0, 2.0]]), tf.constant([[90.0, 0.0, 45.0]]))
    found = 1 / math.log2(2) + 7 / math.log2(4) + 3 / math.log2(3)
    best = 7 / math.log2(2) + 3 / math.log2(3) + 1 / math.log2(4)
    assert float(loss) == pytest.approx(1 - found / best, rel=1e-5)


@pytest.mark.parametrize("objective", LIST_LOSSES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_padding_changes_nothing(objective: str, data: st.DataObject) -> None:
    length, more = data.draw(st.integers(2, 6)), data.draw(st.integers(1, 3))
    labels = np.array(data.draw(st.lists(st.integers(0, 4), min_size=length, max_size=length)), np.float32)
    scores = np.array(data.draw(st.lists(st.floats(-30, 30, width=32), min_size=length, max_size=length)), np.float32)
    loss = LIST_LOSSES[objective]()
    padded = tf.Variable(np.append(scores, np.full(more, 1e3, np.float32))[None])
    with tf.GradientTape() as tape:
        found = loss(tf.constant(np.append(labels, np.full(more, NAN, np.float32))[None]), padded)
    np.testing.assert_allclose(found, loss(tf.constant(labels[None]), tf.constant(scores[None])), atol=1e-4)
    gradient = tape.gradient(found, padded).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[0, length:].any()
    np.testing.assert_allclose(gradient.sum(), 0.0, atol=1e-4)  # what all scores share changes no order
    if len(set(labels)) == 1:
        assert float(found) == 0.0
    if objective == "approx-ndcg":
        assert -1e-5 <= float(found) <= 1.0


def test_rows_are_laid_out_as_lists() -> None:
    places = tf.constant([[1, 1], [0, 0], [1, 0], [1, 2]])
    made = in_lists(tf.constant([1.0, 2.0, 3.0, 4.0]), places, -1.0).numpy()
    assert made.tolist() == [[2.0, -1.0, -1.0], [3.0, 1.0, 4.0]]


def of_two_lists(target: Target, weights: list[float] | None = None) -> float:
    """Rows of lists [1, 0, unknown] and [0, 1] and [1, 1]; scores 0, 1, 7 and 0.5, 0 and 3, -3."""
    places = tf.constant([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0], [2, 1]])
    labels = tf.constant([[1.0], [0.0], [NAN], [0.0], [1.0], [1.0], [1.0]])
    scores = tf.constant([[0.0], [1.0], [7.0], [0.5], [0.0], [3.0], [-3.0]])
    by_row = None if weights is None else tf.constant(weights)
    return float(PredictionLoss([target])(scores, labels, by_row, places))


def test_listmle_is_a_mean_over_the_rows_of_lists_that_say_something() -> None:
    target = Target("click", "binary", 0.5, objective="listmle", weight=2.0)
    first, second = math.log(1 + math.exp(1.0)), math.log(1 + math.exp(0.5))
    assert of_two_lists(target) == pytest.approx(2.0 * (first + second) / 4)
    # A list counts by the mean weight of its known rows: (1 + 2) / 2 and (4 + 1) / 2.
    weighted = (1.5 * first + 2.5 * second) / (1.5 * 2 + 2.5 * 2)
    assert of_two_lists(target, [1.0, 2.0, 9.0, 4.0, 1.0, 5.0, 5.0]) == pytest.approx(2.0 * weighted)


def test_approximate_ndcg_is_a_mean_over_lists() -> None:
    target = Target("click", "binary", 0.5, objective="approx-ndcg")
    of_list = [1 - 1 / math.log2(2 + 1 / (1 + math.exp(-apart / 0.1))) for apart in (1.0, 0.5)]
    assert of_two_lists(target) == pytest.approx(sum(of_list) / 2, rel=1e-5)


def test_lists_have_to_be_told() -> None:
    with pytest.raises(ValueError, match="click is trained by lists"):
        PredictionLoss([Target("click", "binary", 0.5, objective="listmle")])(tf.zeros([2, 1]), tf.zeros([2, 1]))
