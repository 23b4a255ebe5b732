"""The family `deepfm`."""

from __future__ import annotations

from contracts.ranker_contract import RankerContract


class TestDeepFM(RankerContract):
    family = "deepfm"
