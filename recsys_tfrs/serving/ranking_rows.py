"""Rows that requests to a ranking export tell: to warm it up with, and to check it by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.data.pairs import PairRows
from recsys_tfrs.features.encoded import EncodedData
from recsys_tfrs.features.pair_examples import encode_pairs
from recsys_tfrs.features.preprocessing import circumstances
from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.schema import HISTORY, ITEM_ID, USER_ID
from recsys_tfrs.serving.expected import spread_users
from recsys_tfrs.serving.ranking_export import Rows
from recsys_tfrs.serving.ranking_inputs import PairInputs, TableInputs
from recsys_tfrs.serving.warmup import BATCH_SIZES, unknown_id

#: Items of a history that a request carries.
_HISTORY = 20


class PairRequests:
    """Rows of a data set of interactions.

    Args:
      inputs: of the export.
      interactions: where ids and columns are drawn from.
      data: its encoded columns.
      histories: what requests tell of users, and what the export knows of them where it stores histories.
      stored_histories: whether it does.
      seed: of the draw.
    """

    def __init__(
        self,
        inputs: PairInputs,
        interactions: Interactions,
        data: EncodedData,
        histories: Histories,
        *,
        stored_histories: bool,
        seed: int = 0,
    ) -> None:
        self._inputs, self._interactions, self._data = inputs, interactions, data
        self._histories, self._stored, self._seed = histories, stored_histories, seed

    def to_warm_up(self) -> dict[str, Rows]:
        """Known pairs, unknown ones, and pairs of which everything is told."""
        data, rows = self._interactions, max(BATCH_SIZES)
        draw = np.random.default_rng(self._seed)
        users = draw.integers(1, data.num_users + 1, rows).astype(np.int32)
        items = draw.integers(1, data.num_items + 1, rows).astype(np.int32)
        moments = draw.integers(0, len(data), rows)
        known = self._ids(users, items)
        everything = known | self._columns(users, items, moments) | self._history(users)
        return {"known": known, "unknown": self._ids(np.zeros_like(users), np.zeros_like(items)), "told": everything}

    def answered(self, model: Ranker) -> tuple[Rows, NDArray[np.float32]]:
        """Pairs of users and items they have not had, each at some moment of the data, and what the model predicts.

        An unknown user and an unknown item are among them.
        """
        data = self._interactions
        draw = np.random.default_rng(self._seed)
        users = np.append(spread_users(self._histories), [0, 1]).astype(np.int32)
        items = np.array([self._unseen(int(user), draw) for user in users], np.int32)
        items[-1] = 0
        moments = draw.integers(0, len(data), len(users))
        asked = self._ids(users, items) | self._columns(None, None, moments)
        if not self._stored:
            asked |= self._history(users)
        # Under numbers that no row of the data has, no pair counts as one of those that are known.
        known = replace(self._histories, rows=self._histories.rows + len(data))
        pairs = PairRows(users, items, moments, np.zeros((len(users), 1), np.float32))
        examples = encode_pairs(self._data, model.preprocessor, pairs, known, in_order=False)
        return asked, model.predict_examples(examples)

    def _unseen(self, user: int, draw: np.random.Generator) -> int:
        left = np.setdiff1d(np.arange(1, self._interactions.num_items + 1), self._histories.of(user))
        return int(draw.choice(left)) if len(left) else 0

    def _ids(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
        data = self._interactions
        return {
            USER_ID: np.where(users > 0, data.user_ids[users], unknown_id(data.user_ids)),
            ITEM_ID: np.where(items > 0, data.item_ids[items], unknown_id(data.item_ids)),
        }

    def _columns(
        self, users: NDArray[np.int32] | None, items: NDArray[np.int32] | None, moments: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        """Raw columns by input, those of the moment and of the users and items that are given."""
        of: Mapping[str, tuple[Any, Mapping[str, FeatureColumn], Any]] = {
            "user": (users, self._interactions.user_features, self._data.users.encoders),
            "item": (items, self._interactions.item_features, self._data.items.encoders),
            "context": (moments, circumstances(self._interactions), self._data.context.encoders),
        }
        made = {}
        for name, (side, column) in self._inputs.told.items():
            rows, columns, encoders = of[side]
            if rows is not None:
                made[name] = encoders[column].raw(columns[column].values[rows]).numpy()
        return made

    def _history(self, users: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
        """The newest items of users, oldest first, padded with "" at the end."""
        if not self._inputs.reads_history:
            return {}
        histories = self._histories
        lengths = np.minimum(histories.lengths[users], _HISTORY if self._stored else histories.lengths.max(initial=0))
        place = np.arange(max(1, int(lengths.max())))
        there = place < lengths[:, None]
        position = np.where(there, (histories.offsets[users + 1] - lengths)[:, None] + place, 0)
        items = np.append(histories.items, 0)[position]
        return {HISTORY: np.where(there, self._interactions.item_ids[items], "")}


def example_rows(inputs: TableInputs, columns: Mapping[str, FeatureColumn]) -> Rows:
    """Raw values by input, of columns of examples."""
    encoders = inputs.layer.encoders
    return {inputs.input_of[name]: encoders[name].raw(columns[name].values).numpy() for name in encoders}
