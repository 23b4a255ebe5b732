"""Training batches of choices: an interaction, and beside it items that its user did not touch, drawn anew each time.

Every batch is a function of (seed, global step) alone, as in `recsys_tfrs.training.examples`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.pairs import UntouchedItems
from recsys_tfrs.features.fields import EncodedExamples
from recsys_tfrs.features.pair_examples import ItemFields
from recsys_tfrs.training.examples import ExampleBatches, batch_of

#: Of the generator that draws items, beside the seed and the step.
_SALT = 61


@dataclass(frozen=True)
class Alternatives:
    """What could have been chosen.

    Attributes:
      chosen: ``[num_rows]`` int32 item of each example.
      items: what encoded examples hold of each item.
      untouched: draws items.
      count: items drawn beside each that was chosen.
    """

    chosen: NDArray[np.int32]
    items: ItemFields
    untouched: UntouchedItems
    count: int


@dataclass(frozen=True)
class ChoiceBatches(ExampleBatches):
    """A data set of choices, each once an epoch; `batch_size` counts choices.

    Items that are drawn stay in memory for a step: an epoch needs no more than the examples.

    Attributes:
      alternatives: items beside those of the examples.
    """

    alternatives: Alternatives = field(kw_only=True)

    @property
    def examples_per_epoch(self) -> int:
        """Rows visited in an epoch, drawn ones included."""
        return self.num_rows * (1 + self.alternatives.count)

    def drawn(self, rows: NDArray[np.int64], step: int) -> NDArray[np.int32]:
        """``[num_rows, count]`` items that a step has beside examples, 0 where none was found."""
        if self.examples.groups is None:
            raise ValueError("Whose choices they are has to be known.")
        count, rng = self.alternatives.count, np.random.default_rng((self.seed, _SALT, step))
        users = np.repeat(self.examples.groups[rows], count)
        return self.alternatives.untouched.draw(users, rng).reshape(-1, count)

    def beside(self, rows: NDArray[np.int64], drawn: NDArray[np.int32]) -> EncodedExamples:
        """Examples, each followed by the same with the items drawn.

        Their target is 0, and not known (NaN) where none was found, so that a batch always has as many rows.
        """
        chosen, length = self.examples.take(rows), 1 + drawn.shape[1]
        targets = np.concatenate([chosen.targets, np.where(drawn > 0, 0, np.nan).astype(np.float32)], axis=1)
        return EncodedExamples(
            self.alternatives.items.beside(chosen.columns, drawn),
            targets.reshape(-1, 1),
            None if chosen.weights is None else np.repeat(chosen.weights, length),
            None if chosen.groups is None else np.repeat(chosen.groups, length),
        )

    def _batch(self, rows: NDArray[np.int64], step: int) -> dict[str, Any]:
        """As `ExampleBatches` gives, with each row's list in the batch and its place there, and how often it is drawn.

        ``places``: ``[rows, 2]`` int32, ``log_q``: ``[rows]`` float32, see `UntouchedItems`.
        """
        drawn = self.drawn(rows, step)
        items = np.concatenate([self.alternatives.chosen[rows][:, None], drawn], axis=1)
        places = np.moveaxis(np.indices(items.shape, np.int32), 0, -1).reshape(-1, 2)
        batch = batch_of(self.beside(rows, drawn), slice(None), self.seed, step)
        return batch | {"places": places, "log_q": self.alternatives.untouched.log_q[items.ravel()]}
