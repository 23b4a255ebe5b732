"""Invented words for products, and names and category paths made of them. No such product exists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Endings a stem can take, so that a word comes in several forms and only its beginning tells what it means.
ENDINGS = ("", "s", "er", "ia", "o", "ix")

_ONSETS = ("b", "br", "d", "f", "fl", "g", "gr", "k", "kl", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "tr", "v")
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("l", "m", "n", "r", "t", "k", "p")

Ints = NDArray[np.integer]


@dataclass(frozen=True)
class Words:
    """Stems by what they mean.

    Attributes:
      departments: ``[num_departments]``.
      categories: ``[num_departments x categories]``, those of a department side by side.
      attributes: ``[num_departments x attributes]``.
    """

    departments: list[str]
    categories: list[str]
    attributes: list[str]


def draw_words(num_departments: int, categories: int, attributes: int, rng: np.random.Generator) -> Words:
    """Different stems of two syllables for everything that has a name."""
    needed = num_departments * (1 + categories + attributes)
    syllables = [onset + vowel for onset in _ONSETS for vowel in _VOWELS]
    # A stem is a number in mixed radix, so that no two are the same.
    chosen = rng.choice(len(syllables) ** 2 * len(_CODAS), needed, replace=False).tolist()
    stems = []
    for number in chosen:
        rest, coda = divmod(number, len(_CODAS))
        first, second = divmod(rest, len(syllables))
        stems.append(syllables[first] + syllables[second] + _CODAS[coda])
    departments, stems = stems[:num_departments], stems[num_departments:]
    return Words(departments, stems[: num_departments * categories], stems[num_departments * categories :])


def names_of(
    words: Words, category: Ints, attributes: Ints, ambiguity: float, rng: np.random.Generator
) -> NDArray[np.object_]:
    """``[num_items]`` names: words for category and attributes in any order, and a number that says nothing.

    Args:
      words: stems.
      category: ``[num_items]``.
      attributes: ``[num_items, any]``.
      ambiguity: probability that a word is drawn from all instead.
      rng: random numbers.
    """
    stems = np.array([*words.categories, *words.attributes], dtype=object)
    chosen = np.concatenate([category[:, None], attributes + len(words.categories)], axis=1)
    chosen = np.where(rng.random(chosen.shape) < ambiguity, rng.integers(0, len(stems), chosen.shape), chosen)
    chosen = np.take_along_axis(chosen, np.argsort(rng.random(chosen.shape), axis=1), axis=1)
    endings = np.array(ENDINGS, dtype=object)[rng.integers(0, len(ENDINGS), chosen.shape)]
    numbers = rng.integers(10, 1_000, len(chosen)).tolist()
    rows = (stems[chosen] + endings).tolist()
    return np.array([" ".join((*row, str(number))) for row, number in zip(rows, numbers, strict=True)], dtype=object)


def paths_of(words: Words, category: Ints, ambiguity: float, rng: np.random.Generator) -> NDArray[np.object_]:
    """``[num_items]`` paths ``department/category``; another one's with probability `ambiguity`."""
    per_department = len(words.categories) // len(words.departments)
    paths = np.array(
        [f"{words.departments[number // per_department]}/{stem}" for number, stem in enumerate(words.categories)],
        dtype=object,
    )
    drawn = rng.integers(0, len(paths), len(category))
    return np.asarray(paths[np.where(rng.random(len(category)) < ambiguity, drawn, category)])
