"""Items added to and removed from a finished run: a new export, the model as it is.

The vectors of new items come from their features through the candidate tower; an id that training did not see has no
embedding of its own and takes that of rare and unknown ids.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.catalogue import Catalogue, CatalogueChanges
from recsys_tfrs.data.column_names import usable_names, with_usable_names
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.table_features import read_feature_table
from recsys_tfrs.data.table_files import choose_column
from recsys_tfrs.data.tables import header
from recsys_tfrs.errors import DataError, RunError
from recsys_tfrs.files import write_atomically
from recsys_tfrs.runs.reopen import Reopened

CATALOGUE_FILE = "catalogue.json"


def read_changes(run: Path) -> CatalogueChanges:
    """What was added to and removed from a run so far.

    Raises:
      RunError: the file is damaged.
    """
    path = run / CATALOGUE_FILE
    if not path.exists():
        return CatalogueChanges()
    try:
        return CatalogueChanges.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} cannot be read ({error!r}): remove it to return to the catalogue of the training data."
        ) from None


def write_changes(changes: CatalogueChanges, interactions: Interactions, run: Path) -> None:
    """Record changes, so that later exports and changes start from them."""
    text = json.dumps(changes.to_json(interactions), indent=1, ensure_ascii=False)
    write_atomically(run / CATALOGUE_FILE, text)


def changed(
    changes: CatalogueChanges,
    interactions: Interactions,
    *,
    items: Path | None = None,
    remove: Path | None = None,
    id_column: str | None = None,
) -> CatalogueChanges:
    """Changes and those of two files.

    Args:
      changes: so far.
      interactions: the data set of training.
      items: table (CSV, TSV, Parquet) of items that are new or have new features, its columns called as in training.
      remove: text file with one item id per line.
      id_column: of items in training; where the table has no such column, its own is guessed among the usual names.

    Raises:
      DataError: a file is missing or malformed, an id is empty, twice there, or to be removed and unknown.
    """
    if items is not None:
        columns = header(items)
        known_by = id_column if id_column in columns else None
        ids, _ = choose_column(items, columns, "item", known_by, "call its column of ids item_id")
        names = usable_names(name for name in columns if name != ids)
        known = interactions.item_features
        kinds = {name: known[called].kind for name, called in names.items() if called in known}
        table = with_usable_names(read_feature_table(items, "item", ids, kinds), items.name)
        changes = changes.with_items(table, interactions)
    if remove is not None:
        changes = changes.without(_lines(remove), interactions)
    return changes


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): expected a text file with one item id per line.") from None
    return [line.strip() for line in lines if line.strip()]


class ModelOverCatalogue:
    """A trained model over a catalogue that has changed; in everything else the model itself.

    Args:
      model: trained.
      catalogue: as it is now.
    """

    def __init__(self, model: Any, catalogue: Catalogue) -> None:
        self._model = model
        self._catalogue = catalogue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def candidate_vectors(self) -> tf.Tensor:
        """``[num_items + 1, dim]`` vectors; those of items that did not change are the model's to the bit."""
        old = self._model.candidate_vectors()
        rows = self._catalogue.changed
        more = len(self._catalogue.allowed) - len(old)
        vectors = tf.pad(old, [[0, more], [0, 0]])
        if not len(rows):
            return vectors
        return tf.tensor_scatter_nd_update(vectors, rows[:, None], tf.cast(self._new_vectors(rows), old.dtype))

    def _new_vectors(self, rows: NDArray[np.int64]) -> tf.Tensor:
        """``[len(rows), dim]`` from the items' columns, as the exported graph computes them."""
        items = self._catalogue.interactions
        columns = {name: replace(column, values=column.values[rows]) for name, column in items.item_features.items()}
        return self._model.candidate_tower(self._model.items.table(items.item_ids[rows], columns))


def with_catalogue(opened: Reopened, changes: CatalogueChanges) -> tuple[Reopened, NDArray[np.bool_]]:
    """A run with its catalogue as it is now, and ``[num_items + 1]`` False for items that are not to be returned."""
    catalogue = changes.applied(opened.prepared.interactions)
    prepared = replace(opened.prepared, interactions=catalogue.interactions)
    return replace(opened, prepared=prepared, model=ModelOverCatalogue(opened.model, catalogue)), catalogue.allowed
