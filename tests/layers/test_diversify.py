from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.layers.diversify import maximal_marginal_relevance


def written_out(scores, vectors, trade_off, k, present):
    """One list at a time, candidate by candidate."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    chosen = []
    for _ in range(k):
        best, best_gain = -1, -np.inf
        for i in range(len(scores)):
            if i in chosen or not present[i]:
                continue
            likest = max((float(unit[i] @ unit[j]) for j in chosen), default=0.0)
            gain = trade_off * scores[i] - (1 - trade_off) * likest if chosen else scores[i]
            if gain > best_gain:
                best, best_gain = i, gain
        chosen.append(best)
    return chosen


def random_lists(seed, batch=6, num=12, dim=4):
    rng = np.random.default_rng(seed)
    return rng.random((batch, num)).astype(np.float32), rng.normal(size=(batch, num, dim)).astype(np.float32)


@pytest.mark.parametrize("trade_off", [0.0, 0.3, 0.7, 1.0])
def test_it_chooses_as_written_out(trade_off):
    scores, vectors = random_lists(1)
    present = np.random.default_rng(2).random(scores.shape) < 0.8
    got = maximal_marginal_relevance(scores, vectors, trade_off=trade_off, k=7, present=present).numpy()
    assert got.dtype == np.int32
    expected = [written_out(*row, trade_off, 7, here) for *row, here in zip(scores, vectors, present, strict=True)]
    assert got.tolist() == expected


def test_at_a_trade_off_of_one_the_order_is_that_of_the_scores():
    """Equal scores included: a stable sort leaves them in the order given."""
    scores = np.random.default_rng(0).integers(0, 5, (8, 30)).astype(np.float32)
    _, vectors = random_lists(0, 8, 30)
    got = maximal_marginal_relevance(scores, vectors, trade_off=1.0, k=30)
    assert got.numpy().tolist() == np.argsort(-scores, axis=1, kind="stable").tolist()


def test_a_copy_of_the_best_comes_last_if_only_unlikeness_counts():
    vectors = np.array([[[1.0, 0], [2.0, 0], [0, 1.0], [-1.0, 0.1]]])
    got = maximal_marginal_relevance([[0.9, 0.8, 0.1, 0.2]], vectors, trade_off=0.0, k=4)
    # Opposite to the first, then at a right angle to it, then its copy, whatever its length.
    assert got.numpy().tolist() == [[0, 3, 2, 1]]


def test_each_list_may_have_its_own_trade_off():
    scores, vectors = random_lists(3, 2)
    both = maximal_marginal_relevance(scores, vectors, trade_off=tf.constant([0.1, 1.0]), k=5).numpy()
    for row, trade_off in enumerate((0.1, 1.0)):
        alone = maximal_marginal_relevance(scores[row : row + 1], vectors[row : row + 1], trade_off=trade_off, k=5)
        assert both[row].tolist() == alone.numpy()[0].tolist()


def test_places_without_a_candidate_are_never_chosen():
    """Nor those whose score or vector is not a number; what cannot be filled is -1."""
    scores = np.array([[np.nan, 0.1, 0.2, -np.inf, 0.3]])
    vectors = np.array([[[1.0, 0], [1.0, 0], [1.0, 0], [1.0, 0], [np.nan, 0]]])
    present = np.array([[True, True, True, True, False]])
    got = maximal_marginal_relevance(scores, vectors, trade_off=0.5, k=6, present=present)
    assert got.numpy().tolist() == [[2, 1, -1, -1, -1, -1]]


def test_a_vector_of_length_zero_is_unlike_all():
    vectors = np.array([[[1.0, 0], [1.0, 0.1], [0, 0]]])
    got = maximal_marginal_relevance([[0.9, 0.8, 0.7]], vectors, trade_off=0.5, k=3)
    assert got.numpy().tolist() == [[0, 2, 1]]


def test_in_a_graph_sizes_and_numbers_may_come_with_the_request():
    """Saved with unknown batch, list and k, it answers as it does eagerly."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None]),
            tf.TensorSpec([None, None, None]),
            tf.TensorSpec([]),
            tf.TensorSpec([], tf.int32),
        ]
    )
    def serve(scores, vectors, trade_off, k):
        return maximal_marginal_relevance(scores, vectors, trade_off=trade_off, k=k)

    scores, vectors = random_lists(4)
    for batch, num, k in ((6, 12, 5), (1, 3, 3)):
        part = scores[:batch, :num], vectors[:batch, :num]
        eager = maximal_marginal_relevance(*part, trade_off=0.4, k=k)
        assert serve(*part, 0.4, k).numpy().tolist() == eager.numpy().tolist()


def test_impossible_settings_are_refused():
    scores, vectors = random_lists(5)
    with pytest.raises(ValueError, match=r"to 1 \(only scores\), not 1.5"):
        maximal_marginal_relevance(scores, vectors, trade_off=1.5, k=2)
    with pytest.raises(ValueError, match="k is at least 1, not 0"):
        maximal_marginal_relevance(scores, vectors, trade_off=0.5, k=0)
