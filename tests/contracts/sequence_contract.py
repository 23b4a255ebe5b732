"""What every family promises that learns what comes next; its test file inherits `SequenceContract`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from contracts.model_contract import ModelContract, Way
from contracts.tiny_data import all_rows, checkerboard, interactions_of


class SequenceContract(ModelContract):
    """The contract of every family, of data in which order tells something.

    The leak detector looks at the last items, which are what a model that has seen them knows by heart.

    Attributes:
      general: settings under which it cannot learn sequences by heart.
    """

    general: ClassVar[Way] = {}
    leak_split: ClassVar[str] = "leave-last-out"
    leak_training: ClassVar[dict[str, Any]] = {"epochs": 20, "batch_size": 500}

    def test_overfits_eight_rows(self) -> None:
        """Four users, two items of their own each: who has done the first does the second."""
        data = interactions_of(np.repeat([1, 2, 3, 4], 2), np.arange(1, 9), 4, 8)
        histories = all_rows(data)
        model = self.trained(data, histories, self.remember, epochs=60)
        loss = float(model.compute_loss(next(iter(self.batches(histories, 8).dataset()))))
        assert 0 <= loss < 0.05
        first = tf.RaggedTensor.from_row_lengths(tf.constant([1, 3, 5, 7]), [1, 1, 1, 1])
        scores = model.query_vectors(tf.zeros([4], tf.int32), first) @ tf.transpose(model.candidate_vectors())
        assert scores.numpy()[:, 1:].argmax(axis=1).tolist() == [1, 3, 5, 7]

    def test_learns_the_checkerboard(self, way: Way) -> None:
        """In random order, as nothing comes after what always comes last."""
        board, withheld = checkerboard(20)
        times = 10**9 + np.random.default_rng(1).permutation(len(board))
        histories = all_rows(replace(board, timestamps=times.astype(np.int64)))
        model = self.trained(board, histories, {**way, **self.general}, epochs=40, batch_size=100)
        ranking = self.ranked(model, histories, np.arange(1, 21, dtype=np.int32), withheld)
        assert ranking.num_candidates.tolist() == [11] * 20
        assert ranking.greater.tolist() == [0] * 20
