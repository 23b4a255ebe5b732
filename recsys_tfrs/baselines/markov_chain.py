"""What followed the last item elsewhere: transitions from item to item, and popularity where there are none.

With `steps` 1 a first-order Markov chain, what sequence models are compared with since Rendle et al., "Factorizing
Personalized Markov Chains for Next-Basket Recommendation", WWW 2010; with more, the sequential rules of Ludewig and
Jannach, "Evaluation of Session-based Recommendation Algorithms", UMUAI 2018 (https://arxiv.org/abs/1803.09587).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix

from recsys_tfrs.baselines.matrix import apply_fallbacks, item_counts
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DataError


@dataclass(frozen=True)
class MarkovChainConfig:
    """Settings of `MarkovChain`.

    Attributes:
      steps: an item counts as following those up to so many places before it, one d places before it 1/d times.
      smoothing: transitions from every item that are made up in the proportions of popularity.
    """

    steps: int = 1
    smoothing: float = 0.1


class MarkovChain:
    """Scores an item j after the last item i by ``n(i, j) + smoothing * n(j) / n``, n counting training rows.

    Divided by ``n(i) + smoothing`` that is the probability of a transition, shrunk towards popularity; the divisor is
    the same for all items. Histories are read in order, so data without times is read as it stands in the file.
    """

    def __init__(self, config: MarkovChainConfig | None = None) -> None:
        self.config = config or MarkovChainConfig()
        if self.config.steps < 1 or not self.config.smoothing > 0:
            raise DataError(
                f"A Markov chain needs at least one step and a smoothing above 0, not {self.config.steps} and "
                f"{self.config.smoothing}."
            )

    def refusal(self, histories: Histories) -> str | None:
        """None: counting always works."""
        return None

    def fit(self, histories: Histories) -> None:
        """Count transitions; until `ask_with`, users are asked with these histories."""
        items, starts = histories.items, np.repeat(histories.offsets[:-1], histories.lengths)
        at = np.arange(len(items))
        size = histories.num_items + 1
        transitions = csr_matrix((size, size), dtype=np.float32)
        for distance in range(1, self.config.steps + 1):
            after = np.flatnonzero(at - distance >= starts)
            weights = np.full(len(after), 1.0 / distance, dtype=np.float32)
            transitions += coo_matrix((weights, (items[after - distance], items[after])), shape=(size, size)).tocsr()
        self._transitions = transitions
        self._counts = item_counts(histories)
        self.ask_with(histories)

    def ask_with(self, known: Histories) -> None:
        """Take these as what users had done before they ask, fitting nothing."""
        ends = known.offsets[1:]
        last = np.append(known.items, np.int32(0))[np.maximum(ends - 1, 0)]
        self._last = np.where(known.lengths > 0, last, 0)

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """``[len(users), num_items + 1]``; items that never followed come by popularity."""
        last = self._last[users]
        scores = self._transitions[last].toarray()
        scores += np.float32(self.config.smoothing / max(float(self._counts.sum()), 1.0)) * self._counts
        return apply_fallbacks(scores, self._counts, last == 0)
