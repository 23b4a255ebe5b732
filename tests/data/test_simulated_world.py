"""Each planted structure is measured, and is gone when its knob is 0 and in the unlearnable variant."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.simulated import SimulatedConfig, Simulation, load_simulated, simulate
from recsys_tfrs.data.simulated_names import GENRES
from recsys_tfrs.data.splits import make_split

BASE = SimulatedConfig(num_users=400, num_items=240, num_rows=16_000, num_genres=8, facets_per_genre=1)
EFFECTS = (
    "taste_strength",
    "demographic_strength",
    "three_way_strength",
    "taste_drift",
    "popularity_drift",
    "transition_probability",
)


@cache
def full() -> Simulation:
    return simulate(BASE)


@cache
def unlearnable() -> Simulation:
    return simulate(BASE, unlearnable=True)


@cache
def only(*kept: str) -> Simulation:
    """Every effect switched off but those named."""
    return simulate(replace(BASE, **{name: 0.0 for name in EFFECTS if name not in kept}))


def low_rank_share(data: Interactions) -> float:
    """Share of the variance around (user activity x item popularity) in the eight largest singular values."""
    matrix = np.zeros((data.num_users + 1, data.num_items + 1))
    matrix[data.users, data.items] = 1
    residual = matrix - matrix.sum(1, keepdims=True) * matrix.sum(0) / matrix.sum()
    energy = np.linalg.eigvalsh(residual.T @ residual)  # squared singular values, rising
    return float(energy[-8:].sum() / energy.sum())


def test_taste_is_low_rank() -> None:
    assert low_rank_share(only("taste_strength").interactions) > 0.40
    assert low_rank_share(full().interactions) > 0.33
    assert low_rank_share(only().interactions) < 0.24
    assert low_rank_share(unlearnable().interactions) < 0.16


def power_law(exponent: float) -> tuple[float, float]:
    """Slope of log(events) over log(rank) between rank 5 and the middle, and its correlation."""
    config = SimulatedConfig(
        num_users=1_000,
        num_items=1_000,
        num_rows=20_000,
        num_genres=8,
        facets_per_genre=1,
        popularity_exponent=exponent,
        popularity_drift=0.0,
        item_focus=0.0,
        transition_probability=0.0,
    )
    counts = np.sort(np.bincount(simulate(config).interactions.items, minlength=1_001)[1:])[::-1]
    rank = np.log(np.arange(5, 500) + 0.005 * 1_000)
    events = np.log(counts[4:499] + 0.5)
    return float(np.polyfit(rank, events, 1)[0]), float(np.corrcoef(rank, events)[0, 1])


def test_popularity_follows_a_power_law() -> None:
    slope, correlation = power_law(1.0)
    assert slope == pytest.approx(-1.0, abs=0.15)
    assert correlation < -0.99
    assert power_law(0.0)[0] > -0.25


def side_features(data: Interactions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gender and age band in {-1, +1}, and genre membership, of each row, from the feature columns alone."""
    female = data.user_features["user_gender"].values == "F"
    older = data.user_features["raw_user_age"].values >= 35
    member = [[genre in genres for genre in GENRES[:8]] for genres in data.item_features["movie_genres"].values]
    sign = np.where(np.stack([female, older]), 1, -1)[:, data.users]
    return sign[0], sign[1], np.array(member, dtype=float)[data.items]


def demographic_gaps(data: Interactions) -> tuple[float, float]:
    """Mean absolute difference of genre shares between genders, and between age bands."""
    gender, age, member = side_features(data)
    gaps = [np.abs(member[s > 0].mean(0) - member[s < 0].mean(0)).mean() for s in (gender, age)]
    return float(gaps[0]), float(gaps[1])


def test_gender_and_age_move_genres() -> None:
    for present in (only("demographic_strength"), full()):
        assert min(demographic_gaps(present.interactions)) > 0.02
    for absent in (only(), only("three_way_strength"), unlearnable()):
        assert max(demographic_gaps(absent.interactions)) < 0.015


