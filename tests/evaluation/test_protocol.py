from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.splits import make_split
from recsys_tfrs.errors import SplitError
from recsys_tfrs.evaluation.intervals import confidence_intervals, paired_differences
from recsys_tfrs.evaluation.metrics import accuracy_columns
from recsys_tfrs.evaluation.protocol import choose_pairs, evaluate
from recsys_tfrs.evaluation.ranking import MISS


def ids(n):
    return np.array(["", *map(str, range(1, n + 1))], dtype=object)


def data(pairs, num_users, num_items):
    users, items = np.array(pairs, dtype=np.int32).T
    return Interactions("written-out", users, items, None, np.arange(len(users)), ids(num_users), ids(num_items))


class ByNumber:
    """Item 1 first, item 2 next, for everybody."""

    def __init__(self, num_items):
        self.num_items = num_items

    def score(self, users):
        return np.tile(-np.arange(self.num_items + 1, dtype=np.float32), (len(users), 1))


#: Rows 0 to 3 train, 4 to 7 test; user 3 and item 5 are new in the test part.
SMALL = data([(1, 1), (1, 2), (2, 1), (2, 4), (1, 3), (2, 5), (3, 1), (1, 1)], 3, 6)
TRAIN, TEST = np.arange(4), np.arange(4, 8)


def test_seen_items_leave_the_ranking_and_stay_in_the_second_figure():
    got = evaluate(ByNumber(6), SMALL, TRAIN, TEST)
    # Filtered ranks: item 3 first of 3456; item 5 third of 2356; item 1 first; item 1 was seen: a miss.
    assert got.metrics["hit@1"] == 2 / 4
    assert got.metrics["mrr@5"] == pytest.approx((1 + 1 / 3 + 1 + 0) / 4)
    # Kept ranks: 3, 5, 1, 1.
    assert got.metrics_seen_kept["mrr@5"] == pytest.approx((1 / 3 + 1 / 5 + 1 + 1) / 4)
    assert (got.num_pairs, got.num_pairs_all, got.num_pairs_seen) == (4, 4, 1)
    assert set(got.metrics) == set(got.metrics_seen_kept)
    assert set(got.metrics) == {*accuracy_columns(), "coverage@10", "novelty@10", "gini@10"}
    assert set(got.intervals) == set(accuracy_columns())
    assert all(got.intervals[m][0] <= got.metrics[m] <= got.intervals[m][1] for m in got.intervals)


def test_what_was_given_is_seen_too():
    # User 1 is asked with item 3, which no training row of his holds; it is no candidate, and the target stays one.
    given, asked = np.array([4]), np.array([7])
    plain = evaluate(ByNumber(6), SMALL, np.arange(2, 4), asked)
    got = evaluate(ByNumber(6), SMALL, np.arange(2, 4), asked, rows_given=given)
    assert plain.ranking.num_candidates.tolist() == [6]
    assert got.ranking.num_candidates.tolist() == [5]
    assert 3 not in got.ranking.top_items[0].tolist()


def test_without_filter_both_figures_are_the_unfiltered_one():
    got = evaluate(ByNumber(6), SMALL, TRAIN, TEST, filter_seen=False, intervals=False)
    assert got.metrics["mrr@5"] == pytest.approx((1 / 3 + 1 / 5 + 1 + 1) / 4)
    assert got.metrics_seen_kept == got.metrics
    assert (got.num_pairs_seen, got.intervals) == (0, {})


def test_what_is_no_candidate_for_everybody_is_not_counted_as_seen():
    catalogue = np.arange(7) != 5
    for filter_seen, seen in ((True, 1), (False, 0)):
        got = evaluate(ByNumber(6), SMALL, TRAIN, TEST, filter_seen=filter_seen, catalogue=catalogue)
        assert got.ranking.greater.tolist().count(MISS) == seen + 1
        assert got.num_pairs_seen == seen


def test_warm_pairs_have_a_user_and_an_item_seen_in_training():
    # Row 4: item 3 is new. Row 5: item 5 is new. Row 6: user 3 is new. Row 7 is warm.
    assert choose_pairs(SMALL, TRAIN, TEST, pairs="warm").tolist() == [7]
    got = evaluate(ByNumber(6), SMALL, TRAIN, TEST, pairs="warm")
    assert (got.num_pairs, got.num_pairs_all) == (1, 4)
    # Cold items stay candidates: five of the six remain for user 2's warm pair.
    more = data([(1, 1), (2, 2), (2, 1)], 2, 6)
    assert evaluate(ByNumber(6), more, np.arange(2), np.array([2]), pairs="warm").ranking.num_candidates == [5]


