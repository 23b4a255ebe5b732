"""Names, sizes, schema, reproducibility and marginals of the generator."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.simulated import SIZES, SimulatedConfig, load_simulated, simulate
from recsys_tfrs.data.simulated_config import config_for, parse_name
from recsys_tfrs.data.simulated_names import make_titles
from recsys_tfrs.errors import ConfigError, DatasetNotFoundError
from recsys_tfrs.schema import Kind


@pytest.fixture(scope="module")
def tiny() -> Interactions:
    return load_simulated("simulated-tiny")


def digest(interactions: Interactions) -> str:
    rows = np.stack([interactions.users, interactions.items, interactions.ratings, interactions.timestamps])
    return hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("simulated", ("small", False)),
        ("simulated-tiny", ("tiny", False)),
        ("simulated-large", ("large", False)),
        ("simulated-unlearnable", ("small", True)),
        ("simulated-tiny-unlearnable", ("tiny", True)),
    ],
)
def test_names_of_sizes(name: str, expected: tuple[str, bool]) -> None:
    assert parse_name(name) == expected


@pytest.mark.parametrize("name", ["simulated-huge", "tiny", "simulated-", "simulated-tiny-", "unlearnable"])
def test_unknown_names_list_what_there_is(name: str) -> None:
    with pytest.raises(DatasetNotFoundError, match="simulated-tiny, simulated-small, simulated-large"):
        load_simulated(name)


def test_data_set_carries_its_full_name(tiny: Interactions) -> None:
    assert tiny.name == "simulated-tiny"
    assert load_simulated("simulated-tiny-unlearnable").name == "simulated-tiny-unlearnable"


def test_sizes(tiny: Interactions) -> None:
    assert (tiny.num_users, tiny.num_items, len(tiny)) == (200, 120, 5_000)
    small, large = SIZES["small"], SIZES["large"]
    assert (small.num_users, small.num_items, small.num_rows) == (1_000, 1_700, 100_000)
    assert (large.num_users, large.num_items, large.num_rows) == (160_000, 20_000, 25_000_000)


def test_num_rows_scales_users_and_keeps_the_catalogue(tiny: Interactions) -> None:
    half = load_simulated("simulated-tiny", num_rows=2_500)
    assert (half.num_users, len(half)) == (100, 2_500)
    np.testing.assert_array_equal(half.titles, tiny.titles)
    assert config_for("large", 1_000_000).num_users == 6_400
    assert config_for("large", 1_000_000).num_items == 20_000


@pytest.mark.parametrize("num_rows", [0, -5, 100])
def test_too_few_rows_are_refused(num_rows: int) -> None:
    with pytest.raises(ConfigError, match=r"num_users must be|not negative"):
        load_simulated("simulated-tiny", num_rows=num_rows)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"num_genres": 7}, "num_genres must be even"),
        ({"num_genres": 20}, "num_genres must be even and within 2..18"),
        ({"facets_per_genre": 13}, "facets_per_genre must lie in 1..12"),
        ({"num_items": 10}, "num_items must be at least two per facet, 16, got 10"),
        ({"num_rows": 1_000}, "num_rows must lie in 2000.."),
        ({"num_rows": 50_000}, "num_rows must lie in 2000.."),
        ({"taste_drift": 1.5}, "taste_drift is a share"),
        ({"cold_user_fraction": 0.5}, "cold_user_fraction must not exceed 0.1"),
        ({"rating_noise": -1.0}, "rating_noise of simulated data must be finite and not negative"),
        ({"taste_strength": float("nan")}, "taste_strength of simulated data must be finite"),
    ],
)
def test_impossible_knobs_are_refused(knobs: dict[str, float], message: str) -> None:
    sizes = {"num_users": 200, "num_items": 120, "num_rows": 5_000, "num_genres": 8, "facets_per_genre": 1}
    with pytest.raises(ConfigError, match=re.escape(message)):
        SimulatedConfig(**{**sizes, **knobs})


def test_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match="must not be negative, got -1"):
        load_simulated("simulated-tiny", seed=-1)


def test_same_seed_same_data_on_every_machine(tiny: Interactions) -> None:
    """The digests are those of the machine the generator was written on."""
    assert digest(tiny) == "1a5fa231a8d68a61"
    assert digest(load_simulated("simulated-tiny-unlearnable")) == "dc16ed523df7dcfa"


def test_another_seed_gives_other_data(tiny: Interactions) -> None:
    other = load_simulated("simulated-tiny", seed=7)
    assert digest(other) != digest(tiny)
    assert other.titles.tolist() != tiny.titles.tolist()


def test_movielens_schema(tiny: Interactions) -> None:
    assert {c.name: c.kind for c in tiny.user_features.values()} == {
        "raw_user_age": Kind.NUMERIC,
        "user_gender": Kind.CATEGORICAL,
        "user_occupation_text": Kind.CATEGORICAL,
        "user_zip_code": Kind.CATEGORICAL,
    }
    assert {c.name: c.kind for c in tiny.item_features.values()} == {
        "movie_title": Kind.TEXT,
        "movie_genres": Kind.MULTI_CATEGORICAL,
        "movie_year": Kind.NUMERIC,
    }
    assert tiny.title_column == "movie_title"
    assert (tiny.users.dtype, tiny.items.dtype) == (np.int32, np.int32)
    assert (tiny.ratings.dtype, tiny.timestamps.dtype) == (np.float32, np.int64)
    assert np.unique(tiny.ratings).tolist() == [1, 2, 3, 4, 5]
    unknown_user = {name: column.values[0] for name, column in tiny.user_features.items()}
    assert np.isnan(unknown_user.pop("raw_user_age"))
    assert set(unknown_user.values()) == {""}
    assert tiny.item_features["movie_genres"].values[0] == ()
    assert set(tiny.user_features["user_gender"].values[1:]) == {"F", "M"}
    assert all(re.fullmatch(r"\d{5}", z) for z in tiny.user_features["user_zip_code"].values[1:])
    ages = tiny.user_features["raw_user_age"].values[1:]
    assert ages.dtype == np.float32
    assert ages.min() >= 16
    assert ages.max() < 70


def test_external_ids_are_not_internal_ids(tiny: Interactions) -> None:
    for ids in (tiny.user_ids, tiny.item_ids):
        assert sorted(map(int, ids[1:])) == list(range(1, len(ids)))
        assert (ids[1:] == np.arange(1, len(ids)).astype(str)).mean() < 0.1


def test_titles_tell_films_apart_and_carry_year_and_genre() -> None:
    data = simulate(
        SimulatedConfig(num_users=40, num_items=3_000, num_rows=800, popularity_drift=0.0), seed=3
    ).interactions
    titles = data.titles[1:].tolist()
    assert len(set(titles)) == 3_000
    years = [int(re.search(r"\((\d{4})\)$", title).group(1)) for title in titles]
    np.testing.assert_array_equal(years, data.item_features["movie_year"].values[1:])
    # A noun belongs to one genre, so films that share it share a genre.
    genres_of_noun: dict[str, set[str]] = {}
    for title, genres in zip(titles, data.item_features["movie_genres"].values[1:], strict=True):
        genres_of_noun.setdefault(title.split()[1], set(genres)).intersection_update(genres)
    assert len(genres_of_noun) == 18 * 12
    assert all(genres_of_noun.values())


def test_titles_differ_however_many_series_a_facet_has() -> None:
    """Eight adjectives x three nouns x 24 tails = 576 series, then they are numbered."""
    series = np.arange(1_300)
    same = np.zeros(1_300, dtype=np.int64)
    titles = make_titles(same, same + 2, series, same, same + 1999, facets_per_genre=4)
    assert len(set(titles)) == 1_300
    assert {title.split()[1].rstrip(",") for title in titles} == {"Bullet", "Arsenal", "Trigger"}
    assert sum("Part 2" in title for title in titles) == 576


def test_rows_are_in_no_order(tiny: Interactions) -> None:
    for column in (tiny.users, tiny.items, tiny.timestamps):
        assert abs(np.corrcoef(np.arange(len(column)), column)[0, 1]) < 0.05


def test_activity_is_heavy_tailed() -> None:
    counts = np.sort(np.bincount(load_simulated("simulated-tiny").users)[1:])
    assert counts[0] == 10
    heavy, light = (_activity(exponent) for exponent in (1.5, 50.0))
    # Of an exponential law, the limit of a large exponent, the top hundredth holds 0.01 (1 + ln 100) = 5.6%.
    assert _share_of_top_hundredth(light) == pytest.approx(0.056, abs=0.01)
    assert _share_of_top_hundredth(heavy) > 0.12
    assert _share_of_top_hundredth(_activity(2.5)) > 0.08


def _activity(exponent: float) -> np.ndarray:
    from recsys_tfrs.data.simulated_events import draw_schedule

    config = SimulatedConfig(
        num_users=4_000, num_items=6_000, num_rows=300_000, activity_exponent=exponent, cold_user_fraction=0.0
    )
    schedule = draw_schedule(config, np.zeros(4_001, dtype=bool), np.random.default_rng(0))
    return np.diff(schedule.offsets)


def _share_of_top_hundredth(counts: np.ndarray) -> float:
    excess = np.sort(counts - counts.min())[::-1]
    return excess[: len(excess) // 100].sum() / excess.sum()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    num_users=st.integers(20, 60),
    num_items=st.integers(40, 150),
    mean=st.integers(11, 16),
    cold=st.sampled_from([0.0, 0.05, 0.1]),
    unlearnable=st.booleans(),
)
def test_promises_that_hold_for_every_configuration(
    seed: int, num_users: int, num_items: int, mean: int, cold: float, unlearnable: bool
) -> None:
    config = SimulatedConfig(
        num_users=num_users,
        num_items=num_items,
        num_rows=num_users * mean,
        num_genres=4,
        facets_per_genre=2,
        cold_user_fraction=cold,
        cold_item_fraction=cold,
    )
    simulation = simulate(config, seed=seed, unlearnable=unlearnable)
    data, world = simulation.interactions, simulation.world
    assert len(data) == num_users * mean
    assert len(set(zip(data.users.tolist(), data.items.tolist(), strict=True))) == len(data)
    counts = np.bincount(data.users, minlength=num_users + 1)[1:]
    assert counts.min() >= 10
    assert counts.max() <= config.max_events
    order = np.lexsort((data.timestamps, data.users))
    users, times = data.users[order], data.timestamps[order]
    assert (np.diff(times)[users[1:] == users[:-1]] > 0).all()
    # Cold users and items stand in the rows behind the 80% quantile only, whatever the order of ties.
    newest = np.sort(data.timestamps)[round(0.8 * len(data)) - 1]
    assert newest == world.period_edges[8]
    assert (data.timestamps[world.cold_users[data.users]] > newest).all()
    if not unlearnable:
        assert (data.timestamps[world.cold_items[data.items]] > newest).all()
        assert (world.release_period[data.items] <= world.periods(data.timestamps)).all()
