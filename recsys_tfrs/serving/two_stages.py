"""Retrieval and ranking run one after the other, outside any graph: what a cascade must answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.pairs import PairRows
from recsys_tfrs.evaluation.ranking import Scorer
from recsys_tfrs.features.encoded import EncodedData
from recsys_tfrs.features.pair_examples import encode_pairs
from recsys_tfrs.models.ranker import Ranker

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Candidates:
    """What the first stage found and what the second says of it.

    Attributes:
      users: ``[batch]`` internal ids.
      items: ``[batch, n]`` internal ids, 0 where there is none.
      sources: ``[batch, n]`` which source brought them.
      retrieval: ``[batch, n]`` its score.
      first: ``[batch, n]`` the first source's score.
      ranking: ``[batch, n]`` predictions of the ranking model's first target.
      order: ``[batch, n]`` the same before sigmoid or clipping.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    sources: NDArray[np.int64]
    retrieval: Values
    first: Values
    ranking: Values
    order: Values

    def blended(self, weight: float) -> NDArray[np.float64]:
        """``[batch, n]`` what candidates are ordered by, -inf where there is none.

        Args:
          weight: of the first source's score, 0 to 1; both scores are standardised over the candidates of a user.
        """
        present = self.items > 0
        own = standardised(self.order, present)
        return np.where(present, (1 - weight) * own + weight * standardised(self.first, present), -np.inf)


class TwoStages:
    """A retrieval stage of one or several scorers, and a ranking model over what they find.

    Args:
      sources: scorer and quota of each; what a scorer gives -inf, it does not bring.
      model: of the second stage.
      data: encoded columns, as the model was trained with them.
      histories: items of each user, which are not candidates, and which the model reads.
      asking: ``[num_users + 1]`` row in whose context each user asks, -1 for none; None: for nobody.
      allowed: ``[num_items + 1]`` False for items never to be returned; None allows all.
      weight: see `Candidates.blended`.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Scorer, int]],
        model: Ranker,
        data: EncodedData,
        histories: Histories,
        *,
        asking: NDArray[np.int64] | None = None,
        allowed: NDArray[np.bool_] | None = None,
        weight: float = 0.0,
    ) -> None:
        self._sources, self._model, self._data, self._histories = sources, model, data, histories
        self._asking, self._allowed, self._weight = asking, allowed, weight

    def candidates(self, users: NDArray[np.int32]) -> Candidates:
        """Both stages for some users."""
        owner, position = self._histories.positions(users)
        items, brought, retrieval = [np.zeros((len(users), 0), t) for t in (np.int32, np.int64, np.float32)]
        taken = np.zeros((len(users), self._histories.num_items + 1), bool)
        taken[:, 0] = True
        taken[owner, self._histories.items[position]] = True
        if self._allowed is not None:
            taken |= ~self._allowed
        total, first = 0, self._sources[0][0].score(users)
        for place, (scorer, quota) in enumerate(self._sources):
            scores = scorer.score(users) if place else first
            total += quota
            best = np.argsort(np.where(taken, np.inf, -scores), axis=1, kind="stable")[:, :total]
            fits = np.arange(best.shape[1]) < (total - np.count_nonzero(items, axis=1))[:, None]
            fits &= ~np.take_along_axis(taken | np.isneginf(scores), best, 1)
            found = np.where(fits, best, 0).astype(np.int32)
            taken[np.arange(len(users))[:, None], found] = True
            items = np.concatenate([items, found], axis=1)
            brought = np.concatenate([brought, np.full(found.shape, place)], axis=1)
            retrieval = np.concatenate([retrieval, np.take_along_axis(scores, found, 1)], axis=1)
        front = np.argsort(items == 0, axis=1, kind="stable")[:, :total]
        items, brought, retrieval = (np.take_along_axis(values, front, 1) for values in (items, brought, retrieval))
        predicted, order = self._ranked(users, items)
        return Candidates(
            users, items, brought, retrieval, np.take_along_axis(first, items, 1).astype(np.float32), predicted, order
        )

    def num_left(self, user: int) -> int:
        """Items that may be returned to a user."""
        left = np.ones(self._histories.num_items + 1, bool) if self._allowed is None else self._allowed.copy()
        left[[0, *self._histories.of(user)]] = False
        return int(left.sum())

    def score(self, users: NDArray[np.int32]) -> Values:
        """``[len(users), num_items + 1]`` what candidates are ordered by; far below them whatever is none."""
        found = self.candidates(users)
        # Not -inf, which in evaluation stands for what is seen.
        scores = np.full((len(users), self._histories.num_items + 1), -1e9, np.float32)
        rows, columns = np.nonzero(found.items)
        scores[rows, found.items[rows, columns]] = found.blended(self._weight)[rows, columns]
        return scores

    def _ranked(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> tuple[Values, Values]:
        asked = np.repeat(users, items.shape[1])
        rows = np.full(len(asked), -1, np.int64) if self._asking is None else self._asking[asked]
        pairs = PairRows(asked, items.ravel(), rows, np.zeros((len(asked), 1), np.float32))
        examples = encode_pairs(self._data, self._model.preprocessor, pairs, self._histories, in_order=False)
        totals = tf.constant(self._model.totals_of(examples))
        calibration = self._model.calibration.numpy()[0]
        order = totals.numpy()[:, 0] * calibration[0] + calibration[1]
        predicted = self._model.predictions(totals).numpy()[:, 0]
        return predicted.reshape(items.shape), order.reshape(items.shape)


def standardised(values: NDArray[Any], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``[batch, n]`` with mean 0 and deviation 1 over what is present in a row; 0 elsewhere, or where all are equal."""
    count = np.maximum(present.sum(axis=1, keepdims=True), 1)
    values = np.where(present, values, 0.0).astype(np.float64)
    centred = np.where(present, values - values.sum(axis=1, keepdims=True) / count, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    made: NDArray[np.float64] = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
    return made