def interaction_contrasts(simulation: Simulation) -> dict[str, float]:
    """Means over rows of products of signs, from feature columns; the sign of a film is its genres' mean sign."""
    gender, age, member = side_features(simulation.interactions)
    genre = member @ simulation.world.genre_sign / member.sum(1)
    product = gender * age * genre
    return {
        "three-way": float(product.mean()),
        "gender x genre": float((gender * genre).mean()),
        "age x genre": float((age * genre).mean()),
        "gender x age": float((gender * age).mean()),
        "rating": float(np.corrcoef(product, simulation.interactions.ratings)[0, 1]),
    }


def test_three_way_interaction_is_invisible_to_pairs() -> None:
    contrasts = interaction_contrasts(only("three_way_strength"))
    assert contrasts.pop("three-way") > 0.2
    assert contrasts.pop("rating") > 0.25
    assert max(map(abs, contrasts.values())) < 0.04
    everything = interaction_contrasts(full())
    assert everything["three-way"] > 0.12
    assert everything["rating"] > 0.2
    for absent in (only(), only("demographic_strength"), unlearnable()):
        contrasts = interaction_contrasts(absent)
        assert abs(contrasts["three-way"]) < 0.03
        assert abs(contrasts["rating"]) < 0.04


def popularity_now_and_then(data: Interactions) -> float:
    """Correlation of item counts between the first and the second half of the rows."""
    early = data.timestamps < np.median(data.timestamps)
    counts = [np.bincount(data.items[half], minlength=data.num_items + 1)[1:] for half in (early, ~early)]
    return float(np.corrcoef(*counts)[0, 1])


def test_popularity_drifts() -> None:
    assert popularity_now_and_then(only("popularity_drift").interactions) < 0.75
    assert popularity_now_and_then(full().interactions) < 0.75
    assert popularity_now_and_then(only().interactions) > 0.82
    assert popularity_now_and_then(unlearnable().interactions) > 0.9


def change_of_taste(simulation: Simulation) -> float:
    """Mean total variation between users' genres in their first and in their last events."""
    data = simulation.interactions
    groups = simulation.world.item_group[data.items]
    shares = []
    for part in (
        data.timestamps < np.quantile(data.timestamps, 0.3),
        data.timestamps > np.quantile(data.timestamps, 0.7),
    ):
        counts = np.zeros((data.num_users + 1, 8))
        np.add.at(counts, (data.users[part], groups[part]), 1)
        shares.append(counts)
    enough = np.minimum(*(s.sum(1) for s in shares)) >= 5
    early, late = (s[enough] / s[enough].sum(1, keepdims=True) for s in shares)
    return float(np.abs(early - late).sum(1).mean() / 2)


def test_taste_drifts() -> None:
    still, moving = only("taste_strength"), only("taste_strength", "taste_drift")
    assert change_of_taste(moving) > change_of_taste(still) + 0.08
    assert change_of_taste(full()) > change_of_taste(unlearnable()) + 0.08


def share_of_transitions(simulation: Simulation) -> float:
    """Share of a user's consecutive events in which the second item is a successor of the first."""
    data = simulation.interactions
    order = np.lexsort((data.timestamps, data.users))
    users, items = data.users[order], data.items[order]
    follows = (simulation.world.successors[items[:-1]] == items[1:, None]).any(1)
    return float(follows[users[1:] == users[:-1]].mean())


def test_items_follow_one_another() -> None:
    assert share_of_transitions(only("transition_probability")) > 0.18
    assert share_of_transitions(full()) > 0.18
    assert share_of_transitions(only("taste_strength")) < 0.06
    assert share_of_transitions(unlearnable()) < 0.03


def test_next_of_a_series_is_the_likeliest_successor() -> None:
    world = full().world
    first = world.successors[1:, 0]
    in_series = np.bincount(world.item_series[1:])[world.item_series[1:]] > 1
    assert (world.item_series[first] == world.item_series[1:])[in_series].all()
    assert (world.item_group[world.successors[1:]] == world.item_group[1:, None]).all()
    assert world.successor_probabilities.sum() == pytest.approx(1.0)
    assert world.successor_probabilities.argmax() == 0


