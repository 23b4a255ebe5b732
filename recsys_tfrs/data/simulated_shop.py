"""`simulated-shop`: sessions in a shop whose products say in their names what they are, with a known truth.

Somebody wants two attributes (oak, foldable) and looks through categories (desks). With g the category looked through,
w the two attributes wanted, and the items that are released::

    g'        = g with probability `stay` (`stay_after_cart` where the last click was carted), else what follows g
    click i   ~ (popularity of i) exp(strength |w and attributes of i|) over the items of category g'
                and with probability `noise` any item, all alike
    carted    with probability `carts[|w and attributes of i|]`, and at their mean rate where the click was noise

What follows a category is another one of its department, always the same and not the other way round, so order counts.
An item's name has a word for its category and one for each attribute, in any order, each a stem with one of several
endings; its category path names department and category. With probability `ambiguity` each of these words, and the
path, is replaced by one drawn from all. The items of `cold_share` are released when the last fifth of the sessions
begins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.data.simulated_shop_names import Words, draw_words, names_of, paths_of
from recsys_tfrs.errors import ConfigError, DatasetNotFoundError
from recsys_tfrs.schema import ADDED_TO_CART, Kind

SIMULATED_SHOP = "simulated-shop"

#: Columns of the items.
ITEM_NAME, CATEGORY_PATH = "item_name", "category_path"

#: Attributes that an item has and a session wants.
NUM_WANTED = 2

#: Sessions begin so many seconds apart, and end before the next one begins.
_SECONDS = 900
_START = 1_420_070_400  # 2015-01-01

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ShopConfig:
    """Sizes and knobs of the simulated shop.

    Attributes:
      num_sessions, num_items: sizes.
      num_departments: of the shop.
      categories: of a department.
      attributes: of a department, each item having two of them.
      mean_clicks: of a session; lengths are 1 and a geometric number.
      max_clicks: longest session.
      popularity_exponent: items of a category are clicked in proportion to rank to minus this.
      strength: of the wish for an attribute.
      stay: probability of going on in the same category.
      stay_after_cart: the same after something was put into the cart.
      carts: probability of putting an item into the cart that has none, one, two of the attributes wanted.
      cold_share: of the items, released when the last fifth of the sessions begins.
      noise: probability that a click has nothing to do with what is wanted.
      ambiguity: probability that a word of a name says nothing about the item.
    """

    num_sessions: int = 12_000
    num_items: int = 2_000
    num_departments: int = 10
    categories: int = 6
    attributes: int = 8
    mean_clicks: float = 6.0
    max_clicks: int = 20
    popularity_exponent: float = 0.5
    strength: float = 2.0
    stay: float = 0.8
    stay_after_cart: float = 0.2
    carts: tuple[float, float, float] = (0.01, 0.1, 0.6)
    cold_share: float = 0.15
    noise: float = 0.1
    ambiguity: float = 0.1

    def __post_init__(self) -> None:
        for name in ("noise", "ambiguity", "cold_share", "stay", "stay_after_cart"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} of the simulated shop lies in 0..1, not {getattr(self, name)}.")
        if not 1 <= self.mean_clicks <= self.max_clicks <= 30:
            raise ConfigError("Sessions of the simulated shop have a mean of 1 to max_clicks clicks, and 30 at most.")


_SIZES = {
    SIMULATED_SHOP: ShopConfig(),
    f"{SIMULATED_SHOP}-small": ShopConfig(1_500, 300, num_departments=4, categories=4),
}


@dataclass(frozen=True)
class ShopWorld:
    """The truth about a simulated shop; arrays of items are by internal id.

    Attributes:
      config: sizes and knobs.
      category: ``[num_items + 1]`` of each item; -1 for the padding.
      attributes: ``[num_items + 1, 2]`` of each item, numbered through all departments.
      weight: ``[num_items + 1]`` popularity of each item.
      cold: ``[num_items + 1]`` whether it is released for the last fifth of the sessions alone.
      follows: ``[num_categories]`` the category that comes after each.
      words: what names are made of.
      looked_through: ``[num_rows]`` category g of each click.
      wanted: ``[num_rows, 2]`` attributes w.
    """

    config: ShopConfig
    category: Ints
    attributes: Ints
    weight: Floats
    cold: NDArray[np.bool_]
    follows: Ints
    words: Words
    looked_through: Ints
    wanted: Ints

    def click_probabilities(self, looked_through: Ints, wanted: Ints, cold: bool) -> NDArray[np.float32]:
        """Law of a click by what is behind it.

        Args:
          looked_through: ``[n]`` category.
          wanted: ``[n, 2]`` attributes.
          cold: whether the last fifth of the sessions has begun.

        Returns:
          ``[n, num_items + 1]``.
        """
        released = np.append(False, (~self.cold | cold)[1:])
        matches = _matches(self.attributes[None], wanted[:, None])
        weight = self.weight * released * (self.category == looked_through[:, None])
        weight = weight * np.exp(self.config.strength * matches)
        total = weight.sum(axis=1, keepdims=True)
        # A category without any released item is looked through as if it were the whole shop.
        law = np.where(total > 0, weight / np.maximum(total, 1e-300), released / released.sum())
        law = (1 - self.config.noise) * law + self.config.noise * released / released.sum()
        return np.asarray(law, dtype=np.float32)

    def next_click_probabilities(self, rows: Ints, carted: NDArray[np.bool_], cold: bool) -> NDArray[np.float32]:
        """Law of the click that comes after each of some rows, by the truth about the session up to there.

        The best that can be done by who knows what is wanted, and an upper bound for who has to guess it.

        Args:
          rows: ``[n]`` of the interactions.
          carted: ``[n]`` whether each was put into the cart.
          cold: as in `click_probabilities`.
        """
        here, wanted = self.looked_through[rows], self.wanted[rows]
        stays = np.where(carted, self.config.stay_after_cart, self.config.stay)[:, None]
        law = stays * self.click_probabilities(here, wanted, cold)
        law += (1 - stays) * self.click_probabilities(self.follows[here], wanted, cold)
        return np.asarray(law, dtype=np.float32)


@dataclass(frozen=True)
class ShopSimulation:
    """Sessions and the truth behind them."""

    interactions: Interactions
    world: ShopWorld


def load_simulated_shop(name: str = SIMULATED_SHOP, *, seed: int = 42) -> Interactions:
    """Generate the sessions of a shop.

    Args:
      name: ``simulated-shop`` or ``simulated-shop-small``.
      seed: of everything drawn; the same seed gives the same sessions on every machine.

    Raises:
      DatasetNotFoundError: no such size.
      ConfigError: a negative seed.
    """
    if name not in _SIZES:
        raise DatasetNotFoundError(f"There is no data set {name!r}: use {' or '.join(_SIZES)}.")
    return simulate_shop(_SIZES[name], seed=seed, name=name).interactions


def shop_config(name: str = SIMULATED_SHOP, **changes: float) -> ShopConfig:
    """The configuration of a named size with some of its knobs turned."""
    return replace(_SIZES[name], **changes)  # type: ignore[arg-type]


def simulate_shop(config: ShopConfig, *, seed: int = 42, name: str = SIMULATED_SHOP) -> ShopSimulation:
    """Generate the sessions of any configuration, with their truth.

    Raises:
      ConfigError: a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"The seed of simulated data must not be negative, got {seed}.")
    words_rng, items_rng, sessions_rng, ids_rng = (np.random.default_rng([seed, part]) for part in range(4))
    words = draw_words(config.num_departments, config.categories, config.attributes, words_rng)
    world = _draw_items(config, words, items_rng)
    clicks = _draw_sessions(world, sessions_rng)
    world = replace(world, looked_through=clicks.looked_through, wanted=clicks.wanted)
    knobs = config.ambiguity
    columns = {
        ITEM_NAME: names_of(words, world.category[1:], world.attributes[1:], knobs, items_rng),
        CATEGORY_PATH: paths_of(words, world.category[1:], knobs, items_rng),
    }
    interactions = Interactions(
        name=name,
        users=(clicks.sessions + 1).astype(np.int32),
        items=clicks.items.astype(np.int32),
        ratings=None,
        timestamps=clicks.times,
        user_ids=_ids("s", np.arange(1, config.num_sessions + 1)),
        item_ids=_ids("p", 1 + ids_rng.permutation(config.num_items)),
        item_features={
            column: FeatureColumn(column, Kind.TEXT, np.append("", texts).astype(object))
            for column, texts in columns.items()
        },
        context_features={ADDED_TO_CART: FeatureColumn(ADDED_TO_CART, Kind.NUMERIC, clicks.carted.astype(np.float32))},
        title_column=ITEM_NAME,
        notes=("SIMULATED DATA: sessions in a shop that does not exist, by a formula that is known.",),
    )
    return ShopSimulation(interactions, world)


