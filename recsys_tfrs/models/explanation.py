"""Why a ranking model predicts what it does: what each field, and each pair of fields, adds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.features.fields import EncodedExamples
from recsys_tfrs.layers.field_embeddings import Fields
from recsys_tfrs.models.ranker import Ranker

#: Rows over which pairs are averaged.
_ROWS = 20_000


@dataclass(frozen=True)
class Explanation:
    """One prediction taken apart; log-odds for a binary target, standard deviations for a rating.

    Attributes:
      prediction: probability or rating of the first target.
      bias: what is said before any field is read.
      parts: what each part adds.
      weights: first-order weight of each field; empty without that part.
      pairs: ``<v_i, v_j>`` of each pair of fields; empty without that part.
      effects: by how much the prediction would change if nothing were known of a field, all parts together, with the
        sign turned: positive where the field speaks for a greater prediction.
    """

    prediction: float
    bias: float
    parts: dict[str, float]
    weights: dict[str, float]
    pairs: dict[tuple[str, str], float]
    effects: dict[str, float]


def explain_row(model: Ranker, example: EncodedExamples) -> Explanation:
    """Take the prediction of one row apart.

    Raises:
      ValueError: there is not exactly one row.
    """
    if len(example) != 1:
        raise ValueError(f"One row is explained at a time, got {len(example)}.")
    names = model.preprocessor.layout.names
    fields = model.fields({name: tf.constant(values) for name, values in example.columns.items()})
    # Row 0 is the example as it is, row i + 1 the same with field i silent.
    heard = tf.concat([tf.ones([1, len(names)]), 1.0 - tf.eye(len(names))], axis=0)
    many = Fields(fields.vectors * heard[:, :, None], fields.weights * heard)
    outputs = model.outputs_of_fields(many)
    predicted = model.predictions(model.total(outputs)).numpy()[:, 0]
    products = _products(fields)[0]
    return Explanation(
        prediction=float(predicted[0]),
        bias=float(model.bias.numpy()[0]),
        parts={part: float(output.numpy()[0, 0]) for part, output in outputs.items()},
        weights=_by_name(names, fields.weights.numpy()[0]) if "linear" in model.parts else {},
        pairs=_pairs(names, products) if "fm" in model.parts else {},
        effects=_by_name(names, predicted[0] - predicted[1:]),
    )


def strongest_pairs(model: Ranker, examples: EncodedExamples) -> dict[tuple[str, str], float]:
    """Mean size ``|<v_i, v_j>|`` of each pair of fields over some rows, greatest first; empty without that part."""
    if "fm" not in model.parts:
        return {}
    total, low = np.zeros(()), 0
    rows = examples.take(slice(0, _ROWS))
    for low in range(0, len(rows), 2_048):
        part = rows.take(slice(low, low + 2_048))
        fields = model.fields({name: tf.constant(values) for name, values in part.columns.items()})
        total = total + np.abs(_products(fields)).sum(axis=0)
    found = _pairs(model.preprocessor.layout.names, total / max(len(rows), 1))
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _products(fields: Fields) -> NDArray[np.float32]:
    """``[batch, num_fields, num_fields]`` products of the fields' vectors."""
    products: NDArray[np.float32] = tf.matmul(fields.vectors, fields.vectors, transpose_b=True).numpy()
    return products


def _pairs(names: list[str], products: NDArray[np.floating]) -> dict[tuple[str, str], float]:
    return {(names[i], names[j]): float(products[i, j]) for i in range(len(names)) for j in range(i + 1, len(names))}


def _by_name(names: list[str], values: NDArray[np.floating]) -> dict[str, float]:
    return dict(zip(names, map(float, values), strict=True))
