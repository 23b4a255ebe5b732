"""`simulated`: the embedded data set that needs no file, with structure to be found and a known truth.

See docs/simulated.md for its equations, sizes, knobs and measured figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs import schema
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.simulated_config import (
    SIZES,
    UNLEARNABLE_SUFFIX,
    SimulatedConfig,
    config_for,
    parse_name,
)
from recsys_tfrs.data.simulated_entities import draw_catalogue, draw_people
from recsys_tfrs.data.simulated_events import draw_items, draw_ratings, draw_schedule
from recsys_tfrs.data.simulated_unlearnable import make_unlearnable, popularity_bound
from recsys_tfrs.data.simulated_world import SimulatedWorld
from recsys_tfrs.errors import ConfigError

__all__ = [
    "SIZES",
    "SimulatedConfig",
    "SimulatedWorld",
    "Simulation",
    "load_simulated",
    "popularity_bound",
    "simulate",
]


@dataclass(frozen=True)
class Simulation:
    """A data set and the truth behind it.

    Attributes:
      interactions: what a recommender may see, and `Interactions.oracle`.
      world: every factor and probability; for an unlearnable data set that of the data before shuffling.
    """

    interactions: Interactions
    world: SimulatedWorld


def load_simulated(name: str = "simulated", *, seed: int = 42, num_rows: int | None = None) -> Interactions:
    """Generate a simulated data set in the MovieLens schema.

    Args:
      name: ``simulated`` (= ``simulated-small``), ``simulated-tiny``, ``simulated-small`` or ``simulated-large``,
        each also with ``-unlearnable`` behind it.
      seed: of everything drawn; the same seed gives the same data on every machine.
      num_rows: overrides the number of interactions; users scale with it, the catalogue stays.

    Returns:
      Interactions in shuffled file order, with `oracle` set.

    Raises:
      DatasetNotFoundError: no such size.
      ConfigError: `num_rows` is out of range for the size.
    """
    size, unlearnable = parse_name(name)
    full_name = f"simulated-{size}{UNLEARNABLE_SUFFIX if unlearnable else ''}"
    simulation = simulate(config_for(size, num_rows), seed=seed, unlearnable=unlearnable, name=full_name)
    return simulation.interactions


def simulate(
    config: SimulatedConfig, *, seed: int = 42, unlearnable: bool = False, name: str = "simulated"
) -> Simulation:
    """Generate data for any configuration, with its truth.

    Args:
      config: sizes and knobs.
      seed: of everything drawn. Each part has its own stream, so a knob of one part leaves the others' draws alone.
      unlearnable: shuffle every link away afterwards, see `make_unlearnable`.
      name: of the data set, for reports.

    Raises:
      ConfigError: a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"The seed of simulated data must not be negative, got {seed}.")
    streams = [np.random.default_rng([seed, part]) for part in range(6)]
    catalogue, item_features = draw_catalogue(config, streams[0])
    people, user_features = draw_people(config, catalogue.genre_sign, streams[1])
    schedule = draw_schedule(config, people.cold_users, streams[2])
    world = SimulatedWorld(config=config, period_edges=schedule.period_edges, **vars(catalogue), **vars(people))
    items = draw_items(world, schedule, streams[3])
    ratings = draw_ratings(world, schedule, items, streams[4])
    users = np.repeat(schedule.users, np.diff(schedule.offsets))
    file_order = streams[5].permutation(len(users))
    interactions = Interactions(
        name=name,
        users=users[file_order],
        items=items[file_order],
        ratings=ratings[file_order],
        timestamps=schedule.timestamps[file_order],
        user_ids=_external_ids(config.num_users, streams[5]),
        item_ids=_external_ids(config.num_items, streams[5]),
        user_features=user_features,
        item_features=item_features,
        title_column=schema.MOVIE_TITLE,
        oracle=world.oracle,
    )
    if unlearnable:
        interactions = make_unlearnable(interactions, streams[5])
    return Simulation(interactions, world)


def _external_ids(count: int, rng: np.random.Generator) -> NDArray[np.object_]:
    """Numbers as in MovieLens, in an order of their own: who takes one kind of id for the other is found out."""
    ids = np.empty(count + 1, dtype=object)
    ids[0] = ""
    ids[1:] = (1 + rng.permutation(count)).astype(np.str_)
    return ids
