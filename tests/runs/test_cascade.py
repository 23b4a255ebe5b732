"""Which runs go together, who brings how much, and what the second stage is worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.errors import RunError, UsageError
from recsys_tfrs.runs.cascade import check_same_data, parse_source, shares
from recsys_tfrs.runs.cascade_measuring import measure_cascade, ndcg_of_order, validated_weight
from recsys_tfrs.runs.cascade_stages import distinct
from recsys_tfrs.runs.ranking_pairs import PairData
from recsys_tfrs.schema import Kind
from recsys_tfrs.serving.two_stages import Candidates, TwoStages


def test_a_source_and_its_quota() -> None:
    assert parse_source("runs/gru:50") == ("runs/gru", 50)
    assert parse_source("popularity") == ("popularity", None)
    assert parse_source("C:/runs/gru") == ("C:/runs/gru", None)
    with pytest.raises(UsageError, match="brings nothing"):
        parse_source("popularity:0")


def test_shares() -> None:
    assert shares(200, [None]) == [200]
    assert shares(200, [None, 50, None]) == [75, 50, 75]
    assert shares(200, [None, None, None]) == [68, 66, 66]
    with pytest.raises(UsageError, match="do not go round"):
        shares(50, [None, 50])


def test_sources_of_one_family_are_told_apart() -> None:
    assert distinct(["gru", "popularity", "gru", "gru"]) == ["gru", "popularity", "gru#2", "gru#3"]


def columns(kind: Kind | None) -> Any:
    """Interactions as far as their columns are looked at; users have an age of a kind, or none."""
    ages = {} if kind is None else {"age": FeatureColumn("age", kind, np.zeros(2))}
    return SimpleNamespace(user_features=ages, context_features={})


def opened(dataset: str, split_hash: str, data: Any = None, kind: Kind | None = None) -> Any:
    recorded = SimpleNamespace(dataset=dataset, split_hash=split_hash, split="temporal")
    prepared = SimpleNamespace(interactions=columns(kind))
    return SimpleNamespace(run=Path("run"), recorded=recorded, data=data, prepared=prepared)


def test_runs_of_other_data_do_not_go_together() -> None:
    pairs = MagicMock(spec=PairData, interactions=columns(None))
    check_same_data(opened("a", "1"), opened("a", "1", pairs))
    for other in (opened("b", "1", pairs), opened("a", "2", pairs)):
        with pytest.raises(RunError, match="train both with the same --dataset, --split"):
            check_same_data(opened("a", "1"), other)
    with pytest.raises(RunError, match="table of examples"):
        check_same_data(opened("a", "1"), opened("a", "1", object()))


def test_a_column_told_by_a_request_is_of_one_kind() -> None:
    pairs = MagicMock(spec=PairData, interactions=columns(Kind.CATEGORICAL))
    for kind in (Kind.CATEGORICAL, None):
        check_same_data(opened("a", "1", kind=kind), opened("a", "1", pairs))
    with pytest.raises(RunError, match=r"'age' is numeric in run and categorical in run.*--columns age=KIND"):
        check_same_data(opened("a", "1", kind=Kind.NUMERIC), opened("a", "1", pairs))


def candidates(
    users: list[int], items: list[list[int]], first: list[list[float]], order: list[list[float]]
) -> Candidates:
    ids = np.array(items, np.int32)
    values = [np.array(v, np.float32) for v in (first, order)]
    return Candidates(np.array(users, np.int32), ids, np.zeros_like(ids), values[0], values[0], values[1], values[1])


def test_scores_are_blended_in_units_of_their_spread() -> None:
    found = candidates([1], [[4, 5, 0]], [[1.0, 3.0, 9.0]], [[20.0, 10.0, 0.0]])
    np.testing.assert_allclose(found.blended(0.0), [[1, -1, -np.inf]])
    np.testing.assert_allclose(found.blended(1.0), [[-1, 1, -np.inf]])
    np.testing.assert_allclose(found.blended(0.25), [[0.5, -0.5, -np.inf]])


def test_ndcg_of_an_order() -> None:
    found = candidates([1, 2], [[4, 5, 6], [4, 5, 0]], [[3, 2, 1], [0, 1, 0]], [[1, 2, 3], [1, 1, 0]])
    targets = np.zeros((2, 8), np.uint16)
    targets[0, [4, 6]] = targets[1, 7] = 1
    third = 1 / np.log2(4)
    np.testing.assert_allclose(ndcg_of_order(found, targets, 0.0), [1 + third, 0])
    targets[0, 6] = 2
    np.testing.assert_allclose(ndcg_of_order(found, targets, 0.0), [2 + third, 0])
    targets[0, 6] = 1
    targets[0, 4] = 0
    np.testing.assert_allclose(ndcg_of_order(found, targets, 0.0), [1, 0])
    np.testing.assert_allclose(ndcg_of_order(found, targets, 1.0), [third, 0])


class Stages:
    """Three candidates for each of four users; what is right stands first by ranking, second by retrieval."""

    def candidates(self, users: np.ndarray) -> Candidates:
        rows = len(users)
        items = np.tile([7, 8, 6], (rows, 1))
        return candidates(users.tolist(), items.tolist(), [[5, 6, 4]] * rows, [[3.0, 1.0, 2.0]] * rows)


def data() -> tuple[Interactions, np.ndarray, np.ndarray]:
    users = np.repeat(np.arange(1, 5, dtype=np.int32), 3)
    items = np.array([1, 2, 7] * 4, np.int32)
    ids = [np.array(["", *(f"{p}{i}" for i in range(1, n + 1))], object) for p, n in (("u", 4), ("i", 8))]
    made = Interactions("tiny", users, items, None, np.arange(12), *ids)
    last = np.arange(2, 12, 3)
    return made, np.setdiff1d(np.arange(12), last), last


def test_the_weight_that_validation_likes_best() -> None:
    interactions, train, validation = data()
    weight, tried = validated_weight(Stages(), interactions, train, validation)  # type: ignore[arg-type]
    assert weight == 0
    assert tried[0.0] == 1
    assert tried[1.0] == pytest.approx(1 / np.log2(3))
    assert len(tried) == 21


def test_weights_are_judged_by_the_ndcg_that_cascades_are_measured_by() -> None:
    """Two targets for each user, of whom the first is found first and the second third."""
    interactions, train, _ = data()
    users, items = np.repeat(np.arange(1, 5, dtype=np.int32), 2), np.array([7, 8] * 4, np.int32)
    both = replace(
        interactions,
        users=np.concatenate([interactions.users[train], users]),
        items=np.concatenate([interactions.items[train], items]),
        timestamps=np.arange(16),
    )
    known, asked = np.arange(8), np.arange(8, 16)
    _, tried = validated_weight(Stages(), both, known, asked)  # type: ignore[arg-type]
    measured = measure_cascade(Scorer(0, 9, 9, 1, 2, 3, 5, 7, 4), Scorer(*range(9)), both, known, asked)  # type: ignore[arg-type]
    assert tried[0.0] == pytest.approx(measured.metrics["ndcg@10"])


class Scorer:
    def __init__(self, *scores: float) -> None:
        self._scores = np.array(scores, np.float32)

    def score(self, users: np.ndarray) -> np.ndarray:
        return np.tile(self._scores, (len(users), 1))


@pytest.mark.parametrize(
    ("num_candidates", "expected"),
    [
        (None, ["hit@10", "ndcg@10", "mrr@10", "hit@100", "ndcg@100"]),
        (100, ["hit@10", "ndcg@10", "mrr@10", "hit@100", "ndcg@100"]),
        (99, ["hit@10", "ndcg@10", "mrr@10"]),
        (7, ["hit@5", "ndcg@5", "mrr@5"]),
    ],
)
def test_figures_are_of_lists_that_candidates_can_fill(num_candidates: int | None, expected: list[str]) -> None:
    interactions, train, test = data()
    scorer = Scorer(0, 9, 9, 1, 2, 3, 4, 5, 6)
    figures = measure_cascade(scorer, scorer, interactions, train, test, num_candidates=num_candidates)  # type: ignore[arg-type]
    facts = figures.facts()
    assert [list(facts[part]) for part in ("metrics", "retrieval_metrics")] == [expected, expected]
    assert set(facts["comparison"]) == set(expected)


def test_a_cascade_beside_its_retrieval() -> None:
    interactions, train, test = data()
    retrieval = Scorer(0, 9, 9, 1, 2, 3, 4, 5, 6)
    cascade = Scorer(0, 9, 9, 1, 2, 3, 4, 7, 6)
    figures = measure_cascade(cascade, retrieval, interactions, train, test)  # type: ignore[arg-type]
    facts = figures.facts()
    assert facts["metrics"]["ndcg@10"] == 1
    assert facts["retrieval_metrics"]["ndcg@10"] == pytest.approx(1 / np.log2(3))
    gain = 1 - 1 / np.log2(3)
    assert facts["comparison"]["ndcg@10"]["difference"] == pytest.approx(gain)
    assert facts["comparison"]["ndcg@10"]["interval"] == pytest.approx([gain, gain])
    assert facts["num_pairs"] == 4


def test_quotas_are_filled_by_what_is_not_yet_there() -> None:
    interactions, train, _ = data()
    known = build_histories(interactions, train)
    sources = [
        (Scorer(0, 9, 9, 1, 2, 3, 4, 5, 6), 2),
        (Scorer(0, 9, 9, 1, 2, 3, 4, 5, 6), 1),
        (Scorer(*range(9, 0, -1)), 2),
    ]
    stages = TwoStages(sources, MagicMock(), MagicMock(), known, allowed=np.arange(9) != 3)
    stages._ranked = lambda users, items: (items.astype(np.float32), items.astype(np.float32))  # type: ignore[method-assign]
    found = stages.candidates(np.array([1, 4], np.int32))
    assert found.items.tolist() == [[8, 7, 6, 4, 5]] * 2
    assert found.sources.tolist() == [[0, 0, 1, 2, 2]] * 2
    assert found.retrieval[0].tolist() == [6, 5, 4, 5, 4]
    assert found.first[0].tolist() == [6, 5, 4, 2, 3]
    assert stages.num_left(1) == 5
    scores = stages.score(np.array([1], np.int32))[0]
    assert np.argsort(-scores)[:5].tolist() == [8, 7, 6, 5, 4]
    assert (scores[[1, 2, 3]] < scores[4:].min()).all()


def test_a_source_does_not_bring_what_it_does_not_know() -> None:
    interactions, train, _ = data()
    known = build_histories(interactions, train)
    inf = float("inf")
    sources = [(Scorer(0, 9, 9, 1, 2, 3, 4, 5, 6), 1), (Scorer(0, 9, 9, -inf, 2, -inf, -inf, -inf, -inf), 7)]
    stages = TwoStages(sources, MagicMock(), MagicMock(), known)
    stages._ranked = lambda users, items: (items.astype(np.float32), items.astype(np.float32))  # type: ignore[method-assign]
    found = stages.candidates(np.array([1], np.int32))
    assert found.items.tolist() == [[8, 4, 0, 0, 0, 0, 0, 0]]
    assert np.isfinite(found.retrieval[found.items > 0]).all()
