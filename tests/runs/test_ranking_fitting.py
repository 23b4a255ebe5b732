"""What the fits of a ranking run do beside fitting."""

from __future__ import annotations

import numpy as np
import pytest
from contracts.tiny_examples import encoded, examples_of

from recsys_tfrs.config import build
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.fields import EncodedExamples
from recsys_tfrs.models.registry import family_module
from recsys_tfrs.runs.ranking_config import ranking_config
from recsys_tfrs.runs.ranking_data import targets_of
from recsys_tfrs.runs.ranking_fitting import calibrate, check_compilable
from recsys_tfrs.runs.ranking_train import settled

WEIGHTS = np.arange(1, 301, dtype=np.float32)


def test_ratings_trained_by_lists_get_their_unit_from_the_validation_rows() -> None:
    """Predictions are the weighted least-squares line through the scores; those of rows trained one by one stay."""
    made, layer = encoded(examples_of(300, depends_on="one", targets=["rating"]))
    examples = EncodedExamples(made.columns, made.targets, WEIGHTS)
    for objective in ("listmle", "pointwise"):
        targets = targets_of(["rating"], [], examples.targets, ["rating"], objective)
        model = family_module("fm").build(family_module("fm").Config(dim=4, initial_scale=0.5), layer, targets, 1)
        calibrate(model, examples)
        scores, labels = model.totals_of(examples)[:, 0].astype(np.float64), examples.targets[:, 0].astype(np.float64)
        x, y = scores - np.average(scores, weights=WEIGHTS), labels - np.average(labels, weights=WEIGHTS)
        slope = (WEIGHTS * x * y).sum() / (WEIGHTS * x * x).sum()
        line = np.clip(np.average(labels, weights=WEIGHTS) + slope * x, 1.0, 5.0)
        predicted = model.predict_examples(examples)[:, 0]
        assert np.allclose(predicted, line, atol=1e-4) == (objective == "listmle")


def test_lists_are_not_compiled() -> None:
    settings = {"family": "fm", "objective": "listmle", "training": {"jit_compile": True}}
    with pytest.raises(ConfigError, match="XLA cannot compile"):
        settled(build(ranking_config("fm"), [settings]))  # before any data is read
    clicks = {"family": "fm", "target": "click", "training": {"jit_compile": True}}
    undecided = settled(build(ranking_config("fm"), [clicks]))
    with pytest.raises(ConfigError, match="objective=softmax makes batches of lists"):
        check_compilable(undecided.model_copy(update={"objective": undecided.objective_of(["click"])}))


@pytest.mark.parametrize(
    ("objective", "targets", "expected"),
    [
        ("auto", ["click"], "softmax"),
        ("auto", ["like"], "pointwise"),
        ("auto", ["like", "rating"], "pointwise"),
        ("pointwise", ["click"], "pointwise"),
        ("approx-ndcg", ["like"], "approx-ndcg"),
    ],
)
def test_the_objective_goes_by_the_target(objective: str, targets: list[str], expected: str) -> None:
    config = build(ranking_config("fm"), [{"family": "fm", "objective": objective}])
    assert config.objective_of(targets) == expected


def test_labels_without_a_gain_are_refused() -> None:
    labels = np.array([[-1.0], [2.0]], np.float32)
    with pytest.raises(ConfigError, match=r"rating has -1 to 2. Set objective=listmle"):
        targets_of(["rating"], [], labels, ["rating"], "approx-ndcg")
    with pytest.raises(ConfigError, match=r"rating has 1 to 31"):
        targets_of(["rating"], [], np.array([[1.0], [31.0]], np.float32), ["rating"], "approx-ndcg")
    with pytest.raises(ConfigError, match=r"rating begins at -1. Set objective=listmle"):
        targets_of(["rating"], [], labels, ["rating"], "softmax")
    assert targets_of(["rating"], [], labels, ["rating"], "listmle")[0].objective == "listmle"
