"""Sequential retrieval with GRUs: the contract of every family, and what is its own."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import tensorflow as tf
from contracts.model_contract import ModelContract, Way
from contracts.tiny_data import all_rows, checkerboard, interactions_of

from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.simulated import load_simulated, popularity_bound
from recsys_tfrs.data.splits import make_split
from recsys_tfrs.evaluation.metrics import accuracy
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.training.sequences import NextItemBatches, next_item_batches


class TestContract(ModelContract):
    family: ClassVar[str] = "gru"
    small: ClassVar[Way] = {"dim": 16, "units": [24], "dropout": 0.0, "unknown_rate": 0.1}
    ways: ClassVar[list[Way]] = [
        {"examples": "sequences"},
        {"examples": "session-parallel", "rows": 5, "input": "embedding"},
        {"examples": "windows", "window": 4, "objective": "cross-entropy", "input": "one-hot"},
    ]
    everything: ClassVar[Way] = {
        "units": [24, 16],
        "dropout": 0.2,
        "input_dropout": 0.2,
        "unknown_rate": 0.2,
        "item_bias": True,
    }
    capable: ClassVar[Way] = {"dim": 64, "units": [128]}
    #: Settings under which it cannot learn sequences by heart.
    general: ClassVar[Way] = {"dim": 8, "units": [8], "temperature": 0.3, "dropout": 0.3}
    remember: ClassVar[Way] = {"normalize": False, "temperature": 1.0, "unknown_rate": 0.0}

    def made(
        self,
        interactions: Interactions,
        histories: Histories | None = None,
        way: Way | None = None,
        *,
        features: FeaturesConfig | None = None,
        seed: int = 1,
    ) -> tf.keras.Model:
        """As the contract's; remembers how the model's batches are laid out."""
        self._layout = self.config(way).sequences()
        return super().made(interactions, histories, way, features=features, seed=seed)

    def batches(self, histories: Histories, batch_size: int, seed: int = 1) -> NextItemBatches:
        """Sequences, laid out as the model made last takes them."""
        layout = getattr(self, "_layout", None) or self.config().sequences()
        return next_item_batches(histories, batch_size=batch_size, seed=seed, **layout)

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

    def test_finds_nothing_where_there_is_nothing_to_find(self) -> None:
        """As the contract's, of the last items, which are what a model that has seen them knows by heart."""
        data = load_simulated("simulated-tiny-unlearnable")
        split = make_split(data, "leave-last-out")
        histories = build_histories(data, split.train)
        bound = popularity_bound(data, split, k=10)
        error = math.sqrt(bound * (1 - bound) / len(split.test))
        hits = []
        for known in (histories, all_rows(data)):
            model = self.trained(data, known, self.capable, epochs=20, batch_size=500)
            ranking = self.ranked(model, histories, data.users[split.test], data.items[split.test])
            hits.append(accuracy(ranking)["hit@10"])
        chance = float(np.minimum(10 / ranking.num_candidates, 1).mean())
        honest, leaking = hits
        assert chance - 3 * error < honest < bound + 3 * error
        assert leaking > bound + 3 * error
