"""DeepFM: a factorization machine and a deep network over the same embeddings, side by side.

Guo et al., DeepFM: a factorization-machine based neural network for CTR prediction, IJCAI 2017
(https://arxiv.org/abs/1703.04247).
"""

from __future__ import annotations

from pydantic import Field

from recsys_tfrs.models.ranker import TRAINING as TRAINING
from recsys_tfrs.models.ranker import Part, RankerConfig, builder


class Config(RankerConfig):
    """Settings of `deepfm`."""

    parts: list[Part] = Field(["linear", "fm", "deep"], min_length=1, description="What the prediction is the sum of.")


build = builder("deepfm")
