"""`simulated-clicks`: clicks whose log-odds hold effects of first, second and third order, and are known.

A row shows an item of some category to a user of some age on a site, in a campaign, at an hour, on a device, at a
price, beside some topics. With w and v drawn once for every value of every field::

    log-odds = bias + sum_f w_f + a (|age - 40| / 15 - 1) - b log(price / 10)                             first order
               + sum_{f < g} v_f . v_g                                       second order, `NUM_FACTORS` factors a value
               + three_way s_site s_campaign s_hour                                                      third order
    click    ~ Bernoulli(sigmoid(log-odds))

where the weight and the vector of the topics are the means of those of the topics shown. The signs s are +1 and -1. The
sites, the campaigns and the hours come in twins, equally frequent and of opposite sign, and the three are drawn
independently: given any two of them the mean of the product is 0, so that whatever is made of pairs of fields, by
whatever function, is blind to it in the log-odds. The first factor of the three fields is their sign, so that their
pairs show a model what to look for and a factorization machine still cannot multiply three.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.example_request import SIMULATED_CLICKS
from recsys_tfrs.data.examples import ExampleParts, Examples, InMemory
from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.errors import ConfigError, DatasetNotFoundError
from recsys_tfrs.schema import Kind

#: Name of the target.
CLICK = "click"
#: Field that says whose row it is.
USER = "user"

NUM_FACTORS = 3
#: Fields whose signs interact by three.
SIGNED = ("site", "campaign", "hour")
_MOST_TOPICS = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClicksConfig:
    """Sizes and strengths of the simulated clicks.

    Attributes:
      num_train, num_validation, num_test: rows.
      sizes: different values of each field; those of the `SIGNED` are even.
      popularity_exponent: values are drawn with probability proportional to rank to minus this.
      first_order: standard deviation of the weights of values.
      second_order: standard deviation of a factor of a value.
      sign: first factor of the `SIGNED` fields, times the value's sign.
      three_way: strength of the interaction by three.
      bias: log-odds where all effects are 0.
    """

    num_train: int
    num_validation: int
    num_test: int
    sizes: tuple[tuple[str, int], ...] = (
        (USER, 200),
        ("item", 120),
        ("category", 20),
        ("site", 40),
        ("campaign", 30),
        ("hour", 24),
        ("device", 6),
        ("topics", 25),
    )
    popularity_exponent: float = 0.7
    first_order: float = 0.3
    second_order: float = 0.2
    sign: float = 0.6
    three_way: float = 1.0
    bias: float = -1.0


_SIZES = {
    SIMULATED_CLICKS: ClicksConfig(400_000, 50_000, 50_000),
    f"{SIMULATED_CLICKS}-small": ClicksConfig(20_000, 4_000, 4_000),
}


def load_simulated_clicks(name: str = SIMULATED_CLICKS, *, seed: int = 42) -> ExampleParts:
    """Generate clicks with the truth behind them.

    Args:
      name: ``simulated-clicks`` or ``simulated-clicks-small``.
      seed: of everything drawn; the same seed gives the same rows on every machine.

    Returns:
      Parts with the target `CLICK`, groups by user, and `Examples.probability`, drawn alike.

    Raises:
      DatasetNotFoundError: no such size.
      ConfigError: a negative seed.
    """
    if name not in _SIZES:
        raise DatasetNotFoundError(f"There is no data set {name!r}: use {' or '.join(_SIZES)}.")
    if seed < 0:
        raise ConfigError(f"The seed of simulated data must not be negative, got {seed}.")
    config = _SIZES[name]
    world = _World(config, np.random.default_rng([seed, 0]))
    sizes = {"train": config.num_train, "validation": config.num_validation, "test": config.num_test}
    parts = {
        part: InMemory(world.draw(num_rows, np.random.default_rng([seed, number])))
        for number, (part, num_rows) in enumerate(sizes.items(), start=1)
    }
    return ExampleParts(
        name=name,
        split="drawn apart from each other, alike",
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        notes=("SIMULATED DATA: clicks by a formula, whose probabilities are known.",),
    )


class _World:
    """Weights, factors and frequencies of all values, and rows drawn with them."""

    def __init__(self, config: ClicksConfig, rng: np.random.Generator) -> None:
        self.config = config
        self.frequency: dict[str, Floats] = {}
        self.weight: dict[str, Floats] = {}
        self.factors: dict[str, Floats] = {}
        self.sign: dict[str, Floats] = {}
        for name, size in config.sizes:
            twins = 2 if name in SIGNED else 1
            share = (1.0 + np.arange(size // twins)) ** -config.popularity_exponent
            share = np.repeat(share / (share.sum() * twins), twins)
            order = rng.permutation(size)
            self.frequency[name] = share[order].astype(np.float64)
            self.weight[name] = config.first_order * rng.standard_normal(size)
            self.factors[name] = config.second_order * rng.standard_normal((size, NUM_FACTORS))
            if name in SIGNED:
                self.sign[name] = np.where(np.arange(size) % 2, 1.0, -1.0)[order]
                self.factors[name][:, 0] = config.sign * self.sign[name]
        num_items = len(self.frequency["item"])
        self.category_of_item = rng.integers(0, len(self.frequency["category"]), num_items)
        self.age_of_user = rng.integers(16, 75, len(self.frequency[USER]))

    def draw(self, num_rows: int, rng: np.random.Generator) -> Examples:
        """Independent rows."""
        values = {
            name: rng.choice(len(share), num_rows, p=share)
            for name, share in self.frequency.items()
            if name not in ("category", "topics")
        }
        values["category"] = self.category_of_item[values["item"]]
        shown = rng.choice(len(self.frequency["topics"]), (num_rows, _MOST_TOPICS), p=self.frequency["topics"])
        num_shown = rng.integers(1, _MOST_TOPICS + 1, num_rows)
        age = self.age_of_user[values[USER]].astype(np.float32)
        price = np.exp(rng.normal(np.log(10.0), 0.8, num_rows)).round(2).astype(np.float32)
        log_odds = self._log_odds(values, shown, num_shown, age, price)
        probability = 1.0 / (1.0 + np.exp(-log_odds))
        clicks = rng.random(num_rows) < probability
        columns = {name: _categorical(name, codes) for name, codes in values.items()}
        topics = np.empty(num_rows, dtype=object)
        words = _names("topics", len(self.frequency["topics"]))[shown].tolist()
        topics[:] = [tuple(row[:length]) for row, length in zip(words, num_shown.tolist(), strict=True)]
        columns["topics"] = FeatureColumn("topics", Kind.MULTI_CATEGORICAL, topics)
        columns["age"] = FeatureColumn("age", Kind.NUMERIC, age)
        columns["price"] = FeatureColumn("price", Kind.NUMERIC, price)
        return Examples(
            columns={name: columns[name] for name in (*(field for field, _ in self.config.sizes), "age", "price")},
            targets={CLICK: clicks.astype(np.float32)},
            groups=np.asarray(columns[USER].values, dtype=object),
            probability=probability.astype(np.float32),
        )

    def _log_odds(
        self,
        values: dict[str, NDArray[np.int64]],
        shown: NDArray[np.int64],
        num_shown: NDArray[np.int64],
        age: NDArray[np.float32],
        price: NDArray[np.float32],
    ) -> Floats:
        config = self.config
        share = (np.arange(_MOST_TOPICS) < num_shown[:, None]) / num_shown[:, None]
        first = (self.weight["topics"][shown] * share).sum(axis=1)
        total = (self.factors["topics"][shown] * share[:, :, None]).sum(axis=1)
        squares = total**2
        for name, codes in values.items():
            first += self.weight[name][codes]
            vectors = self.factors[name][codes]
            total += vectors
            squares += vectors**2
        second = 0.5 * (total**2 - squares).sum(axis=1)
        third = np.prod([self.sign[name][values[name]] for name in SIGNED], axis=0)
        first += 0.3 * (np.abs(age - 40.0) / 15.0 - 1.0) - 0.3 * np.log(price / 10.0)
        return np.asarray(config.bias + first + second + config.three_way * third)


def _categorical(name: str, codes: NDArray[np.int64]) -> FeatureColumn:
    return FeatureColumn(name, Kind.CATEGORICAL, _names(name, int(codes.max()) + 1)[codes])


def _names(name: str, size: int) -> NDArray[np.object_]:
    return np.array([f"{name}_{code}" for code in range(size)], dtype=object)
