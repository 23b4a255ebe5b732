"""Transitions counted, against counts written out and against a loop over rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recsys_tfrs.baselines.markov_chain import MarkovChain, MarkovChainConfig
from recsys_tfrs.baselines.matrix import LOWEST
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DataError


def histories(lists, num_items):
    offsets = np.cumsum([0, 0, *map(len, lists)])
    items = np.array([item for row in lists for item in row], np.int32)
    return Histories(offsets, items, None, None, np.arange(len(items)), num_items)


LISTS = [[1, 2, 1, 2, 3], [2, 3, 3], [4], []]


def test_transitions_written_out():
    """Of nine rows 2 occurs three times, 3 three times, 1 twice, 4 once; 2 is followed by 1 once and by 3 twice."""
    chain = MarkovChain(MarkovChainConfig(smoothing=0.9))
    chain.fit(histories([[1, 2, 1, 2, 3], [2, 3, 3], [4], [], [2]], 5))
    popular = 0.9 * np.array([2, 4, 3, 1]) / 10
    np.testing.assert_allclose(chain.score(np.array([5]))[0, 1:5], popular + np.array([1, 0, 2, 0]), rtol=1e-6)
    np.testing.assert_allclose(chain.score(np.array([1, 2]))[:, 1:5], [popular + np.array([0, 0, 1, 0])] * 2, rtol=1e-6)
    # 4 was followed by nothing: popularity decides; nobody took 5.
    assert chain.score(np.array([3]))[0].argsort()[::-1][:3].tolist() == [2, 3, 1]
    assert chain.score(np.array([3]))[0, 5] == LOWEST


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_more_steps_count_by_distance(steps):
    rng = np.random.default_rng(0)
    lists = [rng.integers(1, 7, rng.integers(0, 9)).tolist() for _ in range(30)]
    chain = MarkovChain(MarkovChainConfig(steps=steps, smoothing=1e-9))
    chain.fit(histories(lists, 6))
    expected = Counter()
    for row in lists:
        for at, item in enumerate(row):
            for distance in range(1, min(steps, at) + 1):
                expected[row[at - distance], item] += 1 / distance
    chain.ask_with(histories([[first] for first in range(1, 7)], 6))
    found = chain.score(np.arange(1, 7))
    np.testing.assert_allclose(
        found[:, 1:], [[expected[i, j] for j in range(1, 7)] for i in range(1, 7)], rtol=1e-5, atol=1e-6
    )


def test_sessions_that_were_not_fitted_on_are_continued():
    chain = MarkovChain()
    chain.fit(histories(LISTS, 4))
    fitted = chain.score(np.array([1]))
    chain.ask_with(histories([[3, 1], [], [1, 3]], 4))
    scores = chain.score(np.array([1, 2, 3]))
    assert scores[0].argmax() == 2
    np.testing.assert_array_equal(scores[1, 1:], [2, 3, 3, 1])
    np.testing.assert_array_equal(scores[2], fitted[0])


def test_bad_settings_are_refused():
    for config in (MarkovChainConfig(steps=0), MarkovChainConfig(smoothing=0.0)):
        with pytest.raises(DataError, match="at least one step"):
            MarkovChain(config)
