from __future__ import annotations

from math import log2

import numpy as np
import pytest

from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.evaluation.ranking import MISS, Ranking
from recsys_tfrs.evaluation.slices import popularity_buckets, slice_accuracy
from recsys_tfrs.schema import Kind


def data(users, items, num_users, num_items, **columns):
    def ids(n):
        return np.array(["", *map(str, range(1, n + 1))], dtype=object)

    features = {name: FeatureColumn(name, kind, values) for name, (kind, values) in columns.items()}
    return Interactions(
        "written-out",
        np.array(users, dtype=np.int32),
        np.array(items, dtype=np.int32),
        None,
        None,
        ids(num_users),
        ids(num_items),
        user_features=features,
    )


def ranking(users, items, greater):
    n = len(users)
    users, items = np.array(users, dtype=np.int32), np.array(items, dtype=np.int32)
    lists = np.zeros((len(np.unique(users)), 1), dtype=np.int32)
    return Ranking(users, items, np.array(greater), np.ones(n, int), np.full(n, 9), np.unique(users), lists, 9)


def categories(*values):
    return Kind.CATEGORICAL, np.array(["", *values], dtype=object)


def numbers(*values):
    return Kind.NUMERIC, np.array([np.nan, *values], dtype=np.float32)


ROWS = np.arange(8)


def test_user_groups_written_out():
    interactions = data([1, 1, 1, 1, 1, 2, 2, 3], [1] * 8, 4, 3, user_gender=categories("F", "M", "F", ""))
    got = slice_accuracy(ranking([1, 2, 3, 4], [1, 1, 2, 3], [0, 1, 10, MISS]), interactions, ROWS)
    assert got["user_gender"] == {
        "F": {"num_pairs": 2, "hit@10": 0.5, "ndcg@10": 0.5},
        "M": {"num_pairs": 1, "hit@10": 1.0, "ndcg@10": pytest.approx(1 / log2(3))},
        "unknown": {"num_pairs": 1, "hit@10": 0.0, "ndcg@10": 0.0},
    }
    sizes = {group: figures["num_pairs"] for group, figures in got["user_activity"].items()}
    assert sizes == {"0": 1, "1-4": 2, "5-19": 1}
    assert got["user_warmth"]["cold"] == {"num_pairs": 1, "hit@10": 0.0, "ndcg@10": 0.0}
    assert got["user_warmth"]["warm"]["hit@10"] == pytest.approx(2 / 3)
    assert got["item_warmth"] == {
        "cold": {"num_pairs": 2, "hit@10": 0.0, "ndcg@10": 0.0},
        "warm": {"num_pairs": 2, "hit@10": 1.0, "ndcg@10": pytest.approx((1 + 1 / log2(3)) / 2)},
    }


def test_popularity_buckets_hold_half_then_thirty_percent_then_the_rest():
    counts = np.array([0, 40, 20, 10, 15, 8, 7, 0])
    # In order of popularity 1, 2, 4, 3, 5, 6 the more popular ones hold 0, 40, 60, 75, 85, 93 percent.
    assert popularity_buckets(counts)[1:].tolist() == [0, 0, 1, 1, 2, 2, 2]


def test_few_numbers_are_groups_and_many_become_quartiles():
    few = data([1], [1], 3, 1, raw_user_age=numbers(18, 25, 18))
    got = slice_accuracy(ranking([1, 2, 3], [1, 1, 1], [0, 0, 99]), few, np.array([0]))["raw_user_age"]
    assert {group: figures["num_pairs"] for group, figures in got.items()} == {"18": 2, "25": 1}
    assert got["18"]["hit@10"] == 0.5

    many = data([1], [1], 13, 1, raw_user_age=numbers(*range(10, 22), np.nan))
    got = slice_accuracy(ranking(range(1, 14), [1] * 13, [0] * 13), many, np.array([0]))["raw_user_age"]
    sizes = {group: figures["num_pairs"] for group, figures in got.items()}
    assert sizes == {"10-12": 3, "13-15": 3, "16-18": 3, "19-21": 3, "unknown": 1}


def test_columns_that_tell_nobody_apart_are_no_slices():
    interactions = data(
        [1],
        [1],
        13,
        1,
        zip_code=categories(*map(str, range(13))),
        country=categories(*["CH"] * 13),
        age=numbers(*[30] * 13),
        tags=(Kind.MULTI_CATEGORICAL, np.empty(14, dtype=object)),
    )
    got = slice_accuracy(ranking([1], [1], [0]), interactions, np.array([0]))
    assert set(got) == {"user_activity", "user_warmth", "item_popularity", "item_warmth"}