def test_nothing_to_measure_on_is_said():
    with pytest.raises(SplitError, match=r"evaluation\.pairs=all"):
        choose_pairs(SMALL, TRAIN, TEST[:3], pairs="warm")
    with pytest.raises(ValueError, match="'all' or 'warm'"):
        choose_pairs(SMALL, TRAIN, TEST, pairs="hot")


def test_validation_is_measured_like_test():
    rng = np.random.default_rng(0)
    interactions = data([(u, i) for u in range(1, 31) for i in rng.permutation(20)[:8] + 1], 30, 20)
    split = make_split(interactions, "leave-last-out")
    got = evaluate(ByNumber(20), interactions, split.selection_train, split.validation)
    assert got.num_pairs == 30
    # Six training items are filtered, and the test item is not among them.
    assert (got.ranking.num_candidates == 14).all()
    assert (evaluate(ByNumber(20), interactions, split.train, split.test).ranking.num_candidates == 13).all()


def test_two_evaluations_can_be_compared_in_pairs():
    class Reversed(ByNumber):
        def score(self, users):
            return -super().score(users)

    a = evaluate(ByNumber(6), SMALL, TRAIN, TEST)
    b = evaluate(Reversed(6), SMALL, TRAIN, TEST)
    difference = paired_differences(a.user_sums, b.user_sums)["hit@1"]
    assert difference.difference == pytest.approx(a.metrics["hit@1"] - b.metrics["hit@1"])


#: 20 users who have one item of three in training and two to be tested.
MANY = data([(u, i) for u in range(1, 21) for i in (1, 2, 3)], 20, 3)
MANY_TRAIN = np.arange(0, 60, 3)
MANY_TEST = np.setdiff1d(np.arange(60), MANY_TRAIN)


def test_a_sample_of_users_keeps_all_their_pairs():
    rows = choose_pairs(MANY, MANY_TRAIN, MANY_TEST, max_users=5, seed=1)
    assert np.unique(MANY.users[rows], return_counts=True)[1].tolist() == [2] * 5
    assert rows.tolist() == choose_pairs(MANY, MANY_TRAIN, MANY_TEST, max_users=5, seed=1).tolist()
    assert rows.tolist() != choose_pairs(MANY, MANY_TRAIN, MANY_TEST, max_users=5, seed=2).tolist()
    assert choose_pairs(MANY, MANY_TRAIN, MANY_TEST, max_users=20).tolist() == MANY_TEST.tolist()


def test_a_sample_holds_as_many_users_as_were_asked_for():
    for seed in range(10):
        rows = choose_pairs(MANY, MANY_TRAIN, MANY_TEST, max_users=15, seed=seed)
        assert len(np.unique(MANY.users[rows])) == 15


def test_the_seed_decides_the_sample_and_the_intervals():
    got = [evaluate(ByNumber(3), MANY, MANY_TRAIN, MANY_TEST, max_users=5, seed=seed) for seed in (3, 3, 4)]
    for seed, one in zip((3, 3, 4), got, strict=True):
        rows = choose_pairs(MANY, MANY_TRAIN, MANY_TEST, max_users=5, seed=seed)
        assert one.ranking.users.tolist() == MANY.users[rows].tolist()
    # Two rows of the small data are hit and two are not, so that its intervals depend on what is drawn.
    first, again, other = (evaluate(ByNumber(6), SMALL, TRAIN, TEST, seed=seed) for seed in (3, 3, 4))
    assert first.intervals == again.intervals == confidence_intervals(first.user_sums, seed=3)
    assert other.intervals == confidence_intervals(other.user_sums, seed=4)


@pytest.mark.parametrize("filter_seen", [True, False])
def test_users_are_scored_in_batches_of_the_size_given(filter_seen):
    class Counting(ByNumber):
        sizes: ClassVar[list[int]] = []

        def score(self, users):
            self.sizes.append(len(users))
            return super().score(users)

    Counting.sizes.clear()
    evaluate(Counting(3), MANY, MANY_TRAIN, MANY_TEST, filter_seen=filter_seen, batch_users=8, intervals=False)
    assert max(Counting.sizes) == 8
