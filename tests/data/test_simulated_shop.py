"""The simulated shop: what is planted is there, what the knobs promise happens."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.sessions import split_interactions
from recsys_tfrs.data.simulated_shop import (
    CATEGORY_PATH,
    ITEM_NAME,
    ShopConfig,
    ShopSimulation,
    shop_config,
    simulate_shop,
)
from recsys_tfrs.data.simulated_shop_names import ENDINGS
from recsys_tfrs.data.sources import DataRequest, load
from recsys_tfrs.errors import ConfigError, DatasetNotFoundError, UsageError
from recsys_tfrs.schema import ADDED_TO_CART

SMALL = "simulated-shop-small"


@pytest.fixture(scope="module")
def shop() -> ShopSimulation:
    return simulate_shop(shop_config(SMALL))


def starts(data: Interactions) -> np.ndarray:
    return np.append(True, data.users[1:] != data.users[:-1])


def test_sizes_and_columns() -> None:
    data = load(DataRequest(SMALL))
    assert (data.num_users, data.num_items, data.name) == (1_500, 300, SMALL)
    lengths = np.bincount(data.users)[1:]
    assert lengths.min() == 1
    assert 5.3 < lengths.mean() < 6.3  # 6 without the longest cut
    assert lengths.max() <= 20
    assert set(data.item_features) == {ITEM_NAME, CATEGORY_PATH}
    assert data.titles[1] == data.item_features[ITEM_NAME].values[1] != ""
    assert set(np.unique(data.context_features[ADDED_TO_CART].values)) == {0, 1}
    assert (np.diff(data.timestamps) > 0).all()
    assert shop_config() == ShopConfig(num_sessions=12_000, num_items=2_000, num_departments=10, categories=6)


def test_the_seed_decides_everything(shop: ShopSimulation) -> None:
    again, other = simulate_shop(shop_config(SMALL)), simulate_shop(shop_config(SMALL), seed=1)
    assert shop.interactions.items.tobytes() == again.interactions.items.tobytes()
    assert (shop.interactions.titles == again.interactions.titles).all()
    assert shop.interactions.items[:50].tolist() != other.interactions.items[:50].tolist()


def test_cold_items_are_in_no_training_row_and_in_many_test_rows(shop: ShopSimulation) -> None:
    data, split = split_interactions(shop.interactions, "sessions")
    cold = shop.world.cold
    assert cold.sum() == 45
    assert not cold[data.items[split.train]].any()
    assert 0.1 < cold[data.items[split.test]].mean() < 0.2


def test_without_noise_clicks_stay_in_the_category_or_go_to_what_follows_it() -> None:
    shop = simulate_shop(shop_config(SMALL, noise=0.0))
    data, world = shop.interactions, shop.world
    category = world.category[data.items]
    after = np.flatnonzero(~starts(data))
    same, follows = category[after] == category[after - 1], category[after] == world.follows[category[after - 1]]
    assert (same | follows).all()
    carted = data.context_features[ADDED_TO_CART].values[after - 1] > 0
    assert abs(same[~carted].mean() - 0.8) < 0.03
    assert abs(same[carted].mean() - 0.2) < 0.04
    # Never the other way round: no category follows what it is followed by.
    assert (world.follows[world.follows] != np.arange(16)).all()


def test_carts_follow_from_what_is_wanted(shop: ShopSimulation) -> None:
    quiet = simulate_shop(shop_config(SMALL, noise=0.0))
    data, world = quiet.interactions, quiet.world
    matches = (world.attributes[data.items][:, :, None] == world.wanted[:, None, :]).sum(axis=(1, 2))
    carted = data.context_features[ADDED_TO_CART].values > 0
    for number, expected in enumerate((0.01, 0.1, 0.6)):
        share = carted[matches == number].mean()
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / (matches == number).sum())


def test_names_hold_the_stems_of_what_an_item_is() -> None:
    shop = simulate_shop(shop_config(SMALL, ambiguity=0.0))
    words, world = shop.world.words, shop.world
    for item in range(1, 60):
        *spoken, number = shop.interactions.titles[item].split()
        assert number.isdigit()
        meant = {words.categories[world.category[item]], *(words.attributes[a] for a in world.attributes[item])}
        forms = {stem + ending for stem in meant for ending in ENDINGS}
        assert len(spoken) == 3
        assert set(spoken) <= forms
    paths = shop.interactions.item_features[CATEGORY_PATH].values[1:]
    assert len(set(zip(paths, world.category[1:], strict=True))) == 16


def test_the_truth_is_the_law_of_the_next_click(shop: ShopSimulation) -> None:
    """The share of rows whose true probability lies in a range is what is clicked there."""
    data, world = shop.interactions, shop.world
    carted = data.context_features[ADDED_TO_CART].values > 0
    late = data.users > 1_200
    rows = np.flatnonzero(~starts(data) & late)
    law = world.next_click_probabilities(rows - 1, carted[rows - 1], cold=True)[:, 1:]
    np.testing.assert_allclose(law.sum(axis=1), 1, rtol=1e-5)
    clicked = np.zeros_like(law, dtype=bool)
    clicked[np.arange(len(rows)), data.items[rows] - 1] = True
    for low, high in ((0, 0.001), (0.001, 0.02), (0.02, 0.1), (0.1, 0.3), (0.3, 1.0)):
        within = (law >= low) & (law < high)
        expected = law[within].sum()
        assert expected > 5
        assert abs(clicked[within].sum() - expected) < 4 * np.sqrt(expected)


def hits_by_words(shop: ShopSimulation) -> tuple[float, float, float]:
    """hit@20 of ranking items by words shared with the last click, of all and of cold targets, and chance.

    A click on the same item again is left out: its words are the same, whatever they mean.
    """
    data = shop.interactions
    texts = [
        {word[:4] for word in f"{name} {path}".replace("/", " ").split()}
        for name, path in zip(data.titles[1:], data.item_features[CATEGORY_PATH].values[1:], strict=True)
    ]
    vocabulary = {word: place for place, word in enumerate(sorted(set().union(*texts)))}
    said = np.zeros((len(texts), len(vocabulary)))
    for item, words in enumerate(texts):
        said[item, [vocabulary[word] for word in words]] = 1
    said *= 1 / np.sqrt(said.sum(axis=0))  # rare words say more
    rows = np.flatnonzero(~starts(data) & (data.users > 1_200) & (data.items != np.roll(data.items, 1)))
    scores = said[data.items[rows - 1] - 1] @ said.T
    scores += 1e-6 * np.random.default_rng(0).random(scores.shape)
    own = scores[np.arange(len(rows)), data.items[rows] - 1]
    hit = (scores > own[:, None]).sum(axis=1) < 20
    cold = shop.world.cold[data.items[rows]]
    return float(hit.mean()), float(hit[cold].mean()), 20 / data.num_items


def test_names_tell_what_comes_next_and_nothing_does_at_full_noise() -> None:
    """By reading names alone; at full noise, or where every word is drawn from all, it is chance."""
    found, cold, chance = hits_by_words(simulate_shop(shop_config(SMALL)))
    assert min(found, cold) > 3 * chance
    for knob in ("noise", "ambiguity"):
        found, _, chance = hits_by_words(simulate_shop(shop_config(SMALL, **{knob: 1.0})))
        assert abs(found - chance) < 4 * np.sqrt(chance * (1 - chance) / 1_200), knob


def test_at_full_noise_every_item_is_clicked_and_carted_alike() -> None:
    shop = simulate_shop(shop_config(SMALL, noise=1.0))
    data = shop.interactions
    warm = np.flatnonzero(~shop.world.cold)[1:]
    counts = np.bincount(data.items[data.users <= 1_200], minlength=301)[warm]
    expected = counts.mean()
    assert ((counts - expected) ** 2 / expected).sum() < len(warm) + 5 * np.sqrt(2 * len(warm))  # chi-square
    carted = data.context_features[ADDED_TO_CART].values
    previous = np.flatnonzero(~starts(data))
    assert abs(np.corrcoef(carted[previous], carted[previous - 1])[0, 1]) < 0.05


def test_what_is_impossible_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"noise of the simulated shop lies in 0\.\.1, not 1\.5"):
        shop_config(SMALL, noise=1.5)
    with pytest.raises(ConfigError, match="must not be negative"):
        simulate_shop(shop_config(SMALL), seed=-1)
    with pytest.raises(DatasetNotFoundError, match="no data set 'simulated-shop-huge'"):
        load(DataRequest("simulated-shop-huge"))
    with pytest.raises(UsageError, match="num_rows"):
        load(DataRequest(SMALL, num_rows=10))
