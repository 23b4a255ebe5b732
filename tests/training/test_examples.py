"""Batches of examples: every row once an epoch, the same wherever a run is continued."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from recsys_tfrs.features.fields import IDS, EncodedExamples
from recsys_tfrs.training import examples as module
from recsys_tfrs.training.examples import ExampleBatches


def rows(count: int) -> EncodedExamples:
    """Examples whose only id is their row."""
    ids = np.arange(count, dtype=np.int32)
    return EncodedExamples({IDS: ids[:, None]}, ids[:, None].astype(np.float32), weights=ids.astype(np.float32))


def ids_of(batches: ExampleBatches, steps: int, first_step: int = 0) -> list[list[int]]:
    found = itertools.islice(batches.dataset(first_step).as_numpy_iterator(), steps)
    return [batch["columns"][IDS][:, 0].tolist() for batch in found]


def test_an_epoch_visits_every_row_once_in_an_order_of_its_own() -> None:
    batches = ExampleBatches(rows(25), 10, 3)
    assert batches.steps_per_epoch == 3
    epochs = ids_of(batches, 6)
    assert [len(batch) for batch in epochs] == [10, 10, 5, 10, 10, 5]
    first, second = (list(itertools.chain(*epochs[half : half + 3])) for half in (0, 3))
    assert sorted(first) == sorted(second) == list(range(25))
    assert first != second
    assert first != list(range(25))


@pytest.mark.parametrize("first_step", [1, 2, 3, 5])
def test_a_run_continued_anywhere_sees_the_same_batches(first_step: int) -> None:
    batches = ExampleBatches(rows(25), 10, 3)
    assert ids_of(batches, 4, first_step) == ids_of(batches, 9)[first_step : first_step + 4]


def test_many_rows_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_ROWS", 4)
    monkeypatch.setattr(module, "_SHUFFLED_ROWS", 12)
    batches = ExampleBatches(rows(50), 8, 1)
    steps = batches.steps_per_epoch
    epoch = list(itertools.chain(*ids_of(batches, steps)))
    assert sorted(epoch) == list(range(50))
    for stretch in (epoch[:12], epoch[12:24]):  # made of three whole blocks each
        assert len({row // 4 for row in stretch}) <= 4
    assert ids_of(batches, steps, 2) == ids_of(batches, steps + 2)[2:]


def test_only_the_rows_asked_for_are_visited(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = np.arange(1, 25, 2)
    batches = ExampleBatches(rows(25), 5, 3, chosen)
    assert (batches.steps_per_epoch, batches.examples_per_epoch) == (3, 12)
    assert sorted(itertools.chain(*ids_of(batches, 3))) == chosen.tolist()
    monkeypatch.setattr(module, "_BLOCK_ROWS", 2)
    monkeypatch.setattr(module, "_SHUFFLED_ROWS", 4)
    assert sorted(itertools.chain(*ids_of(batches, 3))) == chosen.tolist()


def test_seeds_and_rows_go_together() -> None:
    batch = next(iter(ExampleBatches(rows(25), 10, 3).dataset().as_numpy_iterator()))
    np.testing.assert_array_equal(batch["targets"][:, 0], batch["weights"])
    np.testing.assert_array_equal(batch["columns"][IDS][:, 0], batch["weights"])
    assert batch["seed"].tolist() == [3, 0]
    largest = next(iter(ExampleBatches(rows(25), 10, 2**32 - 1).dataset().as_numpy_iterator()))
    assert largest["seed"].tolist() == [-1, 0]
    assert ids_of(ExampleBatches(rows(25), 10, 4), 1) != ids_of(ExampleBatches(rows(25), 10, 3), 1)
