"""Settings of the index.

Every option of ScaNN's builder that its TensorFlow operations can build, save and load again is here;
docs/vector_index.md says which cannot, and why.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recsys_tfrs.config import Section

#: How candidates are searched: all of them, quantised all of them, or quantised in the nearest leaves of a tree.
Kind = Literal["exact", "scann-flat", "scann-tree"]


class UpperTreeConfig(Section):
    """A second tree over the leaves of the first, so that a query need not look at every leaf's centre."""

    num_leaves: int = Field(ge=2, description="Groups of leaves.")
    leaves_to_search: int = Field(ge=1, description="Groups searched per query.")
    avq: float | None = Field(None, ge=0, description="Shift of the groups' centres towards large dot products.")
    soar_lambda: float | None = Field(
        None, ge=0, description="Puts a leaf into two groups whose errors are orthogonal; the weight of orthogonality."
    )
    overretrieve_factor: float = Field(2.0, ge=1, description="Leaves fetched per leaf wanted, for SOAR's doubles.")
    scoring: Literal["float32", "bfloat16", "int8"] = Field("int8", description="Precision of the leaves' centres.")
    anisotropic_threshold: float | None = Field(
        None, gt=0, lt=1, description="Of anisotropic quantisation of the leaves' centres."
    )


class IndexConfig(Section):
    """How candidates are searched. All settings but `kind` concern ScaNN only."""

    kind: Literal["auto", "exact", "scann-flat", "scann-tree"] = Field(
        "auto",
        description="exact scores every item, scann-flat every item quantised, scann-tree the items of the nearest "
        "leaves; auto goes by the catalogue's size.",
    )
    reorder: int = Field(200, ge=1, description="Best quantised candidates that are scored again exactly.")

    # The tree.
    num_leaves: int | None = Field(
        None, ge=2, description="Leaves of the tree; left out: twice the square root of the number of items."
    )
    leaves_to_search: int | None = Field(None, ge=1, description="Leaves searched per query; left out: 5% of them.")
    min_partition_size: int = Field(50, ge=1, description="Smallest leaf that k-means leaves as it is.")
    spherical: bool = Field(False, description="Leaves by angle instead of by distance; for vectors of one length.")
    quantize_centroids: bool = Field(False, description="Centres of leaves in int8: less to read per query.")
    kmeans_plus_plus: bool = Field(False, description="Start k-means from spread centres: better leaves, built slower.")
    avq: float | None = Field(
        None, ge=0, description="Shift of the leaves' centres towards the large dot products of their items (AVQ)."
    )
    upper_tree: UpperTreeConfig | None = Field(None, description="A second tree over the leaves.")
    pca_dims: int | None = Field(None, ge=1, description="Principal components that leaves and codes see; then exact.")
    truncate_dims: int | None = Field(
        None, ge=1, description="First dimensions that leaves and codes see, for vectors trained nested."
    )

    # Scores of the items in a leaf.
    scoring: Literal["hashed", "int8", "exact"] = Field(
        "hashed",
        description="How the items of searched leaves are scored first: by their codes (asymmetric hashing), in int8, "
        "or exactly, which keeps the vectors twice more. int8 and exact need a tree.",
    )
    dimensions_per_block: int = Field(2, ge=1, description="Dimensions quantised together; fewer: more exact, slower.")
    anisotropic_threshold: float = Field(
        0.2, gt=0, lt=1, description="Of anisotropic quantisation, which favours exactness for large dot products."
    )
    hash_type: Literal["lut16", "lut256"] = Field(
        "lut16", description="Codes per block: 16 live in a register, 256 are more exact and much slower."
    )
    residual_quantization: bool | None = Field(
        None, description="Codes of the difference to the leaf's centre; left out: wherever there is a tree."
    )
    int8_reorder: int | None = Field(
        None, ge=1, description="Best hashed candidates scored again in int8 before the exact scores of `reorder`."
    )
    int8_anisotropic_threshold: float | None = Field(
        None, gt=0, lt=1, description="Of anisotropic quantisation of those int8 vectors."
    )

    # Learning.
    training_iterations: int = Field(12, ge=1, description="Iterations of k-means when leaves and codes are learned.")
    training_sample: int = Field(100_000, ge=1, description="Items that leaves and codes are learned on.")
    training_threads: int = Field(0, ge=0, description="Threads that learn; 0: as many as there are cores.")
    autopilot: bool = Field(
        False,
        description="Let ScaNN choose everything by the number of items; of the other settings only `reorder` counts.",
    )
