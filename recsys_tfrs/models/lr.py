"""Logistic regression over fields: the first-order part alone, which interactions have to beat.

Richardson et al., Predicting clicks: estimating the click-through rate for new ads, WWW 2007.
"""

from __future__ import annotations

from pydantic import Field

from recsys_tfrs.models import ranker
from recsys_tfrs.models.ranker import Part, RankerConfig, builder

#: The family's own defaults of the ``training`` section: without hidden layers, steps may be longer.
TRAINING = {**ranker.TRAINING, "learning_rate": 1e-2}


class Config(RankerConfig):
    """Settings of `lr`."""

    parts: list[Part] = Field(["linear"], min_length=1, description="What the prediction is the sum of.")


build = builder("lr")