@dataclass(frozen=True)
class _Clicks:
    """All clicks by session, in order; every attribute is ``[num_rows]``, `wanted` ``[num_rows, 2]``."""

    sessions: Ints
    items: Ints
    carted: NDArray[np.bool_]
    times: Ints
    looked_through: Ints
    wanted: Ints


def _draw_items(config: ShopConfig, words: Words, rng: np.random.Generator) -> ShopWorld:
    num_categories = config.num_departments * config.categories
    category = rng.permutation(np.arange(config.num_items) % num_categories)
    attributes = np.argsort(rng.random((config.num_items, config.attributes)), axis=1)[:, :NUM_WANTED]
    attributes += (category // config.categories * config.attributes)[:, None]
    rank = rng.permutation(config.num_items) // num_categories
    cold = np.zeros(config.num_items, dtype=bool)
    cold[rng.permutation(config.num_items)[: round(config.cold_share * config.num_items)]] = True
    # Round and round within each department, in an order of its own.
    places = np.argsort(rng.random((config.num_departments, config.categories)), axis=1)
    places += (np.arange(config.num_departments) * config.categories)[:, None]
    follows = np.empty(num_categories, dtype=np.int64)
    follows[places] = np.roll(places, -1, axis=1)
    none = np.zeros((0, NUM_WANTED), dtype=np.int64)
    return ShopWorld(
        config=config,
        category=np.append(-1, category),
        attributes=np.concatenate([np.full((1, NUM_WANTED), -1), attributes]),
        weight=np.append(0.0, (1.0 + rank) ** -config.popularity_exponent),
        cold=np.append(False, cold),
        follows=follows,
        words=words,
        looked_through=none[:, 0],
        wanted=none,
    )


def _draw_sessions(world: ShopWorld, rng: np.random.Generator) -> _Clicks:
    """All sessions side by side, one click after the other."""
    config = world.config
    count = config.num_sessions
    lengths = np.minimum(rng.geometric(1 / config.mean_clicks, count), config.max_clicks)
    late = np.arange(count) >= round(count * 0.8)
    here = rng.integers(0, config.num_departments * config.categories, count)
    wanted = np.argsort(rng.random((count, config.attributes)), axis=1)[:, :NUM_WANTED]
    wanted += (here // config.categories * config.attributes)[:, None]
    rate = _mean_cart_rate(config)
    shelves = {cold: _shelves(world, cold) for cold in (False, True)}
    carted = np.zeros(count, dtype=bool)
    rows = []
    for click in range(int(lengths.max())):
        stays = rng.random(count) < np.where(carted, config.stay_after_cart, config.stay)
        here = np.where(stays | (click == 0), here, world.follows[here])
        items = np.empty(count, dtype=np.int64)
        chance, by_noise = rng.random(count), rng.random(count) < config.noise
        for cold, shelf in shelves.items():
            asked = late == cold
            items[asked] = _clicked(world, shelf, here[asked], wanted[asked], by_noise[asked], chance[asked])
        matches = _matches(world.attributes[items], wanted)
        likely = np.where(by_noise, rate, np.asarray(config.carts)[matches])
        carted = rng.random(count) < likely
        active = np.flatnonzero(click < lengths)
        rows.append((active, np.full(len(active), click), items[active], carted[active], here[active], wanted[active]))
    session, place, items, carted, here, wanted = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    order = np.lexsort((place, session))
    times = _START + session * _SECONDS + place * 29
    return _Clicks(session[order], items[order], carted[order], times[order], here[order], wanted[order])


def _mean_cart_rate(config: ShopConfig) -> float:
    """What clicks by noise are carted at: the mean over items as they are clicked on purpose, roughly."""
    pairs = config.attributes * (config.attributes - 1) / 2
    shares = np.array([(config.attributes - 2) * (config.attributes - 3) / 2, 2 * (config.attributes - 2), 1]) / pairs
    clicked = shares * np.exp(config.strength * np.arange(3))
    return float((clicked / clicked.sum()) @ np.asarray(config.carts))


def _shelves(world: ShopWorld, cold: bool) -> Ints:
    """``[num_categories + 1, widest]`` released items of each category, padded with 0; in the last row, all of them."""
    released = np.flatnonzero(~world.cold | cold)[1:]
    ordered = released[np.argsort(world.category[released], kind="stable")]
    num_categories = len(world.follows)
    sizes = np.bincount(world.category[ordered], minlength=num_categories)
    shelf = np.zeros((num_categories + 1, len(released)), dtype=np.int64)
    place = np.arange(len(ordered)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    shelf[world.category[ordered], place] = ordered
    shelf[-1] = ordered
    return shelf


def _clicked(
    world: ShopWorld,
    shelf: Ints,
    here: Ints,
    wanted: Ints,
    by_noise: NDArray[np.bool_],
    chance: Floats,
) -> Ints:
    """``[n]`` items, each the one on which a uniform number falls."""
    everything = shelf[-1]
    widest = max(1, int((shelf[:-1] > 0).sum(axis=1).max()))
    candidates = shelf[here, :widest]
    weight = world.weight[candidates] * np.exp(
        world.config.strength * _matches(world.attributes[candidates], wanted[:, None])
    )
    steps = np.cumsum(weight, axis=1)
    place = (steps <= (chance * steps[:, -1])[:, None]).sum(axis=1)
    chosen = candidates[np.arange(len(here)), np.minimum(place, widest - 1)]
    anything = everything[(chance * len(everything)).astype(np.int64)]
    return np.asarray(np.where(by_noise | (chosen == 0), anything, chosen))


def _matches(attributes: Ints, wanted: Ints) -> Ints:
    """``[...]`` how many of the attributes are wanted, from ``[..., 2]`` each."""
    return np.asarray((attributes[..., :, None] == wanted[..., None, :]).sum(axis=(-1, -2)))


def _ids(letter: str, numbers: Ints) -> NDArray[np.object_]:
    return np.array(["", *(f"{letter}{number}" for number in numbers.tolist())], dtype=object)
