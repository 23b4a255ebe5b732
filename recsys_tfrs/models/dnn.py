"""A deep network over field embeddings: interactions of any order, none of them spelled out.

Zhang et al., Deep learning over multi-field categorical data, ECIR 2016 (https://arxiv.org/abs/1601.02376), without its
pre-training.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from recsys_tfrs.features.fields import ExamplePreprocessor
from recsys_tfrs.models.ranker import TRAINING as TRAINING
from recsys_tfrs.models.ranker import Part, Ranker, RankerConfig
from recsys_tfrs.objectives.prediction import Target


class Config(RankerConfig):
    """Settings of `dnn`."""

    parts: list[Part] = Field(["deep"], min_length=1, description="What the prediction is the sum of.")


def build(config: Config, preprocessor: ExamplePreprocessor, targets: Sequence[Target], seed: int) -> Ranker:
    """Make an untrained model.

    Args:
      config: of the model.
      preprocessor: of the fields, adapted on training rows.
      targets: what is predicted.
      seed: of the initial weights.
    """
    return Ranker(config, preprocessor, targets, seed, name="dnn")
