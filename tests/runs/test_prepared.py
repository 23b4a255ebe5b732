"""What is refused before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest

from recsys_tfrs import runtime
from recsys_tfrs.config import build
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.runs.config import family_config
from recsys_tfrs.runs.prepared import Prepared, prepare


def prepared(family: str, **model: Any) -> Prepared:
    settings = {"family": family, "data": {"dataset": "simulated-tiny"}, "split": {"method": "random"}, "model": model}
    return prepare(build(family_config(family), [settings]))


def test_a_full_softmax_that_does_not_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    found = prepared("two-tower", objective="full-softmax", dim=4, members=2)
    # 3 matrices of float32 for each of two members, of every user of a batch and every one of 120 items.
    needed = 3 * 4 * 2 * found.batches(found.train).queries_per_batch * 120
    monkeypatch.setattr(runtime, "memory_bytes", lambda: needed)
    found.build_model(found.train)
    monkeypatch.setattr(runtime, "memory_bytes", lambda: needed - 1)
    with pytest.raises(
        ConfigError, match=r"GiB for the scores of .* rows against 120 items.*model.objective=in-batch,"
    ):
        found.build_model(found.train)


@pytest.mark.parametrize(
    ("family", "sampled"),
    [
        ("two-tower", "in-batch"),
        ("softmax", "sampled-softmax"),
        ("gru", "cross-entropy"),
        ("session-cnn", "cross-entropy"),
    ],
)
def test_what_is_named_instead_of_the_full_softmax_is_possible(
    family: str, sampled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prepared(family, objective="full-softmax")
    monkeypatch.setattr(runtime, "memory_bytes", lambda: 1)
    with pytest.raises(ConfigError, match=f"model.objective={sampled},"):
        found.build_model(found.train)
    fewer = {"num_negatives": 20} if family == "softmax" else {}
    assert not prepared(family, objective=sampled, **fewer).build_model(found.train).scores_catalogue


@pytest.mark.parametrize("family", ["two-tower", "softmax", "gru"])
def test_what_xla_cannot_compile_is_refused(family: str) -> None:
    settings = {"family": family, "data": {"dataset": "simulated-tiny"}, "training": {"jit_compile": True}}
    with pytest.raises(ConfigError, match=f"XLA cannot compile the sparse products of {family}"):
        prepare(build(family_config(family), [settings]))


@pytest.mark.parametrize(
    ("family", "model"),
    [
        ("softmax", {"objective": "sampled-softmax", "sampler": "uniform", "num_negatives": 121}),
        ("item2vec", {"negatives": 121}),
    ],
)
def test_more_negatives_than_the_catalogue_has(family: str, model: dict[str, Any]) -> None:
    found = prepared(family, **model)
    with pytest.raises(ConfigError, match=r"121 .*negatives.* the catalogue has 120 items: ask for at most"):
        found.build_model(found.train)


@pytest.mark.parametrize(("share", "expected"), [(0.01, False), (0.03, True)])
def test_what_validation_held_back_has_to_be_worth_a_refit(share: float, expected: bool) -> None:
    settings = {
        "family": "gru",
        "data": {"dataset": "simulated-tiny"},
        "split": {"method": "random", "validation_fraction": share},
    }
    assert prepare(build(family_config("gru"), [settings])).config.training.refit is expected
