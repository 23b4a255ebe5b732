from __future__ import annotations

from math import log2

import numpy as np
import pytest

from recsys_tfrs.evaluation.prediction_rows import prepare_rows
from recsys_tfrs.evaluation.within_users import within_users


def measured(kind, predicted, labels, users, weights=None):
    rows = prepare_rows(kind, np.array(predicted), np.array(labels), weights, np.array(users))
    return within_users(rows, rows.users)


def test_gauc_weighs_users_by_their_rows_and_leaves_one_class_out():
    """User 1: one of two pairs right, of 3 rows; user 2: 1, of 2; user 3 has positives only."""
    found = measured("binary", [0.1, 0.5, 0.9, 0.2, 0.8, 0.3, 0.3], [0, 1, 0, 0, 1, 1, 1], [1, 1, 1, 2, 2, 3, 3])
    assert found.metrics["gauc"] == pytest.approx((3 * 0.5 + 2 * 1.0) / 5)
    assert found.num_users_left_out == 1
    # By user, as the bootstrap draws them.
    assert found.statistics["gauc"].totals.tolist() == [[1.5, 3], [2, 2], [0, 0]]
    weights = np.array([1.0, 1, 1, 10, 10, 1, 1])
    found = measured(
        "binary", [0.1, 0.5, 0.9, 0.2, 0.8, 0.3, 0.3], [0, 1, 0, 0, 1, 1, 1], [1, 1, 1, 2, 2, 3, 3], weights
    )
    assert found.metrics["gauc"] == pytest.approx((3 * 0.5 + 20 * 1.0) / 23)


def test_ndcg_of_labels_by_hand():
    """User 1 has his positives on places 2 and 6 of 6, so only the first is within 5; user 2 his on the first."""
    found = measured(
        "binary", [0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.9, 0.1], [0, 1, 0, 0, 0, 1, 1, 0], [1, 1, 1, 1, 1, 1, 5, 5]
    )
    ideal = 1 + 1 / log2(3)
    assert found.metrics["ndcg@5"] == pytest.approx(((1 / log2(3)) / ideal + 1) / 2)
    assert found.metrics["ndcg@10"] == pytest.approx(((1 / log2(3) + 1 / log2(7)) / ideal + 1) / 2)


def test_ndcg_of_ratings_has_exponential_gains():
    """Ratings 2, 5, 3 in the order predicted: gains 3, 31, 7; the best order is 31, 7, 3."""
    found = measured("rating", [4.9, 4.0, 1.0, 2.0], [2.0, 5, 3, 4], [1, 1, 1, 2])
    best = 31 + 7 / log2(3) + 3 / 2
    assert found.metrics["ndcg@5"] == pytest.approx((3 + 31 / log2(3) + 7 / 2) / best)
    assert found.num_users_left_out == 1
    assert set(found.metrics) == {"ndcg@5", "ndcg@10", "ndcg@20"}


def test_equal_predictions_are_worth_the_mean_of_their_orders():
    found = measured("binary", [0.5, 0.5], [1, 0], [1, 1])
    assert found.metrics["ndcg@5"] == pytest.approx((1 + 1 / log2(3)) / 2)
    assert found.metrics["gauc"] == 0.5


def test_what_has_no_value_says_why():
    found = measured("binary", [0.1, 0.2, 0.3], [1, 1, 0], [1, 1, 2])
    assert found.metrics == {}
    assert found.undefined["gauc"] == found.undefined["ndcg@20"] == "none of 2 users has two different labels"
    assert found.num_users_left_out == 2
    found = measured("rating", [1.0, 2.0], [-1.0, 2.0], [1, 1])
    assert found.undefined["ndcg@5"] == "gains 2^rating - 1 need ratings in [0, 30], these are -1 to 2"
    found = measured("rating", [1.0, 2.0], [10.0, 90.0], [1, 1])
    assert "10 to 90" in found.undefined["ndcg@5"]
