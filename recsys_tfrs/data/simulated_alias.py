"""Walker's alias method for many discrete distributions at once: a draw costs two look-ups, whatever their size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AliasTables:
    """Distributions over ``0..width - 1``, one a row (A. J. Walker, ACM TOMS 3(3), 1977).

    A row is cut into `width` columns of equal mass; column c belongs to outcome c with probability ``keep``, and
    to the outcome ``alias`` otherwise.

    Attributes:
      keep: ``[num_rows * width]`` float32.
      alias: ``[num_rows * width]`` int32 outcomes.
      width: number of outcomes.
    """

    keep: NDArray[np.float32]
    alias: NDArray[np.int32]
    width: int

    def draw(self, rows: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.int64]:
        """One outcome for each of `rows`, of any shape; outcomes of weight 0 are never drawn."""
        place = rng.random(rows.shape) * self.width
        # The product may round up to `width` itself.
        column = np.minimum(place.astype(np.int64), self.width - 1)
        cell = rows * np.int64(self.width) + column
        return np.where(place - column < self.keep[cell], column, self.alias[cell])


def build_alias_tables(weights: NDArray[np.float64]) -> AliasTables:
    """Tables of ``[num_rows, width]`` weights, not negative, each row with a positive sum.

    Built without a loop by prefix sums (Hübschle-Schneider and Sanders, "Parallel weighted random sampling",
    ESA 2019, section 4): columns lighter than the average, in order, take their deficits from the heavier columns,
    in order. A light column takes from the heavy one that is current before it; a heavy column that has given away
    too much is filled up by the next heavy one.
    """
    num_rows, width = weights.shape
    load = weights * (width / weights.sum(axis=1, keepdims=True))
    is_light = load < 1.0
    # Rounding may leave a row of equal weights without any column that is not light.
    is_light[np.arange(num_rows), load.argmax(axis=1)] = False
    deficit = np.where(is_light, 1.0 - load, 0.0).cumsum(axis=1)
    excess = np.where(is_light, 0.0, np.maximum(load - 1.0, 0.0)).cumsum(axis=1)
    total = np.maximum(deficit[:, -1:], 1e-300)
    # Running sums of row r run from r to r + 1, so that one sorted array serves all rows.
    offset = np.arange(num_rows, dtype=np.float64)[:, None]
    deficit = np.minimum(deficit / total, 1.0) + offset
    excess = np.minimum(excess / np.maximum(excess[:, -1:], 1e-300), 1.0) + offset

    light, heavy = np.flatnonzero(is_light), np.flatnonzero(~is_light)
    light_row, heavy_row = light // width, heavy // width
    heavy_ends = np.cumsum(np.bincount(heavy_row, minlength=num_rows))
    keep = np.minimum(load, 1.0).ravel()
    alias = np.tile(np.arange(width, dtype=np.int32), num_rows)

    before = deficit.ravel()[light] - (1.0 - load.ravel()[light]) / total[light_row, 0]
    giver = np.searchsorted(excess.ravel()[heavy], before, side="right")
    first_heavy = heavy_ends - np.bincount(heavy_row, minlength=num_rows)
    giver = np.clip(giver, first_heavy[light_row], heavy_ends[light_row] - 1)
    alias[light] = heavy[giver] % width

    given = excess.ravel()[heavy]
    taker = np.searchsorted(deficit.ravel()[light], given, side="right")
    emptied = taker < len(light)
    # Given away exactly is not given away too much: then the next light column belongs to the next heavy one.
    emptied[emptied] = giver[taker[emptied]] <= np.flatnonzero(emptied)
    emptied[emptied] = light_row[taker[emptied]] == heavy_row[emptied]
    emptied &= np.arange(len(heavy)) < heavy_ends[heavy_row] - 1
    index = np.flatnonzero(emptied)
    lack = (deficit.ravel()[light[taker[index]]] - given[index]) * total[heavy_row[index], 0]
    keep[heavy[index]] = np.clip(1.0 - lack, 0.0, 1.0)
    alias[heavy[index]] = heavy[index + 1] % width
    return AliasTables(keep.astype(np.float32), alias, width)
