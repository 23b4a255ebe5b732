from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.errors import DataError
from recsys_tfrs.evaluation.importance import permutation_importance
from recsys_tfrs.evaluation.predictions import evaluate_predictions


def simulated(num_rows=4000):
    """Labels that follow `strong` much, `weak` little and `noise` not."""
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=num_rows) for name in ("noise", "weak", "strong")}
    labels = rng.random(num_rows) < sigmoid(3 * columns["strong"] + columns["weak"])
    return columns, labels.astype(int)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def predict(columns):
    return sigmoid(3 * columns["strong"] + columns["weak"])


def test_fields_are_ranked_by_what_the_model_loses():
    columns, labels = simulated()
    found = permutation_importance(predict, columns, labels, kind="binary", num_repeats=3)
    assert list(found.importances) == ["strong", "weak", "noise"]
    assert found.metric == "auc"
    assert found.value == evaluate_predictions("binary", predict(columns), labels).metrics["auc"]
    assert found.importances["noise"].losses == (0.0, 0.0, 0.0)
    # Without its strong field the model orders by the weak one alone, drowned in what is shuffled.
    assert found.importances["strong"].loss > 5 * found.importances["weak"].loss > 0


def test_loss_and_spread_by_hand():
    """Squared errors after each shuffling, measured here from the permutations the seed makes."""
    columns, _ = simulated(50)
    ratings = columns["strong"] * 2
    found = permutation_importance(lambda c: c["strong"] * 2, columns, ratings, kind="rating", num_repeats=4, seed=3)
    rng = np.random.default_rng(3)
    expected = [np.sqrt(np.mean((ratings[rng.permutation(50)] - ratings) ** 2)) for _ in range(4)]
    strong = found.importances["strong"]
    assert found.value == 0.0
    assert strong.losses == pytest.approx(expected)
    assert strong.loss == pytest.approx(sum(expected) / 4)
    assert strong.spread == pytest.approx((sum((e - sum(expected) / 4) ** 2 for e in expected) / 3) ** 0.5)
    single = permutation_importance(lambda c: c["strong"], columns, ratings, kind="rating", num_repeats=1)
    assert single.importances["strong"].spread == 0.0


def test_fields_that_say_the_same_are_shuffled_with_one_permutation():
    """A model that reads the difference of two equal fields sees none when both move together."""
    columns, labels = simulated(500)
    columns["copy"] = columns["strong"]

    def reads_difference(c):
        return sigmoid(c["weak"] + 9 * (c["copy"] - c["strong"]))

    apart = permutation_importance(reads_difference, columns, labels, kind="binary")
    together = permutation_importance(
        reads_difference, columns, labels, kind="binary", fields={"both": ["strong", "copy"], "weak": ["weak"]}
    )
    assert apart.importances["copy"].loss > 0.02
    assert together.importances["both"].losses == (0.0,) * 5
    assert together.importances["both"].fields == ("strong", "copy")
    assert set(together.importances) == {"both", "weak"}


def test_rows_of_a_matrix_stay_whole_and_columns_as_they_were():
    rng = np.random.default_rng(0)
    columns = {"tags": np.stack([np.arange(100), np.arange(100)], axis=1)}
    before = columns["tags"].copy()

    def check(c):
        assert (c["tags"][:, 0] == c["tags"][:, 1]).all()
        return c["tags"][:, 0] / 100

    permutation_importance(check, columns, rng.integers(0, 2, 100), kind="binary")
    assert (columns["tags"] == before).all()


def test_metric_users_and_weights_reach_the_measurement():
    columns, labels = simulated(600)
    users, weights = np.arange(600) % 30, np.random.default_rng(1).uniform(0, 2, 600)
    for metric in ("gauc", "logloss"):
        found = permutation_importance(
            predict, columns, labels, kind="binary", metric=metric, groups=users, weights=weights
        )
        alone = evaluate_predictions("binary", predict(columns), labels, groups=users, weights=weights)
        assert found.value == alone.metrics[metric]
        # Worse is a loss, whether the metric falls or rises.
        assert found.importances["strong"].loss > 0.02


def test_bad_input_is_said_clearly():
    columns, labels = simulated(20)

    def run(**options):
        return permutation_importance(predict, columns, options.pop("labels", labels), kind="binary", **options)

    with pytest.raises(ValueError, match=r"No columns \['age'\]"):
        run(fields={"age": ["weak", "age"]})
    with pytest.raises(ValueError, match="Expected columns of 19 rows"):
        run(labels=labels[1:])
    with pytest.raises(ValueError, match="No metric 'mrr'"):
        run(metric="mrr")
    with pytest.raises(ValueError, match="at least 1, not 0"):
        run(num_repeats=0)
    with pytest.raises(DataError, match="all 20 labels are 1"):
        run(labels=np.ones(20))
