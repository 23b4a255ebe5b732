"""Batches of choices: what was chosen, beside items drawn anew."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from contracts.tiny_data import all_rows, interactions_of

from recsys_tfrs.data.pairs import UntouchedItems, all_clicked
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoded import encode
from recsys_tfrs.features.fields import IDS, EncodedExamples, ExamplePreprocessor
from recsys_tfrs.features.pair_examples import ItemFields, encode_pairs, item_fields, pair_encoders
from recsys_tfrs.models.registry import family_module
from recsys_tfrs.objectives.prediction import Target
from recsys_tfrs.schema import ITEM_ID, Objective
from recsys_tfrs.training.choices import Alternatives, ChoiceBatches

#: Users 1 to 5 touched three of items 1 to 9 each; user 6 all of them.
USERS = np.concatenate([np.repeat(np.arange(1, 6), 3), np.full(9, 6)])
ITEMS = np.concatenate([(np.arange(15) * 4) % 9 + 1, np.arange(1, 10)])
COUNTS = np.bincount(ITEMS)[1:]
LENGTH = 4


def batches(batch_size: int = 5, seed: int = 3, weights: bool = True) -> ChoiceBatches:
    """Of examples whose ids are user, item and row; of an item its id is known, and its tenfold."""
    data = interactions_of(USERS, ITEMS, 6, 9)
    rows = np.arange(len(USERS), dtype=np.int32)
    ids = np.stack([USERS, ITEMS, rows, ITEMS * 10], axis=1).astype(np.int32)
    table = np.stack([np.arange(10), np.arange(10) * 10], axis=1).astype(np.int32)
    nothing = np.zeros(0, np.int32)
    untouched = UntouchedItems(all_rows(data), nothing, nothing, alpha=1.0)
    fields = ItemFields({IDS: (np.array([1, 3]), table)})
    alternatives = Alternatives(ITEMS.astype(np.int32), fields, untouched, LENGTH - 1)
    examples = EncodedExamples(
        {IDS: ids},
        np.ones((len(rows), 1), np.float32),
        rows.astype(np.float32) if weights else None,
        USERS.astype(np.int32),
    )
    return ChoiceBatches(examples, batch_size, seed, alternatives=alternatives)


def taken(made: ChoiceBatches, steps: int, first_step: int = 0) -> list[dict[str, Any]]:
    return list(itertools.islice(made.dataset(first_step).as_numpy_iterator(), steps))


def test_every_choice_stands_first_among_items_its_user_did_not_touch() -> None:
    made = batches()
    assert (made.steps_per_epoch, made.examples_per_epoch) == (5, 24 * LENGTH)
    touched = set(zip(USERS.tolist(), ITEMS.tolist(), strict=True))
    visited = []
    for batch in taken(made, 5):
        ids = batch["columns"][IDS].reshape(-1, LENGTH, 4)
        targets = batch["targets"].reshape(-1, LENGTH)
        rows = ids[:, 0, 2]
        visited += rows.tolist()
        np.testing.assert_array_equal(ids[:, 0, 0], USERS[rows])
        np.testing.assert_array_equal(ids[:, 0, 1], ITEMS[rows])
        assert (targets[:, 0] == 1).all()
        assert (ids[:, :, [0, 2]] == ids[:, :1, [0, 2]]).all()  # whose choice it is stays
        np.testing.assert_array_equal(ids[:, :, 3], ids[:, :, 1] * 10)  # all that is said of an item goes with it
        np.testing.assert_array_equal(batch["weights"], np.repeat(rows, LENGTH))
        log_q = np.append(0.0, np.log(COUNTS / COUNTS.mean()))
        np.testing.assert_allclose(batch["log_q"], log_q[ids[:, :, 1].ravel()], rtol=1e-5)
        places = batch["places"].reshape(-1, LENGTH, 2)
        assert (places[:, :, 0] == np.arange(len(rows))[:, None]).all()
        assert (places[:, :, 1] == np.arange(LENGTH)).all()
        for user, items, of in zip(ids[:, 0, 0].tolist(), ids[:, 1:, 1].tolist(), targets[:, 1:], strict=True):
            if user == 6:  # nothing is left for whoever has everything
                assert np.isnan(of).all()
                assert items == [0] * (LENGTH - 1)
            else:
                assert (of == 0).all()
                assert not touched & {(user, item) for item in items}
    assert sorted(visited) == list(range(len(USERS)))


def test_items_are_drawn_anew_in_each_step() -> None:
    made, rows = batches(), np.arange(15)
    assert (made.drawn(rows, 0) != made.drawn(rows, 1)).mean() > 0.3
    for step, batch in enumerate(taken(made, 7)):
        rows = batch["columns"][IDS][::LENGTH, 2]
        again = made.beside(rows, made.drawn(rows, step))
        np.testing.assert_array_equal(batch["columns"][IDS], again.columns[IDS])


@pytest.mark.parametrize("first_step", [1, 4, 5, 7])
def test_a_run_continued_anywhere_sees_the_same_batches(first_step: int) -> None:
    whole = taken(batches(), 9)[first_step:]
    for batch, again in zip(whole, taken(batches(), 9 - first_step, first_step), strict=True):
        np.testing.assert_array_equal(batch["columns"][IDS], again["columns"][IDS])
        np.testing.assert_array_equal(batch["seed"], again["seed"])
    other = taken(batches(seed=4), 1)[0]
    assert (other["columns"][IDS] != taken(batches(), 1)[0]["columns"][IDS]).any()


def test_there_are_weights_where_interactions_have_them() -> None:
    assert "weights" not in taken(batches(weights=False), 1)[0]


@pytest.mark.parametrize("objective", ["softmax", "pointwise"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_what_is_learnt_does_not_depend_on_the_draw(alpha: float, objective: Objective) -> None:
    """Who chooses items with chances p gives them scores of log p, however often they stand beside what is chosen."""
    rng = np.random.default_rng(5)
    chance = 1 / np.arange(2, 32)
    chance /= chance.sum()
    chosen = rng.choice(30, 3_000, p=chance) + 1
    data = interactions_of(np.arange(1, 3_001), chosen, 3_000, 30)
    known, rows = all_rows(data), np.arange(3_000)
    encoded = encode(FeaturesConfig(min_frequency=1), data, known)
    layer = ExamplePreprocessor({ITEM_ID: pair_encoders(encoded, 0)[ITEM_ID]})
    pairs = all_clicked(data, rows)
    fields = item_fields(encoded, layer)
    alternatives = Alternatives(pairs.items, fields, UntouchedItems(known, pairs.users, pairs.items, alpha), 8)
    made = ChoiceBatches(encode_pairs(encoded, layer, pairs, known, in_order=False), 100, 1, alternatives=alternatives)
    module = family_module("lr")
    model = module.build(
        module.Config(linear_l2=0.0, unknown_rate=0.0),
        layer,
        [Target("click", "binary", 1 / 9, objective=objective)],
        1,
    )
    model.compile(optimizer=tf.keras.optimizers.Adam(0.03))
    model.fit(made.dataset(), steps_per_epoch=30, epochs=8, verbose=0)
    scores = model.totals_of(EncodedExamples({IDS: fields.columns[IDS][1][1:]}, np.zeros((30, 1), np.float32)))
    found = np.bincount(chosen, minlength=31)[1:] / 3_000
    slope = np.polyfit(np.log(found), scores[:, 0], 1, w=np.sqrt(found))[0]
    assert slope == pytest.approx(1.0, abs=0.12)
