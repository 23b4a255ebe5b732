"""Simulated interactions with cold items: nothing of them is trained on, and their genre is withheld."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.data.simulated_catalogue import Catalogue, simulate_catalogue


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return simulate_catalogue(240, seed=3)


def test_a_quarter_of_every_genre_is_cold(catalogue: Catalogue) -> None:
    for genre in range(8):
        of_genre = catalogue.genres == genre
        assert catalogue.cold[of_genre].sum() == round(of_genre.sum() / 4)
    assert not catalogue.cold[0]


def test_genres_are_told_of_the_others_alone(catalogue: Catalogue) -> None:
    told, true = catalogue.told_genres.values, catalogue.true_genres.values
    assert set(told[catalogue.cold]) == {""}
    np.testing.assert_array_equal(told[~catalogue.cold], true[~catalogue.cold])
    assert len(set(true[1:])) == 8


def test_the_split_trains_on_no_cold_item(catalogue: Catalogue) -> None:
    split, items, users = catalogue.split(), catalogue.interactions.items, catalogue.interactions.users
    assert not catalogue.cold[items[split.train]].any()
    assert catalogue.cold[items[split.test]].all()
    assert set(split.validation) <= set(split.train)
    selecting, trained = set(items[split.validation]), items[split.selection_train]
    assert not selecting & set(trained)
    assert set(users[split.test]) <= set(users[split.selection_train])
    assert catalogue.split().hash == split.hash != simulate_catalogue(240, seed=4).split().hash
