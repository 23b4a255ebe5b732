"""Raw values of a request become what encoding for training makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from serving.hand_made import ITEMS, TRAIN, objects
from serving.ranked import Ranked

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.pairs import PairRows
from recsys_tfrs.features.pair_examples import encode_pairs
from recsys_tfrs.schema import HISTORY
from recsys_tfrs.serving.inputs import Tensors
from recsys_tfrs.serving.ranking_inputs import PairInputs, TableInputs, input_names

UNSEEN = [(user, item) for user in range(6) for item in range(9) if (user, item) not in TRAIN]


def asked(inputs: PairInputs | TableInputs, **told: object) -> Tensors:
    """A request that tells this, with everything else neutral."""
    rows = max(len(np.atleast_1d(np.asarray(values, object))) for values in told.values())
    raw = {declared.name: declared.not_given(rows) for declared in inputs.inputs}
    types = {declared.name: declared.dtype for declared in inputs.inputs}
    return raw | {name: tf.constant(values, types[name]) for name, values in told.items()}


def assert_same(made: dict[str, tf.Tensor], expected: dict[str, np.ndarray]) -> None:
    assert set(made) == set(expected)
    for name, values in made.items():
        np.testing.assert_array_equal(values.numpy(), expected[name], err_msg=name)


@pytest.mark.parametrize("seed", [0, 1])
def test_ids_alone_are_encoded_as_training_encodes_their_pairs(ranked: Ranked, seed: int) -> None:
    users, items = np.array(UNSEEN, np.int32).T
    data = ranked.interactions
    known = build_histories(data, np.random.default_rng(seed).permutation(len(TRAIN)))
    inputs = PairInputs(data, ranked.data, ranked.layer, known)
    raw = asked(inputs, user_id=data.user_ids[users], item_id=data.item_ids[items])
    rows = PairRows(users, items, np.full(len(users), -1), np.zeros((len(users), 1), np.float32))
    expected = encode_pairs(ranked.data, ranked.layer, rows, known, in_order=False)
    assert_same(ranked.layer.assemble(inputs.fields(raw)), dict(expected.columns))


def test_the_newest_items_are_read_without_the_one_that_is_asked_about(ranked: Ranked) -> None:
    # User 1 had items 1, 2, 3, 5 in this order; of three the newest are read.
    made = ranked.inputs.fields(asked(ranked.inputs, user_id=["u1", "u1"], item_id=["i8", "i3"]))
    assert made[HISTORY].numpy().tolist() == [[5, 3, 2], [5, 2, 1]]


def test_what_is_told_replaces_what_is_stored(ranked: Ranked) -> None:
    told = asked(
        ranked.inputs,
        user_id=["u1", "u1"],
        item_id=["i2", "i2"],
        history=[["i4", "", "i7", "nobody's"], ["", "", "", ""]],
        user_gender=["M", ""],
        genres=[["Art", "War"], ["", ""]],
        device=["tablet", ""],
        context_gender=["y", ""],
    )
    encoded = ranked.inputs.fields(told)
    assert encoded[HISTORY].numpy().tolist() == [[7, 4, 0], [5, 3, 1]]
    table = ranked.data.user_table["gender"].numpy()
    assert encoded["user_gender"].numpy().tolist() == [table[2], table[1]]
    genres = ranked.data.items.encoders["genres"](tf.constant([["Art", "War"], ["War", "Love"]])).numpy()
    assert encoded["genres"].numpy().tolist() == genres.tolist()
    device = ranked.data.context.encoders["device"](tf.constant(["tablet", ""])).numpy()
    assert encoded["device"].numpy().tolist() == device.tolist()
    assert encoded["context_gender"].numpy()[0] != encoded["context_gender"].numpy()[1]


def test_of_strangers_everything_is_missing(ranked: Ranked) -> None:
    encoded = ranked.inputs.fields(asked(ranked.inputs, user_id=["nobody"], item_id=["nothing"]))
    for name, values in encoded.items():
        encoder = ranked.layer.encoders[name]
        missing = tf.fill([1] * encoder.raw_rank, tf.constant(encoder.missing, encoder.raw_dtype))
        np.testing.assert_array_equal(values, encoder(missing), err_msg=name)


def test_histories_that_are_not_stored_are_told(ranked: Ranked) -> None:
    inputs = PairInputs(ranked.interactions, ranked.data, ranked.layer, ranked.histories, store_histories=False)
    made = inputs.fields(asked(inputs, user_id=["u1", "u1"], item_id=["i8"] * 2, history=[["i1", "i2"], ["", ""]]))
    assert made[HISTORY].numpy().tolist() == [[2, 1, 0], [0, 0, 0]]


def test_a_table_takes_the_raw_fields_of_its_preprocessing(ranked: Ranked) -> None:
    inputs = TableInputs(ranked.layer)
    titles, years = ITEMS[0].values[1:4], np.array([1990, np.nan, 2000], np.float32)
    made = inputs.fields(asked(inputs, title=titles.astype(str), year=years))
    expected = ranked.layer({"title": tf.constant(titles.astype(str)), "year": tf.constant(years)})
    assert_same(ranked.layer.assemble(made), {name: values.numpy() for name, values in expected.items()})


def test_columns_may_have_any_name() -> None:
    names = input_names(objects("user id", "Größe", "7", "_x", "class", "user-id", ""), taken=["user_id"])
    assert list(names.values()) == ["user_id_", "Gr__e", "field_7", "field_x", "class_", "user_id__", "field"]
