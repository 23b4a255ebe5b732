"""The family `dcn`."""

from __future__ import annotations

from contracts.ranker_contract import RankerContract


class TestDCN(RankerContract):
    family = "dcn"
