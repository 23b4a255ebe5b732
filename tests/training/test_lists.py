"""Batches of whole lists."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from contracts.tiny_examples import encoded, examples_of

from recsys_tfrs.errors import ConfigError, DataError
from recsys_tfrs.evaluation.predictions import evaluate_predictions
from recsys_tfrs.features.fields import IDS, EncodedExamples
from recsys_tfrs.models.registry import family_module
from recsys_tfrs.objectives.prediction import Target
from recsys_tfrs.training.lists import ListBatches

#: Group 0 is nobody; 1 has 7 rows; 2 two rows that are alike; 3 two rows; 4 three, one of them unknown.
GROUPS = np.array([1, 0, 1, 2, 3, 1, 4, 1, 0, 2, 1, 3, 4, 1, 1, 4], np.int32)
LABELS = np.array([1, 0, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0, np.nan, 1, 0, 0], np.float32)
TELLING = set(np.flatnonzero(np.isin(GROUPS, (1, 3, 4))))


def examples(**changed: Any) -> EncodedExamples:
    ids = np.arange(len(GROUPS), dtype=np.int32)
    made = {"targets": LABELS[:, None], "groups": GROUPS, "weights": ids.astype(np.float32)}
    return EncodedExamples({IDS: ids[:, None]}, **{**made, **changed})


def taken(batches: ListBatches, steps: int, first_step: int = 0) -> list[dict[str, Any]]:
    return list(itertools.islice(batches.dataset(first_step).as_numpy_iterator(), steps))


def rows_of(batch: dict[str, Any]) -> list[int]:
    return batch["columns"][IDS][:, 0].tolist()


def test_an_epoch_visits_every_list_that_tells_something_once() -> None:
    batches = ListBatches(examples(), 5, 3, 1)
    assert batches.examples_per_epoch == len(TELLING) == 12
    epochs = [taken(batches, batches.steps_per_epoch, epoch * batches.steps_per_epoch) for epoch in (0, 1)]
    orders = []
    for epoch in epochs:
        visited = [row for batch in epoch for row in rows_of(batch)]
        assert sorted(visited) == sorted(TELLING)
        orders.append(visited)
        sizes = []
        for batch in epoch:
            rows, places = np.array(rows_of(batch)), batch["places"]
            for number in range(places[:, 0].max() + 1):
                of_list = places[:, 0] == number
                assert len(set(GROUPS[rows[of_list]])) == 1
                assert places[of_list, 1].tolist() == list(range(of_list.sum()))
                sizes.append((int(GROUPS[rows[of_list]][0]), int(of_list.sum())))
            np.testing.assert_array_equal(batch["weights"], rows)
        # 7 rows in lists of 3 at most are 3, 2 and 2.
        assert sorted(sizes) == [(1, 2), (1, 2), (1, 3), (3, 2), (4, 3)]
    assert orders[0] != orders[1]
    # Who has more than one list has other rows in each of them the next time.
    dealt = [
        {
            frozenset(np.array(rows_of(b))[b["places"][:, 0] == n])
            for b in epoch
            for n in range(b["places"][:, 0].max() + 1)
        }
        for epoch in epochs
    ]
    assert dealt[0] != dealt[1]


@pytest.mark.parametrize("first_step", [1, 2, 3, 5])
def test_a_run_continued_anywhere_sees_the_same_batches(first_step: int) -> None:
    batches = ListBatches(examples(), 5, 3, 1)
    for again, before in zip(taken(batches, 4, first_step), taken(batches, 9)[first_step:], strict=False):
        np.testing.assert_array_equal(again["places"], before["places"])
        np.testing.assert_array_equal(again["columns"][IDS], before["columns"][IDS])
        np.testing.assert_array_equal(again["seed"], before["seed"])


def test_only_the_rows_asked_for_are_visited() -> None:
    batches = ListBatches(examples(), 100, 100, 1, np.array([0, 1, 2, 4, 9]))
    (batch,) = taken(batches, 1)
    assert sorted(rows_of(batch)) == [0, 2]  # of groups 2 and 3, a single row is left


def test_what_holds_no_lists_is_refused() -> None:
    with pytest.raises(ConfigError, match="group=NAME"):
        ListBatches(examples(groups=None), 5, 3, 1)
    with pytest.raises(DataError, match="None of 5 lists holds two different labels"):
        ListBatches(examples(targets=np.ones((len(GROUPS), 1), np.float32)), 5, 3, 1)


@pytest.mark.parametrize("objective", ["listmle", "approx-ndcg"])
def test_a_model_learns_the_order_within_lists(objective: Any) -> None:
    made, layer = encoded(examples_of(600, depends_on="one"))
    grouped = EncodedExamples(made.columns, made.targets, groups=np.arange(600, dtype=np.int32) % 50 + 1)
    config = family_module("fm").Config(dim=4, regularization="rows", unknown_rate=0.0, embedding_decay=0.0)
    model = family_module("fm").build(config, layer, [Target("click", "binary", 0.5, objective=objective)], 1)
    model.compile(optimizer=tf.keras.optimizers.Adam(0.03))
    batches = ListBatches(grouped, 150, 8, 1)
    model.fit(batches.dataset(), steps_per_epoch=batches.steps_per_epoch, epochs=15, verbose=0)
    predicted = model.predict_examples(grouped)[:, 0]
    found = evaluate_predictions("binary", predicted, grouped.targets[:, 0], groups=grouped.groups, intervals=False)
    assert found.metrics["gauc"] > 0.95
    assert found.metrics["ndcg@10"] > 0.95
