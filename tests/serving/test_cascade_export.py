"""The exported cascade answers what its stages answer apart."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose
from serving.cascaded import Cascaded

from recsys_tfrs.errors import UsageError
from recsys_tfrs.layers.diversify import maximal_marginal_relevance
from recsys_tfrs.serving import stranger
from recsys_tfrs.serving.cascade_export import export_cascade
from recsys_tfrs.serving.cascade_signatures import CascadeSettings, CascadeSignatures
from recsys_tfrs.serving.folders import EXTRA_FOLDER, MANIFEST
from recsys_tfrs.serving.model_card import MODEL_CARD
from recsys_tfrs.serving.recommender import Recommender
from recsys_tfrs.serving.stranger import CheckError, Export
from recsys_tfrs.serving.version_folder import operations

USERS = ["u1", "u2", "u3", "u4", "u5", "nobody"]


def test_a_stranger_finds_it_sound(cascaded: Cascaded) -> None:
    export = Export(cascaded.path)
    stranger.files(export)
    export.loaded = cascaded.loaded
    own = (stranger.both_stages, stranger.silent_stages, stranger.exclusion, stranger.limits)
    assert set(own) < set(stranger.FURTHER["cascade"])
    assert all(check(export) for check in (stranger.operations, stranger.signatures, *own))
    assert not [op for op in operations(cascaded.path) if ">" in op]


def check_against_exports(cascaded: Cascaded, told: dict[str, Any], ranker: dict[str, Any], rows: int) -> None:
    """Retrieve with the one export, score with the other, and see that the cascade does the same."""
    out = cascaded.call("serving_default", **told, k=3)
    retrieval = cascaded.world.call("serving_default", **told, k=2)
    assert rows == len(out["item_id"])
    for row in range(rows):
        ids = [item for item in out["item_id"][row] if item]
        given = {name: [values[row]] for name, values in ranker.items()}
        own = cascaded.ranked.call("serving_default", **given, item_id=ids)["score"]
        assert_allclose(out["ranking_score"][row, : len(ids)], own, rtol=1e-5)
        assert (np.diff(own) <= 1e-7).all()
        for item, score in zip(retrieval["item_id"][row], retrieval["score"][row], strict=True):
            if item in ids:
                assert out["source"][row, ids.index(item)] == "two-tower"
                assert_allclose(out["retrieval_score"][row, ids.index(item)], score, rtol=1e-5)
            elif item:  # four candidates, of which three are shown
                worse = cascaded.ranked.call("serving_default", **given, item_id=[item])["score"]
                assert worse[0] <= own.min() + 1e-7


def test_the_two_stages_run_apart(cascaded: Cascaded) -> None:
    check_against_exports(cascaded, {"user_id": USERS}, {"user_id": USERS}, 6)


def test_what_a_request_tells_reaches_both_stages(cascaded: Cascaded) -> None:
    users, history, genders = ["u1", "nobody"], [["i4", "i7"], ["i2", ""]], ["M", "F"]
    told = {"user_id": users, "history": history, "gender": genders, "device": ["tablet", "phone"]}
    ranker = {"user_id": users, "history": history, "user_gender": genders, "device": ["tablet", "phone"]}
    check_against_exports(cascaded, told, ranker, 2)


def test_titles_and_who_spoke(cascaded: Cascaded) -> None:
    out = cascaded.call("serving_default", user_id=USERS, k=3)
    data = cascaded.world.interactions
    titles = dict(zip(data.item_ids, data.titles, strict=True))
    assert [[titles[i] for i in row] for row in out["item_id"]] == out["title"].tolist()
    assert out["user_known"].tolist() == [True] * 5 + [False]
    assert set(out["sources"]) == {"two-tower+popularity"}
    assert set(out["parts"]) == {"linear+fm+deep"}
    assert_allclose(out["score"], out["ranking_score"])


def test_an_item_is_left_out_of_its_own_history(cascaded: Cascaded) -> None:
    out = cascaded.call("serving_default", user_id=["u1"], k=3, exclude_history=False, without=[["popularity"]])
    seen = {"i1", "i2", "i3", "i5"} & set(out["item_id"][0])
    assert seen
    own = cascaded.ranked.call("score_pair", user_id=["u1"], item_id=[i for i in out["item_id"][0] if i])["score"]
    assert_allclose(out["ranking_score"][0, : len(own)], own, rtol=1e-5)


def test_exclusions_and_filters(cascaded: Cascaded) -> None:
    best = cascaded.call("serving_default", user_id=["u3"], k=3)["item_id"][0]
    out = cascaded.call("serving_default", user_id=["u3"], k=3, exclude=[best[:2]])
    assert not {*best[:2], "i7", "i1", "i4"} & set(out["item_id"][0])
    war = cascaded.call("serving_default", user_id=["u4"], k=3, only_genres=[["War"]])
    assert set(war["item_id"][0]) == {"i1", "i2", "i7"}


@pytest.mark.parametrize(
    ("left_out", "sources", "parts"),
    [
        ("popularity", "two-tower", "linear+fm+deep"),
        ("two-tower", "popularity", "linear+fm+deep"),
        ("fm", "two-tower+popularity", "linear+deep"),
        ("ranking", "two-tower+popularity", ""),
    ],
)
def test_without_one_the_others_answer(cascaded: Cascaded, left_out: str, sources: str, parts: str) -> None:
    out = cascaded.call("serving_default", user_id=USERS, k=2, without=[[left_out]])
    assert set(out["sources"]) == {sources}
    assert set(out["parts"]) == {parts}
    assert np.isfinite(out["score"]).all()
    assert (out["item_id"] != "").all()


def test_without_ranking_the_order_is_that_of_retrieval(cascaded: Cascaded) -> None:
    out = cascaded.call("serving_default", user_id=USERS, k=2, without=[["ranking", "popularity"]])
    alone = cascaded.world.call("serving_default", user_id=USERS, k=2)
    assert out["item_id"].tolist() == alone["item_id"].tolist()


def test_the_short_signatures(cascaded: Cascaded) -> None:
    whole = cascaded.call("serving_default", user_id=USERS, k=2)
    short = cascaded.call("recommend_user", user_id=USERS)
    assert short["item_id"].tolist() == whole["item_id"].tolist()
    assert_allclose(short["score"], whole["score"], rtol=1e-5)
    history = [["i1", "i4"], ["i3", ""]]
    told = cascaded.call("serving_default", user_id=["", ""], history=history, k=2)
    by_history = cascaded.call("recommend_history", history=history)
    assert by_history["item_id"].tolist() == told["item_id"].tolist()


def test_it_is_asked_like_any_export(cascaded: Cascaded) -> None:
    recommender = Recommender.load(cascaded.path)
    (list_,) = recommender.recommend(["u3"], k=3, inputs={"without": [["popularity"]]})
    out = cascaded.call("serving_default", user_id=["u3"], k=3, without=[["popularity"]])
    assert [entry.item_id for entry in list_] == [item for item in out["item_id"][0] if item]
    assert recommender.knows("u3")
    assert not recommender.knows("nobody")


def answer(cascaded: Cascaded, settings: CascadeSettings, k: int) -> dict[str, np.ndarray]:
    """All users, by a cascade that is not exported."""
    ranked = cascaded.ranked
    sources = cascaded.sources(3, 2)
    module = CascadeSignatures(sources, ranked.model, ranked.inputs, ranked.interactions, settings)
    out = module._default(module._asked(told(module)))
    return {name: values.numpy() for name, values in out.items()}


def told(module: CascadeSignatures) -> dict[str, tf.Tensor]:
    columns = module._user_columns | module._context_columns
    neutral = {name: declared.not_given(len(USERS)) for name, (_, declared) in columns.items()}
    return {**neutral, "user_id": tf.constant(USERS), "history": tf.fill([len(USERS), 1], "")}


def test_scores_are_blended_as_outside_the_graph(cascaded: Cascaded) -> None:
    out = answer(cascaded, CascadeSettings(5, 4, retrieval_weight=0.4), 4)
    found = cascaded.stages(3, 2, weight=0.4).candidates(np.array([1, 2, 3, 4, 5, 0], np.int32))
    blended = found.blended(0.4)
    order = np.argsort(-blended, axis=1, kind="stable")[:, :4]
    ids = cascaded.world.interactions.item_ids[np.take_along_axis(found.items, order, 1)]
    assert [[i.decode() for i in row] for row in out["item_id"]] == ids.tolist()
    assert_allclose(out["score"], np.take_along_axis(blended, order, 1), rtol=1e-4, atol=1e-5)
    ranking_only = np.argsort(-found.blended(0.0), axis=1, kind="stable")[:, :4]
    assert (order != ranking_only).any()


def test_lists_are_diversified(cascaded: Cascaded) -> None:
    out = answer(cascaded, CascadeSettings(5, 4, diversity=0.3), 4)
    found = cascaded.stages(3, 2).candidates(np.array([1, 2, 3, 4, 5, 0], np.int32))
    scores, vectors = found.blended(0.0), cascaded.world.vectors[found.items]
    places = maximal_marginal_relevance(
        scores.astype(np.float32), vectors, trade_off=0.3, k=4, present=found.items > 0
    ).numpy()
    ids = cascaded.world.interactions.item_ids[np.take_along_axis(found.items, places, 1)]
    assert [[i.decode() for i in row] for row in out["item_id"]] == ids.tolist()
    assert (np.diff(out["score"], axis=1) > 0).any()


def test_a_ranking_model_that_fails_leaves_an_order(cascaded: Cascaded) -> None:
    model = cascaded.ranked.model
    before = model.embeddings.table.numpy()
    model.embeddings.table.assign(np.full(before.shape, np.nan))
    try:
        out = answer(cascaded, CascadeSettings(5, 4), 4)
    finally:
        model.embeddings.table.assign(before)
    assert {said.decode() for said in out["parts"]} == {""}
    assert np.isfinite(out["score"]).all()
    assert all(len(set(row)) == 4 for row in out["item_id"].tolist())


@pytest.mark.parametrize(
    "settings", [CascadeSettings(5, 2), CascadeSettings(4, 5), CascadeSettings(4, 2, 1.5), CascadeSettings(4, 2, 0, -1)]
)
def test_impossible_settings(tmp_path: Path, settings: CascadeSettings) -> None:
    """They are refused before anything is looked at but how many candidates there are."""
    sources: Any = [SimpleNamespace(quota=2)] * 2
    nothing: Any = None
    with pytest.raises(UsageError):
        export_cascade(sources, nothing, nothing, nothing, nothing, tmp_path, settings=settings)


def test_manifest_and_card(cascaded: Cascaded) -> None:
    manifest = json.loads((cascaded.path / MANIFEST).read_text())
    assert manifest["kind"] == "cascade"
    assert manifest["sources"] == [{"name": "two-tower", "quota": 2}, {"name": "popularity", "quota": 2}]
    card = (cascaded.path / EXTRA_FOLDER / MODEL_CARD).read_text()
    assert "| popularity | 2 |" in card
    assert "4 candidates are retrieved" in card
    assert "## Figures" not in card


@pytest.mark.parametrize(
    ("check", "output", "change", "said"),
    [
        (stranger.both_stages, "ranking_score", lambda v: v + 0.01, "largest difference"),
        (stranger.both_stages, "item_id", lambda v: tf.reverse(v, [1]), "largest difference|other sources"),
        (stranger.both_stages, "item_id", lambda v: tf.fill(tf.shape(v), "i8"), "do not find"),
        (stranger.both_stages, "source", lambda v: tf.fill(tf.shape(v), "two-tower"), "other sources"),
        (stranger.silent_stages, "parts", lambda v: tf.fill(tf.shape(v), "linear+fm+deep"), "said to have spoken"),
    ],
)
def test_the_checks_see_what_is_wrong(cascaded: Cascaded, check: Any, output: str, change: Any, said: str) -> None:
    export = Export(cascaded.path)
    stranger.files(export)
    original = cascaded.loaded.signatures["serving_default"]

    def call(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        out = dict(original(**inputs))
        return out | {output: change(out[output])}

    call.structured_input_signature = original.structured_input_signature  # type: ignore[attr-defined]
    export.loaded = type("Loaded", (), {"signatures": {"serving_default": call}})()
    with pytest.raises(CheckError, match=said):
        check(export)
