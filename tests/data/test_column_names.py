"""Columns whose names cannot be inputs of an exported model."""

from __future__ import annotations

import keyword
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_tfrs.data.assemble import Policy
from recsys_tfrs.data.column_names import usable_names
from recsys_tfrs.data.sources import DataRequest, load
from recsys_tfrs.data.tables import load_table


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("brand", "brand"),
        ("Brand_2", "Brand_2"),
        ("my col", "my_col"),
        ("n/ull", "n_ull"),
        ("Größe", "Grosse"),
        ("café", "cafe"),
        ("class", "column_class"),
        ("_id", "id"),
        ("2nd", "column_2nd"),
        ("价格", "column"),
        ("price (EUR)", "price_EUR"),
    ],
)
def test_one_name(name: str, expected: str) -> None:
    assert usable_names([name]) == {name: expected}


def test_names_stay_apart_whatever_their_order_and_case() -> None:
    assert usable_names(["my col", "my_col", "my-col"]) == {
        "my_col": "my_col",
        "my col": "my_col_2",
        "my-col": "my_col_3",
    }
    assert usable_names(["Price", "price"]) == {"Price": "Price", "price": "price_2"}


def test_the_spelling_of_other_tables_is_taken_over() -> None:
    assert usable_names(["price", "age"], elsewhere=["Price"]) == {"price": "Price", "age": "age"}


@given(st.lists(st.text(max_size=8), unique=True, max_size=8), st.lists(st.sampled_from(["A", "b_c"]), unique=True))
def test_every_name_is_an_input_and_none_is_there_twice(names: list[str], elsewhere: list[str]) -> None:
    found = usable_names(names, elsewhere)
    assert set(found) == set(names)
    assert all(name.isascii() and name.isidentifier() and not keyword.iskeyword(name) for name in found.values())
    assert not any(name.startswith("_") for name in found.values())
    assert len({name.lower() for name in found.values()}) == len(names)


def test_tables_say_what_their_columns_are_called(tmp_path: Path) -> None:
    events, items, users = (tmp_path / name for name in ("events.csv", "items.csv", "users.csv"))
    events.write_text("user,item,at home\nann,1,yes\nbob,2,no\n")
    items.write_text("item,the title,Price\n1,Lamp,3\n2,Vase,4\n")
    users.write_text("user,price\nann,1\nbob,2\n")
    data = load_table(events, {"at home": "categorical"}, Policy(), items=items, users=users)
    assert set(data.item_features) == {"the_title", "Price"}
    assert data.titles.tolist()[1:] == ["Lamp", "Vase"]
    assert (set(data.user_features), set(data.context_features)) == ({"Price"}, {"at_home"})
    assert data.context_features["at_home"].values.tolist() == ["yes", "no"]
    said = [note for note in data.notes if "another name" in note]
    assert [note.split(": ")[1] for note in said] == [
        "'at home' is at_home.",
        "'price' is Price.",
        "'the title' is the_title.",
    ]


def test_items_of_lists_too(tmp_path: Path) -> None:
    (tmp_path / "lists.txt").write_text("1 2\n2 1\n")
    (tmp_path / "items.csv").write_text("item,class\n1,a\n2,b\n")
    data = load(DataRequest(f"lists:{tmp_path / 'lists.txt'}", items=tmp_path / "items.csv"))
    assert set(data.item_features) == {"column_class"}
