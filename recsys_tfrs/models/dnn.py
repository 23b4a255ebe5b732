"""A deep network over field embeddings: interactions of any order, none of them spelled out.

Zhang et al., Deep learning over multi-field categorical data, ECIR 2016 (https://arxiv.org/abs/1601.02376), without its
pre-training.
"""

from __future__ import annotations

from pydantic import Field

from recsys_tfrs.models.ranker import TRAINING as TRAINING
from recsys_tfrs.models.ranker import Part, RankerConfig, builder


class Config(RankerConfig):
    """Settings of `dnn`."""

    parts: list[Part] = Field(["deep"], min_length=1, description="What the prediction is the sum of.")


build = builder("dnn")
