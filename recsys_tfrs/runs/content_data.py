"""What a content run reads: files of items, the attribute of some of them, and which of these are withheld."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.content_files import list_content
from recsys_tfrs.data.item_attributes import AttributeTable, attribute_table, read_attribute_table
from recsys_tfrs.data.simulated_catalogue import GENRE, simulate_catalogue
from recsys_tfrs.data.simulated_content import ContentConfig
from recsys_tfrs.errors import SplitError, UsageError
from recsys_tfrs.features.content import Content, examine
from recsys_tfrs.runs.content_config import SIMULATED, ContentRunConfig

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ContentData:
    """Items with content, and what is known of them.

    Attributes:
      name: of the data set.
      content: of the items.
      known: the table of items.
      classes: values of the attribute that training rows have, in alphabetical order.
      labels: ``[len(content)]`` int32 class of each item; -1 where it is unknown or no class of training.
      train, validation, test: rows of `content`.
      notes: what was guessed or left out.
    """

    name: str
    content: Content
    known: AttributeTable
    classes: list[str]
    labels: NDArray[np.int32]
    train: Rows
    validation: Rows
    test: Rows
    notes: list[str] = field(default_factory=list)

    @property
    def split_hash(self) -> str:
        """SHA-256 over the ids of the parts."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            digest.update(("\n".join(self.content.item_ids[part].tolist()) + "\0").encode())
        return digest.hexdigest()

    @property
    def counts(self) -> dict[str, int]:
        """Items, by what they are."""
        return {
            "num_items_with_content": len(self.content),
            "num_items_of_table": len(self.known.item_ids),
            "num_train": len(self.train),
            "num_validation": len(self.validation),
            "num_test": len(self.test),
            "num_to_fill": int((self.known.values_of(self.content.item_ids) == "").sum()),
        }


def open_content(config: ContentRunConfig) -> ContentData:
    """Read content and attribute.

    Raises:
      RecsysError: they cannot be read, or leave nothing to train on or to measure on.
    """
    name = "simulated-clips" if config.data.dataset == "auto" else config.data.dataset
    if name in SIMULATED:
        return _simulated(config, name)
    if config.data.items is None:
        raise UsageError(
            "Content alone says nothing of an attribute: name with --items a table in which it is known of some items."
        )
    files = list_content(Path(name).expanduser())
    known = read_attribute_table(
        config.data.items,
        config.data.attribute,
        config.data.columns.get("item"),
        skip_bad_rows=config.data.skip_bad_rows,
    )
    content = examine(files, config.features)
    values = known.values_of(content.item_ids)
    draw = np.random.default_rng(config.split.seed)
    order = draw.permutation(np.flatnonzero(values != ""))
    num_test = max(1, round(config.split.test_fraction * len(order)))
    return _split(config, Path(name).name, content, known, values, order[num_test:], order[:num_test])


def _simulated(config: ContentRunConfig, name: str) -> ContentData:
    if config.data.items is not None:
        raise UsageError(f"--items goes with a folder of content of one's own; {name} knows its items itself.")
    catalogue = simulate_catalogue(config.data.num_items, seed=config.data.seed)
    rendered = ContentConfig(
        config.data.snr_db, config.features.sample_rate, config.features.seconds, config.features.image_size
    )
    with tempfile.TemporaryDirectory(prefix="recsys-content-") as folder:
        files = list_content(catalogue.write_content(Path(folder), SIMULATED[name], rendered))
        content = examine(files, config.features, most_bytes=1 << 40)  # in memory: the folder will be gone
    known = attribute_table(catalogue.interactions.item_ids[1:], GENRE, catalogue.told_genres.values[1:].astype(object))
    places = {item: place for place, item in enumerate(catalogue.interactions.item_ids.tolist())}
    items = np.array([places[item] for item in content.item_ids.tolist()])
    truth, cold = catalogue.true_genres.values[items], catalogue.cold[items]
    shown = np.random.default_rng(config.split.seed).permutation(np.flatnonzero(~cold))
    return _split(config, name, content, known, truth, shown, np.flatnonzero(cold))


def _split(
    config: ContentRunConfig,
    name: str,
    content: Content,
    known: AttributeTable,
    values: NDArray[np.object_],
    shown: Rows,
    test: Rows,
) -> ContentData:
    """Withhold a part of `shown` for validation; number the classes of the rest."""
    num_validation = max(1, round(config.split.validation_fraction * len(shown)))
    train, validation = np.sort(shown[num_validation:]), np.sort(shown[:num_validation])
    classes = sorted(set(values[train].tolist()))
    if len(classes) < 2:
        of = f"all of them have {classes[0]!r}" if classes else "there are none"
        raise SplitError(
            f"A model of {known.attribute} needs items with content and at least two different values, but of "
            f"{len(train)} to train on {of}: check that file names are item ids, and the table's column."
        )
    number = {value: place for place, value in enumerate(classes)}
    labels = np.array([number.get(value, -1) for value in values.tolist()], np.int32)
    notes = [*known.notes, *content.notes]
    parts = {"validation": validation, "test": np.sort(test)}
    for part, rows in parts.items():
        strange = rows[labels[rows] < 0]
        if len(strange):
            notes.append(
                f"Items of the {part} part left out because no training item has their {known.attribute}, which the "
                f"model therefore cannot name: {len(strange):,}."
            )
        parts[part] = rows[labels[rows] >= 0]
        if not len(parts[part]):
            raise SplitError(f"No item is left for the {part} part: give more items a known {known.attribute}.")
    return ContentData(name, content, known, classes, labels, train, parts["validation"], parts["test"], notes)
