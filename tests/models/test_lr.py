"""The family `lr`."""

from __future__ import annotations

from contracts.ranker_contract import RankerContract


class TestLR(RankerContract):
    family = "lr"
    has_vectors = False
    sees_pairs = False
