from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.errors import DataError, TrainingError
from recsys_tfrs.evaluation.prediction_rows import prepare_rows


def test_rows_come_sorted_with_all_that_belongs_to_them():
    rows = prepare_rows(
        "rating", np.array([3.0, 1, 2, 4]), np.array([5, 1, 2, 3]), np.array([0.5, 2, 0, 1]), np.array([9, 4, 4, 9])
    )
    assert rows.predicted.tolist() == [1, 3, 4]
    assert rows.labels.tolist() == [1, 5, 3]
    assert rows.weights.tolist() == [2, 0.5, 1]
    assert rows.order.tolist() == [1, 0, 3]
    assert rows.users.tolist() == rows.clusters.tolist() == [0, 1, 1]
    assert (rows.num_users, rows.num_clusters) == (2, 2)
    part = rows.take(np.array([False, True, True]))
    assert (part.predicted.tolist(), part.order.tolist(), part.num_users, part.num_clusters) == ([3, 4], [0, 3], 1, 2)


def test_rows_that_stand_alone_are_clusters_of_their_own():
    rows = prepare_rows("binary", np.array([0.3, 0.1, 0.2]), np.array([1, 0, 1]), np.array([1, 0, 1]))
    assert rows.labels.dtype == bool
    assert rows.users is None
    assert rows.num_users == 0
    assert (rows.clusters.tolist(), rows.num_clusters) == ([1, 0], 2)


@pytest.mark.parametrize("ids", [[7, -3, 7, 100], [10**15, 0, 10**15, 2 * 10**15]])
def test_users_are_numbered_whatever_their_ids(ids):
    rows = prepare_rows("binary", np.array([0.1, 0.2, 0.3, 0.4]), np.array([1, 0, 1, 0]), groups=np.array(ids))
    assert rows.users.tolist() == [1, 0, 1, 2]


GOOD = {"kind": "binary", "predicted": [0.2, 0.7], "labels": [0, 1], "weights": None, "groups": None}


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"kind": "ratings"}, ValueError, "'binary' or 'rating', not 'ratings'"),
        ({"labels": [0]}, ValueError, r"predicted \[2\], labels \[1\]"),
        ({"groups": [1, 2, 3]}, ValueError, r"groups \[3\]"),
        ({"weights": [1.0]}, ValueError, r"weights \[1\]"),
        ({"predicted": [[0.2], [0.7]], "labels": [[0], [1]]}, ValueError, "flatten"),
        ({"predicted": [0.2, float("nan")]}, TrainingError, "1 of 2 predictions are not finite"),
        ({"predicted": [0.2, 1.7]}, ValueError, "0.2 to 1.7: apply a sigmoid"),
        ({"predicted": [-0.2, 0.7]}, ValueError, "apply a sigmoid"),
        ({"labels": [0, 4]}, DataError, "got 4 in row 1: binarise"),
        ({"labels": [0.0, float("nan")]}, DataError, "got nan in row 1"),
        ({"labels": ["0", "1"]}, DataError, "Expected numbers as labels"),
        ({"kind": "rating", "labels": [1.0, float("inf")]}, DataError, "1 ratings are not finite"),
        ({"weights": [1.0, -2.0]}, ValueError, "got -2 in row 1"),
        ({"weights": [float("nan"), 1.0]}, ValueError, "got nan in row 0"),
        ({"weights": [0.0, 0.0]}, DataError, "None of the 2 rows"),
        ({"predicted": [], "labels": []}, DataError, "None of the 0 rows"),
    ],
)
def test_bad_input_is_said_clearly(wrong, error, message):
    given = {**GOOD, **wrong}
    arrays = {name: None if value is None else np.array(value) for name, value in given.items() if name != "kind"}
    with pytest.raises(error, match=message):
        prepare_rows(given["kind"], **arrays)
