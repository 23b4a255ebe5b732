"""Interactions as examples of a ranking run."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.example_kinds import usual_label
from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.pairs import (
    PairRows,
    UntouchedItems,
    all_clicked,
    check_targets,
    clicked_pairs,
    default_target,
    like_threshold,
    rated_pairs,
)
from recsys_tfrs.data.sources import AUTO, load
from recsys_tfrs.data.splits import Split, make_split
from recsys_tfrs.data.table_files import is_text, parquet_parts
from recsys_tfrs.data.tables import header
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.evaluation.slices import groupings
from recsys_tfrs.features.encoded import EncodedData, encode
from recsys_tfrs.features.fields import ExamplePreprocessor
from recsys_tfrs.features.pair_examples import encode_pairs, item_fields, pair_encoders
from recsys_tfrs.runs.ranking_config import RankingDataConfig, RankingRunConfig
from recsys_tfrs.runs.ranking_data import Fold, fewer_negatives, grouped, labels_of, targets_of
from recsys_tfrs.schema import PairTarget, SplitMethod
from recsys_tfrs.training.choices import Alternatives

#: Ratings that the mean of a user or an item is pulled towards the overall mean by.
_PRIOR_ROWS = 5.0


class PairData:
    """Rated or clicked pairs of a data set of interactions.

    Args:
      config: of the run.

    Attributes:
      interactions: the data set.
      parts: how its rows are split.
      target_names: what is predicted.
      like_from: the rating a like begins at; None where none is asked for.
      encoded: the columns of all users and items as of the last fold made.
      name, split, split_hash, notes, counts: see `RankingData`.

    Raises:
      RecsysError: the data cannot be read or split, or cannot tell the targets.
    """

    def __init__(self, config: RankingRunConfig) -> None:
        self._config = config
        self.interactions: Interactions = load(config.data.request())
        self.target_names = self._targets()
        if self.target_names == ["click"] and config.data.negative_rate != 1.0:
            raise ConfigError(
                "data.negative_rate leaves out negatives that stand in the data; those beside clicks are drawn: set "
                "data.negatives to how many, and leave negative_rate at 1."
            )
        self.parts: Split = make_split(
            self.interactions,
            SplitMethod.TEMPORAL.value if config.split.method == AUTO else config.split.method,
            test_fraction=config.split.test_fraction,
            validation_fraction=config.split.validation_fraction,
            seed=config.split.seed,
        )
        self.like_from = None
        if "like" in self.target_names:
            asked = config.data.like_from
            self.like_from = like_threshold(self.interactions) if asked is None else asked
        self.name, self.split = self.interactions.name, self.parts.name
        self.split_hash, self.notes = self.parts.hash, self._notes()
        self.counts = {
            "num_users": self.interactions.num_users,
            "num_items": self.interactions.num_items,
            "num_train": len(self.parts.train),
            "num_validation": self.parts.num_withheld,
            "num_test": len(self.parts.test),
        }

    def selection(self) -> Fold:
        """See `RankingData`."""
        return self._fold(self.parts.selection_train, self.parts.validation)

    def final(self, selection: Fold) -> Fold:
        """See `RankingData`."""
        return self._fold(self.fitted_rows, self.parts.test)

    @property
    def fitted_rows(self) -> NDArray[np.int64]:
        """Rows that final weights and vocabularies come from."""
        return self.parts.train if self._config.training.refit else self.parts.selection_train

    def _fold(self, train: NDArray[np.int64], measured: NDArray[np.int64]) -> Fold:
        config = self._config
        known = build_histories(self.interactions, train)
        data = encode(config.features, self.interactions, known)
        of_clicks = self.target_names == ["click"]
        recent = config.features.recent if of_clicks else 0
        layer = ExamplePreprocessor(pair_encoders(data, config.features.history, recent))
        # Whether what is asked for comes after all that is known, as in life.
        in_order = self.parts.name in (SplitMethod.TEMPORAL.value, SplitMethod.LEAVE_LAST_OUT.value)
        fitted, asked = self._pairs(train, known, 0), self._pairs(measured, known, 1)
        clicked = all_clicked(self.interactions, train) if of_clicks else fitted
        examples = encode_pairs(data, layer, clicked, known, in_order=in_order)
        rate = config.data.negative_rate
        kept, labels, alternatives = None, fitted.targets, None
        if of_clicks:
            untouched = UntouchedItems(known, clicked.users, clicked.items, config.data.negative_alpha)
            fields = item_fields(data, layer)
            alternatives = Alternatives(clicked.items, fields, untouched, config.data.negatives)
        else:
            kept = fewer_negatives(examples, rate, config.seed)
            labels = labels_of(examples, kept)
        kinds = ["rating" if name == "rating" else "binary" for name in self.target_names]
        objective = config.objective_of(self.target_names)
        self.encoded: EncodedData = data
        return Fold(
            preprocessor=layer,
            targets=targets_of(self.target_names, config.target_weights, labels, kinds, objective),
            train=examples,
            measured=encode_pairs(data, layer, asked, known, in_order=in_order),
            kept=kept,
            negative_rate=rate,
            alternatives=alternatives,
            slices={
                grouping.name: grouped(grouping, asked.users, asked.items)
                for grouping in groupings(self.interactions, train)
            },
            mean_predictions=_means(fitted, asked),
        )

    def _pairs(self, rows: NDArray[np.int64], known: Histories, salt: int) -> PairRows:
        if self.target_names == ["click"]:
            seed = self._config.split.seed + salt
            return clicked_pairs(self.interactions, rows, known, self._config.data.negatives, seed)
        return rated_pairs(self.interactions, rows, self.target_names, self.like_from or 0.0)

    def _targets(self) -> list[PairTarget]:
        text = self._config.target
        names = [default_target(self.interactions)] if text == AUTO else [name.strip() for name in text.split(",")]
        check_targets(names, self.interactions)
        return [name for name in get_args(PairTarget) if name in names]

    def _notes(self) -> list[str]:
        notes = [*self.interactions.notes, *_unread_label(self._config.data)]
        if self.like_from is not None:
            notes.append(f"A rating of {self.like_from:g} or more is a like.")
        if self.target_names == ["click"]:
            notes.append(
                f"Beside each interaction stand {self._config.data.negatives} items that its user is not known to have "
                "touched, drawn uniformly: figures depend on how they are drawn. In training they are drawn anew in "
                "each epoch."
            )
        return notes


def _unread_label(data: RankingDataConfig) -> list[str]:
    """A note where a table of interactions has a column that is called as labels are: it is read for no role."""
    path = Path(data.dataset).expanduser()
    if not path.is_file() or not (is_text(path) or parquet_parts(path)):
        return []
    label = usual_label(name for name in header(path) if name not in {*data.columns, *data.columns.values()})
    if label is None:
        return []
    return [
        f"Column {label!r} of {path.name} is not read: every row is an interaction. If it says what came of each row, "
        f"it is a label: add --columns label={label}."
    ]


def _means(fitted: PairRows, asked: PairRows) -> dict[str, NDArray[np.float32]]:
    """What the mean says, and the means of users and items, each pulled towards it by `_PRIOR_ROWS` rows."""
    mean: NDArray[np.float64] = np.asarray(np.nanmean(fitted.targets, axis=0, dtype=np.float64))
    constant = np.broadcast_to(mean, (len(asked.users), len(mean)))
    added = np.array(constant)
    for ids, of in ((fitted.users, asked.users), (fitted.items, asked.items)):
        size = int(max(ids.max(), of.max())) + 1
        count = np.bincount(ids, minlength=size)
        for place in range(len(mean)):
            total = np.bincount(ids, weights=fitted.targets[:, place] - mean[place], minlength=size)
            added[:, place] += (total / (count + _PRIOR_ROWS))[of]
    low, high = np.nanmin(fitted.targets, axis=0), np.nanmax(fitted.targets, axis=0)
    return {
        "mean": constant.astype(np.float32),
        "user_and_item_means": np.clip(added, low, high).astype(np.float32),
    }
