"""Deep and cross network: layers that multiply with their input, beside a deep part.

Wang et al., DCN V2: improved deep and cross network, WWW 2021 (https://arxiv.org/abs/2008.13535), the parallel
structure, on TFRS's own cross layer.
"""

from __future__ import annotations

from pydantic import Field

from recsys_tfrs.models.ranker import TRAINING as TRAINING
from recsys_tfrs.models.ranker import Part, RankerConfig, builder


class Config(RankerConfig):
    """Settings of `dcn`."""

    parts: list[Part] = Field(["cross", "deep"], min_length=1, description="What the prediction is the sum of.")


build = builder("dcn")
