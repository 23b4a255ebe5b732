from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import TrainingError
from recsys_tfrs.evaluation import ranking as ranking_module
from recsys_tfrs.evaluation.ranking import MISS, rank, rank_filtered_and_kept


class Table:
    """Scores written out, one row per user id."""

    def __init__(self, rows):
        self.rows = np.asarray(rows, dtype=np.float32)
        self.asked = []

    def score(self, users):
        self.asked.append(len(users))
        return self.rows[users]


def histories(lists, num_items):
    """Histories of users 0, 1, ... from lists of items."""
    offsets = np.concatenate(([0], np.cumsum([len(items) for items in lists]))).astype(np.int64)
    items = np.array([item for items in lists for item in items], dtype=np.int32)
    return Histories(offsets, items, None, None, np.arange(len(items)), num_items)


def slow_rank(scores, user, item, seen, catalogue, length):
    """The definition, in words: one candidate after the other."""
    candidates = [i for i in range(1, len(scores[user])) if catalogue[i] and i not in seen[user]]
    top = sorted(candidates, key=lambda i: (-scores[user][i], i))[:length]
    top += [0] * (length - len(top))
    if item not in candidates:
        return MISS, 1, len(candidates), top
    greater = sum(scores[user][i] > scores[user][item] for i in candidates)
    ties = sum(scores[user][i] == scores[user][item] for i in candidates)
    return greater, ties, len(candidates), top


@st.composite
def cases(draw):
    num_users, num_items = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    # Few distinct scores make ties; infinities are legal scores.
    value = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0, np.inf])
    row = st.lists(value, min_size=num_items + 1, max_size=num_items + 1)
    scores = draw(st.lists(row, min_size=num_users + 1, max_size=num_users + 1))
    item = st.integers(1, num_items)
    seen = [[], *draw(st.lists(st.lists(item, max_size=4), min_size=num_users, max_size=num_users))]
    pair = st.tuples(st.integers(1, num_users), st.integers(0, num_items + 1))
    pairs = draw(st.lists(pair, min_size=1, max_size=20))
    catalogue = [draw(st.booleans()) for _ in range(num_items + 1)]
    return scores, seen, pairs, np.array(catalogue)


@given(case=cases(), batch_users=st.integers(1, 6), length=st.integers(0, 5), sort_from=st.sampled_from([0, 1000]))
@settings(max_examples=150, deadline=None)
def test_agrees_with_the_definition(case, batch_users, length, sort_from):
    scores, seen, pairs, catalogue = case
    num_items = len(scores[0]) - 1
    users, items = np.array(pairs).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking_module, "_SORT_FROM_PAIRS_PER_USER", sort_from)
        patch.setattr(ranking_module, "BLOCK_SCORES", 2 * (num_items + 1))
        got = rank(
            Table(scores),
            users,
            items,
            seen=histories(seen, num_items),
            num_items=num_items,
            catalogue=catalogue,
            list_length=length,
            batch_users=batch_users,
        )
    for p, (user, item) in enumerate(pairs):
        greater, ties, candidates, top = slow_rank(scores, user, item, seen, catalogue, min(length, num_items))
        assert (got.greater[p], got.ties[p], got.num_candidates[p]) == (greater, ties, candidates)
        assert got.top_items[got.user_index[p]].tolist() == top
    assert got.list_users.tolist() == sorted(set(users.tolist()))


def test_written_out():
    #          padding item 1 item 2 item 3 item 4 item 5
    scores = [[0] * 6, [9, 0.5, 0.9, 0.5, 0.1, 0.7]]
    got = rank(Table(scores), np.array([1, 1, 1]), np.array([3, 4, 2]), seen=histories([[], [2]], 5), num_items=5)
    # Item 2 is seen. Of 5 (.7), 1 and 3 (.5), 4 (.1), target 3 has one above it and ties with item 1.
    assert got.greater.tolist() == [1, 3, MISS]
    assert got.ties.tolist() == [2, 1, 1]
    assert got.num_candidates.tolist() == [4, 4, 4]
    assert got.top_items.tolist() == [[5, 1, 3, 4, 0]]


def test_filtered_and_kept_agree_with_two_separate_passes():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, (6, 11))
    seen = histories([[], [1, 2], [3], [], [4, 4, 5], [9]], 10)
    users, items = rng.integers(1, 6, 30), rng.integers(1, 11, 30)
    filtered, kept = rank_filtered_and_kept(Table(scores), users, items, seen=seen, num_items=10, batch_users=2)
    for got, filter_ in ((filtered, seen), (kept, None)):
        want = rank(Table(scores), users, items, seen=filter_, num_items=10)
        for column in ("greater", "ties", "num_candidates", "top_items"):
            np.testing.assert_array_equal(getattr(got, column), getattr(want, column))
    assert (kept.num_candidates == 10).all()
    assert (filtered.num_candidates[users == 4] == 8).all()


def test_users_are_scored_once_and_in_blocks_bounded_by_the_catalogue(monkeypatch):
    monkeypatch.setattr(ranking_module, "BLOCK_SCORES", 3 * 8)
    table = Table(np.zeros((8, 8)))
    rank(table, np.array([1, 2, 3, 4, 5, 6, 7, 7, 7]), np.full(9, 2), seen=None, num_items=7)
    assert table.asked == [3, 3, 1]


def test_scores_are_not_changed():
    table = Table([[0, 0, 0], [3, 2, 1]])
    rank(table, np.array([1]), np.array([1]), seen=histories([[], [2]], 2), num_items=2)
    assert table.rows.tolist() == [[0, 0, 0], [3, 2, 1]]


def test_nan_is_refused_but_padding_may_be_nan():
    table = Table([[0, 0, 0], [np.nan, 1, 2]])
    assert rank(table, np.array([1]), np.array([2]), seen=None, num_items=2).greater.tolist() == [0]
    table.rows[1, 2] = np.nan
    with pytest.raises(TrainingError, match=r"item 2 for user 1 .* learning rate"):
        rank(table, np.array([1]), np.array([1]), seen=None, num_items=2)


@pytest.mark.parametrize(
    ("rows", "users", "items", "message"),
    [
        ([[0, 0], [0, 0]], [1], [1], r"shape \(1, 2\) for 1 users, expected \(1, 3\)"),
        ([[0, 0, 0], [0, 0, 0]], [1, 1], [1], "one target per user"),
        ([[0, 0, 0], [0, 0, 0]], [], [], "at least one"),
    ],
)
def test_what_cannot_be_ranked_is_refused(rows, users, items, message):
    with pytest.raises(ValueError, match=message):
        rank(Table(rows), np.array(users, dtype=int), np.array(items, dtype=int), seen=None, num_items=2)


def test_catalogue_mask_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="catalogue mask"):
        rank(Table(np.zeros((2, 3))), np.array([1]), np.array([1]), seen=None, num_items=2, catalogue=np.array([True]))
