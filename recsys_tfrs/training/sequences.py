"""Training batches of sequences in which every item but the first is to be predicted from what came before it.

Three ways to lay them out:

* `SequenceBatches`: whole sequences side by side, among others of nearly the same length, so that padding is little.
* `SessionParallelBatches`: each row of a batch walks through one sequence after the other and the next batch goes on
  where this one ends, so that there is no padding at all; the hidden state is carried from batch to batch, and emptied
  where a sequence starts. Hidasi et al., Session-based recommendations with recurrent neural networks, ICLR 2016,
  section 3.1.2 (https://arxiv.org/abs/1511.06939).
* `WindowBatches`: each target with the items right before it, as the TFRS tutorial on sequential retrieval has it
  (https://www.tensorflow.org/recommenders/examples/sequential_retrieval).

All of it is gathers inside tf.data, and every batch a function of (seed, global step); the model keeps the state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.data.gaps import gap_buckets
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.training.pieces import Pieces, pieces
from recsys_tfrs.training.steps import Batch, endless, permuted, step_seed
from recsys_tfrs.training.targets import TargetBatches

#: Lengths up to this have a bucket each; beyond, one bucket spans lengths that differ by an eighth.
_EXACT_LENGTHS = 8

#: Most targets of a batch that grows with the data.
LARGEST_BATCH = 8_192

#: Salt that tells the order of batches from the order of rows.
_ORDER_SALT = 1 << 20


class NextItemBatches(Protocol):
    """Batches of sequences.

    Each element is a dict, times coming first in its shapes, of
    ``inputs``: ``[times, rows]`` int32 internal item ids, 0 where a row has ended,
    ``targets``: ``[times, rows]`` int32 the items that came next, 0 where none is to be predicted,
    ``weights``: ``[times, rows]`` float32 of the targets, only where interactions have weights,
    ``ratings``: ``[times, rows]`` float32 of the inputs, only where the data has ratings,
    ``gaps``: ``[times, rows]`` int32 bucket of the time before each input, only where it is to be read,
    ``starts``: ``[times, rows]`` bool whether a sequence starts there, only where the hidden state is carried,
    ``seed``: ``[2]`` int32 for stateless random operations of this step.
    """

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one pass."""

    @property
    def examples_per_epoch(self) -> int:
        """Targets of one pass."""

    @property
    def queries_per_batch(self) -> int:
        """Targets of a batch, at most."""

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """Endless batches from a global step on."""


