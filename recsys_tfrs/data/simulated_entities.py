"""Draws the people and the films of simulated data: their side features and what is true of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs import schema
from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.data.simulated_config import SimulatedConfig
from recsys_tfrs.data.simulated_names import GENRES, OCCUPATIONS, make_titles
from recsys_tfrs.data.simulated_world import NUM_PERIODS, OLDER_FROM, TEST_PERIOD
from recsys_tfrs.schema import Kind

Floats = NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)

#: Films older than the data, and years of the films that come out while it is recorded (by period).
OLDEST_YEAR, FIRST_YEAR = 1940, 2015
_RELEASED_LATER = 0.15
_MAX_SERIES = 5
_SUCCESSOR_PROBABILITIES = (0.5, 0.2, 0.2, 0.1)


@dataclass(frozen=True)
class Catalogue:
    """Films; fields as in `SimulatedWorld`, indexed by internal id."""

    component_factors: Floats
    component_group: NDArray[np.int32]
    genre_sign: Floats
    item_factors: Floats
    item_component: NDArray[np.int32]
    item_group: NDArray[np.int32]
    item_genres: Floats
    item_series: NDArray[np.int32]
    item_weight: Floats
    item_trend: Floats
    item_bias: Floats
    release_period: NDArray[np.int8]
    successors: NDArray[np.int32]
    successor_probabilities: Floats


@dataclass(frozen=True)
class People:
    """Users; fields as in `SimulatedWorld`, indexed by internal id."""

    user_factors: Floats
    user_factors_later: Floats
    user_genre_logits: Floats
    user_sign: Floats
    user_rating_effects: Floats
    user_bias: Floats
    cold_users: NDArray[np.bool_]


def draw_catalogue(config: SimulatedConfig, rng: np.random.Generator) -> tuple[Catalogue, dict[str, FeatureColumn]]:
    """Films of a configuration, and their title, genres and year."""
    n, num_genres, facets = config.num_items, config.num_genres, config.facets_per_genre
    group_factors = _unit(rng.standard_normal((num_genres, config.num_factors)))
    spread = 0.8 / np.sqrt(config.num_factors)
    component_group = np.repeat(np.arange(num_genres, dtype=np.int32), facets)
    component_factors = _unit(
        group_factors[component_group] + spread * rng.standard_normal((config.num_components, config.num_factors))
    )
    genre_sign = rng.permutation(np.where(np.arange(num_genres) % 2 == 0, 1.0, -1.0))

    component = rng.permutation(np.arange(n) % config.num_components)
    group = component_group[component]
    factors = _unit(component_factors[component] + spread * rng.standard_normal((n, config.num_factors)))
    rank = rng.permutation(n)
    weight = np.exp(-config.popularity_exponent * np.log(rank + 1 + 0.005 * n))
    series, position, following = _draw_series(component, config.num_components, rng)
    release = _draw_releases(config, series, position, rng)
    genres = _draw_genres(group, num_genres, rng)
    year = _draw_years(series, position, release, rng)

    titles = make_titles(group, component % facets, series // config.num_components, position, year, facets)
    names = np.array(GENRES, dtype=object)
    columns = {
        schema.MOVIE_TITLE: _column(schema.MOVIE_TITLE, Kind.TEXT, titles),
        schema.MOVIE_GENRES: _column(
            schema.MOVIE_GENRES, Kind.MULTI_CATEGORICAL, [tuple(names[np.flatnonzero(row)]) for row in genres]
        ),
        schema.MOVIE_YEAR: _numeric(schema.MOVIE_YEAR, year),
    }
    popular = np.log(weight)
    # Popular films are rated somewhat better, as in MovieLens.
    quality = rng.standard_normal(n) + 0.4 * (popular - popular.mean()) / max(float(popular.std()), 1e-12)
    catalogue = Catalogue(
        component_factors=component_factors,
        component_group=component_group,
        genre_sign=genre_sign,
        item_factors=_with_unknown(factors, 0.0),
        item_component=_with_unknown(component.astype(np.int32), -1),
        item_group=_with_unknown(group, -1),
        item_genres=_with_unknown(genres, 0.0),
        item_series=_with_unknown(series.astype(np.int32), -1),
        item_weight=_with_unknown(weight, 0.0),
        item_trend=_with_unknown(np.clip(rng.standard_normal(n), -2.5, 2.5), 0.0),
        item_bias=_with_unknown(config.rating_bias * quality, 0.0),
        release_period=_with_unknown(release, 0),
        successors=_with_unknown(_draw_successors(group, following, rng), 0),
        successor_probabilities=np.array(_SUCCESSOR_PROBABILITIES),
    )
    return catalogue, columns


def draw_people(
    config: SimulatedConfig, genre_sign: Floats, rng: np.random.Generator
) -> tuple[People, dict[str, FeatureColumn]]:
    """Users of a configuration, and their age, gender, occupation and zip code.

    Gender and age band are balanced and independent, exactly: the three-way term cancels in every table of two.
    """
    n, num_genres = config.num_users, config.num_genres
    cell = rng.permutation(np.arange(n) % 4)
    female, older = cell % 2 == 0, cell >= 2
    age = np.where(older, rng.integers(OLDER_FROM, 70, n), rng.integers(16, OLDER_FROM, n))
    occupation = rng.integers(0, len(OCCUPATIONS), n)
    occupation[(age < 22) & (rng.random(n) < 0.7)] = OCCUPATIONS.index("student")
    occupation[(age > 62) & (rng.random(n) < 0.6)] = OCCUPATIONS.index("retired")

    gender_sign, age_sign = np.where(female, 1.0, -1.0), np.where(older, 1.0, -1.0)
    effects = config.demographic_strength * (
        gender_sign[:, None] * rng.standard_normal(num_genres)
        + age_sign[:, None] * rng.standard_normal(num_genres)
        + 0.5 * rng.standard_normal((len(OCCUPATIONS), num_genres))[occupation]
    )
    sign = gender_sign * age_sign
    logits = effects + 0.3 * rng.standard_normal(num_genres)  # some genres are liked more by everybody
    logits += config.three_way_strength * sign[:, None] * genre_sign

    now = rng.standard_normal((n, config.num_factors))
    later = 0.3 * now + np.sqrt(1 - 0.3**2) * rng.standard_normal((n, config.num_factors))
    cold = np.zeros(n, dtype=bool)
    cold[rng.permutation(n)[: round(n * config.cold_user_fraction)]] = True
    people = People(
        user_factors=_with_unknown(now, 0.0),
        user_factors_later=_with_unknown(later, 0.0),
        user_genre_logits=_with_unknown(logits, 0.0),
        user_sign=_with_unknown(sign, 0.0),
        user_rating_effects=_with_unknown(0.5 * effects, 0.0),
        user_bias=_with_unknown(config.rating_bias * rng.standard_normal(n), 0.0),
        cold_users=_with_unknown(cold, False),
    )
    zip_codes = np.char.zfill(rng.integers(1_000, 99_999, n).astype(np.str_), 5)
    columns = {
        schema.RAW_USER_AGE: _numeric(schema.RAW_USER_AGE, age),
        schema.USER_GENDER: _column(schema.USER_GENDER, Kind.CATEGORICAL, np.where(female, "F", "M").tolist()),
        schema.USER_OCCUPATION_TEXT: _column(
            schema.USER_OCCUPATION_TEXT, Kind.CATEGORICAL, np.array(OCCUPATIONS)[occupation].tolist()
        ),
        schema.USER_ZIP_CODE: _column(schema.USER_ZIP_CODE, Kind.CATEGORICAL, zip_codes.tolist()),
    }
    return people, columns


def _draw_series(
    component: NDArray[np.int64], num_components: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cut each facet into series of one to `_MAX_SERIES` films.

    Returns:
      Series number (``number within the facet * num_components + facet``), position in the series, and the next
      film of it (the first one after the last), each ``[num_items]``.
    """
    n = len(component)
    order = np.argsort(component, kind="stable")
    facet_of = component[order]
    starts = np.flatnonzero(np.diff(facet_of, prepend=-1))
    in_facet = np.arange(n) - starts[facet_of]
    # The films of a facet are dealt out in runs whose lengths are the same in every facet.
    runs = np.repeat(np.arange(n), rng.integers(1, _MAX_SERIES + 1, n))[: int(in_facet.max()) + 1]
    number = runs[in_facet]
    new = (np.diff(number, prepend=-1) != 0) | (in_facet == 0)
    first = np.flatnonzero(new)[np.cumsum(new) - 1]
    last = np.append(new[1:], True)
    at = np.arange(n)
    next_at = np.where(last, first, at + 1)
    series, position, following = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    series[order] = number * num_components + facet_of
    position[order] = at - first
    following[order] = order[next_at]
    return series, position, following