def cold_with_events(data: Interactions, column: np.ndarray, count: int) -> int:
    """Users or items with five events or more, none of them in the first 80% of the rows."""
    known = data.timestamps <= np.sort(data.timestamps)[round(0.8 * len(data)) - 1]
    before = np.bincount(column[known], minlength=count + 1)
    return int(((before == 0) & (np.bincount(column, minlength=count + 1) >= 5)).sum())


def test_cold_users_and_items_appear_in_the_last_fifth() -> None:
    data = full().interactions
    assert full().world.cold_users.sum() == 20
    assert full().world.cold_items.sum() == 12
    assert cold_with_events(data, data.users, data.num_users) >= 20
    assert cold_with_events(data, data.items, data.num_items) >= 6
    test = make_split(data, "temporal").test
    assert full().world.cold_users[data.users[test]].mean() > 0.05
    assert full().world.cold_items[data.items[test]].mean() > 0.02
    warm = simulate(replace(BASE, cold_user_fraction=0.0, cold_item_fraction=0.0))
    assert not warm.world.cold_users.any()
    assert cold_with_events(warm.interactions, warm.interactions.items, 240) == 0
    shuffled = unlearnable().interactions
    assert cold_with_events(shuffled, shuffled.items, shuffled.num_items) == 0


def like_auc(simulation: Simulation) -> float:
    """AUC of the true like probabilities against ratings of four stars and more."""
    data = simulation.interactions
    score = simulation.world.like_probabilities(data.users, data.items, data.timestamps)
    like = data.ratings >= 4
    rank = np.argsort(np.argsort(score, kind="stable"), kind="stable") + 1
    positives = int(like.sum())
    return float((rank[like].sum() - positives * (positives + 1) / 2) / (positives * (len(like) - positives)))


def test_ratings_follow_their_truth() -> None:
    simulation, data = full(), full().interactions
    probability = simulation.world.like_probabilities(data.users, data.items, data.timestamps)
    like = data.ratings >= 4
    assert probability.mean() == pytest.approx(like.mean(), abs=0.01)
    for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)):  # calibrated everywhere
        part = (probability >= low) & (probability < high)
        error = 4 * np.sqrt(0.25 / part.sum())
        assert like[part].mean() == pytest.approx(probability[part].mean(), abs=error)
    assert like_auc(simulation) > 0.8
    assert abs(like_auc(unlearnable()) - 0.5) < 0.02


def test_ratings_correlate_with_preference() -> None:
    simulation, data = only("taste_strength"), only("taste_strength").interactions
    world = simulation.world
    rows = np.arange(2_000)
    own = world.propensities(data.users[rows], data.timestamps[rows])
    lift = own[rows, data.items[rows]] / own.mean(0)[data.items[rows]]
    assert np.corrcoef(np.log(lift), data.ratings[rows])[0, 1] > 0.1


def test_noise_free_likes_are_certain() -> None:
    config = replace(BASE, num_users=100, num_rows=2_000, rating_noise=0.0)
    simulation = simulate(config)
    data = simulation.interactions
    probability = simulation.world.like_probabilities(data.users, data.items, data.timestamps)
    np.testing.assert_array_equal(probability, data.ratings >= 4)


