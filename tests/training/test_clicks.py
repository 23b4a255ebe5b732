"""Windows of one size before every target."""

from __future__ import annotations

import numpy as np
import pytest
from contracts.tiny_data import all_rows, interactions_of, random_interactions

from recsys_tfrs.errors import DataError
from recsys_tfrs.training.clicks import ClickBatches, click_batches


def windows(batches: ClickBatches, steps: int, first_step: int = 0) -> list[tuple]:
    """``(clicks, target, cart)`` of every row of some batches."""
    found = []
    for batch in batches.dataset(first_step).take(steps).as_numpy_iterator():
        carts = batch.get("carts", np.zeros_like(batch["targets"]))
        found += list(zip(map(tuple, batch["clicks"].tolist()), batch["targets"].tolist(), carts.tolist(), strict=True))
    return found


def three_sessions() -> ClickBatches:
    """Items 1 2 3 4, item 5 alone, items 6 7; carts after each position made up."""
    data = interactions_of(np.array([1, 1, 1, 1, 2, 3, 3]), np.arange(1, 8), 3, 7)
    carts = np.array([3, 3, 0, 0, 0, 7, 0], dtype=np.int32)
    return click_batches(all_rows(data), batch_size=3, size=2, seed=1, carts=carts)


def test_an_epoch_has_every_target_once_with_what_came_before_it() -> None:
    """Padded in front at a session's beginning, cut in front at its end; a session of one click teaches nothing."""
    batches = three_sessions()
    assert (batches.steps_per_epoch, batches.examples_per_epoch, batches.queries_per_batch) == (2, 4, 3)
    expected = [((0, 1), 2, 3), ((1, 2), 3, 3), ((2, 3), 4, 0), ((0, 6), 7, 7)]
    assert sorted(windows(batches, 2), key=str) == sorted(expected, key=str)
    assert sorted(windows(batches, 2, first_step=2), key=str) == sorted(expected, key=str)


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    batches = three_sessions()
    assert windows(batches, 4)[4:] == windows(batches, 2, first_step=2)
    seeds = [batch["seed"].tolist() for batch in batches.dataset(5).take(2).as_numpy_iterator()]
    assert seeds == [[1, 5], [1, 6]]


def test_carts_are_there_where_they_are_known_and_weights_where_rows_have_them() -> None:
    histories = all_rows(random_interactions(12, 9, 60))
    batch = next(click_batches(histories, batch_size=10_000, size=3, seed=1).dataset().as_numpy_iterator())
    assert set(batch) == {"clicks", "targets", "seed"}
    assert batch["clicks"].shape == (48, 3)  # sixty rows, of which each user's first is no target
    weights = np.arange(60, dtype=np.float32)
    weighted = type(histories)(**{**histories.__dict__, "weights": weights})
    batch = next(click_batches(weighted, batch_size=10_000, size=3, seed=1).dataset().as_numpy_iterator())
    firsts = histories.offsets[1:-1][histories.lengths[1:] > 0]
    assert sorted(batch["weights"].tolist()) == sorted(set(weights.tolist()) - set(firsts.tolist()))


def test_sessions_of_one_click_alone_are_refused() -> None:
    data = interactions_of(np.array([1, 2, 3]), np.array([1, 2, 3]), 3, 3)
    with pytest.raises(DataError, match="None of the 3 sequences to train on holds two items"):
        click_batches(all_rows(data), batch_size=3, size=2, seed=1)
