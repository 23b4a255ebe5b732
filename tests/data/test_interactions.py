from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys_tfrs.data.interactions import FeatureColumn, Interactions, missing_value
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import Kind


def make(**changes: Any) -> Interactions:
    fields: dict[str, Any] = {
        "name": "d",
        "users": np.array([1, 2, 1], np.int32),
        "items": np.array([3, 1, 2], np.int32),
        "ratings": None,
        "timestamps": None,
        "user_ids": np.array(["", "u", "v"], object),
        "item_ids": np.array(["", "a", "b", "c"], object),
    }
    return Interactions(**{**fields, **changes})


def test_sizes_do_not_count_the_reserved_id() -> None:
    data = make()
    assert (len(data), data.num_users, data.num_items) == (3, 2, 3)


def test_titles_fall_back_to_ids() -> None:
    assert make().titles.tolist() == ["", "a", "b", "c"]
    title = FeatureColumn("title", Kind.TEXT, np.array(["", "Aa", "", "Cc"], object))
    assert make(item_features={"title": title}, title_column="title").titles.tolist() == ["", "Aa", "b", "Cc"]


def test_notes_add_up() -> None:
    assert make(notes=("one",)).with_notes("two", "three").notes == ("one", "two", "three")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"users": np.empty(0, np.int32)}, "holds no interactions"),
        ({"items": np.array([1], np.int32)}, "items has 1 rows where users has 3"),
        ({"ratings": np.ones(2, np.float32)}, "ratings has 2 rows"),
        ({"timestamps": np.ones(4, np.int64)}, "timestamps has 4 rows"),
        ({"users": np.array([0, 1, 2], np.int32)}, r"user ids must lie in 1\.\.2, but span 0\.\.2"),
        ({"items": np.array([1, 4, 2], np.int32)}, r"item ids must lie in 1\.\.3, but span 1\.\.4"),
        (
            {"user_features": {"x": FeatureColumn("x", Kind.NUMERIC, np.ones(2, np.float32))}},
            "user feature 'x' has 2 rows",
        ),
        (
            {"item_features": {"x": FeatureColumn("x", Kind.NUMERIC, np.ones(3, np.float32))}},
            "item feature 'x' has 3 rows",
        ),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make(**changes)


def test_missing_values() -> None:
    assert {kind: missing_value(kind) for kind in (Kind.TEXT, Kind.CATEGORICAL, Kind.MULTI_CATEGORICAL)} == {
        Kind.TEXT: "",
        Kind.CATEGORICAL: "",
        Kind.MULTI_CATEGORICAL: (),
    }
    assert all(np.isnan(missing_value(kind)) for kind in (Kind.NUMERIC, Kind.TIMESTAMP))  # type: ignore[call-overload]
