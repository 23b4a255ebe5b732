"""Examples made of interactions: every value where it belongs, and no row in its own history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from contracts.tiny_data import all_rows, interactions_of, random_interactions

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.data.pairs import PairRows
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoded import encode
from recsys_tfrs.features.fields import IDS, ExamplePreprocessor
from recsys_tfrs.features.pair_examples import HistoryEncoder, encode_pairs, item_fields, pair_encoders
from recsys_tfrs.schema import HISTORY, ITEM_ID, MOVIE_GENRES, RECENT, USER_GENDER, USER_ID, Kind

USERS = np.array([1, 1, 1, 1, 2, 2])
ITEMS = np.array([3, 1, 4, 2, 4, 1])


def pairs(users: list[int], items: list[int], rows: list[int]) -> PairRows:
    return PairRows(
        np.array(users, np.int32),
        np.array(items, np.int32),
        np.array(rows, np.int64),
        np.zeros((len(users), 1), np.float32),
    )


def histories_of(asked: PairRows, *, in_order: bool, width: int = 3, known: list[int] | None = None) -> list[list[int]]:
    data = interactions_of(USERS, ITEMS, 2, 4, timestamps=np.arange(6))
    histories = all_rows(data) if known is None else build_histories(data, np.array(known))
    encoded = encode(FeaturesConfig(min_frequency=1), data, histories)
    layer = ExamplePreprocessor(pair_encoders(encoded, width))
    made = encode_pairs(encoded, layer, asked, histories, in_order=in_order)
    return [[int(i) for i in row if i] for row in made.columns[HISTORY]]


class TestHistories:
    def test_in_order_only_what_came_before_is_known(self) -> None:
        asked = pairs([1, 1, 1, 2], [3, 4, 2, 1], [0, 2, 3, 5])
        assert histories_of(asked, in_order=True) == [[], [1, 3], [4, 1, 3], [4]]

    def test_out_of_order_all_but_the_row_itself_is_known(self) -> None:
        asked = pairs([1, 1, 2], [3, 2, 4], [0, 3, 4])
        assert histories_of(asked, in_order=False) == [[2, 4, 1], [4, 1, 3], [1]]

    @pytest.mark.parametrize("in_order", [True, False])
    def test_an_item_drawn_beside_a_row_has_the_history_of_that_row(self, in_order: bool) -> None:
        """Or the history would tell which of them happened."""
        happened, drawn = pairs([1], [4], [2]), pairs([1], [2], [2])
        assert histories_of(drawn, in_order=in_order) == histories_of(happened, in_order=in_order)

    def test_a_row_that_is_not_known_gets_everything_that_is(self) -> None:
        asked = pairs([1, 2], [2, 1], [3, 5])
        assert histories_of(asked, in_order=True, known=[0, 1, 2, 4], width=2) == [[3, 1], [3]]

    def test_nothing_is_known_of_a_stranger(self) -> None:
        assert histories_of(pairs([0], [1], [-1]), in_order=False) == [[]]


def test_the_newest_items_can_be_a_field_of_their_own() -> None:
    data = interactions_of(USERS, ITEMS, 2, 4, timestamps=np.arange(6))
    encoded = encode(FeaturesConfig(min_frequency=1), data, all_rows(data))
    layer = ExamplePreprocessor(pair_encoders(encoded, 3, recent=1))
    made = encode_pairs(encoded, layer, pairs([1, 2], [4, 1], [2, 5]), all_rows(data), in_order=True)
    assert made.columns[HISTORY].tolist() == [[1, 3, 0], [4, 0, 0]]
    assert made.columns[RECENT].tolist() == [[1], [4]]


def test_the_encoder_reads_the_newest_items() -> None:
    data = random_interactions(6, 9, 40)
    encoded = encode(FeaturesConfig(min_frequency=1), data, all_rows(data))
    encoder = HistoryEncoder(encoded.items.encoders[ITEM_ID], 3)
    asked = tf.constant([["i1", "i2", "i3", "i4"], ["i5", "never", "", ""]])
    assert encoder(asked).numpy().tolist() == [[2, 3, 4], [0, 0, 0]]
    assert encoder(tf.constant([["i5"]])).numpy().tolist() == [[5, 0, 0]]


def test_arrays_and_requests_agree() -> None:
    """What is gathered from tables is what the layer makes of the raw columns."""
    data = random_interactions(6, 9, 40)
    encoded = encode(FeaturesConfig(min_frequency=1), data, all_rows(data))
    layer = ExamplePreprocessor(pair_encoders(encoded, 0))
    rows = np.arange(40)
    asked = PairRows(data.users, data.items, rows, np.zeros((40, 1), np.float32))
    made = encode_pairs(encoded, layer, asked, all_rows(data), in_order=False)
    columns = {USER_ID: data.user_ids[data.users], ITEM_ID: data.item_ids[data.items]}
    columns |= {name: column.values[data.users] for name, column in data.user_features.items()}
    columns |= {name: column.values[data.items] for name, column in data.item_features.items()}
    raw = {name: layer.encoders[name].raw(values) for name, values in columns.items()}
    for name, values in layer(raw).items():
        np.testing.assert_array_equal(made.columns[name], values.numpy(), err_msg=name)
    assert {USER_GENDER, MOVIE_GENRES} <= set(layer.layout.names)
    assert made.groups is not None
    np.testing.assert_array_equal(made.groups, data.users)
    assert made.columns[IDS].shape[1] == len(layer.layout.single)


def test_pairs_beside_other_items_are_what_encoding_them_would_make() -> None:
    data = random_interactions(6, 9, 40)
    numbers = FeatureColumn("price", Kind.NUMERIC, np.arange(10, dtype=np.float32))
    data = replace(data, item_features={**data.item_features, "price": numbers})
    encoded = encode(FeaturesConfig(min_frequency=1, numeric="log"), data, all_rows(data))
    layer = ExamplePreprocessor(pair_encoders(encoded, 4, recent=2))
    assert layer.layout.dense
    rows = np.arange(5, 25)
    asked = pairs(data.users[rows].tolist(), data.items[rows].tolist(), rows.tolist())
    others = np.random.default_rng(1).integers(1, 10, (len(rows), 3)).astype(np.int32)
    made = item_fields(encoded, layer).beside(
        encode_pairs(encoded, layer, asked, all_rows(data), in_order=True).columns, others
    )
    everything = np.concatenate([asked.items[:, None], others], axis=1).ravel()
    whole = pairs(np.repeat(asked.users, 4).tolist(), everything.tolist(), np.repeat(rows, 4).tolist())
    expected = encode_pairs(encoded, layer, whole, all_rows(data), in_order=True).columns
    assert made.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(made[key], values, err_msg=key)
