"""Characters as codes: the rule, script by script."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.features.characters import (
    ALPHABET,
    FIRST_CODE,
    NUM_BUCKETS,
    NUM_CODES,
    SEPARATOR,
    CharacterEncoder,
    characters,
    joined,
)
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.preprocessing import FeaturePreprocessor
from recsys_tfrs.schema import ITEM_ID, Kind

LENGTH = 12
ENCODER = CharacterEncoder(LENGTH, name="names")


def codes(*texts: str | bytes) -> list[list[int]]:
    """Codes of each text, without the padding behind them."""
    encoded = ENCODER(tf.constant(texts)).numpy()
    assert encoded.dtype == np.uint8
    assert encoded.shape == (len(texts), LENGTH)
    ends = [int(np.max(np.flatnonzero(row), initial=-1)) + 1 for row in encoded]
    assert [(row[:end] == 0).any() for row, end in zip(encoded, ends, strict=True)] == [False] * len(texts)
    return [row[:end].tolist() for row, end in zip(encoded, ends, strict=True)]


def bucket(character: str) -> int:
    return FIRST_CODE + len(ALPHABET) + ord(character) % NUM_BUCKETS


def test_characters_of_the_alphabet_have_a_code_of_their_own() -> None:
    assert codes("ab 1/") == [[FIRST_CODE + ALPHABET.index(character) for character in "ab 1/"]]
    every = CharacterEncoder(len(ALPHABET), name="all")(tf.constant([ALPHABET])).numpy()[0]
    assert every.tolist() == list(range(FIRST_CODE, FIRST_CODE + len(ALPHABET)))
    assert "".join(characters(every)) == ALPHABET
    assert NUM_CODES == FIRST_CODE + len(ALPHABET) + NUM_BUCKETS <= 256


def test_case_accents_widths_and_ligatures_make_no_difference() -> None:
    first, *others = codes("cafe", "CAFE", "Caf\u00e9", "cafe\u0301", "\uff43\uff41\uff46\uff45")
    assert len(first) == 4
    assert others == [first] * 4
    assert codes("\ufb01x") == codes("fix")  # a ligature is its letters


def test_white_space_is_a_blank_and_what_is_invisible_is_nothing() -> None:
    assert codes("a\tb\u00a0c\nd") == codes("a b c d")
    assert codes("a\u200db\x00\ufe0f") == codes("ab")


def test_hangul_is_its_jamo_however_it_is_written() -> None:
    whole, in_parts = codes("\ud55c\uae00", unicodedata.normalize("NFD", "\ud55c\uae00"))
    assert whole == in_parts == [bucket(jamo) for jamo in "\u1112\u1161\u11ab\u1100\u1173\u11af"]


def test_emoji_and_whatever_lies_beyond_the_plane_have_the_code_of_their_bucket() -> None:
    assert codes("\U0001f600a\U0001f601") == [[bucket("\U0001f600"), FIRST_CODE + 1, bucket("\U0001f601")]]
    assert codes("\u8336") == [[bucket("\u8336")]]
    # A heart with the selector that makes it coloured, and a family joined by what cannot be seen.
    assert codes("\u2764\ufe0f") == codes("\u2764")
    assert len(codes("\U0001f468\u200d\U0001f469\u200d\U0001f467")[0]) == 3


def test_empty_names_have_no_codes_and_long_ones_are_cut() -> None:
    assert codes("", "x" * 10_000, "\u0301" * 10_000) == [[], [FIRST_CODE + ALPHABET.index("x")] * LENGTH, []]
    assert codes("\ufdfa" * 2)[0] == codes("\ufdfa")[0] * 2  # one character of eighteen letters: the first three
    assert len(codes("\ufdfa")[0]) == 3
    assert ENCODER(tf.constant([], tf.string)).shape == (0, LENGTH)


def test_what_is_no_utf8_is_the_replacement_character() -> None:
    assert codes(b"a\xffb") == codes("a\ufffdb")
    assert bucket("\ufffd") in codes(b"\xff")[0]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=10))
def test_the_way_a_text_is_composed_makes_no_difference(text: str) -> None:
    composed, decomposed, lower = codes(*(unicodedata.normalize(form, text) for form in ("NFC", "NFD")), text.lower())
    # Where nothing is cut, and where marks do not decompose into more than is kept of a character.
    if all(len(unicodedata.normalize("NFKD", character)) <= 3 for character in text):
        assert composed == decomposed
    assert len(lower) <= LENGTH


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=6))
def test_a_text_is_encoded_alike_alone_and_among_others(texts: list[str]) -> None:
    assert codes(*texts) == [codes(text)[0] for text in texts]


def test_texts_of_several_columns_are_joined_by_a_separator_and_cut_together() -> None:
    left, right = ENCODER(tf.constant(["ab", "", "abcdefghijkl"])), ENCODER(tf.constant(["c", "", "m"]))
    made = joined([left, right], 6).numpy()
    a = FIRST_CODE + 1
    assert made.tolist() == [
        [a, a + 1, SEPARATOR, a + 2, 0, 0],
        [SEPARATOR, 0, 0, 0, 0, 0],
        [a, a + 1, a + 2, a + 3, a + 4, a + 5],
    ]


@pytest.mark.parametrize("characters_kept", [0, 5])
def test_texts_are_read_by_characters_where_it_is_asked_for(characters_kept: int) -> None:
    columns = {"full name": FeatureColumn("full name", Kind.TEXT, np.array(["", "tea pot", "tea"], dtype=object))}
    layer = FeaturePreprocessor(ITEM_ID, columns, FeaturesConfig(max_words=3), characters_kept)
    layer.adapt(np.array(["", "1", "2"], dtype=object), columns, np.array([False, True, True]))
    table = layer.table(np.array(["", "1", "2"], dtype=object), columns)
    assert table["full name"].shape == (3, characters_kept or 3)
    assert (table["full name"].dtype == tf.uint8) == bool(characters_kept)
