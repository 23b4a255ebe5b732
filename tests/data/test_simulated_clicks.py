"""The generator's promises: reproducible, known probabilities, an interaction of three that no pair shows."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

from recsys_tfrs.data.example_request import ExampleRequest
from recsys_tfrs.data.example_tables import load_examples
from recsys_tfrs.data.examples import ExampleParts, Examples
from recsys_tfrs.data.simulated_clicks import SIGNED, ClicksConfig, _World, load_simulated_clicks
from recsys_tfrs.errors import ConfigError, DatasetNotFoundError

NAME = "simulated-clicks-small"


@pytest.fixture(scope="module")
def parts() -> ExampleParts:
    return load_examples(ExampleRequest(NAME))


def only(parts: ExampleParts, part: str) -> Examples:
    (chunk,) = getattr(parts, part).chunks()
    return chunk  # type: ignore[no-any-return]


def test_the_same_seed_gives_the_same_rows(parts: ExampleParts) -> None:
    train = only(parts, "train")
    digest = hashlib.sha256(train.targets["click"].tobytes())
    for column in train.columns.values():
        digest.update(repr(column.values.tolist()).encode())
    assert digest.hexdigest()[:16] == "9542ea8f17b7b51d"
    other = only(load_simulated_clicks(NAME, seed=1), "train")
    assert not np.array_equal(other.targets["click"], train.targets["click"])


def test_parts_hold_what_they_say_and_share_no_rows(parts: ExampleParts) -> None:
    train, test = only(parts, "train"), only(parts, "test")
    assert (len(train), len(test), parts.validation.num_rows) == (20_000, 4_000, 4_000)
    assert list(train.columns) == [
        *("user", "item", "category", "site", "campaign", "hour", "device", "topics", "age", "price")
    ]
    np.testing.assert_array_equal(train.groups, train.columns["user"].values)
    assert not np.array_equal(train.columns["price"].values[:4_000], test.columns["price"].values)
    assert {len(topics) for topics in test.columns["topics"].values} == {1, 2, 3}


def test_clicks_come_as_often_as_their_probabilities_say(parts: ExampleParts) -> None:
    train = only(parts, "train")
    chance, clicks = train.probability.astype(float), train.targets["click"].astype(float)
    for low, high in itertools.pairwise((0, 0.1, 0.2, 0.4, 0.6, 0.8, 1)):
        within = (chance >= low) & (chance < high)
        deviation = np.sqrt((chance * (1 - chance))[within].sum())
        assert abs((clicks - chance)[within].sum()) < 4 * deviation
        assert within.sum() > 300


def test_no_pair_of_the_three_fields_shows_the_interaction() -> None:
    world = _World(ClicksConfig(1, 1, 1), np.random.default_rng(3))
    shares = [world.frequency[name] for name in SIGNED]
    joint = np.einsum("a,b,c->abc", *shares)
    product = np.einsum("a,b,c->abc", *[world.sign[name] for name in SIGNED])
    assert set(np.unique(product)) == {-1.0, 1.0}
    for axis in range(3):
        np.testing.assert_allclose((joint * product).sum(axis=axis), 0, atol=1e-15)


def test_the_interaction_is_in_the_rows(parts: ExampleParts) -> None:
    """With everything else averaged away, a positive product clicks more often."""
    train = only(parts, "train")
    world = _World(ClicksConfig(1, 1, 1), np.random.default_rng([42, 0]))
    product = np.ones(len(train))
    for name in SIGNED:
        codes = [int(value.removeprefix(f"{name}_")) for value in train.columns[name].values]
        product *= world.sign[name][codes]
    clicks = train.targets["click"]
    assert clicks[product > 0].mean() > clicks[product < 0].mean() + 0.2


def test_requests_that_cannot_be_met() -> None:
    with pytest.raises(DatasetNotFoundError, match="use simulated-clicks or simulated-clicks-small"):
        load_examples(ExampleRequest("simulated-clicks-huge"))
    with pytest.raises(ConfigError, match="must not be negative"):
        load_simulated_clicks(NAME, seed=-1)
