"""Sizes and knobs of the generator, validated."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from recsys_tfrs.data.simulated_names import GENRES, NOUNS_PER_GENRE
from recsys_tfrs.errors import ConfigError, DatasetNotFoundError

UNLEARNABLE_SUFFIX = "-unlearnable"


@dataclass(frozen=True)
class SimulatedConfig:
    """Every size and every strength; 0 switches an effect off, which is how the tests see that it is there.

    Attributes:
      num_users: people.
      num_items: films of the catalogue.
      num_rows: interactions, exactly.
      num_genres: main genres = groups of films; even, so that half of them carry each sign of the interaction.
      facets_per_genre: finer tastes inside a genre; ``num_genres * facets_per_genre`` is the rank of the taste.
      num_factors: dimension of taste vectors.
      min_events: fewest interactions of a user.
      activity_exponent: tail index of the Pareto law of user activity; smaller is heavier.
      popularity_exponent: a of the item weights ``(rank + shift)^-a``.
      taste_strength: how unequally a user's taste spreads over the facets.
      item_focus: how closely an item belongs to its facet, from 0 (every facet wants it alike).
      demographic_strength: effect of gender, age and occupation on the genres a user likes.
      three_way_strength: effect of gender x age band x genre, invisible to any two of the three.
      taste_drift: how far a user's taste has moved to a second one at the end of time, 0..1.
      popularity_drift: standard deviation of the change of an item's log popularity over the whole time.
      transition_probability: share of events that follow from the event before them.
      cold_user_fraction: share of users who appear after the 80% time quantile only.
      cold_item_fraction: share of items that appear after the 80% time quantile only.
      rating_taste: effect of taste on the rating, in stars for one standard deviation.
      rating_bias: standard deviation of user and of item biases, in stars.
      rating_noise: scale of the logistic noise of ratings, in stars.
    """

    num_users: int
    num_items: int
    num_rows: int
    num_genres: int = len(GENRES)
    facets_per_genre: int = 4
    num_factors: int = 16
    min_events: int = 10
    activity_exponent: float = 2.5
    popularity_exponent: float = 1.25
    taste_strength: float = 3.0
    item_focus: float = 12.0
    demographic_strength: float = 0.6
    three_way_strength: float = 0.8
    taste_drift: float = 0.9
    popularity_drift: float = 2.0
    transition_probability: float = 0.25
    cold_user_fraction: float = 0.05
    cold_item_fraction: float = 0.05
    rating_taste: float = 0.45
    rating_bias: float = 0.35
    rating_noise: float = 0.4

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not math.isfinite(value) or value < 0:
                raise ConfigError(f"{f.name} of simulated data must be finite and not negative, got {value}.")
        _require(
            2 <= self.num_genres <= len(GENRES) and self.num_genres % 2 == 0,
            f"num_genres must be even and within 2..{len(GENRES)}, got {self.num_genres}",
        )
        _require(
            1 <= self.facets_per_genre <= NOUNS_PER_GENRE,
            f"facets_per_genre must lie in 1..{NOUNS_PER_GENRE}, got {self.facets_per_genre}",
        )
        _require(
            self.num_items >= 2 * self.num_components,
            f"num_items must be at least two per facet, {2 * self.num_components}, got {self.num_items}",
        )
        _require(self.num_users >= 20, f"num_users must be at least 20, got {self.num_users}: ask for more rows")
        for name in ("taste_drift", "transition_probability"):
            _require(getattr(self, name) <= 1, f"{name} is a share and must not exceed 1, got {getattr(self, name)}")
        for name in ("cold_user_fraction", "cold_item_fraction"):
            _require(getattr(self, name) <= 0.1, f"{name} must not exceed 0.1, got {getattr(self, name)}")
        low, high = self.num_users * self.min_events, 2 * self.num_users * self.max_events // 3
        _require(
            low <= self.num_rows <= high,
            f"num_rows must lie in {low}..{high} for {self.num_users} users and {self.num_items} items (each user "
            f"has {self.min_events} to {self.max_events} different items), got {self.num_rows}",
        )

    @property
    def num_components(self) -> int:
        """Facets of all genres: the rank of the users x items table of propensities."""
        return self.num_genres * self.facets_per_genre

    @property
    def max_events(self) -> int:
        """Most interactions of a user: a third of the catalogue and 20, and at most 20 times the average."""
        return max(self.min_events, min(self.num_items // 3 + 20, 20 * self.num_rows // self.num_users))


def _require(holds: bool, expectation: str) -> None:
    if not holds:
        raise ConfigError(f"Simulated data: {expectation}.")


#: Sizes by name. `tiny` has eight genres of one facet, for tests.
SIZES = {
    "tiny": SimulatedConfig(num_users=200, num_items=120, num_rows=5_000, num_genres=8, facets_per_genre=1),
    "small": SimulatedConfig(num_users=1_000, num_items=1_700, num_rows=100_000),
    "large": SimulatedConfig(num_users=160_000, num_items=20_000, num_rows=25_000_000),
}
DEFAULT_SIZE = "small"


def parse_name(name: str) -> tuple[str, bool]:
    """``"simulated-tiny-unlearnable"`` -> ``("tiny", True)``; plain ``simulated`` is `DEFAULT_SIZE`.

    Raises:
      DatasetNotFoundError: no such size; the message lists those there are.
    """
    base = name.removesuffix(UNLEARNABLE_SUFFIX)
    size = DEFAULT_SIZE if base == "simulated" else base.removeprefix("simulated-")
    if size not in SIZES or not base.startswith("simulated"):
        known = ", ".join(f"simulated-{s}" for s in SIZES)
        raise DatasetNotFoundError(
            f"There is no simulated data set {name!r}: use simulated (= simulated-{DEFAULT_SIZE}), {known}, "
            f"each with or without the suffix {UNLEARNABLE_SUFFIX}."
        )
    return size, name.endswith(UNLEARNABLE_SUFFIX)


def config_for(size: str, num_rows: int | None = None) -> SimulatedConfig:
    """The configuration of a size; `num_rows` scales the users with it and leaves the catalogue alone.

    Raises:
      ConfigError: too few rows to make users of, or more than the catalogue can hold.
    """
    config = SIZES[size]
    if num_rows is None:
        return config
    return replace(config, num_rows=num_rows, num_users=max(0, round(config.num_users * num_rows / config.num_rows)))
