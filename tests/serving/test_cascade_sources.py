"""Sources bring their shares, no item twice; one that fails leaves the others answering."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from serving.hand_made import make_interactions

from recsys_tfrs.index.exact import ExactIndex
from recsys_tfrs.serving.cascade_sources import Found, Source, merged, popularity_source

#: Items 1 to 8 by falling score: of the first source 8, 7, ..., of the second 1, 2, ...
FALLING, RISING = np.arange(9, dtype=np.float32)[:, None], -np.arange(9, dtype=np.float32)[:, None]


def source(name: str, quota: int, vectors: np.ndarray) -> Source:
    return Source(name, quota, vectors, ExactIndex(vectors))


def found(sources: list[Source], *queries: list[float], silent: list[bool] | None = None, **further: object) -> Found:
    rows = len(queries[0])
    vectors = [tf.constant(query, shape=[rows, 1]) for query in queries]
    mask = tf.constant([silent or [False] * len(sources)] * rows)
    excluded = tf.constant(further.pop("excluded", [[0]] * rows), tf.int32)
    return merged(sources, vectors, mask, excluded, **further)


def test_one_source() -> None:
    out = found([source("a", 3, FALLING)], [1.0, -1.0], excluded=[[8, 0], [0, 0]])
    assert out.ids.numpy().tolist() == [[7, 6, 5], [1, 2, 3]]
    assert out.scores.numpy().tolist() == [[7, 6, 5], [-1, -2, -3]]
    assert out.spoke.numpy().tolist() == [[True], [True]]


def test_what_several_find_is_the_first_ones() -> None:
    out = found([source("a", 3, FALLING), source("b", 2, FALLING), source("c", 2, RISING)], [1.0], [1.0], [1.0])
    assert out.ids.numpy().tolist() == [[8, 7, 6, 5, 4, 1, 2]]
    assert out.sources.numpy().tolist() == [[0, 0, 0, 1, 1, 2, 2]]
    assert out.scores.numpy().tolist() == [[8, 7, 6, 5, 4, -1, -2]]


def test_what_one_leaves_open_the_next_fills() -> None:
    sources = [source("a", 3, FALLING), source("b", 2, RISING)]
    for silent, query in (([True, False], 1.0), ([False, False], np.nan), ([False, False], np.inf)):
        out = found(sources, [query], [1.0], silent=silent)
        assert out.ids.numpy().tolist() == [[1, 2, 3, 4, 5]]
        assert out.spoke.numpy().tolist() == [[False, True]]
    alone = found(sources, [1.0], [1.0], silent=[False, True])
    assert alone.ids.numpy().tolist() == [[8, 7, 6, 0, 0]]
    assert alone.scores.numpy()[0, 3:].tolist() == [-np.inf, -np.inf]


def test_a_failure_of_one_row_is_that_rows_alone() -> None:
    out = found([source("a", 2, FALLING), source("b", 1, RISING)], [1.0, np.nan], [1.0, 1.0])
    assert out.ids.numpy().tolist() == [[8, 7, 1], [1, 2, 3]]
    assert out.spoke.numpy().tolist() == [[True, True], [False, True]]


def test_broken_candidates_are_no_answer() -> None:
    index = ExactIndex(FALLING)
    index._vectors.assign(tf.fill(index._vectors.shape, np.nan))
    out = found([Source("a", 2, FALLING, index), source("b", 2, RISING)], [1.0], [1.0])
    assert out.ids.numpy().tolist() == [[1, 2, 3, 4]]
    assert out.spoke.numpy().tolist() == [[False, True]]


def test_filters_hold_for_every_source() -> None:
    allowed = tf.constant([[False, True, False, True, False, True, False, True, False]])
    out = found([source("a", 2, FALLING), source("b", 2, RISING)], [1.0], [1.0], allowed=allowed, excluded=[[5]])
    assert out.ids.numpy().tolist() == [[7, 3, 1, 0]]


def test_popularity_counts_rows() -> None:
    popular = popularity_source(make_interactions(), np.array([3, 3, 5, 3, 5, 1], np.int32), 3)
    out = merged([popular], [popular.known(tf.constant(["u", "v"]))], tf.fill([2, 1], False), tf.constant([[0], [5]]))
    assert out.ids.numpy().tolist() == [[3, 5, 1], [3, 1, 2]]
    assert out.scores.numpy().tolist() == [[3, 2, 1], [3, 1, 0]]
