"""The family `fm`."""

from __future__ import annotations

from contracts.ranker_contract import RankerContract


class TestFM(RankerContract):
    family = "fm"
