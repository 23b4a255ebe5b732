"""Simulated interactions with items that have content: of some the genre is told, of others only heard or seen.

The items whose genre is withheld are the cold ones: none of their interactions is trained on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.content_files import Medium
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.data.simulated import simulate
from recsys_tfrs.data.simulated_config import SimulatedConfig
from recsys_tfrs.data.simulated_content import ContentConfig, write_content
from recsys_tfrs.data.simulated_names import GENRES
from recsys_tfrs.data.splits import Split
from recsys_tfrs.schema import Kind

#: The attribute that content tells.
GENRE = "genre"

NUM_GENRES = 8
DEFAULT_ITEMS = 2_400

#: Of the items: cold ones, and, of the others, those held out while selecting.
_COLD_SHARE, _SELECTION_SHARE = 0.25, 0.1

_USERS_PER_ITEM, _ROWS_PER_USER = 5 / 6, 60


@dataclass(frozen=True)
class Catalogue:
    """Interactions, and the truth about the items.

    Attributes:
      interactions: without any column about items.
      genres: ``[num_items + 1]`` main genre of each item from 0; -1 for item 0.
      cold: ``[num_items + 1]`` True for the items whose genre is withheld.
      seed: of everything drawn.
    """

    interactions: Interactions
    genres: NDArray[np.int32]
    cold: NDArray[np.bool_]
    seed: int

    @property
    def true_genres(self) -> FeatureColumn:
        """Name of every item's genre, "" for item 0."""
        names = np.array([*GENRES[:NUM_GENRES], ""], dtype=object)
        return FeatureColumn(GENRE, Kind.CATEGORICAL, names[self.genres])

    @property
    def told_genres(self) -> FeatureColumn:
        """The same, "" for cold items."""
        return FeatureColumn(GENRE, Kind.CATEGORICAL, np.where(self.cold, "", self.true_genres.values).astype(object))

    def split(self) -> Split:
        """Interactions with cold items to test on, and with some of the others to select on."""
        data = self.interactions
        warm = np.flatnonzero(~self.cold)[1:]
        some = np.random.default_rng([self.seed, 8]).permutation(warm)[: round(_SELECTION_SHARE * len(warm))]
        selecting = np.zeros(len(self.cold), dtype=bool)
        selecting[some] = True
        rows = np.arange(len(data))
        trained = np.bincount(data.users[~(self.cold | selecting)[data.items]], minlength=data.num_users + 1) > 0
        known = trained[data.users]
        train, test = rows[~self.cold[data.items]], rows[self.cold[data.items] & known]
        validation = rows[selecting[data.items] & known]
        digest = hashlib.sha256()
        for part in (train, validation, test):
            digest.update("\n".join(f"{data.user_ids[u]} {data.item_ids[i]}" for u, i in _pairs(data, part)).encode())
        return Split("cold-items", train, validation, test, digest.hexdigest())

    def write_content(self, folder: Path, medium: Medium, config: ContentConfig | None = None) -> Path:
        """Write a clip or a poster for every item; see `recsys_tfrs.data.simulated_content.write_content`."""
        return write_content(
            folder, self.interactions.item_ids[1:], self.genres[1:], NUM_GENRES, medium, config, seed=self.seed
        )


def simulate_catalogue(num_items: int = DEFAULT_ITEMS, *, seed: int = 42) -> Catalogue:
    """Generate interactions with 8 genres of items, a quarter of each genre cold.

    Args:
      num_items: of the catalogue; users and rows grow with it.
      seed: of everything drawn.

    Raises:
      ConfigError: too few items.
    """
    num_users = round(_USERS_PER_ITEM * num_items)
    config = SimulatedConfig(
        num_users=num_users,
        num_items=num_items,
        num_rows=_ROWS_PER_USER * num_users,
        num_genres=NUM_GENRES,
        facets_per_genre=1,
        cold_user_fraction=0.0,
        cold_item_fraction=0.0,
    )
    simulation = simulate(config, seed=seed, name="simulated-content")
    genres = simulation.world.item_group
    cold = np.zeros(num_items + 1, dtype=bool)
    draw = np.random.default_rng([seed, 7])
    for genre in range(NUM_GENRES):
        of_genre = draw.permutation(np.flatnonzero(genres == genre))
        cold[of_genre[: round(_COLD_SHARE * len(of_genre))]] = True
    interactions = replace(simulation.interactions, item_features={}, title_column=None, oracle=None)
    return Catalogue(interactions, genres, cold, seed)


def _pairs(data: Interactions, rows: NDArray[np.int64]) -> list[tuple[int, int]]:
    return list(zip(data.users[rows].tolist(), data.items[rows].tolist(), strict=True))
