"""Carts: who put what into the cart next, and what is left of a session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys_tfrs.data.carts import cart_pairs, carted_rows, next_carted
from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.data.sessions import split_interactions
from recsys_tfrs.data.simulated_shop import load_simulated_shop
from recsys_tfrs.data.sources import DataRequest, load
from recsys_tfrs.errors import DataError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.preprocessing import context_columns
from recsys_tfrs.schema import ADDED_TO_CART, Kind


def two_sessions(kind: Kind, values: list[object]) -> Interactions:
    """Clicks 1 2 3 4 and 5 6, in order."""
    dtype = np.float32 if kind is Kind.NUMERIC else object
    column = FeatureColumn(ADDED_TO_CART, kind, np.array(values, dtype=dtype))
    return Interactions(
        name="two",
        users=np.array([1, 1, 1, 1, 2, 2], dtype=np.int32),
        items=np.arange(1, 7, dtype=np.int32),
        ratings=None,
        timestamps=np.arange(6, dtype=np.int64),
        user_ids=np.array(["", "a", "b"], dtype=object),
        item_ids=np.array(["", *"123456"], dtype=object),
        context_features={ADDED_TO_CART: column},
    )


def test_numbers_and_kinds_of_events_say_what_was_carted() -> None:
    numbers = two_sessions(Kind.NUMERIC, [0, 1, float("nan"), 2, 0, 0])
    assert carted_rows(numbers).tolist() == [False, True, False, True, False, False]
    words = two_sessions(Kind.CATEGORICAL, ["view", "add-to-cart", "AddToCart", "", "yes", "no"])
    assert carted_rows(words).tolist() == [False, True, True, False, True, False]
    assert carted_rows(replace(numbers, context_features={})) is None
    with pytest.raises(DataError, match=r"is of kind text: declare it as numeric"):
        carted_rows(two_sessions(Kind.TEXT, [""] * 6))


def test_another_column_of_carts_has_to_be_there() -> None:
    clicks = replace(two_sessions(Kind.NUMERIC, [0] * 6), context_features={})
    assert carted_rows(clicks) is None
    with pytest.raises(DataError, match=r"no context column 'nope' .* --columns nope=numeric"):
        carted_rows(clicks, "nope")


def test_what_is_carted_next_is_of_the_same_session_and_later() -> None:
    data = two_sessions(Kind.NUMERIC, [1, 0, 1, 0, 0, 1])
    histories = build_histories(data, np.arange(6))
    assert next_carted(histories, carted_rows(data)).tolist() == [3, 3, 0, 0, 6, 0]
    nothing = build_histories(data, np.zeros(0, dtype=np.int64))
    assert next_carted(nothing, carted_rows(data)).tolist() == []


def test_a_case_is_to_find_all_that_the_rest_of_its_session_carts() -> None:
    """Session b tests: its only case knows 5 and is to find 6, and the first session's cases are not asked for."""
    data = two_sessions(Kind.NUMERIC, [1, 0, 1, 1, 0, 1])
    clicks = np.tile([0, 1, 2, 3], 3)
    more = replace(
        data,
        users=np.repeat(np.arange(1, 4), 4).astype(np.int32),
        items=(np.arange(12) % 6 + 1).astype(np.int32),
        timestamps=np.arange(12, dtype=np.int64),
        user_ids=np.array(["", "a", "b", "c@x"], dtype=object),
        context_features={ADDED_TO_CART: FeatureColumn(ADDED_TO_CART, Kind.NUMERIC, (clicks != 1).astype(np.float32))},
    )
    with_cases, split = split_interactions(more, "sessions", test_fraction=0.34, validation_fraction=0.5)
    pairs = cart_pairs(with_cases, split.test)
    found = [(with_cases.user_ids[u], with_cases.item_ids[i]) for u, i in zip(*pairs, strict=True)]
    # Session c@x clicks 3, 4, 5, 6 and carts 3, 5 and 6.
    assert found == [("c@x@2", "5"), ("c@x@2", "6"), ("c@x@3", "5"), ("c@x@3", "6"), ("c@x@4", "6")]
    assert len(cart_pairs(replace(with_cases, context_features={}), split.test).users) == 0
    assert len(cart_pairs(data, np.array([5])).users) == 0  # no cases


def test_carts_are_no_context_unless_they_are_asked_for() -> None:
    data = load_simulated_shop("simulated-shop-small")
    assert context_columns(data, FeaturesConfig()) == {}
    assert set(context_columns(data, FeaturesConfig(context_columns=[ADDED_TO_CART]))) == {ADDED_TO_CART}


def test_sessions_of_ones_own_come_with_names_and_carts(tmp_path: Path) -> None:
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    log.write_text(
        "visit,item,ts,added_to_cart\nv1,a,2020-01-01T10:00:00,view\nv1,b,2020-01-01T10:01:00,addtocart\n"
        "v2,a,2020-01-02T10:00:00,view\n",
        encoding="utf-8",
    )
    items.write_text("item,item_name,category_path\na,Tee \U0001f375,drinks/tea\nb,,drinks/tea\n", encoding="utf-8")
    columns = {"session": "visit", "item": "item", "timestamp": "ts", ADDED_TO_CART: "categorical"}
    texts = {"item_name": "text", "category_path": "text"}
    data = load(DataRequest(str(log), items=items, columns={**columns, **texts}))
    assert carted_rows(data).tolist() == [False, True, False]
    assert data.item_features["item_name"].values.tolist() == ["", "Tee \U0001f375", ""]
    assert {column.kind for column in data.item_features.values()} == {Kind.TEXT}
