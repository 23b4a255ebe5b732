"""Which columns are read and how each kind is encoded."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recsys_tfrs.config import Section


class FeaturesConfig(Section):
    """Settings of the shared preprocessing layer."""

    user_columns: list[str] | None = Field(
        None, description="User columns to use; left out: all but zip codes and other ids in disguise."
    )
    item_columns: list[str] | None = Field(None, description="Item columns to use; left out: all.")
    context_columns: list[str] | None = Field(
        None,
        description="Columns about the moment of asking to use, `timestamp` being its time; left out: the context "
        "columns declared for the interactions.",
    )
    max_vocabulary: int = Field(20_000, ge=2, description="Most frequent strings kept of a categorical or text column.")
    min_frequency: int = Field(2, ge=1, description="Rarer strings of a categorical or text column become unknown.")
    hash_buckets: int = Field(
        0, ge=0, description="Hash categorical strings into this many buckets; 0: a vocabulary instead."
    )
    max_values: int = Field(8, ge=1, description="Values kept of a multi-valued column.")
    max_words: int = Field(12, ge=1, description="Words kept of a text.")
    max_distinct: int = Field(
        5_000_000, ge=1, description="Different strings of one field of a table of examples that are counted at most."
    )
    numeric: Literal["buckets", "normalized", "log"] = Field(
        "buckets",
        description="Numbers as quantile buckets, with mean 0 and variance 1, or so their logarithms (counts).",
    )
    numeric_buckets: int = Field(20, ge=2, description="Quantile buckets of a numeric column.")
    max_history: int = Field(1_000, ge=1, description="Newest items kept of a user's history.")
