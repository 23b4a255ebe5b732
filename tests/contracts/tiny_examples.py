"""Small tables of examples, made for tests."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.examples import Examples, InMemory
from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.example_encoding import adapt_encoders, encode_examples
from recsys_tfrs.features.fields import EncodedExamples, ExamplePreprocessor
from recsys_tfrs.schema import Kind


def examples_of(
    num_rows: int,
    *,
    depends_on: Literal["none", "one", "two"] = "none",
    ids: int = 6,
    targets: list[str] | None = None,
    weights: NDArray[Any] | None = None,
    seed: int = 0,
) -> Examples:
    """Rows with two fields of one value, one of several, and a number.

    Args:
      num_rows: rows.
      depends_on: what decides the labels: chance, the field ``left``, or whether ``left`` and ``right`` agree in being
        odd.
      ids: values of ``left`` and of ``right``.
      targets: ``click`` and ``rating``; None: a click.
      weights: of the rows.
      seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    left, right = rng.integers(0, ids, num_rows), rng.integers(0, ids, num_rows)
    chance = rng.random(num_rows) < 0.4
    positive = {"none": chance, "one": left % 2 == 1, "two": left % 2 == right % 2}[depends_on]
    words = [tuple(f"w{w}" for w in rng.integers(0, 5, rng.integers(0, 4))) for _ in range(num_rows)]
    several = np.empty(num_rows, dtype=object)
    several[:] = words
    labels = {
        "click": positive.astype(np.float32),
        "rating": np.where(positive, rng.integers(4, 6, num_rows), rng.integers(1, 3, num_rows)).astype(np.float32),
    }
    columns = {
        "left": FeatureColumn("left", Kind.CATEGORICAL, np.array([f"l{v}" for v in left], dtype=object)),
        "right": FeatureColumn("right", Kind.CATEGORICAL, np.array([f"r{v}" for v in right], dtype=object)),
        "words": FeatureColumn("words", Kind.MULTI_CATEGORICAL, several),
        "size": FeatureColumn("size", Kind.NUMERIC, rng.normal(size=num_rows).astype(np.float32)),
    }
    return Examples(
        columns,
        {name: labels[name] for name in (targets or ["click"])},
        weights=None if weights is None else weights.astype(np.float32),
    )


def encoded(examples: Examples, **features: Any) -> tuple[EncodedExamples, ExamplePreprocessor]:
    """The examples as models read them, and the layer that encodes them so."""
    config = FeaturesConfig(**{"min_frequency": 1, "numeric": "normalized", **features})
    source = InMemory(examples)
    layer = ExamplePreprocessor(adapt_encoders(source, config))
    return encode_examples(source, layer, list(examples.targets)), layer
