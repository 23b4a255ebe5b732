"""Batches of sequences: every target once, never among its own inputs, the same whenever asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from contracts.tiny_data import interactions_of
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.errors import DataError
from recsys_tfrs.training.pieces import pieces
from recsys_tfrs.training.sequences import (
    LARGEST_BATCH,
    NextItemBatches,
    next_item_batches,
    sequence_batches,
    session_parallel_batches,
    window_batches,
)

LENGTHS = [1, 2, 9, 3, 2, 30, 1, 5, 4]


def histories_of(lengths: list[int], *, weights: bool = False) -> Histories:
    """No item comes twice, so an item tells where it stands: the n-th of user u is 100 u + n."""
    users = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    items = np.concatenate([100 * (u + 1) + np.arange(n) for u, n in enumerate(lengths)])
    data = interactions_of(
        users, items, len(lengths), 100 * len(lengths) + 99, timestamps=np.arange(len(users)), ratings=items / 1000
    )
    built = build_histories(data, np.arange(len(data)))
    if not weights:
        return built
    return Histories(**{**built.__dict__, "weights": built.items.astype(np.float32)})


def elements(batches: NextItemBatches, count: int | None = None, first: int = 0) -> Iterator[dict[str, Any]]:
    """The batches of an epoch, or `count` of them from a step on."""
    return batches.dataset(first).take(count or batches.steps_per_epoch).as_numpy_iterator()


def pairs(batches: NextItemBatches) -> list[tuple[int, int]]:
    """(input, target) of an epoch."""
    found = []
    for batch in elements(batches):
        here = batch["targets"] > 0
        found += zip(batch["inputs"][here].tolist(), batch["targets"][here].tolist(), strict=True)
    return found


def all_pairs(lengths: list[int]) -> list[tuple[int, int]]:
    return [(100 * (u + 1) + n, 100 * (u + 1) + n + 1) for u, length in enumerate(lengths) for n in range(length - 1)]


MADE: dict[str, Callable[..., NextItemBatches]] = {
    "sequences": lambda h, size=12, seed=1: sequence_batches(h, batch_size=size, max_length=7, seed=seed),
    "parallel": lambda h, size=12, seed=1: session_parallel_batches(h, batch_size=size, rows=4, seed=seed),
    "windows": lambda h, size=12, seed=1: window_batches(h, batch_size=size, window=3, seed=seed),
}


@pytest.fixture(params=sorted(MADE))
def make(request: pytest.FixtureRequest) -> Callable[..., NextItemBatches]:
    return MADE[request.param]


def test_every_item_but_the_first_is_a_target_once_an_epoch(make: Callable[..., NextItemBatches]) -> None:
    batches = make(histories_of(LENGTHS))
    assert sorted(pairs(batches)) == all_pairs(LENGTHS)
    assert batches.examples_per_epoch == len(all_pairs(LENGTHS))
    sizes = [np.count_nonzero(batch["targets"]) for batch in elements(batches)]
    assert max(sizes) <= batches.queries_per_batch


@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=8), size=st.integers(1, 40), seed=st.integers(0, 9))
@settings(max_examples=5, deadline=None)
@pytest.mark.parametrize("name", sorted(MADE))
def test_whatever_the_lengths(name: str, lengths: list[int], size: int, seed: int) -> None:
    if max(lengths) < 2:
        lengths = [*lengths, 2]
    assert sorted(pairs(MADE[name](histories_of(lengths), size, seed))) == all_pairs(lengths)


def test_a_batch_is_a_function_of_seed_and_step(make: Callable[..., NextItemBatches]) -> None:
    batches = make(histories_of(LENGTHS))
    steps = batches.steps_per_epoch
    straight = list(elements(batches, 2 * steps + 2))
    for first in (1, steps, steps + 1, 2 * steps):
        for resumed, expected in zip(elements(batches, 2, first), straight[first:], strict=False):
            for name, values in expected.items():
                np.testing.assert_array_equal(resumed[name], values)
    assert not _same(straight[:steps], straight[steps : 2 * steps])  # epochs differ
    assert not _same(straight[:steps], list(elements(make(histories_of(LENGTHS), 12, 2))))  # and seeds
    assert len({tuple(batch["seed"]) for batch in straight}) == len(straight)


def _same(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> bool:
    return all(np.array_equal(a["inputs"], b["inputs"]) for a, b in zip(first, second, strict=True))


def test_ratings_are_of_inputs_and_weights_of_targets(make: Callable[..., NextItemBatches]) -> None:
    for batch in elements(make(histories_of(LENGTHS, weights=True))):
        np.testing.assert_allclose(batch["ratings"], batch["inputs"] / 1000)
        np.testing.assert_allclose(batch["weights"], batch["targets"])
    assert "weights" not in next(elements(make(histories_of(LENGTHS))))


def test_sequences_stand_beside_others_of_nearly_their_length() -> None:
    batches = sequence_batches(histories_of([*range(2, 60)] * 3), batch_size=200, max_length=50, seed=1)
    everything = np.concatenate([batch["inputs"].ravel() for batch in elements(batches)])
    assert np.mean(everything == 0) < 0.1
    for batch in elements(batches):
        ended = batch["inputs"] == 0
        assert not (ended[:-1] & ~ended[1:]).any()  # padding comes last
        np.testing.assert_array_equal(ended, batch["targets"] == 0)


def test_a_bucket_fills_a_batch_or_is_none() -> None:
    """Lengths of 2 to 5 once each have 1 + 2 + 3 + 4 targets: 1 + 2 + 3 fill a batch of 5, and 4 would not."""
    assert sequence_batches(histories_of([2, 3, 4, 5]), batch_size=5, max_length=9, seed=1).width.tolist() == [4]
    batches = sequence_batches(histories_of([2, 3, 4, 5, 5]), batch_size=6, max_length=9, seed=1)
    assert batches.width.tolist() == [3, 4]
    assert batches.rows.tolist() == [2, 1]


def test_an_over_long_sequence_is_cut_from_its_end() -> None:
    cut = pieces(histories_of([2, 18]), 7)
    assert cut.sizes.tolist() == [1, 3, 7, 7]
    assert cut.histories.items[cut.starts].tolist() == [100, 200, 203, 210]


def test_rows_of_parallel_sessions_walk_on_from_batch_to_batch() -> None:
    """What a row is given next continues what it was given last, unless a sequence starts; nothing is padded."""
    histories = histories_of(LENGTHS)
    batches = session_parallel_batches(histories, batch_size=8, rows=4, seed=3)
    line = [
        np.concatenate(part)
        for part in zip(*[(b["inputs"], b["targets"], b["starts"]) for b in elements(batches)], strict=True)
    ]
    inputs, targets, starts = line
    assert inputs.shape[1] == 4
    assert starts[0].all()
    for row in range(4):
        for time in range(1, len(inputs)):
            if targets[time, row] and not starts[time, row]:
                assert inputs[time, row] == targets[time - 1, row]
    begun = set(inputs[starts & (targets > 0)].tolist())
    assert {100 * (u + 1) for u, length in enumerate(LENGTHS) if length > 1} <= begun
    cut = begun - {100 * (u + 1) for u in range(len(LENGTHS))}
    assert len(cut) <= 3  # sequences on a cut between rows
    # 48 targets in 4 rows: not a single place is empty, though sequences have 1 to 29.
    assert np.count_nonzero(targets) == 48 == targets.size


def test_a_window_holds_the_items_right_before_its_target() -> None:
    for batch in elements(window_batches(histories_of(LENGTHS), batch_size=12, window=3, seed=1)):
        assert (np.count_nonzero(batch["targets"], axis=0) == 1).all()
        for inputs, targets in zip(batch["inputs"].T, batch["targets"].T, strict=True):
            target = int(targets.max())
            place = target % 100
            expected = list(range(target - min(place, 3), target))
            assert inputs[inputs > 0].tolist() == expected
            assert targets[len(expected) - 1] == target


def test_sequences_of_one_item_alone_are_refused(make: Callable[..., NextItemBatches]) -> None:
    with pytest.raises(DataError, match="None of the 3 sequences to train on holds two items"):
        make(histories_of([1, 1, 1]))


@pytest.mark.parametrize(
    ("most_batches", "expected"),
    [(0, 600), (1_000, 600), (100, 600), (50, 1_200), (30, 2_000), (2, LARGEST_BATCH)],
)
def test_batches_grow_with_the_data(most_batches: int, expected: int) -> None:
    """60,000 targets in sequences of 101 items: 6 to 81 rows of 100."""
    data = interactions_of(np.repeat(np.arange(1, 601), 101), np.tile(np.arange(1, 102), 600), 600, 101)
    batches = next_item_batches(
        build_histories(data, np.arange(len(data))),
        batch_size=600,
        seed=1,
        examples="sequences",
        max_length=200,
        most_batches=most_batches,
        rows=1,
        window=1,
    )
    assert batches.examples_per_epoch == 60_000
    assert expected * 0.9 <= batches.queries_per_batch <= expected
    assert batches.steps_per_epoch == -(-60_000 // batches.queries_per_batch)


@pytest.mark.parametrize("examples", ["sequences", "session-parallel", "windows"])
def test_an_input_comes_with_the_time_before_it(examples: Any) -> None:
    """The n-th item of everybody follows n seconds after the one before; in a piece, too, the time before is known."""
    lengths = [12, 5]
    users = np.repeat([1, 2], lengths)
    times = np.concatenate([np.cumsum(np.arange(n)) for n in lengths])
    items = np.concatenate([np.arange(1, n + 1) for n in lengths])
    histories = build_histories(interactions_of(users, items, 2, 12, timestamps=times), np.arange(17))
    batches = next_item_batches(
        histories,
        batch_size=4,
        seed=1,
        examples=examples,
        max_length=3,
        most_batches=0,
        rows=2,
        window=3,
        with_gaps=True,
    )
    expected = {0: 0, 1: 0, **{n: 1 + int(np.log2(n)) for n in range(2, 13)}}  # of n - 1 seconds
    for batch in elements(batches):
        assert batch["gaps"].tolist() == [[expected[item] for item in row] for row in batch["inputs"].tolist()]
    plain = next(elements(next_item_batches(histories, batch_size=4, seed=1, examples=examples, max_length=3,
        most_batches=0, rows=2, window=3)))  # fmt: skip
    assert "gaps" not in plain
