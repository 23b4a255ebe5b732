"""What is foreseen of carts is measured over the whole catalogue, for whoever can score it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.config import build
from recsys_tfrs.data.carts import cart_pairs
from recsys_tfrs.runs import carts, measuring
from recsys_tfrs.runs.carts import CartQueries, measure_carts, rank_carts
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.prepared import Prepared, prepare


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    layer = {
        "family": "session-cnn",
        "data": {"dataset": "simulated-shop-small"},
        "split": {"method": "sessions"},
        "model": {"window": 3},
        "training": {"batch_size": 100},
    }
    return prepare(build(family_config("session-cnn"), [layer]))


def test_who_knows_the_carts_finds_them_and_who_knows_nothing_finds_as_much_as_chance(prepared: Prepared) -> None:
    pairs = cart_pairs(prepared.interactions, prepared.split.test)
    truth = np.zeros((prepared.interactions.num_users + 1, 301), dtype=np.float32)
    truth[pairs.users, pairs.items] = 1
    knows = SimpleNamespace(score=lambda users: truth[users])
    nothing = SimpleNamespace(score=lambda users: np.zeros((len(users), 301), dtype=np.float32))
    found = measure_carts(prepared, {"knows": knows, "nothing": nothing})
    assert found["knows"]["recall@10"] == 1
    assert found["knows"]["num_cases"] == len(np.unique(pairs.users)) > 300
    assert found["nothing"]["recall@10"] == pytest.approx(10 / 300)
    assert found["nothing"]["low"] <= found["nothing"]["recall@10"] + 1e-9


def test_without_carts_or_sessions_nothing_is_measured(prepared: Prepared) -> None:
    scorer = SimpleNamespace(score=lambda users: np.zeros((len(users), 301), dtype=np.float32))
    bare = replace(prepared, interactions=replace(prepared.interactions, context_features={}))
    assert rank_carts(bare, scorer) is None
    assert measure_carts(bare, {"model": scorer}) == {}
    split = prepared.config.split.model_copy(update={"method": "temporal"})
    assert rank_carts(replace(prepared, config=prepared.config.model_copy(update={"split": split})), scorer) is None


@pytest.mark.parametrize("has_carts", [True, False])
def test_what_carts_need_is_computed_once_and_only_where_there_are_some(
    has_carts: bool, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = prepared.config
    few = config.evaluation.model_copy(update={"baselines": ["popularity"], "max_users": 20})
    prepared = replace(prepared, config=config.model_copy(update={"evaluation": few}))
    if not has_carts:
        prepared = replace(prepared, interactions=replace(prepared.interactions, context_features={}))
    asked: list[str] = []
    find, scorer = carts.cart_pairs, SimpleNamespace(score=lambda users: np.ones((len(users), 301), dtype=np.float32))
    monkeypatch.setattr(carts, "cart_pairs", lambda *given: asked.append("pairs") or find(*given))
    monkeypatch.setattr(measuring, "cart_scorer", lambda *given: asked.append("scorer") or scorer)
    measured = measuring.measure_all(prepared, SimpleNamespace(), scorer, lambda text: None)
    assert asked == (["pairs", "scorer"] if has_carts else ["pairs"])
    assert set(measured.carts) == ({"model", "popularity"} if has_carts else set())


def test_new_items_are_candidates_of_a_family_that_reads_their_texts(prepared: Prepared) -> None:
    assert prepared.catalogue(prepared.train) is None
    ids_alone = prepared.config.model.model_copy(update={"content": False})
    other = replace(prepared, config=prepared.config.model_copy(update={"model": ids_alone}))
    assert other.catalogue(prepared.train).sum() == 255  # fifteen in a hundred are new
    assert "markov_chain" in prepared.config.evaluation.baselines


def test_batches_are_windows_with_what_is_carted_next(prepared: Prepared) -> None:
    batch = next(prepared.batches(prepared.train).dataset().as_numpy_iterator())
    assert batch["clicks"].shape == (100, 3)
    assert 20 < (batch["carts"] > 0).sum() < 90


def test_a_model_is_asked_for_carts_by_a_query_of_its_own() -> None:
    model = SimpleNamespace(cart_vectors=lambda history: history.row_lengths(), candidate_vectors=lambda: "candidates")
    asked = CartQueries(model)
    history = tf.ragged.constant([[1, 2], [3]])
    assert asked.query_vectors(tf.constant([0, 0]), history).numpy().tolist() == [2, 1]
    assert asked.candidate_vectors() == "candidates"
