"""The family `dnn`."""

from __future__ import annotations

from contracts.ranker_contract import RankerContract


class TestDNN(RankerContract):
    family = "dnn"
