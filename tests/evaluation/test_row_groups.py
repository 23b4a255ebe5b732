from __future__ import annotations

import numpy as np

from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.evaluation.row_groups import row_groups
from recsys_tfrs.schema import Kind


def ids(count):
    return np.array(["", *map(str, range(1, count + 1))], dtype=object)


def data(users, items, num_users, num_items, **columns):
    features = {name: FeatureColumn(name, kind, values) for name, (kind, values) in columns.items()}
    return Interactions(
        "written-out",
        np.array(users, np.int32),
        np.array(items, np.int32),
        None,
        None,
        ids(num_users),
        ids(num_items),
        user_features=features,
    )


def named(groups):
    return [groups.labels[code] for code in groups.codes]


def test_groups_of_rows_by_user_and_item():
    interactions = data(
        [1, 2, 2, 3, 3, 3, 4, 4, 4, 4],
        [1, 1, 1, 1, 1, 1, 2, 2, 2, 3],
        5,
        4,
        user_gender=(Kind.CATEGORICAL, np.array(["", "F", "M", "F", "", "M"], dtype=object)),
        user_job=(Kind.CATEGORICAL, np.array(["", "a", "b", "c", "d", "e"], dtype=object)),
    )
    users, items = np.array([1, 2, 3, 4, 5, 5], np.int32), np.array([1, 2, 3, 4, 1, 1], np.int32)
    found = row_groups(interactions, np.arange(10), users, items)
    assert named(found["user_gender"]) == ["F", "M", "F", "unknown", "M", "M"]
    assert named(found["user_job"]) == ["a", "b", "c", "d", "e", "e"]
    # One to four training rows, a quarter of the active users each; user 5 has none.
    assert named(found["user_activity"]) == ["1", "2", "3", "4", "0", "0"]
    assert named(found["user_warmth"]) == ["warm"] * 4 + ["cold"] * 2
    assert named(found["item_popularity"]) == ["head", "mid", "tail", "tail", "head", "head"]
    assert named(found["item_warmth"]) == ["warm", "warm", "warm", "cold", "warm", "warm"]


def test_more_categories_than_slices_of_lists_have():
    """20 occupations are a slice here, 31 are not."""
    for count, expected in ((20, True), (31, False)):
        jobs = np.array(["", *(f"job {n:02}" for n in range(count))], dtype=object)
        interactions = data(np.arange(1, count + 1), np.ones(count), count, 1, user_job=(Kind.CATEGORICAL, jobs))
        users = np.array([1, 3], np.int32)
        found = row_groups(interactions, np.arange(count), users, np.ones(2, np.int32))
        assert ("user_job" in found) is expected
        if expected:
            assert named(found["user_job"]) == ["job 00", "job 02"]


def test_activity_of_users_who_are_all_new_or_all_alike():
    interactions = data([1, 1, 2, 2], [1, 1, 1, 1], 3, 1)
    items = np.ones(2, np.int32)
    new = row_groups(interactions, np.arange(4), np.array([3, 3], np.int32), items)
    assert named(new["user_activity"]) == ["0", "0"]
    alike = row_groups(interactions, np.arange(4), np.array([1, 2], np.int32), items)
    assert named(alike["user_activity"]) == ["2", "2"]
