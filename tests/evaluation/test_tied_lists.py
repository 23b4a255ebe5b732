from __future__ import annotations

from itertools import permutations
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from recsys_tfrs.evaluation.tied_lists import auc_influence, list_auc, list_dcg, tie_blocks

# Few distinct scores, so that many are tied.
rows = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30)


def both_classes(labels):
    return 0 < labels.sum() < len(labels)


def sorted_rows(drawn):
    scores, labels = (np.array(column) for column in zip(*sorted(drawn), strict=True))
    return scores.astype(float), labels.astype(bool)


def test_auc_by_hand():
    """Of positives .2 .5 .9 and negatives .1 .5, pairs right: 1 of 2, 1.5 of 2, 2 of 2."""
    scores, labels = np.array([0.1, 0.2, 0.5, 0.5, 0.9]), np.array([False, True, False, True, True])
    auc, weight = list_auc(tie_blocks(scores), labels, np.ones(5))
    assert auc == pytest.approx([4.5 / 6])
    assert weight == [5.0]


def test_lists_are_told_apart_even_where_scores_meet():
    """The second list begins with the score that ends the first; the others have one class each."""
    scores, lists = np.array([1.0, 2, 2, 3, 1, 5, 2]), np.array([4, 4, 7, 7, 9, 9, 11])
    labels = np.array([False, True, True, False, True, True, False])
    blocks = tie_blocks(scores, lists)
    assert blocks.list_bounds.tolist() == [0, 2, 4, 6, 7]
    auc, weight = list_auc(blocks, labels, np.array([1.0, 1, 2, 3, 1, 1, 4]))
    assert auc.tolist()[:2] == [1.0, 0.0]
    assert np.isnan(auc[2:]).all()
    assert weight.tolist() == [2, 5, 2, 4]


@settings(max_examples=50, deadline=None)
@given(rows)
def test_auc_is_the_mann_whitney_statistic(drawn):
    scores, labels = sorted_rows(drawn)
    if both_classes(labels):
        statistic = mannwhitneyu(scores[labels], scores[~labels], method="asymptotic").statistic
        auc, _ = list_auc(tie_blocks(scores), labels, np.ones(len(scores)))
        assert auc[0] == pytest.approx(statistic / labels.sum() / (~labels).sum())


@settings(max_examples=30, deadline=None)
@given(rows, st.integers(0, 2**31))
def test_influence_is_the_derivative_by_how_often_a_row_counts(drawn, seed):
    scores, labels = sorted_rows(drawn)
    if not both_classes(labels):
        return
    weights = np.random.default_rng(seed).uniform(0.5, 2, len(scores))
    blocks = tie_blocks(scores)
    auc = list_auc(blocks, labels, weights)[0][0]
    influence = auc_influence(blocks, labels, weights, auc)
    assert influence.sum() == pytest.approx(0, abs=1e-12)
    step = 1e-6
    for row in (0, len(scores) - 1):
        more = weights.copy()
        more[row] *= 1 + step
        assert influence[row] == pytest.approx((list_auc(blocks, labels, more)[0][0] - auc) / step, abs=1e-5)


def test_dcg_is_the_mean_over_all_orders_of_equal_scores():
    """Scores 3, 2, 2, 2, 1: the three in the middle stand in any of six orders."""
    gains = {3.0: [1.0], 2.0: [7.0, 0.0, 3.0], 1.0: [15.0]}
    for k in (1, 2, 3, 4, 5, 9):
        expected = np.mean(
            [
                sum(gain / log2(place + 2) for place, gain in enumerate([1.0, *middle, 15.0]) if place < k)
                for middle in permutations(gains[2.0])
            ]
        )
        ascending = np.array([15.0, 7, 0, 3, 1])
        assert list_dcg(tie_blocks(np.array([1.0, 2, 2, 2, 3])), ascending, k) == pytest.approx([expected])


def test_dcg_of_each_list_starts_at_its_own_first_place():
    blocks = tie_blocks(np.array([1.0, 2, 5, 6, 7]), np.array([0, 0, 1, 1, 1]))
    got = list_dcg(blocks, np.array([1.0, 0, 4, 2, 0]), 2)
    assert got == pytest.approx([1 / log2(3), 2 / log2(3)])
