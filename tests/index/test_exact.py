from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.errors import DataError
from recsys_tfrs.index import exact as exact_module
from recsys_tfrs.index.exact import ExactIndex

# Item 3 scores highest for the query (1, 0), then 1 and 4 (equal), then 2; row 0 would beat them all.
VECTORS = np.array([[99, 99], [2, 0], [1, 5], [3, 1], [2, 7]], dtype=np.float32)
QUERY = tf.constant([[1.0, 0.0]])


def lists(index: ExactIndex, *args: object, **kwargs: object) -> tuple[list[list[float]], list[list[int]]]:
    scores, ids = index.search(*args, **kwargs)  # type: ignore[arg-type]
    return scores.numpy().tolist(), ids.numpy().tolist()


def test_best_first_equal_scores_by_lower_id_and_padding_never() -> None:
    assert lists(ExactIndex(VECTORS), QUERY, 4) == ([[3.0, 2.0, 2.0, 1.0]], [[3, 1, 4, 2]])


def test_excluded_ids_never_return_and_the_list_stays_full() -> None:
    excluded = tf.constant([[3, 0, 1, 1], [2, 0, 0, 0]])
    queries = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    assert lists(ExactIndex(VECTORS), queries, 2, excluded) == ([[2.0, 1.0], [7.0, 1.0]], [[4, 2], [4, 3]])


def test_excluded_ids_out_of_range_exclude_nothing() -> None:
    assert lists(ExactIndex(VECTORS), QUERY, 1, tf.constant([[-1, 5, 2**31 - 1]])) == ([[3.0]], [[3]])


def test_fewer_candidates_than_k_end_in_id_0() -> None:
    inf = float("inf")
    assert lists(ExactIndex(VECTORS), QUERY, 7, tf.constant([[1, 2]])) == (
        [[3.0, 2.0, -inf, -inf, -inf, -inf, -inf]],
        [[3, 4, 0, 0, 0, 0, 0]],
    )


def test_items_masked_at_build_and_per_request() -> None:
    index = ExactIndex(VECTORS, allowed=np.array([True, True, True, False, True]))
    assert index.num_candidates == 3
    assert lists(index, QUERY, 2)[1] == [[1, 4]]
    allowed = tf.constant([[True, False, True, True, True]])
    assert lists(index, QUERY, 2, allowed=allowed)[1] == [[4, 2]]


def test_a_masked_item_may_hold_anything_and_the_callers_array_stays_his() -> None:
    vectors = VECTORS.copy()
    vectors[3] = np.nan
    index = ExactIndex(vectors, allowed=np.array([True, True, True, False, True]))
    assert lists(index, QUERY, 2) == ([[2.0, 2.0]], [[1, 4]])
    assert vectors[0].tolist() == [99, 99]


def test_negative_scores_are_scores() -> None:
    assert lists(ExactIndex(-VECTORS), QUERY, 2) == ([[-1.0, -2.0]], [[2, 1]])


def test_k_and_the_width_of_exclusion_are_dynamic_in_one_graph() -> None:
    index = ExactIndex(VECTORS)
    specs = [tf.TensorSpec([None, 2]), tf.TensorSpec([], tf.int32), tf.TensorSpec([None, None], tf.int32)]
    search = tf.function(index.search, input_signature=specs)
    assert search(QUERY, tf.constant(1), tf.zeros([1, 0], tf.int32))[1].numpy().tolist() == [[3]]
    assert search(QUERY, tf.constant(3), tf.constant([[3, 1]]))[1].numpy().tolist() == [[4, 2, 0]]
    assert search(tf.zeros([0, 2]), tf.constant(3), tf.zeros([0, 1], tf.int32))[1].shape == (0, 3)


@given(seed=st.integers(0, 10_000), batch=st.integers(1, 6), k=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_equals_sorting_all_scores_in_blocks_or_at_once(seed: int, batch: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-3, 4, (9, 2)).astype(np.float32)
    queries = rng.integers(-3, 4, (batch, 2)).astype(np.float32)
    excluded = rng.integers(0, 9, (batch, 4)).astype(np.int32)
    allowed = rng.random((batch, 9)) < 0.8
    scores = queries @ vectors.T
    scores[~allowed] = -np.inf
    scores[:, 0] = -np.inf
    np.put_along_axis(scores, excluded, -np.inf, axis=1)
    scores = np.pad(scores, [(0, 0), (0, 12)], constant_values=-np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    expected = np.take_along_axis(scores, order, axis=1)
    index = ExactIndex(vectors)
    for block in (exact_module.BLOCK_SCORES, 18):  # 18 scores are two rows of nine
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exact_module, "BLOCK_SCORES", block)
            found, ids = index.search(tf.constant(queries), k, tf.constant(excluded), tf.constant(allowed))
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(ids, np.where(expected > -np.inf, order, 0))


@pytest.mark.parametrize(
    ("vectors", "allowed", "message"),
    [
        (np.zeros((1, 4)), None, "catalogue is empty"),
        (np.zeros((0, 4)), None, "catalogue is empty"),
        (np.zeros((3, 2)), np.zeros(3, dtype=bool), "every item is masked out"),
        (np.zeros((3, 2)), np.ones(2, dtype=bool), r"shape \[2\], expected \[3\]"),
        (np.zeros(4), None, r"\[num_items \+ 1, dim\], got \[4\]"),
        (np.array([[0.0], [1.0], [np.nan], [np.inf]]), None, "2 items are not finite.*internal id 2.*diverged"),
    ],
)
def test_what_cannot_be_indexed_says_why(vectors: np.ndarray, allowed: np.ndarray | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ExactIndex(vectors, allowed)
