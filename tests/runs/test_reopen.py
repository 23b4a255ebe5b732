"""A run opened again computes with the weights, and the vocabularies, it was trained with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recsys_tfrs.config import build, to_toml
from recsys_tfrs.runs import reopen as module
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.fitting import WEIGHTS
from recsys_tfrs.runs.folder import CONFIG_FILE
from recsys_tfrs.runs.prepared import prepare


@pytest.mark.parametrize("refit", [True, False])
def test_the_model_is_that_of_the_rows_it_was_fitted_on(
    refit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "family": "softmax",
        "data": {"dataset": "simulated-tiny", "num_rows": 1_500},
        "model": {"dim": 4, "hidden": [4], "hide": "any", "members": 1},
        "training": {"refit": refit},
    }
    prepared = prepare(build(family_config("softmax"), [settings]))
    model = prepared.build_model(prepared.train if refit else prepared.selection_train)
    other = prepared.build_model(prepared.selection_train if refit else prepared.train)
    sizes = [m.items.encoders["item_id"].vocabulary_size for m in (model, other)]
    assert sizes[0] != sizes[1]  # some items occur in validation rows alone
    model.save_weights(tmp_path / WEIGHTS)
    (tmp_path / CONFIG_FILE).write_text(to_toml(prepared.config), encoding="utf-8")
    recorded = SimpleNamespace(family="softmax", split_hash=prepared.split.hash)
    monkeypatch.setattr(module, "open_run", lambda path, kind: path)
    monkeypatch.setattr(module, "read_metrics", lambda run: recorded)
    monkeypatch.setattr(module.runtime, "configure", lambda device, seed: None)

    opened = module.reopen(tmp_path)

    np.testing.assert_array_equal(opened.model.candidate_vectors(), model.candidate_vectors())
    users = np.arange(1, 20, dtype=np.int32)
    expected = prepared.scorer(model, prepared.known, prepared.split.test).score(users)
    np.testing.assert_allclose(opened.scorer.score(users), expected, atol=1e-6)
