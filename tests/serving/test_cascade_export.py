"""The exported cascade answers what its stages answer apart."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from serving.cascaded import Cascaded

from recsys_tfrs.serving import stranger
from recsys_tfrs.serving.version_folder import operations

USERS = ["u1", "u2", "u3", "u4", "u5", "nobody"]


def test_a_stranger_finds_it_sound(cascaded: Cascaded) -> None:
    verdicts = {line["check"]: line for line in stranger.examine(cascaded.path)}
    failed = {name: line["detail"] for name, line in verdicts.items() if not line["passed"]}
    assert list(failed) == ["alone"]  # this process is no stranger
    assert {"both-stages", "silent-stages", "exclusion", "limits", "batches"} < set(verdicts)
    assert not [op for op in operations(cascaded.path) if ">" in op]


def test_the_two_stages_run_apart(cascaded: Cascaded) -> None:
    out = cascaded.call("serving_default", user_id=USERS, k=3)
    world, ranked = cascaded.world, cascaded.ranked
    names = world.interactions.item_ids
    retrieval = world.call("serving_default", user_id=USERS, k=2)
    pairs = [
        (u, i, s)
        for u, ids, ss in zip(USERS, retrieval["item_id"], retrieval["score"], strict=True)
        for i, s in zip(ids, ss, strict=True)
    ]
    scored = ranked.call("score_pair", user_id=[u for u, _, _ in pairs], item_id=[i for _, i, _ in pairs])
    for (user, item, score), prediction in zip(pairs, scored["score"], strict=True):
        row = USERS.index(user)
        ids = out["item_id"][row].tolist()
        if item not in ids:  # ranked below three others
            assert prediction <= out["ranking_score"][row].min() + 1e-6
            continue
        place = ids.index(item)
        assert out["source"][row, place] == "two-tower"
        assert_allclose(out["retrieval_score"][row, place], score, rtol=1e-5)
        assert_allclose(out["ranking_score"][row, place], prediction, rtol=1e-5)
    assert (np.diff(out["ranking_score"], axis=1) <= 0).all()
    assert_allclose(out["score"], out["ranking_score"])
    titles = dict(zip(names, world.interactions.titles, strict=True))
    assert [[titles[i] for i in row] for row in out["item_id"]] == out["title"].tolist()
    assert out["user_known"].tolist() == [True] * 5 + [False]
