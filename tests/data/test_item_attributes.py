"""The table an attribute is known from, and the one that a model has filled in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recsys_tfrs.data.item_attributes import attribute_table, read_attribute_table, write_filled
from recsys_tfrs.data.table_features import read_feature_table
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import Kind

TABLE = "sku,title,genre\n007,Rain,Jazz\n8,Sun,\n9,Fog,Rock\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "items.csv").write_text(TABLE)
    return tmp_path / "items.csv"


def objects(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def test_ids_stay_as_written_and_an_empty_cell_is_not_known(path: Path) -> None:
    known = read_attribute_table(path, "genre")
    assert (known.id_column, known.attribute) == ("sku", "genre")
    assert list(known.item_ids) == ["007", "8", "9"]
    assert list(known.values) == ["Jazz", "", "Rock"]
    assert list(known.values_of(objects("9", "7", "007"))) == ["Rock", "", "Jazz"]


def test_ids_stay_as_written_whatever_the_spelling_of_their_column(path: Path) -> None:
    path.write_text("Item ID,genre\n007,Jazz\n7,Rock\n")
    assert list(read_attribute_table(path, "genre").item_ids) == ["007", "7"]


def test_the_only_other_column_is_the_attribute(path: Path) -> None:
    with pytest.raises(DataError, match=r"2 columns beside the ids \(title, genre\): say with --set data\.attribute"):
        read_attribute_table(path, None)
    path.write_text("id,mood\na,calm\n")
    assert read_attribute_table(path, None).attribute == "mood"


def test_blanks_around_a_value_make_no_other_value(path: Path) -> None:
    path.write_text("item_id,genre\na,low\nb,low \nc,  \nd, high\n")
    assert read_attribute_table(path, None).values.tolist() == ["low", "low", "", "high"]


def test_values_that_look_like_numbers_stay_as_written(path: Path) -> None:
    path.write_text("id,code\na,01\nb,2\n")
    assert list(read_attribute_table(path, "code").values) == ["01", "2"]


def test_several_values_for_one_item(path: Path) -> None:
    path.write_text("id,genre\na,Jazz|Rock\n")
    with pytest.raises(DataError, match=r"'genre' holds 'Jazz\|Rock', several values for one item"):
        read_attribute_table(path, "genre")


def test_a_repeated_id_counts_once(path: Path) -> None:
    path.write_text("id,genre\na,Jazz\nb,Rock\na,Soul\n")
    known = read_attribute_table(path, "genre")
    assert list(known.values) == ["Jazz", "Rock"]
    assert "repeat an id: 1" in known.notes[-1]


def test_no_such_column_and_an_empty_id(path: Path) -> None:
    with pytest.raises(DataError, match="no column 'mood'"):
        read_attribute_table(path, "mood")
    path.write_text("id,genre\na,Jazz\n,Rock\n")
    with pytest.raises(DataError, match="the item id in column 'id' is empty in row 2"):
        read_attribute_table(path, "genre")


def test_what_other_families_read_of_the_filled_table(path: Path, tmp_path: Path) -> None:
    """007: known and heard otherwise. 8: heard. 9: without content. x: content and no row. y: abstained from."""
    known = read_attribute_table(path, "genre")
    heard = {"genre_Jazz": np.array([0.1, 0.7, 0.9, 0.5], np.float32)}
    write_filled(
        known, objects("007", "8", "x", "y"), objects("Rock", "Jazz", "Jazz", ""), heard, tmp_path / "out.parquet"
    )
    table = read_feature_table(tmp_path / "out.parquet", "item", "sku", {"genre": Kind.CATEGORICAL})
    assert list(table.ids) == ["007", "8", "9", "x", "y"]
    assert list(table.columns["genre"][1]) == ["Jazz", "Jazz", "Rock", "Jazz", ""]
    assert list(table.columns["title"][1]) == ["Rain", "Sun", "Fog", "", ""]
    kind, values = table.columns["genre_Jazz"]
    assert kind is Kind.NUMERIC
    np.testing.assert_allclose(values, np.array([0.1, 0.7, np.nan, 0.9, 0.5], np.float32))


def test_a_table_filled_once_more_has_no_column_twice(tmp_path: Path) -> None:
    one, two = tmp_path / "1.parquet", tmp_path / "2.parquet"
    known = attribute_table(objects("a", "b"), "genre", objects("Jazz", ""))
    chance = {"genre_Jazz": np.array([0.2], np.float32)}
    assert write_filled(known, objects("a"), objects("Rock"), chance, one) == []
    again = read_attribute_table(one, "genre")
    chance = {"genre_Jazz": np.array([0.4], np.float32)}
    assert write_filled(again, objects("b"), objects("Rock"), chance, two) == ["genre_Jazz"]
    table = read_feature_table(two, "item", "item_id", {"genre": Kind.CATEGORICAL})
    assert list(table.columns["genre"][1]) == ["Jazz", "Rock"]
    np.testing.assert_allclose(table.columns["genre_Jazz"][1], np.array([np.nan, 0.4], np.float32))
