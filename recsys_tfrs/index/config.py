"""Settings of the index."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recsys_tfrs.config import Section

#: How candidates are searched: all of them, quantised all of them, or quantised in the nearest leaves of a tree.
Kind = Literal["exact", "scann-flat", "scann-tree"]


class IndexConfig(Section):
    """How candidates are searched. All settings but `kind` concern ScaNN only."""

    kind: Literal["auto", "exact", "scann-flat", "scann-tree"] = Field(
        "auto",
        description="exact scores every item, scann-flat every item quantised, scann-tree the items of the nearest "
        "leaves; auto goes by the catalogue's size.",
    )
    num_leaves: int | None = Field(
        None, ge=2, description="Leaves of the tree; left out: twice the square root of the number of items."
    )
    leaves_to_search: int | None = Field(None, ge=1, description="Leaves searched per query; left out: 5% of them.")
    dimensions_per_block: int = Field(2, ge=1, description="Dimensions quantised together; fewer: more exact, slower.")
    anisotropic_threshold: float = Field(
        0.2, gt=0, lt=1, description="Of anisotropic quantisation, which favours exactness for large dot products."
    )
    reorder: int = Field(200, ge=1, description="Best quantised candidates that are scored again exactly.")
    training_iterations: int = Field(12, ge=1, description="Iterations of k-means when leaves and codes are learned.")
    training_sample: int = Field(100_000, ge=1, description="Items that leaves and codes are learned on.")