def _draw_successors(
    group: NDArray[np.int32], following: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int32]:
    """``[num_items, 4]`` internal ids: the next film of the series, then three random films of the same genre."""
    n = len(group)
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group)
    starts = np.cumsum(counts) - counts
    picks = (rng.random((n, len(_SUCCESSOR_PROBABILITIES))) * counts[group][:, None]).astype(np.int64)
    successors = order[starts[group][:, None] + picks]
    alone = following == np.arange(n)  # a film without a series is followed by random ones only
    successors[:, 0] = np.where(alone, successors[:, 0], following)
    return np.asarray(successors + 1, dtype=np.int32)


def _draw_releases(
    config: SimulatedConfig, series: NDArray[np.int64], position: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int8]:
    """``[num_items]`` release periods: most are there from the start, some come later, the cold ones in the test."""
    n = config.num_items
    release = np.zeros(n, dtype=np.int8)
    num_later, num_cold = round(_RELEASED_LATER * n), round(config.cold_item_fraction * n)
    chosen = rng.permutation(n)
    release[chosen[:num_later]] = 1 + np.arange(num_later) % (TEST_PERIOD - 1)
    release[chosen[num_later : num_later + num_cold]] = TEST_PERIOD + np.arange(num_cold) % (NUM_PERIODS - TEST_PERIOD)
    # Sequels do not come before what they continue.
    in_order = np.empty_like(release)
    in_order[np.lexsort((position, series))] = release[np.lexsort((release, series))]
    return in_order


