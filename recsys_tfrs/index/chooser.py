"""Which index a catalogue gets."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.errors import MissingExtraError
from recsys_tfrs.index.config import IndexConfig, Kind
from recsys_tfrs.index.exact import ExactIndex
from recsys_tfrs.index.interface import Index
from recsys_tfrs.index.scann_index import ScannIndex

#: Below this many items one matrix product is as fast as anything, and exact.
EXACT_BELOW = 20_000

#: Below this many items scoring all quantised candidates is cheaper than learning and walking a tree.
FLAT_BELOW = 100_000


def choose_kind(num_items: int) -> Kind:
    """The kind of index that suits a catalogue of `num_items` items."""
    if num_items < EXACT_BELOW:
        return "exact"
    return "scann-flat" if num_items < FLAT_BELOW else "scann-tree"


def build_index(
    vectors: NDArray[Any] | tf.Tensor,
    config: IndexConfig | None = None,
    *,
    kind: Literal["auto", "exact", "scann-flat", "scann-tree"] = "auto",
    allowed: NDArray[np.bool_] | None = None,
) -> Index:
    """Index candidate vectors.

    Args:
      vectors: ``[num_items + 1, dim]`` by internal id; row 0 is padding and never returned.
      config: settings of the index.
      kind: how to search; ``auto`` takes `config.kind`, and where that is ``auto`` too, `choose_kind`'s, or the exact
        index with a warning where ScaNN is missing.
      allowed: ``[num_items + 1]`` False for items never to be returned; None allows all.

    Raises:
      DataError: nothing that may be returned, or vectors that are not finite.
      MissingExtraError: ScaNN was named and cannot be imported.
    """
    config = config or IndexConfig()
    named = config.kind if kind == "auto" else kind
    chosen = choose_kind(len(vectors) - 1) if named == "auto" else named
    if chosen == "exact":
        return ExactIndex(vectors, allowed)
    try:
        return ScannIndex(vectors, config, chosen, allowed)
    except MissingExtraError as error:
        if named != "auto":
            raise
        warnings.warn(f"{error} The exact index is used.", stacklevel=2)
        return ExactIndex(vectors, allowed)
