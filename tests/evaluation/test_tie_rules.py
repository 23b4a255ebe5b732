"""Three rules on equal scores, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.evaluation.ranking import rank
from recsys_tfrs.evaluation.tie_rules import by_tie_rule


class Fixed:
    """The same scores for everybody."""

    def __init__(self, scores: list[float]) -> None:
        self._scores = np.array([0, *scores], np.float32)

    def score(self, users: np.ndarray) -> np.ndarray:
        return np.tile(self._scores, (len(users), 1))


def test_a_target_among_equals() -> None:
    """Item 2 shares places 2 to 4 with two others; item 1 is first; item 9 is no candidate."""
    scorer = Fixed([5, 3, 3, 3, 1])
    ranking = rank(scorer, np.array([1, 2, 3]), np.array([2, 1, 9]), seen=None, num_items=5)
    found = by_tie_rule(ranking, 3)
    assert found["standard"] == pytest.approx({"recall@3": 2 / 3, "mrr@3": (1 / 2 + 1) / 3})
    assert found["conservative"] == pytest.approx({"recall@3": 1 / 3, "mrr@3": 1 / 3})
    assert found["expected"] == pytest.approx({"recall@3": (2 / 3 + 1) / 3, "mrr@3": ((1 / 2 + 1 / 3) / 3 + 1) / 3})


def test_a_constant_scorer_is_perfect_hopeless_or_at_chance() -> None:
    ranking = rank(Fixed([1] * 40), np.arange(1, 41), np.arange(1, 41), seen=None, num_items=40)
    found = by_tie_rule(ranking)
    assert found["standard"] == {"recall@20": 1.0, "mrr@20": 1.0}
    assert found["conservative"] == {"recall@20": 0.0, "mrr@20": 0.0}
    assert found["expected"]["recall@20"] == pytest.approx(0.5)
    assert found["expected"]["mrr@20"] == pytest.approx(sum(1 / r for r in range(1, 21)) / 40)