def _draw_genres(group: NDArray[np.int32], num_genres: int, rng: np.random.Generator) -> Floats:
    """``[num_items, num_genres]`` equal shares of the main genre and of up to two others."""
    n = len(group)
    member = np.zeros((n, num_genres))
    rows = np.arange(n)
    for probability in (0.5, 0.15):
        extra = rng.integers(0, num_genres, n)
        member[rows, extra] = np.maximum(member[rows, extra], rng.random(n) < probability)
    member[rows, group] = 1.0
    member /= member.sum(axis=1, keepdims=True)
    return member


def _draw_years(
    series: NDArray[np.int64], position: NDArray[np.int64], release: NDArray[np.int8], rng: np.random.Generator
) -> NDArray[np.int64]:
    """``[num_items]`` years: most films are recent, sequels come two years apart, new releases are new."""
    age = rng.exponential(14.0, int(series.max()) + 1).astype(np.int64)
    old = np.clip(FIRST_YEAR - 1 - age[series] + 2 * position, OLDEST_YEAR, FIRST_YEAR - 1)
    return np.where(release > 0, FIRST_YEAR + release.astype(np.int64) // (NUM_PERIODS // 2), old)


def _unit(vectors: Floats) -> Floats:
    norms: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / norms


def _with_unknown(values: NDArray[Scalar], unknown: float | bool) -> NDArray[Scalar]:
    """Put the unknown entity's value in front, so that rows are internal ids."""
    padded = np.empty((len(values) + 1, *values.shape[1:]), dtype=values.dtype)
    padded[0] = unknown
    padded[1:] = values
    return padded


def _column(name: str, kind: Kind, values: Sequence[object]) -> FeatureColumn:
    column = np.empty(len(values) + 1, dtype=object)
    column[0] = () if kind is Kind.MULTI_CATEGORICAL else ""
    column[1:] = values
    return FeatureColumn(name, kind, column)


def _numeric(name: str, values: NDArray[np.integer]) -> FeatureColumn:
    return FeatureColumn(name, Kind.NUMERIC, np.concatenate([[np.nan], values]).astype(np.float32))
