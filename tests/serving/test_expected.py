from __future__ import annotations

import numpy as np
import pytest
from serving.hand_made import TRAIN, make_interactions, objects

from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.schema import Kind
from recsys_tfrs.serving.expected import NUM_ITEMS, expected_answers

DATA = make_interactions()
HISTORIES = build_histories(DATA, np.arange(len(TRAIN)))


class Rising:
    """Item i scores i for everybody, but items 2 and 3 are tied."""

    def score(self, users: np.ndarray) -> np.ndarray:
        return np.tile(np.array([9, 1, 2.5, 2.5, 4, 5, 6, 7, 8], np.float32), (len(users), 1))


@pytest.fixture(scope="module")
def answers() -> dict:
    return expected_answers(Rising(), DATA, HISTORIES, stored_histories=True)  # type: ignore[arg-type]


def of(answers: dict, user: str) -> dict:
    return next(entry for entry in answers["users"] if entry["inputs"]["user_id"] == [user])


def test_users_with_a_history_and_an_unknown_one(answers: dict) -> None:
    asked = [entry["inputs"]["user_id"][0] for entry in answers["users"]]
    assert sorted(asked[:-1]) == ["u1", "u2", "u3", "u4"]  # u5 has no training rows
    assert asked[-1] == "never-seen"
    assert answers["tolerance"] == 1e-5


def test_the_best_unseen_items_ties_in_the_order_of_ids(answers: dict) -> None:
    u2 = of(answers, "u2")  # saw i2, i4, i6
    assert sorted(u2["seen"]) == ["i2", "i4", "i6"]
    assert u2["items"] == ["i8", "i7", "i5", "i3", "i1"]
    assert u2["scores"] == [8, 7, 5, 2.5, 1]
    assert u2["num_unseen"] == 5
    assert of(answers, "never-seen")["items"] == ["i8", "i7", "i6", "i5", "i4", "i2", "i3", "i1"]


def test_pairs_have_their_own_scores(answers: dict) -> None:
    for entry in answers["users"]:
        expected = [{"i2": 2.5, "i3": 2.5}.get(item, float(item[1:])) for item in entry["pairs"]["item_id"]]
        assert entry["pairs"]["score"] == expected


def test_without_stored_histories_the_request_tells_them() -> None:
    answers = expected_answers(Rising(), DATA, HISTORIES, stored_histories=False)  # type: ignore[arg-type]
    inputs = of(answers, "u1")["inputs"]
    assert inputs == {"user_id": ["u1"], "history": [["i1", "i2", "i3", "i5"]], "history_rating": [[5, 1, 4, 2]]}
    assert of(answers, "never-seen")["inputs"] == {"user_id": ["never-seen"]}


def test_a_long_catalogue_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys_tfrs.serving.expected.NUM_ITEMS", 2)
    monkeypatch.setattr("recsys_tfrs.serving.expected.NUM_USERS", 2)
    answers = expected_answers(Rising(), DATA, HISTORIES, stored_histories=True)  # type: ignore[arg-type]
    assert NUM_ITEMS == 200
    # The shortest and the longest history, and the unknown user.
    assert [len(entry["seen"]) for entry in answers["users"]] == [3, 4, 0]
    assert {len(entry["items"]) for entry in answers["users"]} == {2}
    assert [entry["num_unseen"] for entry in answers["users"]] == [5, 4, 8]


def test_a_request_tells_of_the_moment_it_asks_in() -> None:
    """Rows 1, 3 and 5 of the data: a tablet, nothing known, a tablet; user 4 asks in no moment."""
    rows = np.array([-1, 1, 3, 5, -1, 0])
    context = {"device": DATA.context_features["device"], "for_whom": DATA.context_features["gender"]}
    answers = expected_answers(
        Rising(),
        DATA,
        HISTORIES,
        stored_histories=True,
        context=context,
        asking=rows,  # type: ignore[arg-type]
    )
    assert of(answers, "u1")["inputs"] == {"user_id": ["u1"], "device": ["tablet"], "for_whom": ["y"]}
    assert of(answers, "u2")["inputs"] == {"user_id": ["u2"], "device": [""], "for_whom": ["y"]}
    assert of(answers, "u4")["inputs"] == {"user_id": ["u4"]}


def test_numbers_and_several_values_of_a_moment() -> None:
    context = {
        "price": FeatureColumn("price", Kind.NUMERIC, np.array([2.5, np.nan])),
        "tags": FeatureColumn("tags", Kind.MULTI_CATEGORICAL, objects(("a", "b"), ())),
    }
    asked = [
        expected_answers(
            Rising(),
            DATA,
            HISTORIES,
            stored_histories=True,
            context=context,
            asking=np.full(6, row),  # type: ignore[arg-type]
        )
        for row in (0, 1)
    ]
    assert of(asked[0], "u1")["inputs"] == {"user_id": ["u1"], "price": [2.5], "tags": [["a", "b"]]}
    assert of(asked[1], "u1")["inputs"] == {"user_id": ["u1"], "tags": [[]]}
