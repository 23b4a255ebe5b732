from __future__ import annotations

import warnings

import numpy as np
import pytest

from recsys_tfrs.baselines import ials
from recsys_tfrs.baselines.ials import IALS, IALSConfig
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import DataError


def random_histories(num_users=30, num_items=10, seed=0):
    taken = np.random.default_rng(seed).random((num_users, num_items)) < 0.4
    taken[np.arange(num_users), np.arange(num_users) % 10] = True  # nobody has nothing
    _, item = np.nonzero(taken)
    offsets = np.concatenate(([0, 0], np.cumsum(taken.sum(axis=1)))).astype(np.int64)
    return Histories(offsets, (item + 1).astype(np.int32), None, None, np.arange(len(item)), num_items), taken


def loss(scores, taken, alpha):
    """Confidence-weighted squared error, without the penalty (Hu et al., equation 3)."""
    return (np.where(taken, alpha, 1.0) * (taken - scores) ** 2).sum()


def test_reaches_the_loss_of_alternating_exact_solutions():
    histories, taken = random_histories()
    alpha, penalty, dims = 3.0, 0.5, 3
    rng = np.random.default_rng(1)
    u, v = rng.normal(size=(30, dims)), rng.normal(size=(10, dims))
    confidence = np.where(taken, alpha, 1.0)
    for _ in range(200):
        for a, b, c, t in ((u, v, confidence, taken), (v, u, confidence.T, taken.T)):
            for row in range(len(a)):
                weighted = b * c[row][:, None]
                a[row] = np.linalg.solve(b.T @ weighted + penalty * np.eye(dims), weighted.T @ t[row])
    model = IALS(IALSConfig(factors=dims, regularization=penalty, alpha=alpha, iterations=200, num_threads=1))
    model.fit(histories)
    scores = model.score(np.arange(1, 31))[:, 1:]
    assert loss(scores, taken, alpha) == pytest.approx(loss(u @ v.T, taken, alpha), rel=0.02)


def test_seed_and_not_the_number_of_threads_decides():
    histories, _ = random_histories()
    scores = {}
    for seed, num_threads in ((0, 1), (0, 2), (1, 1)):
        model = IALS(IALSConfig(factors=4, iterations=2, seed=seed, num_threads=num_threads))
        model.fit(histories)
        scores[seed, num_threads] = model.score(np.arange(1, 31))
    np.testing.assert_array_equal(scores[0, 1], scores[0, 2])
    assert not np.allclose(scores[0, 1], scores[1, 1])


def test_fits_in_silence(capfd, monkeypatch):
    import implicit.utils

    monkeypatch.setattr(implicit.utils, "_checked_blas_config", False)
    histories, _ = random_histories()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        IALS(IALSConfig(factors=2)).fit(histories)
    assert capfd.readouterr() == ("", "")


def test_too_many_rows_are_refused(monkeypatch):
    histories, _ = random_histories()
    monkeypatch.setattr(ials, "MAX_ROWS", len(histories.items) - 1)
    with pytest.raises(DataError, match=f"{len(histories.items)} rows"):
        IALS().fit(histories)
