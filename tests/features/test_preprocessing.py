"""One preprocessing layer for tables and requests, adapted on training entities only."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.preprocessing import FeaturePreprocessor, item_preprocessor, user_preprocessor
from recsys_tfrs.schema import ITEM_ID, USER_ID, USER_ZIP_CODE, Kind

CONFIG = FeaturesConfig(min_frequency=1, max_values=2, max_words=3, numeric_buckets=4)


def column(name: str, kind: Kind, values: list) -> FeatureColumn:
    dtype = {Kind.NUMERIC: np.float32, Kind.TIMESTAMP: np.float64}.get(kind, object)
    array = np.empty(len(values), dtype=dtype)
    array[:] = values
    return FeatureColumn(name, kind, array)


ITEM_COLUMNS = {
    "shelf": column("shelf", Kind.CATEGORICAL, ["", "a", "b", "a", "only in test"]),
    "tags": column("tags", Kind.MULTI_CATEGORICAL, [(), ("x", "y", "z"), ("y",), (), ("only in test", "y")]),
    "title": column("title", Kind.TEXT, ["", "One two", "Two", "", "Two unheard"]),
    "price": column("price", Kind.NUMERIC, [math.nan, 1, 2, math.nan, 1e9]),
    "released": column("released", Kind.TIMESTAMP, [math.nan, 1.5e9, 1.6e9, math.nan, 9e9]),
}


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    return Interactions(
        name="by hand",
        users=np.array([1, 2, 1], dtype=np.int32),
        items=np.array([1, 2, 3], dtype=np.int32),
        ratings=None,
        timestamps=None,
        user_ids=np.array(["", "ann", "bob"], dtype=object),
        item_ids=np.array(["", "p", "q", "r", "s"], dtype=object),
        user_features={
            "gender": column("gender", Kind.CATEGORICAL, ["", "F", "M"]),
            USER_ZIP_CODE: column(USER_ZIP_CODE, Kind.CATEGORICAL, ["", "10001", "20002"]),
        },
        item_features=ITEM_COLUMNS,
    )


@pytest.fixture(scope="module")
def items(interactions: Interactions) -> FeaturePreprocessor:
    """Adapted on items 1 to 3; item 4 occurs in test rows only."""
    return item_preprocessor(interactions, np.array([False, True, True, True, False]), CONFIG)


def test_what_occurs_in_a_test_entity_only_is_unknown(items: FeaturePreprocessor, interactions: Interactions) -> None:
    table = {name: t.numpy() for name, t in items.table(interactions.item_ids, ITEM_COLUMNS).items()}
    assert table[ITEM_ID].tolist() == [0, 1, 2, 3, 0]
    assert table["shelf"].tolist() == [0, 2, 3, 2, 1]  # a, b
    assert table["tags"].tolist() == [[0, 0], [3, 2], [2, 0], [0, 0], [1, 2]]  # y, x, z; two kept
    assert table["title"].tolist() == [[0, 0, 0], [3, 2, 0], [2, 0, 0], [0, 0, 0], [2, 1, 0]]  # two, one
    assert table["price"].tolist() == [0, 1, 4, 0, 4]  # quartiles of 1 and 2, not of 1e9
    assert table["released"][:, 6].tolist() == [0, 0, 1, 0, 75]  # (9 - 1.5) / (1.6 - 1.5)


RAW_ROWS = st.fixed_dictionaries(
    {
        ITEM_ID: st.sampled_from(["p", "q", "r", "s", "", "new"]),
        "shelf": st.sampled_from(["", "a", "b", "only in test", "Ä"]),
        "tags": st.lists(st.sampled_from(["x", "y", "z", "w"]), max_size=4).map(tuple),
        "title": st.text(st.sampled_from("oneTWO 東É!"), max_size=12) | st.just("two one two one"),
        "price": st.sampled_from([math.nan, -1.0, 1.0, 1.5, 2.0, math.inf]),
        "released": st.sampled_from([math.nan, 0.0, 1.55e9, 4e9]),
    }
)


@settings(max_examples=12, deadline=None)
@given(rows=st.lists(RAW_ROWS, min_size=1, max_size=4))
def test_the_cached_table_equals_the_layer_on_raw_rows_one_by_one(items: FeaturePreprocessor, rows: list[dict]) -> None:
    """What training reads (the table) is what serving computes (one request of raw strings)."""
    columns = {name: column(name, c.kind, [row[name] for row in rows]) for name, c in ITEM_COLUMNS.items()}
    ids = np.array([row[ITEM_ID] for row in rows], dtype=object)
    table = items.table(ids, columns)
    for i, row in enumerate(rows):
        request = {
            ITEM_ID: tf.constant([row[ITEM_ID]]),
            "shelf": tf.constant([row["shelf"]]),
            "tags": tf.constant([list(row["tags"]) or [""]]),
            "title": tf.constant([row["title"]]),
            "price": tf.constant([row["price"]], tf.float32),
            "released": tf.constant([row["released"]], tf.float64),
        }
        for name, encoded in items(request).items():
            np.testing.assert_array_equal(encoded.numpy()[0], table[name].numpy()[i], err_msg=name)


def test_the_graph_of_an_export_encodes_as_the_table_does(
    items: FeaturePreprocessor, interactions: Interactions
) -> None:
    graph = tf.function(lambda raw: items(raw), input_signature=[items.input_signature()])
    raw = {ITEM_ID: tf.constant(interactions.item_ids.astype(str))}
    raw |= {name: items.encoders[name].raw(c.values) for name, c in ITEM_COLUMNS.items()}
    table = items.table(interactions.item_ids, ITEM_COLUMNS)
    for name, encoded in graph(raw).items():
        np.testing.assert_allclose(encoded.numpy(), table[name].numpy(), atol=1e-6, err_msg=name)


def test_a_column_left_out_of_a_request_is_missing(items: FeaturePreprocessor) -> None:
    left_out = items({ITEM_ID: tf.constant(["p", "q"])})
    given_as_missing = items.table(
        np.array(["p", "q"]), {name: column(name, c.kind, [c.values[0]] * 2) for name, c in ITEM_COLUMNS.items()}
    )
    for name, encoded in left_out.items():
        np.testing.assert_array_equal(encoded.numpy(), given_as_missing[name].numpy(), err_msg=name)
    assert left_out["released"].numpy()[:, 7].tolist() == [1, 1]


def test_signature_of_a_request(items: FeaturePreprocessor) -> None:
    shapes = {name: (spec.dtype, spec.shape.rank) for name, spec in items.input_signature().items()}
    assert shapes == {
        ITEM_ID: (tf.string, 1),
        "shelf": (tf.string, 1),
        "tags": (tf.string, 2),
        "title": (tf.string, 1),
        "price": (tf.float32, 1),
        "released": (tf.float64, 1),
    }


def test_zip_codes_are_used_only_when_asked_for(interactions: Interactions) -> None:
    known = np.array([False, True, True])
    assert list(user_preprocessor(interactions, known, CONFIG).encoders) == [USER_ID, "gender"]
    asked = FeaturesConfig(user_columns=[USER_ZIP_CODE])
    assert list(user_preprocessor(interactions, known, asked).encoders) == [USER_ID, USER_ZIP_CODE]
    assert list(user_preprocessor(interactions, known, FeaturesConfig(user_columns=[])).encoders) == [USER_ID]


def test_an_unknown_column_is_named_with_those_there_are(interactions: Interactions) -> None:
    known = np.ones(5, dtype=bool)
    with pytest.raises(
        ConfigError,
        match=r"^features\.item_columns names genre, colour, .*: it has shelf, tags, title, price, released\.$",
    ):
        item_preprocessor(interactions, known, FeaturesConfig(item_columns=["title", "genre", "colour"]))
