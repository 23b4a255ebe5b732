"""A ranking export predicts what the model predicts, whatever part of it fails."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose
from serving.ranked import Ranked

from recsys_tfrs.objectives.prediction import Target
from recsys_tfrs.serving.ranking_inputs import TableInputs
from recsys_tfrs.serving.ranking_signatures import RankingSignatures

PAIRS = {"user_id": ["u1", "u3", "u5", "nobody"], "item_id": ["i6", "i2", "i1", "i4"]}
USERS, ITEMS = [1, 3, 5, 0], [6, 2, 1, 4]


def test_the_predictions_of_the_model(ranked: Ranked) -> None:
    out = ranked.call("serving_default", **PAIRS, device=["tablet"], context_gender=["y"])
    expected = ranked.predict(USERS, ITEMS, [5] * 4)  # a moment with tablet and y
    assert_allclose(out["like"], expected[:, 0], rtol=1e-5)
    assert_allclose(out["rating"], expected[:, 1], rtol=1e-5)
    assert out["score"].tolist() == out["like"].tolist()
    assert set(out["parts"]) == {"linear+fm+deep"}
    assert len(set(expected[:, 0])) == 4


def test_ids_alone_are_enough(ranked: Ranked) -> None:
    short, whole = ranked.call("score_pair", **PAIRS), ranked.call("serving_default", **PAIRS)
    assert {name: values.tolist() for name, values in short.items()} == {n: v.tolist() for n, v in whole.items()}


def test_a_part_that_is_left_out_says_its_mean(ranked: Ranked) -> None:
    without = [["fm", ""], ["", ""], ["deep", "fm"], ["linear", "deep"]]
    out = ranked.call("serving_default", **PAIRS, without=without)
    assert out["parts"].tolist() == ["linear+deep", "linear+fm+deep", "linear", "fm"]
    said = ranked.call("parts", **PAIRS)
    # Contributions of `like` are in units of 0.8, its calibration's factor.
    logit = said["bias"][:, 0] + 0.8 * 0.3 + said["linear"][:, 0] + said["deep"][:, 0]
    assert_allclose(out["like"][0], 1 / (1 + np.exp(-logit[0])), rtol=1e-5)
    assert out["like"][1] == ranked.call("serving_default", **PAIRS)["like"][1]


def test_contributions_add_up(ranked: Ranked) -> None:
    said = ranked.call("parts", **PAIRS)
    total = sum(said[name] for name in ("linear", "fm", "deep", "bias"))
    whole = ranked.call("serving_default", **PAIRS)
    assert_allclose(1 / (1 + np.exp(-total[:, 0])), whole["like"], rtol=1e-5)
    assert_allclose(np.clip(total[:, 1], 1, 5), whole["rating"], rtol=1e-5)
    assert_allclose(said["bias"][:, 0], 0.8 * ranked.model.bias.numpy()[0] - 0.3, rtol=1e-5)


@pytest.mark.parametrize(
    ("broken", "spoke"), [("deep_output", "linear+fm"), ("share_of_fm", "linear+deep"), ("table", "")]
)
def test_a_part_that_fails_leaves_the_others_answering(ranked: Ranked, broken: str, spoke: str) -> None:
    weights = next(v for v in ranked.model.variables if broken in getattr(v, "name", ""))
    before = weights.numpy()
    weights.assign(np.full(before.shape, np.nan))
    try:
        call = RankingSignatures(ranked.model, ranked.inputs).predict
        raw = {d.name: d.not_given(4) for d in ranked.inputs.inputs}
        out = call(raw | {name: tf.constant(values) for name, values in PAIRS.items()})
    finally:
        weights.assign(before)
    assert {said.decode() for said in out["parts"].numpy()} == {spoke}
    assert np.isfinite(out["score"]).all()
    asked = [part for part in ("linear", "fm", "deep") if part not in spoke]
    assert_allclose(out["rating"], ranked.call("serving_default", **PAIRS, without=[asked])["rating"], rtol=1e-5)


def test_a_part_that_there_is_not(ranked: Ranked) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="without may name linear, fm, deep"):
        ranked.call("serving_default", **PAIRS, without=[["wide"]])


def test_transform_gives_the_fields(ranked: Ranked) -> None:
    out = ranked.call("transform", **PAIRS)
    assert set(out) == {*ranked.layer.layout.names}
    assert out["history"].tolist() == [[5, 3, 2], [4, 1, 7], [0, 0, 0], [0, 0, 0]]
    assert out["item_id"].tolist() == [6, 2, 1, 4]


def test_targets_may_have_the_names_of_other_outputs(ranked: Ranked) -> None:
    class Model:
        variables: tuple = ()
        parts = ("linear",)
        targets = (Target("score", "binary", 0.5), Target("is it?", "binary", 0.5))

    module = RankingSignatures(Model(), TableInputs(ranked.layer))  # type: ignore[arg-type]
    assert module.outputs == {"score": "score_", "is it?": "is_it_"}
