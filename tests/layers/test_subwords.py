"""Texts as sums of their subwords, written out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.features.characters import CharacterEncoder, joined
from recsys_tfrs.layers.subwords import SubwordVector


def layer(width: int = 4, buckets: int = 1 << 16) -> SubwordVector:
    return SubwordVector(width, buckets, 3, scale=1.0, seed=1, name="subwords")


def codes_of(*texts: str, length: int = 24) -> tf.Tensor:
    return CharacterEncoder(length, name="codes")(tf.constant(texts))


def rows_of(text: str, width: int = 4) -> list[int]:
    rows, there = layer(width).runs(codes_of(text))
    return rows.numpy()[there.numpy()].tolist()


def test_a_word_has_its_runs_and_both_its_ends() -> None:
    assert len(rows_of("oak")) == len(set(rows_of("oak"))) == 2  # ^oak oak$
    assert len(rows_of("table")) == 4  # ^tab tabl able ble$
    assert len(rows_of("ab", width=2)) == 3  # ^a ab b$
    assert rows_of("o") == []
    assert rows_of("") == []


def test_runs_do_not_reach_from_one_word_into_the_next() -> None:
    assert rows_of("oak desk") == rows_of("oak") + rows_of("desk")
    encoder = CharacterEncoder(24, name="codes")
    two_columns = joined([encoder(tf.constant(["oak"])), encoder(tf.constant(["desk"]))], 24)
    rows, there = layer().runs(two_columns)
    assert rows.numpy()[there.numpy()].tolist() == rows_of("oak") + rows_of("desk")


def test_beginnings_are_shared_by_words_of_one_stem_and_ends_by_words_of_one_ending() -> None:
    walker, walks, talker = (set(rows_of(word)) for word in ("walker", "walks", "talker"))
    assert len(walker & walks) == 2  # ^wal walk
    assert len(walker & talker) == 3  # alke lker ker$


@pytest.mark.parametrize("width", [2, 3, 4, 5])
def test_the_vector_is_the_sum_of_those_of_the_runs_over_the_root_of_their_number(width: int) -> None:
    subwords = layer(width)
    table = subwords.table.numpy()
    rows = rows_of("oak desk", width)
    expected = table[rows].sum(axis=0) / np.sqrt(len(rows))
    np.testing.assert_allclose(subwords(codes_of("oak desk"))[0], expected, atol=1e-5)


def test_a_text_without_runs_is_nothing_and_the_same_text_anywhere_is_the_same() -> None:
    subwords = layer()
    np.testing.assert_array_equal(subwords(codes_of("", "o")), np.zeros((2, 3)))
    apart = subwords(codes_of("oak desk", "desk oak"))
    np.testing.assert_allclose(apart[0], apart[1], atol=1e-5)


def test_every_row_lies_in_the_table() -> None:
    rng = np.random.default_rng(0)
    rows, _ = layer(buckets=100).runs(tf.constant(rng.integers(0, 120, (50, 16)).astype(np.uint8)))
    assert set(rows.numpy().ravel()) <= set(range(100))
    assert len(np.unique(rows)) > 90  # spread over it
