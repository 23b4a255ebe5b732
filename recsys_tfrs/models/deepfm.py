"""DeepFM: a factorization machine and a deep network over the same embeddings, side by side.

Guo et al., DeepFM: a factorization-machine based neural network for CTR prediction, IJCAI 2017
(https://arxiv.org/abs/1703.04247).
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from recsys_tfrs.features.fields import ExamplePreprocessor
from recsys_tfrs.models.ranker import TRAINING as TRAINING
from recsys_tfrs.models.ranker import Part, Ranker, RankerConfig
from recsys_tfrs.objectives.prediction import Target


class Config(RankerConfig):
    """Settings of `deepfm`."""

    parts: list[Part] = Field(["linear", "fm", "deep"], min_length=1, description="What the prediction is the sum of.")


def build(config: Config, preprocessor: ExamplePreprocessor, targets: Sequence[Target], seed: int) -> Ranker:
    """Make an untrained model.

    Args:
      config: of the model.
      preprocessor: of the fields, adapted on training rows.
      targets: what is predicted.
      seed: of the initial weights.
    """
    return Ranker(config, preprocessor, targets, seed, name="deepfm")
