"""What a second stage is worth: the cascade beside retrieval alone, and the weight that retrieval should keep in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.evaluation.intervals import Difference, paired_differences
from recsys_tfrs.evaluation.metrics import KS
from recsys_tfrs.evaluation.protocol import Pairs, choose_pairs, evaluate
from recsys_tfrs.evaluation.ranking import Scorer
from recsys_tfrs.serving.two_stages import Candidates, TwoStages

#: Test users at most, drawn at random.
MAX_USERS = 2_000

#: Weights of the first source's score that are tried.
WEIGHTS = tuple(step / 20 for step in range(21))

#: Length of the lists that weights are judged by.
_LENGTH = 10

#: Users whose candidates are ranked at once.
_USERS_AT_ONCE = 256

_SHOWN = ("hit@10", "ndcg@10", "mrr@10", "hit@100", "ndcg@100")


@dataclass(frozen=True)
class CascadeFigures:
    """The cascade beside its first source alone, on the same test pairs.

    Attributes:
      metrics: of the cascade.
      retrieval: of the first source alone.
      comparison: cascade minus retrieval, paired over users.
      num_pairs: measured.
      num_candidates: that are ranked; further down no list goes. None: no bound.
    """

    metrics: dict[str, float]
    retrieval: dict[str, float]
    comparison: dict[str, Difference]
    num_pairs: int
    num_candidates: int | None = None

    @property
    def shown(self) -> list[str]:
        """Metrics of lists that the candidates can fill."""
        longest = self.num_candidates or max(KS)
        found = [name for name in _SHOWN if int(name.partition("@")[2]) <= longest]
        cutoff = max(k for k in KS if k <= longest)
        return found or [f"{metric}@{cutoff}" for metric in ("hit", "ndcg", "mrr")]

    def facts(self) -> dict[str, Any]:
        """As the manifest holds them."""
        return {
            "metrics": {name: self.metrics[name] for name in self.shown},
            "retrieval_metrics": {name: self.retrieval[name] for name in self.shown},
            "comparison": {
                name: {"difference": found.difference, "interval": [found.low, found.high], "p_value": found.p_value}
                for name, found in self.comparison.items()
                if name in self.shown
            },
            "num_pairs": self.num_pairs,
        }


def measure_cascade(
    stages: TwoStages,
    retrieval: Scorer,
    interactions: Interactions,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    *,
    pairs: Pairs = "all",
    max_users: int | None = MAX_USERS,
    num_candidates: int | None = None,
) -> CascadeFigures:
    """Measure both on test rows, seen items filtered, whole catalogue; what is no candidate stands behind all that is.

    Args:
      stages: the cascade, with the histories of `train`.
      retrieval: its first source.
      interactions: the data set.
      train: rows that both were fitted on.
      test: rows to measure on.
      pairs: see `choose_pairs`.
      max_users: users drawn at random; None: all.
      num_candidates: see `CascadeFigures`.
    """
    both = [
        evaluate(
            scorer, interactions, train, test, pairs=pairs, max_users=max_users, intervals=False, batch_users=batch
        )
        for scorer, batch in ((stages, _USERS_AT_ONCE), (retrieval, None))
    ]
    cascade, alone = both
    compared = paired_differences(cascade.user_sums, alone.user_sums)
    return CascadeFigures(cascade.metrics, alone.metrics, compared, cascade.num_pairs, num_candidates)


def validated_weight(
    stages: TwoStages,
    interactions: Interactions,
    train: NDArray[np.int64],
    validation: NDArray[np.int64],
    *,
    max_users: int | None = MAX_USERS,
) -> tuple[float, dict[float, float]]:
    """The weight of retrieval with the best ndcg@10 on the validation part, and the figure of every weight tried.

    Figures are means over pairs, as those of `measure_cascade`, on the candidates alone.

    Honest where neither stage was fitted on the validation part.

    Args:
      stages: the cascade, with the histories of `train`.
      interactions: the data set.
      train: rows that both were fitted on.
      validation: rows to choose on.
      max_users: users drawn at random; None: all.
    """
    rows = choose_pairs(interactions, train, validation, pairs="all", max_users=max_users)
    users = np.unique(interactions.users[rows])
    targets = np.zeros((len(users), interactions.num_items + 1), np.uint16)
    np.add.at(targets, (np.searchsorted(users, interactions.users[rows]), interactions.items[rows]), 1)
    sums: NDArray[np.float64] = np.zeros(len(WEIGHTS))
    for low in range(0, len(users), _USERS_AT_ONCE):
        block = slice(low, low + _USERS_AT_ONCE)
        found = stages.candidates(users[block])
        sums += [ndcg_of_order(found, targets[block], weight).sum() for weight in WEIGHTS]
    figures = {weight: float(total / len(rows)) for weight, total in zip(WEIGHTS, sums, strict=True)}
    return max(WEIGHTS, key=lambda weight: figures[weight]), figures


def ndcg_of_order(found: Candidates, targets: NDArray[np.uint16], weight: float) -> NDArray[np.float64]:
    """``[batch]`` sum of ndcg@10 over each user's pairs, the candidates in the order of a weight.

    Each pair alone is relevant to itself, as in `recsys_tfrs.evaluation.metrics.ndcg`.

    Args:
      found: of some users.
      targets: ``[batch, num_items + 1]`` how many pairs with the item are to be found.
      weight: see `Candidates.blended`.
    """
    order = np.argsort(-found.blended(weight), axis=1, kind="stable")[:, :_LENGTH]
    best = np.take_along_axis(found.items, order, 1)
    hits = np.take_along_axis(targets, best, 1) * (best > 0)
    gains = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    made: NDArray[np.float64] = hits @ gains
    return made
