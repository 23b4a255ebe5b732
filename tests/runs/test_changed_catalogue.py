from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.data.catalogue import CatalogueChanges
from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.errors import DataError, RunError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.models import item2vec, two_tower
from recsys_tfrs.runs.catalogue import CATALOGUE_FILE, changed, read_changes, with_catalogue, write_changes
from recsys_tfrs.schema import ITEM_ID, Kind

COLOURS = np.array(["", "red", "blue", "red"], dtype=object)
DATA = Interactions(
    name="colours",
    users=np.array([1, 1, 2, 2], dtype=np.int32),
    items=np.array([1, 2, 2, 3], dtype=np.int32),
    ratings=None,
    timestamps=np.arange(4, dtype=np.int64),
    user_ids=np.array(["", "u", "v"], dtype=object),
    item_ids=np.array(["", "a", "b", "c"], dtype=object),
    item_features={"colour": FeatureColumn("colour", Kind.CATEGORICAL, COLOURS)},
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    path.write_text("item_id,colour\nd,blue\n007,red\n")
    return path


def test_the_vectors_of_new_items_come_from_their_columns_and_old_ones_stay(table: Path) -> None:
    histories = build_histories(DATA, np.arange(4))
    model = two_tower.build(two_tower.Config(dim=4), FeaturesConfig(), DATA, histories, 0)
    opened = SimpleNamespace(prepared=SimpleNamespace(interactions=DATA), model=model)
    changes = changed(CatalogueChanges(), DATA, items=table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recsys_tfrs.runs.catalogue.replace", _replace)
        now, allowed = with_catalogue(opened, changes)  # type: ignore[arg-type]
    vectors = now.model.candidate_vectors().numpy()
    np.testing.assert_array_equal(vectors[:4], model.candidate_vectors().numpy())
    # An exported graph asked about an item it has never heard of, described by its colour.
    raw = {"item_id": tf.constant(["d", "007"]), "colour": tf.constant(["blue", "red"])}
    np.testing.assert_allclose(vectors[4:], model.candidate_tower(model.items(raw)), atol=1e-6)
    assert not np.allclose(vectors[4], vectors[5])
    assert allowed.tolist() == [True] * 6
    assert now.model.query_tower is model.query_tower


def _replace(thing: object, **parts: object) -> object:
    return (
        SimpleNamespace(**{**vars(thing), **parts}) if isinstance(thing, SimpleNamespace) else replace(thing, **parts)
    )  # type: ignore[type-var]


def test_columns_of_new_items_are_found_under_the_names_of_training(tmp_path: Path) -> None:
    own = FeatureColumn("the_colour", Kind.CATEGORICAL, COLOURS)
    data = replace(DATA, item_features={"the_colour": own})
    (tmp_path / "new.csv").write_text("item_id,the colour\nd,7\n")
    changes = changed(CatalogueChanges(), data, items=tmp_path / "new.csv")
    # Of the kind that training knew it as: a string, not a number.
    assert changes.items["d"] == {"the_colour": "7"}
    (tmp_path / "new.csv").write_text("code,the colour\nd,7\n")
    with pytest.raises(DataError, match="call its column of ids item_id"):
        changed(CatalogueChanges(), data, items=tmp_path / "new.csv")


@pytest.mark.parametrize("family", [two_tower, item2vec])
def test_an_item_added_since_training_is_unknown_in_a_history(family: ModuleType) -> None:
    histories = build_histories(DATA, np.arange(4))
    config = family.Config(**({"negatives": 2} if family is item2vec else {}), dim=4)
    model = family.build(config, FeaturesConfig(), DATA, histories, 0)
    ids = model.data.item_vocabulary_ids(tf.ragged.constant([[1, 4, 3], [5]]))
    known = model.data.item_table[ITEM_ID].numpy()
    assert ids.to_list() == [[known[1], 0, known[3]], [0]]


def test_changes_of_two_files(table: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.txt"
    gone.write_text("\ufeffa\n\n 007 \n", encoding="utf-8")
    changes = changed(CatalogueChanges(), DATA, items=table, remove=gone)
    assert changes.removed == {"a", "007"}
    assert set(changes.items) == {"d", "007"}


def test_items_are_known_by_the_column_named_in_training_where_the_table_has_it(table: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("sku,item_id,colour\n007,1,blue\n")
    assert set(changed(CatalogueChanges(), DATA, items=own, id_column="sku").items) == {"007"}
    assert set(changed(CatalogueChanges(), DATA, items=table, id_column="sku").items) == {"d", "007"}
    with pytest.raises(DataError, match=r"none\.csv"):
        changed(CatalogueChanges(), DATA, items=tmp_path / "none.csv", id_column="sku")


def test_changes_are_kept_in_the_run(table: Path, tmp_path: Path) -> None:
    changes = changed(CatalogueChanges(), DATA, items=table)
    assert read_changes(tmp_path) == CatalogueChanges()
    write_changes(changes, DATA, tmp_path)
    assert read_changes(tmp_path) == changes


@pytest.mark.parametrize("text", ["", "[]", '{"items": {}}', '{"items": {"a": 1}, "removed": []}'])
def test_a_damaged_record_says_what_to_do(text: str, tmp_path: Path) -> None:
    (tmp_path / CATALOGUE_FILE).write_text(text)
    with pytest.raises(RunError, match=r"cannot be read .* remove it to return to the catalogue of the training data"):
        read_changes(tmp_path)


def test_a_file_of_ids_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one item id per line"):
        changed(CatalogueChanges(), DATA, remove=tmp_path / "none.txt")