@dataclass(frozen=True)
class SequenceBatches:
    """Whole sequences, bucketed by length. Made by `sequence_batches`.

    Attributes:
      pieces: shortest first.
      first, size: ``[num_buckets]`` where the pieces of each bucket begin, and how many they are.
      rows: ``[num_buckets]`` of a batch.
      width: ``[num_buckets]`` longest of its pieces.
      seed: of order and dropout.
      with_gaps: add the times between inputs.
    """

    pieces: Pieces
    first: NDArray[np.int64]
    size: NDArray[np.int64]
    rows: NDArray[np.int64]
    width: NDArray[np.int64]
    seed: int
    with_gaps: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one pass."""
        return int((-(-self.size // self.rows)).sum())

    @property
    def examples_per_epoch(self) -> int:
        """Targets of one pass."""
        return self.pieces.num_targets

    @property
    def queries_per_batch(self) -> int:
        """Targets of a batch, at most."""
        return int((self.rows * self.width).max())

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """See `NextItemBatches`; no hidden state is carried."""
        element = _columns(self.pieces.histories, self.with_gaps)
        starts, sizes = tf.constant(self.pieces.starts), tf.constant(self.pieces.sizes)
        first, size, rows, width = map(tf.constant, (self.first, self.size, self.rows, self.width))
        ends = tf.constant(np.cumsum(-(-self.size // self.rows)))
        steps = self.steps_per_epoch

        def batch(step: tf.Tensor) -> Batch:
            epoch = step // steps
            place = permuted(step % steps, steps, tf.stack([tf.constant(self.seed + _ORDER_SALT, tf.int64), epoch]))
            bucket = tf.searchsorted(ends, place[None], side="right")[0]
            within = place - tf.concat([[0], ends], axis=0)[bucket]
            low = within * rows[bucket]
            slots = tf.range(low, tf.minimum(low + rows[bucket], size[bucket]))
            key = tf.stack([tf.constant(self.seed, tf.int64), epoch * len(self.first) + tf.cast(bucket, tf.int64)])
            chosen = first[bucket] + permuted(slots, size[bucket], key)
            times = tf.range(width[bucket])[:, None]
            here = times < tf.gather(sizes, chosen)
            return element(tf.gather(starts, chosen) + times, here, here) | step_seed(self.seed, step)

        return endless(batch, first_step)


def sequence_batches(histories: Histories, *, batch_size: int, max_length: int, seed: int) -> SequenceBatches:
    """Batches of about `batch_size` targets, each of sequences of nearly the same length.

    Args:
      histories: the sequences.
      batch_size: targets of a batch.
      max_length: longer sequences are cut into pieces, see `pieces`.
      seed: of order and dropout.

    Raises:
      DataError: no sequence holds two items.
    """
    cut = pieces(histories, max_length).by_size()
    # One bucket for each power of 9/8.
    grown = _EXACT_LENGTHS + np.ceil(np.log(np.maximum(cut.sizes, _EXACT_LENGTHS) / _EXACT_LENGTHS) / np.log(1.125))
    code = np.where(cut.sizes <= _EXACT_LENGTHS, cut.sizes, grown)
    first = _filled(np.flatnonzero(np.append(True, code[1:] != code[:-1])), np.cumsum(cut.sizes), batch_size)
    size = np.diff(np.append(first, len(code)))
    width = cut.sizes[first + size - 1]
    steps = -(-size // np.maximum(1, batch_size // width))
    return SequenceBatches(cut, first, size, -(-size // steps), width, seed)


def _filled(first: NDArray[np.int64], targets: NDArray[np.int64], batch_size: int) -> NDArray[np.int64]:
    """The beginnings of buckets, without those of buckets that would not fill a batch: they join the one before.

    Args:
      first: ``[num_buckets]`` where the pieces of each begin.
      targets: ``[num_pieces]`` of each piece and all before it.
      batch_size: targets of a batch.
    """
    before = np.where(first > 0, targets[first - 1], 0)
    kept = [0]
    for bucket in range(1, len(first)):
        if before[bucket] - before[kept[-1]] >= batch_size and targets[-1] - before[bucket] >= batch_size:
            kept.append(bucket)
    return first[kept]


@dataclass(frozen=True)
class SessionParallelBatches:
    """Sequences one after the other in every row, the hidden state carried. Made by `session_parallel_batches`.

    The sequences of an epoch, in random order, are one long line that is cut into `rows` stretches of equal length; a
    batch is the next `times` steps of every stretch. A sequence that falls on a cut goes on with an empty state.

    Attributes:
      pieces: whole sequences.
      rows: of a batch: sequences walked through at a time.
      times: steps of a batch, through which gradients flow back; 1 is the paper's.
      seed: of order and dropout.
      with_gaps: add the times between inputs.
    """

    pieces: Pieces
    rows: int
    times: int
    seed: int
    with_gaps: bool = False

    @property
    def _stretch(self) -> int:
        return -(-self.pieces.num_targets // self.rows)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one pass."""
        return -(-self._stretch // self.times)

    @property
    def examples_per_epoch(self) -> int:
        """Targets of one pass."""
        return self.pieces.num_targets

    @property
    def queries_per_batch(self) -> int:
        """Targets of a batch, at most."""
        return self.rows * self.times

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """See `NextItemBatches`."""
        element = _columns(self.pieces.histories, self.with_gaps)
        starts, sizes = tf.constant(self.pieces.starts), tf.constant(self.pieces.sizes)
        count, total, steps, stretch = (
            len(self.pieces.sizes),
            self.pieces.num_targets,
            self.steps_per_epoch,
            self._stretch,
        )
        rows = tf.range(self.rows, dtype=tf.int64)[None, :]

        def epoch_from(epoch: tf.Tensor) -> tf.data.Dataset:
            order = permuted(
                tf.range(count, dtype=tf.int64), count, tf.stack([tf.constant(self.seed, tf.int64), epoch])
            )
            size = tf.gather(sizes, order)
            begin, ends = tf.gather(starts, order), tf.cumsum(size)

            def batch(step: tf.Tensor) -> Batch:
                time = (step % steps) * self.times + tf.range(self.times, dtype=tf.int64)[:, None]
                place = rows * stretch + time  # on the line of all targets
                here = (time < stretch) & (place < total)
                place = tf.minimum(place, total - 1)
                which = tf.reshape(tf.searchsorted(ends, tf.reshape(place, [-1]), side="right"), tf.shape(place))
                within = place - (tf.gather(ends, which) - tf.gather(size, which))
                made = element(tf.gather(begin, which) + within, here, here)
                return made | {"starts": (within == 0) | (time == 0)} | step_seed(self.seed, step)

            low = tf.maximum(epoch * steps, first_step)
            return tf.data.Dataset.range(low, (epoch + 1) * steps).map(batch, num_parallel_calls=2, deterministic=True)

        epochs = tf.data.Dataset.range(first_step // steps, np.iinfo(np.int64).max // steps - 1)
        return epochs.flat_map(epoch_from).prefetch(4)


def session_parallel_batches(histories: Histories, *, batch_size: int, rows: int, seed: int) -> SessionParallelBatches:
    """Batches of `rows` rows and as many steps as make `batch_size` targets, one at least.

    Args:
      histories: the sequences, whatever their length.
      batch_size: targets of a batch.
      rows: sequences walked through at a time; no more than there are targets.
      seed: of order and dropout.

    Raises:
      DataError: no sequence holds two items.
    """
    whole = pieces(histories)
    return SessionParallelBatches(whole, rows, max(1, batch_size // rows), seed)


@dataclass(frozen=True)
class WindowBatches(TargetBatches):
    """Every target with at most `window` items before it, a row of its own. Made by `window_batches`.

    Attributes:
      window: most items before a target.
      with_gaps: add the times between inputs.
    """

    window: int
    with_gaps: bool = False

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """See `NextItemBatches`; a row has one target, at its last input."""
        element, drawn = _columns(self.pieces.histories, self.with_gaps), self.drawing()

        def batch(step: tf.Tensor) -> Batch:
            first, within = drawn(step)
            length = tf.minimum(within + 1, self.window)
            times = tf.range(tf.reduce_max(length))[:, None]
            made = element(first + within + 1 - length + times, times < length, times == length - 1)
            return made | step_seed(self.seed, step)

        return endless(batch, first_step)


def window_batches(histories: Histories, *, batch_size: int, window: int, seed: int) -> WindowBatches:
    """Batches of `batch_size` targets.

    Args:
      histories: the sequences.
      batch_size: targets of a batch.
      window: most items before a target.
      seed: of order and dropout.

    Raises:
      DataError: no sequence holds two items.
    """
    whole = pieces(histories)
    return WindowBatches(whole, min(batch_size, whole.num_targets), seed, window)


def next_item_batches(
    histories: Histories,
    *,
    batch_size: int,
    seed: int,
    examples: Literal["sequences", "session-parallel", "windows"],
    max_length: int,
    most_batches: int,
    rows: int,
    window: int,
    with_gaps: bool = False,
) -> NextItemBatches:
    """Batches in the layout called `examples`; each layout takes of the other arguments what it needs.

    Under ``sequences``, where batches of `batch_size` would be more than `most_batches` (0: however many), batches grow
    with the data, up to `LARGEST_BATCH` targets.

    Raises:
      DataError: no sequence holds two items.
    """
    if examples == "session-parallel":
        parallel = session_parallel_batches(histories, batch_size=batch_size, rows=rows, seed=seed)
        return replace(parallel, with_gaps=with_gaps)
    if examples == "windows":
        return replace(window_batches(histories, batch_size=batch_size, window=window, seed=seed), with_gaps=with_gaps)
    if most_batches:
        targets = int(np.maximum(histories.lengths - 1, 0).sum())
        batch_size = max(batch_size, min(targets // most_batches, LARGEST_BATCH))
    side_by_side = sequence_batches(histories, batch_size=batch_size, max_length=max_length, seed=seed)
    return replace(side_by_side, with_gaps=with_gaps)


def _columns(histories: Histories, with_gaps: bool) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Batch]:
    """A function of where the inputs stand, which of them count, and which are followed by a target."""
    # One more item stands for what follows the last input.
    tables: dict[str, tuple[Any, int]] = {
        "inputs": (np.append(histories.items, np.int32(0)), 0),
        "targets": (np.append(histories.items, np.int32(0)), 1),
    }
    if histories.weights is not None:
        tables["weights"] = (np.append(histories.weights, np.float32(0)), 1)
    if histories.ratings is not None:
        tables["ratings"] = (np.append(histories.ratings, np.float32(0)), 0)
    if with_gaps:
        tables["gaps"] = (np.append(gap_buckets(histories), np.int32(0)), 0)
    constants = {name: (tf.constant(table), ahead) for name, (table, ahead) in tables.items()}
    last = len(histories.items) - 1

    def element(where: tf.Tensor, has_input: tf.Tensor, has_target: tf.Tensor) -> Batch:
        where = tf.clip_by_value(where, 0, last)
        made = {}
        for name, (table, ahead) in constants.items():
            values = tf.gather(table, where + ahead)
            made[name] = tf.where(has_target if ahead else has_input, values, tf.zeros_like(values))
        return made

    return element
