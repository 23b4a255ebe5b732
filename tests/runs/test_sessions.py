"""Sessions from a folder of prepared files to what is measured, with a scorer that needs no training."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from recsys_tfrs.baselines.tuning import tuned_baselines
from recsys_tfrs.config import build
from recsys_tfrs.errors import SplitError
from recsys_tfrs.evaluation.tie_rules import by_tie_rule
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.display import print_data
from recsys_tfrs.runs.measuring import measure
from recsys_tfrs.runs.prepared import Prepared, prepare
from recsys_tfrs.training.sequences import SequenceBatches, SessionParallelBatches

SESSIONS = ["a b c", "b c", "c a b", "a b", "b a", "c b a", "a c", "b c a", "c a", "a b c d"]
#: d is known to training, e is not; the last case asks for what was clicked just before.
CASES = ["a b\tc", "c\te", "e b\ta", "b\tb"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train_sessions.txt").write_text("\n".join(SESSIONS))
    (tmp_path / "test_cases.txt").write_text("\n".join(CASES))
    return tmp_path


def prepared(folder: Path, **layers: dict[str, object]) -> Prepared:
    settings = [{"family": "gru", "data": {"dataset": str(folder)}}, layers]
    return prepare(build(family_config("gru"), settings))


class Fixed:
    """a over b over c over d over e, whoever asks."""

    def __init__(self, data: Prepared) -> None:
        order = {"a": 5.0, "b": 4.0, "c": 3.0, "d": 2.0, "e": 9.0}
        self._scores = np.array([order.get(i, 0.0) for i in data.interactions.item_ids], np.float32)

    def score(self, users: np.ndarray) -> np.ndarray:
        return np.tile(self._scores, (len(users), 1))


def test_test_cases_decide_the_split(folder: Path) -> None:
    data = prepared(folder)
    assert data.config.split.method == "sessions"
    assert data.config.of_sessions
    assert data.config.pairs == "all"
    assert data.config.evaluation.baselines == ["popularity", "item_knn", "markov_chain"]
    assert not data.config.filters_seen
    assert prepared(folder, evaluation={"seen": "filtered"}).config.filters_seen
    with pytest.raises(SplitError, match="comes with test cases"):
        prepared(folder, split={"method": "random"})


def test_what_was_read_is_counted_without_the_cases_made_of_it(folder: Path) -> None:
    stream = io.StringIO()
    print_data(Console(file=stream, width=200), prepared(folder))
    # Ten sessions of 26 clicks, four cases of ten rows; 4 items are trained on, e is asked for.
    assert "36 interactions of 14 users with 5 items" in stream.getvalue()


def test_cases_are_asked_with_what_came_before_and_never_trained_on(folder: Path) -> None:
    data = prepared(folder)
    ids = data.interactions.item_ids
    cases = data.interactions.users[data.split.test]
    assert [ids[data.known.of(user)].tolist() for user in cases] == [["a", "b"], ["c"], ["e", "b"], ["b"]]
    assert not data.train.lengths[cases].any()
    assert data.train.lengths.sum() == sum(len(session.split()) for session in SESSIONS)
    assert data.selection_train.lengths.sum() == data.train.lengths.sum() - 4  # the last session validates
    validating = data.interactions.users[data.split.validation]
    assert sorted(ids[data.selection_known.of(user)].tolist() for user in validating) == [
        ["a"],
        ["a", "b"],
        ["a", "b", "c"],
    ]


def test_nothing_is_filtered_and_unknown_targets_are_missed(folder: Path) -> None:
    data = prepared(folder)
    found = measure(data, Fixed(data))
    # c is third; e is no candidate, so it is missed and stands before nobody; a is first; b, just clicked, second.
    assert found.ranking.greater[[0, 2, 3]].tolist() == [2, 0, 1]
    assert found.ranking.num_candidates.tolist() == [4, 4, 4, 4]
    assert found.metrics["hit@20"] == 3 / 4
    assert found.metrics["mrr@20"] == pytest.approx((1 / 3 + 0 + 1 + 1 / 2) / 4)
    assert by_tie_rule(found.ranking)["conservative"]["recall@20"] == 3 / 4
    positions = found.slices["session_position"]
    assert {place: int(figures["num_pairs"]) for place, figures in positions.items()} == {"2": 2, "3": 2}
    assert positions["2"]["hit@10"] == 1 / 2


def test_baselines_are_asked_with_the_session_to_be_continued(folder: Path) -> None:
    """No fit has seen it. b is followed by c four times and by a twice, c by a three times and by b and d once."""
    data = prepared(folder)
    tuned = tuned_baselines(data.interactions, data.split, names=["item_knn", "markov_chain"], filter_seen=False)
    cases = data.interactions.users[data.split.test]
    scores = tuned["markov_chain"].scorer.score(cases)
    assert data.interactions.item_ids[scores.argmax(axis=1)].tolist() == ["c", "a", "c", "c"]
    of_histories = tuned["item_knn"].scorer.score(cases)
    assert (of_histories[0] != of_histories[1]).any()
    # Chosen as they are measured: with the beginnings of the sessions that validate.
    assert tuned["markov_chain"].trials[0].value > 0.5


@pytest.mark.parametrize("examples", ["sequences", "session-parallel"])
def test_batches_are_those_of_the_configured_layout(folder: Path, examples: str) -> None:
    data = prepared(folder, model={"examples": examples, "rows": 3}, training={"batch_size": 6})
    batches = data.batches(data.selection_train)
    kind = SequenceBatches if examples == "sequences" else SessionParallelBatches
    assert isinstance(batches, kind)
    assert batches.examples_per_epoch == sum(len(session.split()) - 1 for session in SESSIONS[:-1])
    if isinstance(batches, SessionParallelBatches):
        assert (batches.rows, batches.times) == (3, 2)
