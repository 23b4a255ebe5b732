"""Texts -> codes of their characters, without a vocabulary: a name never seen is read like any other.

The rule, the same for every script:

1. A text is decoded as UTF-8; what is no UTF-8 becomes U+FFFD, a character like any other.
2. Each character of the Basic Multilingual Plane is lower-cased and decomposed (Unicode normalisation form NFKD); its
   marks (accents, variation selectors) and its invisible characters (controls, joiners) are left out, white space is a
   blank, and of what remains the first three count. So ``E``, ``é`` and ``e`` with a combining accent are one code, a
   ligature is its letters, full-width letters are letters, and a Hangul syllable is its two or three jamo.
3. A character of `ALPHABET` has a code of its own. Every other one, emoji and all characters beyond that plane
   included, has the code of its bucket: its code point modulo `NUM_BUCKETS`.
4. Of the codes of a text the first so many are kept. An empty text has none.

All of it is one lookup in a table of 65,536 x 3 bytes, which is part of the graph.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.features.encoders import Encoder

#: Characters with a code of their own.
ALPHABET = " abcdefghijklmnopqrstuvwxyz0123456789-/&.,'()+%:;\"!?#*_@"

#: Codes shared by all other characters.
NUM_BUCKETS = 64

#: Between the texts of two columns.
SEPARATOR = 1

#: Code of the first character of `ALPHABET`; below are padding, 0, and the `SEPARATOR`.
FIRST_CODE = 2

#: Codes lie below this.
NUM_CODES = FIRST_CODE + len(ALPHABET) + NUM_BUCKETS

#: Codes that one character can become.
_MOST_CODES = 3

_PLANE = 1 << 16


class CharacterEncoder(Encoder):
    """``[batch]`` texts -> ``[batch, length]`` uint8 codes of their characters, padded with 0; see the module.

    Args:
      length: codes kept of a text.
    """

    vocabulary_size = NUM_CODES

    def __init__(self, length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = length

    def adapt(self, values: NDArray[Any]) -> None:
        """Nothing is learnt: the alphabet is fixed."""

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Encode ``[batch]`` strings."""
        points = tf.strings.unicode_decode(values, "UTF-8", errors="replace")[:, : self._enough]
        flat = points.flat_values
        in_plane = flat < _PLANE
        codes = tf.gather(tf.constant(code_table()), tf.where(in_plane, flat, 0))
        beyond = tf.cast(FIRST_CODE + len(ALPHABET) + flat % NUM_BUCKETS, tf.uint8)
        codes = tf.where(in_plane[:, None], codes, tf.stack([beyond, *[tf.zeros_like(beyond)] * (_MOST_CODES - 1)], 1))
        whose = tf.repeat(points.value_rowids(), _MOST_CODES)
        return packed(tf.reshape(codes, [-1]), whose, points.nrows(), self.width)

    @property
    def _enough(self) -> int:
        """Characters of a text that are looked at: more than are kept, as marks are left out."""
        return 8 * self.width + 64


def packed(codes: tf.Tensor, rows: tf.Tensor, num_rows: tf.Tensor, length: int) -> tf.Tensor:
    """``[num_rows, length]`` the codes of each row that are not 0, in order, cut or padded with 0.

    Args:
      codes: ``[n]`` codes.
      rows: ``[n]`` int64 row of each, ascending.
      num_rows: scalar.
      length: codes kept of a row.
    """
    kept = codes > 0
    ragged = tf.RaggedTensor.from_value_rowids(
        tf.boolean_mask(codes, kept), tf.boolean_mask(rows, kept), tf.cast(num_rows, tf.int64), validate=False
    )
    return tf.ensure_shape(ragged.to_tensor(shape=[None, length]), [None, length])


def joined(codes: list[tf.Tensor], length: int) -> tf.Tensor:
    """``[batch, length]`` the texts of several columns one after the other, a `SEPARATOR` between each two.

    Args:
      codes: ``[batch, any]`` uint8 codes of each column.
      length: codes kept of all.
    """
    first = codes[0]
    between = tf.fill([tf.shape(first)[0], 1], tf.constant(SEPARATOR, first.dtype))
    parts = [part for column in codes[1:] for part in (between, column)]
    row = tf.concat([first, *parts], axis=1)
    whose = tf.repeat(tf.range(tf.shape(row, out_type=tf.int64)[0]), tf.shape(row)[1])
    return packed(tf.reshape(row, [-1]), whose, tf.shape(row)[0], length)


def characters(codes: NDArray[np.integer[Any]]) -> list[str]:
    """What codes stand for, to be read by people: ``|`` for the separator, a bucket by its number in brackets.

    Example:
      >>> characters(np.array([3, 4, 1, NUM_CODES - 1]))
      ['a', 'b', '|', '[63]']
    """
    names = ["", "|", *ALPHABET, *(f"[{bucket}]" for bucket in range(NUM_BUCKETS))]
    return [names[code] for code in codes.tolist()]


@cache
def code_table() -> NDArray[np.uint8]:
    """``[65536, 3]`` codes of each character of the Basic Multilingual Plane, 0 behind its last."""
    own = {character: FIRST_CODE + place for place, character in enumerate(ALPHABET)}
    table = np.zeros((_PLANE, _MOST_CODES), dtype=np.uint8)
    for point in range(_PLANE):
        codes = [
            own.get(character, FIRST_CODE + len(ALPHABET) + ord(character) % NUM_BUCKETS)
            for character in _plain(chr(point))
        ]
        table[point, : len(codes[:_MOST_CODES])] = codes[:_MOST_CODES]
    table.setflags(write=False)
    return table


def _plain(character: str) -> str:
    """A character's decomposition in lower case; blanks for white space, nothing for marks and what is invisible."""
    if character.isspace():
        return " "
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).lower())
    seen = (part for part in parts if unicodedata.category(part) not in ("Mn", "Me", "Cc", "Cf", "Cs"))
    return "".join(" " if part.isspace() else part for part in seen)
