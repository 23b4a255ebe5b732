"""What the stages around a model ask of a family's settings."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.config import Section
from recsys_tfrs.features.config import FeaturesConfig

#: What one row of a training batch is.
BatchesOf = Literal["users", "interactions", "pairs", "sequences", "clicks", "examples"]

FamilyConfigT = TypeVar("FamilyConfigT", bound="FamilyConfig")


class FamilyConfig(Section):
    """Base of every family's ``model`` section.

    Attributes:
      batches_of: what one row of a training batch is: a user with all of his items, an interaction, an item with its
        context, a sequence, or the newest clicks before a target.
      reads_histories: whether queries are made of what users have done, or of who they are alone.
      compiles: whether XLA can compile a training step.
      sampled_objective: value of `objective` that scores a part of the catalogue, where another scores all of it.
    """

    batches_of: ClassVar[BatchesOf] = "users"
    reads_histories: ClassVar[bool] = True
    compiles: ClassVar[bool] = True
    sampled_objective: ClassVar[str] = "in-batch"

    def history_items(self, features: FeaturesConfig) -> int | None:
        """How many of the newest items of a history enter a query; None: a query reads no history."""
        return features.max_history if self.reads_histories else None

    @property
    def ranks_new_items(self) -> bool:
        """Whether items that training has not seen are candidates under the sessions split, too."""
        return False

    @property
    def validation_metric(self) -> str:
        """What selection goes by."""
        return "ndcg@100"

    def variants(self: FamilyConfigT, has_times: bool) -> dict[str, FamilyConfigT]:
        """The settings that validation chooses from, by name; one where nothing is left to it.

        Args:
          has_times: whether the order of a user's items is known.
        """
        return {"default": self}

    def settled(self: FamilyConfigT, ratings: NDArray[np.float32] | None) -> FamilyConfigT:
        """The same with ``auto`` replaced by what goes with the data set's ratings.

        Args:
          ratings: ``[num_rows]``; None: there are none.

        Raises:
          ConfigError: settings and ratings do not go together.
        """
        return self


def ratings_differ(ratings: NDArray[np.float32] | None) -> bool:
    """Whether there are ratings, and not all are the same."""
    return ratings is not None and len(ratings) > 0 and bool(ratings.min() < ratings.max())
