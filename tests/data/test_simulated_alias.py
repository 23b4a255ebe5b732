"""Alias tables hold exactly the distributions they were made of."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys_tfrs.data.simulated_alias import AliasTables, build_alias_tables


def distribution(tables: AliasTables) -> np.ndarray:
    """Mass of each outcome: what its own column keeps and what other columns hand over, over the width."""
    keep = tables.keep.astype(np.float64).reshape(-1, tables.width)
    alias = tables.alias.reshape(-1, tables.width)
    mass = keep.copy()
    np.add.at(mass, (np.arange(len(mass))[:, None], alias), 1.0 - keep)
    return mass / tables.width


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 6), st.integers(1, 12)),
        elements=st.sampled_from([0.0, 1e-9, 0.1, 1.0, 1.0, 3.0, 1e6]),
    ).filter(lambda w: (w.sum(1) > 0).all())
)
def test_tables_hold_their_weights(weights: np.ndarray) -> None:
    tables = build_alias_tables(weights)
    np.testing.assert_allclose(distribution(tables), weights / weights.sum(1, keepdims=True), atol=1e-6)
    assert distribution(tables)[weights == 0].sum() == 0.0


def test_draws_follow_the_weights() -> None:
    tables = build_alias_tables(np.array([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]]))
    drawn = tables.draw(np.tile([0, 1], 20_000).reshape(20_000, 2), np.random.default_rng(0))
    shares = [np.bincount(drawn[:, row], minlength=3) / 20_000 for row in (0, 1)]
    # Four standard errors of a share of 20,000 draws are at most 4 * 0.5 / sqrt(20,000) = 0.014.
    np.testing.assert_allclose(shares, [[0.25, 0.0, 0.75], [0.5, 0.5, 0.0]], atol=0.014)
    assert shares[0][1] == 0.0
    assert shares[1][2] == 0.0
