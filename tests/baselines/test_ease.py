from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.baselines import ease
from recsys_tfrs.baselines.ease import EASE, EASEConfig
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DataError


def random_histories(num_users=40, num_items=15, seed=0):
    taken = np.random.default_rng(seed).random((num_users, num_items)) < 0.3
    taken[:, 4] = False  # an item nobody took
    taken[np.arange(num_users), np.arange(num_users) % 4] = True  # nobody has nothing
    _, item = np.nonzero(taken)
    offsets = np.concatenate(([0, 0], np.cumsum(taken.sum(axis=1)))).astype(np.int64)
    return Histories(offsets, (item + 1).astype(np.int32), None, None, np.arange(len(item)), num_items), taken


@pytest.mark.parametrize(("float64_items", "tolerance"), [(4000, 1e-6), (0, 1e-4)])
def test_every_column_is_the_ridge_regression_on_the_other_items(monkeypatch, float64_items, tolerance):
    """Without the closed form: each item regressed on all others, which is what diag(B) = 0 means."""
    monkeypatch.setattr(ease, "_FLOAT64_ITEMS", float64_items)
    histories, taken = random_histories()
    x = taken.astype(np.float64)
    want = np.zeros((40, 15))
    for j in range(15):
        others = np.delete(np.arange(15), j)
        a = x[:, others]
        want[:, j] = a @ np.linalg.solve(a.T @ a + 3.0 * np.eye(14), a.T @ x[:, j])
    model = EASE(EASEConfig(l2=3.0))
    model.fit(histories)
    got = model.score(np.arange(1, 41, dtype=np.int32))
    known = [j for j in range(15) if j != 4]
    np.testing.assert_allclose(got[:, 1:][:, known], want[:, known], atol=tolerance)


def test_two_items_written_out():
    # X'X = [[2, 1], [1, 1]]; item 1 from item 2: 1 / (1 + 1) = 1/2; item 2 from item 1: 1 / (2 + 1) = 1/3.
    histories = Histories(np.array([0, 0, 2, 3]), np.array([1, 2, 1], dtype=np.int32), None, None, np.arange(3), 2)
    model = EASE(EASEConfig(l2=1.0))
    model.fit(histories)
    np.testing.assert_allclose(model.score(np.array([1, 2]))[:, 1:], [[1 / 2, 1 / 3], [0, 1 / 3]], rtol=1e-6)


def test_too_many_items_are_refused_with_the_memory_they_need():
    histories, _ = random_histories()
    model = EASE(EASEConfig(max_items=13))
    # 14 items of the catalogue's 15 have interactions.
    with pytest.raises(DataError, match=r"14 items need about .* GB \(limit 13 items\)\. Raise max_items"):
        model.fit(histories)
    assert EASE(EASEConfig(max_items=14)).refusal(histories) is None


def test_memory_estimate_written_out():
    items = np.arange(1, 20_001, dtype=np.int32)
    histories = Histories(np.array([0, 0, 20_000]), items, None, None, np.arange(20_000), 20_000)
    # 20,000^2 entries of 20 bytes.
    assert "20,000 items need about 8.0 GB" in EASE().refusal(histories)


def test_a_penalty_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        EASE(EASEConfig(l2=0.0))
