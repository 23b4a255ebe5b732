"""Factorization machine: a weight for every field, and for every pair of fields the product of their vectors.

Rendle, Factorization machines, ICDM 2010. With a user, an item and a history as fields it is biased matrix
factorization and SVD++ (section V of the paper).
"""

from __future__ import annotations

from pydantic import Field

from recsys_tfrs.models import ranker
from recsys_tfrs.models.ranker import Part, RankerConfig, builder

#: The family's own defaults of the ``training`` section: without hidden layers, steps may be longer.
TRAINING = {**ranker.TRAINING, "learning_rate": 1e-2}


class Config(RankerConfig):
    """Settings of `fm`."""

    parts: list[Part] = Field(["linear", "fm"], min_length=1, description="What the prediction is the sum of.")


build = builder("fm")