def test_the_law_of_the_next_item_is_exact() -> None:
    """Over all events, the chance the law gives to its ten likeliest items is the share of events among them."""
    simulation = simulate(replace(BASE, num_users=100, num_rows=4_000))
    data, world = simulation.interactions, simulation.world
    order = np.lexsort((data.timestamps, data.users))
    users, items, times = data.users[order], data.items[order], data.timestamps[order]
    first = np.append(True, users[1:] != users[:-1])
    previous = np.where(first, 0, np.append(0, items[:-1]))
    seen = np.zeros((len(users), data.num_items + 1), dtype=bool)
    for row in np.flatnonzero(~first):
        seen[row] = seen[row - 1]
        seen[row, items[row - 1]] = True
    law = world.next_item_probabilities(users, previous, times, seen)
    np.testing.assert_allclose(law.sum(1), 1.0, rtol=1e-9)
    assert law[seen].max() == 0.0
    assert law[:, 0].max() == 0.0
    top = np.argsort(-law, axis=1)[:, :10]
    expected = np.take_along_axis(law, top, axis=1).sum(1)
    observed = (top == items[:, None]).any(1)
    error = np.sqrt((expected * (1 - expected)).sum()) / len(users)
    assert observed.mean() == pytest.approx(expected.mean(), abs=3.5 * error)
    # And the same for the successors alone, which only transitions bring.
    following = world.successors[previous]
    is_successor = np.zeros_like(seen)
    np.put_along_axis(is_successor, following, True, axis=1)
    is_successor[first] = False
    expected = (law * is_successor).sum(1)
    observed = is_successor[np.arange(len(users)), items]
    error = np.sqrt((expected * (1 - expected)).sum()) / len(users)
    assert observed.mean() == pytest.approx(expected.mean(), abs=3.5 * error)


def test_oracle_scores_any_block_of_users_alike() -> None:
    data = full().interactions
    scores = data.oracle(np.arange(1, 401, dtype=np.int32))
    assert scores.shape == (400, 241)
    assert scores.dtype == np.float32
    assert np.isneginf(scores[:, 0]).all()
    np.testing.assert_allclose(scores[:, 1:].sum(1), 1.0, atol=0.001)
    np.testing.assert_allclose(data.oracle(np.array([7, 3], dtype=np.int32)), scores[[6, 2]], rtol=1e-5)


def test_oracle_counts_what_transitions_bring() -> None:
    """Its scores v are stationary, v = (1 - rho) pi + rho v T, and nearer to what is taken in the test stretch."""
    with_flow = simulate(replace(BASE, transition_probability=0.5, popularity_drift=0.0, cold_item_fraction=0.0))
    data, world = with_flow.interactions, with_flow.world
    users = np.arange(1, 401, dtype=np.int32)
    scores = data.oracle(users)
    scores[:, 0] = 0.0
    blind_world = replace(world, config=replace(world.config, transition_probability=0.0))
    blind = blind_world.oracle(users)
    blind[:, 0] = 0.0
    transition = np.zeros((241, 241))
    np.add.at(transition, (np.arange(241)[:, None], world.successors), world.successor_probabilities)
    np.testing.assert_allclose(scores, 0.5 * blind + 0.5 * scores @ transition, atol=0.5**8)

    test = make_split(data, "temporal").test
    taken = np.bincount(data.items[test], minlength=241)
    weight = np.bincount(data.users[test], minlength=401)[1:]
    assert np.corrcoef(taken, weight @ scores)[0, 1] > np.corrcoef(taken, weight @ blind)[0, 1] + 0.02


def test_groups_are_unrelated_enough_for_folding_to_be_seen() -> None:
    """Most users leave some genres alone altogether."""
    data, world = full().interactions, full().world
    touched = np.zeros((data.num_users + 1, 8), dtype=bool)
    touched[data.users, world.item_group[data.items]] = True
    assert (~touched[1:]).any(1).mean() > 0.5
    assert set(world.item_group[1:].tolist()) == set(range(8))
    assert world.item_group[0] == -1
    main = np.array(GENRES)[world.item_group[1:]]
    assert all(g in genres for g, genres in zip(main, data.item_features["movie_genres"].values[1:], strict=True))


def test_small_is_like_movielens_100k() -> None:
    data = load_simulated()
    assert data.name == "simulated-small"
    counts = np.sort(np.bincount(data.users)[1:])
    assert counts[0] == 10
    assert 40 < np.median(counts) < 90
    assert counts[-1] > 500
    assert data.ratings.mean() == pytest.approx(3.6, abs=0.15)
