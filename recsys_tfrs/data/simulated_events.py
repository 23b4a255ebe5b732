"""Draws who did what when: activity, sessions, items one step at a time for many users at once, ratings.

Rows are kept by user and time here ("user-major"); users stand in order of falling activity, so that the users of
a block have histories of similar length and step s of a block touches a prefix of its users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.simulated_alias import AliasTables, build_alias_tables
from recsys_tfrs.data.simulated_config import SimulatedConfig
from recsys_tfrs.data.simulated_world import NUM_PERIODS, TEST_PERIOD, SimulatedWorld

#: Two years from 2015-01-01 UTC.
FIRST_SECOND = 1_420_070_400
DURATION = 2 * 365 * 86_400

_SESSION_EVENTS = 8  # average events of a session
_GAP_SECONDS = 180.0  # average gap within a session
_SEEN_CELLS = 80_000_000  # bytes of the seen table of a block of users
_ROUNDS, _DRAWS = 5, 8  # rejection: rounds, and candidates drawn at once in a round
_RATING_BLOCK = 10_000  # small enough for the gathered factors to stay in cache


@dataclass(frozen=True)
class Schedule:
    """When each user does something, before what they do is known.

    Attributes:
      users: ``[num_users]`` internal ids, most active first.
      offsets: ``[num_users + 1]`` the rows of ``users[j]`` are ``offsets[j]:offsets[j + 1]``.
      timestamps: ``[num_rows]`` int64 seconds, strictly increasing within a user.
      period_edges: as in `SimulatedWorld`.
    """

    users: NDArray[np.int32]
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    period_edges: NDArray[np.int64]


def draw_schedule(config: SimulatedConfig, cold_users: NDArray[np.bool_], rng: np.random.Generator) -> Schedule:
    """Activity by a Pareto law, arrivals over time, sessions; cold users strictly after the 80% time quantile."""
    counts = _draw_activity(config, rng)
    users = (1 + rng.permutation(config.num_users)).astype(np.int32)
    cold = cold_users[users]
    offsets = np.concatenate([[0], np.cumsum(counts)])

    # Half of the users are there from the start, the others arrive in the first 70% of the time.
    arrival = np.where(rng.random(config.num_users) < 0.5, 0.0, 0.7 * rng.random(config.num_users)) * DURATION
    end = FIRST_SECOND + DURATION
    seconds = _draw_sessions(counts, FIRST_SECOND + arrival, np.full(config.num_users, float(end)), rng)
    is_cold = np.repeat(cold, counts)
    num_before = round(0.8 * config.num_rows)
    warm_seconds = seconds[~is_cold]
    quantile = int(np.partition(warm_seconds, num_before - 1)[num_before - 1])
    cold_start = np.full(int(cold.sum()), quantile + 1.0)
    seconds[is_cold] = _draw_sessions(counts[cold], cold_start, np.full(len(cold_start), float(end)), rng)
    edges = np.concatenate(
        [
            np.linspace(FIRST_SECOND - 1, quantile, TEST_PERIOD + 1),
            np.linspace(quantile, max(end, int(seconds.max())), NUM_PERIODS - TEST_PERIOD + 1)[1:],
        ]
    ).astype(np.int64)
    return Schedule(users=users, offsets=offsets, timestamps=seconds, period_edges=edges)


def _draw_activity(config: SimulatedConfig, rng: np.random.Generator) -> NDArray[np.int64]:
    """``[num_users]`` numbers of events, falling, summing to `num_rows`: min_events + Pareto, capped."""
    n, low, high = config.num_users, config.min_events, config.max_events
    excess = (1.0 - rng.random(n)) ** (-1.0 / config.activity_exponent) - 1.0  # Lomax
    budget = config.num_rows - n * low
    scale = budget / max(float(excess.sum()), 1e-12)
    for _ in range(50):  # the cap takes events away: stretch the rest until the sum is right
        counts = np.minimum(scale * excess, high - low)
        total = float(counts.sum())
        if total >= budget * (1 - 1e-9):
            break
        scale *= budget / max(total, 1.0)
    whole = np.floor(counts).astype(np.int64)
    while (missing := budget - int(whole.sum())) != 0:  # rounding: one event more for users with room
        room = np.flatnonzero(whole < high - low) if missing > 0 else np.flatnonzero(whole > 0)
        chosen = rng.permutation(room)[: abs(missing)]
        whole[chosen] += np.sign(missing)
    return np.asarray(np.sort(whole + low)[::-1])


def _draw_sessions(
    counts: NDArray[np.int64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """``[counts.sum()]`` seconds, user-major and strictly increasing within a user.

    Sessions begin at uniform times between a user's start and end; within one, events are some minutes apart.
    """
    n = int(counts.sum())
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    first_rows = np.cumsum(counts) - counts
    opens = rng.random(n) < 1.0 / _SESSION_EVENTS
    opens[first_rows] = True
    session_rows = np.flatnonzero(opens)
    owner = np.searchsorted(first_rows, session_rows, side="right") - 1
    begins = starts[owner] + (ends[owner] - starts[owner]) * rng.random(len(session_rows))
    begins = begins[np.lexsort((begins, owner))]
    gaps = -_GAP_SECONDS * np.log1p(-rng.random(n))
    gaps[opens] = 0.0
    elapsed = np.cumsum(gaps)
    del gaps
    elapsed += np.repeat(begins - elapsed[session_rows], np.diff(np.append(session_rows, n)))
    # A session may run into the next one: a running maximum of (time - row) keeps a user's times one second apart.
    # Users are kept apart by adding more than the whole time span to each.
    seconds = elapsed.astype(np.int64)
    del elapsed
    shift = np.repeat(np.arange(len(counts), dtype=np.int64) * (8 * DURATION), counts) - np.arange(n)
    seconds += shift
    np.maximum.accumulate(seconds, out=seconds)
    seconds -= shift
    return seconds


def draw_items(world: SimulatedWorld, schedule: Schedule, rng: np.random.Generator) -> NDArray[np.int32]:
    """``[num_rows]`` internal item ids, user-major: equation (1), no item twice for a user."""
    phi = [world.component_items(p) for p in range(NUM_PERIODS)]
    item_tables = [build_alias_tables(p) for p in phi]
    item_table = AliasTables(
        keep=np.concatenate([t.keep for t in item_tables]),
        alias=np.concatenate([t.alias for t in item_tables]),
        width=item_tables[0].width,
    )
    del item_tables
    items = np.empty(int(schedule.offsets[-1]), dtype=np.int32)
    block = max(1, _SEEN_CELLS // (world.config.num_items + 1))
    for first in range(0, len(schedule.users), block):
        last = min(first + block, len(schedule.users))
        rows = slice(int(schedule.offsets[first]), int(schedule.offsets[last]))
        block_users = schedule.users[first:last]
        offsets = schedule.offsets[first : last + 1] - schedule.offsets[first]
        items[rows] = _draw_block(world, phi, item_table, block_users, offsets, schedule.timestamps[rows], rng)
    return items


def _draw_block(
    world: SimulatedWorld,
    phi: list[NDArray[np.float64]],
    item_table: AliasTables,
    users: NDArray[np.int32],
    offsets: NDArray[np.int64],
    timestamps: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    num_users, num_rows = len(users), len(timestamps)
    config, width = world.config, world.config.num_items + 1
    counts = np.diff(offsets)
    owner = np.repeat(np.arange(num_users, dtype=np.int32), counts)
    period = world.periods(timestamps)
    drifted = config.taste_drift * world.time_share(timestamps)
    taste_table = build_alias_tables(
        np.concatenate([world.user_components(users), world.user_components(users, later=True)])
    )

    def draw_static(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Facet by theta_u(t), then item by phi_c(t), for rows of any shape."""
        taste = owner[rows] + num_users * (rng.random(rows.shape) < drifted[rows])
        component = taste_table.draw(taste, rng)
        return item_table.draw(period[rows] * config.num_components + component, rng)

    static = draw_static(np.arange(num_rows))
    slot = np.searchsorted(np.cumsum(world.successor_probabilities)[:-1], rng.random(num_rows), side="right")
    follows = rng.random(num_rows) < config.transition_probability
    follows[offsets[:-1]] = False
    items = np.empty(num_rows, dtype=np.int32)
    seen = np.zeros((num_users, width), dtype=bool)
    place = np.arange(num_users)
    previous = np.zeros(num_users, dtype=np.int64)
    active = np.searchsorted(-counts, -np.arange(counts[0]), side="left")  # users with more than s events
    for step in range(int(counts[0])):
        who = place[: active[step]]
        rows = offsets[who] + step
        drawn = static[rows]
        jump = np.flatnonzero(follows[rows])
        successor = world.successors[previous[jump], slot[rows[jump]]]
        possible = ~seen[jump, successor] & (world.release_period[successor] <= period[rows[jump]])
        drawn[jump[possible]] = successor[possible]
        pending = np.flatnonzero(seen[who, drawn])
        for _ in range(_ROUNDS):
            if len(pending) == 0:
                break
            candidates = draw_static(np.repeat(rows[pending, None], _DRAWS, axis=1))
            fresh = ~seen[pending[:, None], candidates]
            drawn[pending] = candidates[np.arange(len(pending)), fresh.argmax(axis=1)]
            pending = pending[~fresh.any(axis=1)]
        if len(pending):  # users who have nearly all they like: draw from what is left, exactly
            scores = world.propensities(users[pending], timestamps[rows[pending]], phi)
            drawn[pending] = _draw_row(np.where(seen[pending], 0.0, scores), rng)
        seen[who, drawn] = True
        items[rows] = drawn
        previous[who] = drawn
    return items


def draw_ratings(
    world: SimulatedWorld, schedule: Schedule, items: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """``[num_rows]`` ratings 1..5 by equation (5), user-major."""
    users = np.repeat(schedule.users, np.diff(schedule.offsets))
    ratings = np.empty(len(items), dtype=np.float32)
    for first in range(0, len(items), _RATING_BLOCK):
        rows = slice(first, first + _RATING_BLOCK)
        latent = world.expected_latent_rating(users[rows], items[rows], schedule.timestamps[rows])
        uniform = np.clip(rng.random(len(latent)), 1e-12, 1 - 1e-12)
        latent += world.config.rating_noise * np.log(uniform / (1 - uniform))  # logistic noise
        ratings[rows] = np.clip(np.floor(latent + 0.5), 1, 5)
    return ratings


def _draw_row(weights: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """``[num_rows]`` one column of each row, by its weights."""
    cumulative = np.cumsum(weights, axis=1)
    bound = rng.random(len(weights)) * (1 - 1e-9) * cumulative[:, -1]
    return np.asarray((cumulative <= bound[:, None]).sum(axis=1))
