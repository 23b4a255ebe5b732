"""What every family of models promises; its test file inherits `ModelContract` and says how it is made small.

A test gets each of the family's ways of training (`ModelContract.ways`) by asking for ``way``; see
tests/models/conftest.py.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow as tf
from contracts.tiny_data import all_rows, checkerboard, interactions_of, random_interactions
from numpy.typing import NDArray

from recsys_tfrs.config import Section, build, read_toml, to_toml
from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.simulated import load_simulated, popularity_bound
from recsys_tfrs.data.splits import make_split
from recsys_tfrs.evaluation.metrics import accuracy
from recsys_tfrs.evaluation.ranking import Ranking, rank
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.models.registry import family_module
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.training.fit import Batches
from recsys_tfrs.training.pipeline import InteractionBatches, user_batches

Way = dict[str, Any]
Ids = NDArray[np.int32]


def without(histories: Histories, *columns: str) -> Histories:
    """The same histories, with what is named left out."""
    parts = {
        name: getattr(histories, name) for name in ("offsets", "items", "ratings", "timestamps", "rows", "weights")
    }
    return Histories(**{**parts, **dict.fromkeys(columns)}, num_items=histories.num_items)


class ModelContract:
    """Attributes to set in a family's test class.

    Attributes:
      family: its name in the registry.
      small: settings that make the model small.
      ways: settings under each of which it must train, at least one.
      everything: settings under which every part of the model is in use.
      capable: settings under which it can learn a thousand rows by heart.
      remember: settings under which nothing is withheld from the query, so that it can learn rows by heart.
      least_loss: what is left of the loss of users with two items each, known by heart. A softmax cannot tell which
        of the two comes next, and keeps log 2.
      describes_items: whether an item without training rows is placed by its columns.
      learning_rate: step size of Adam.
      leak_split, leak_training: of the leak detector: the split, and how its models are trained; `capable` ones that
        know the test rows by heart after that are found out.
    """

    family: ClassVar[str]
    small: ClassVar[Way] = {}
    ways: ClassVar[list[Way]] = [{}]
    everything: ClassVar[Way] = {}
    capable: ClassVar[Way] = {}
    remember: ClassVar[Way] = {}
    least_loss: ClassVar[float] = math.log(2)
    describes_items: ClassVar[bool] = True
    learning_rate: ClassVar[float] = 0.03
    leak_split: ClassVar[str] = "random"
    leak_training: ClassVar[dict[str, Any]] = {"epochs": 20, "batch_size": 1_000}

    # How a model of the family is made, trained and asked.

    def config(self, way: Way | None = None) -> Section:
        return family_module(self.family).Config(**{**self.small, **self.ways[0], **(way or {})})

    def made(
        self,
        interactions: Interactions,
        histories: Histories | None = None,
        way: Way | None = None,
        *,
        features: FeaturesConfig | None = None,
        seed: int = 1,
        learning_rate: float | None = None,
    ) -> tf.keras.Model:
        """An untrained, compiled model."""
        histories = histories or all_rows(interactions)
        features = features or FeaturesConfig(min_frequency=1)
        model = family_module(self.family).build(self.config(way), features, interactions, histories, seed)
        model.compile(optimizer=tf.keras.optimizers.Adam(learning_rate or self.learning_rate))
        return model

    def trained(
        self,
        interactions: Interactions,
        histories: Histories,
        way: Way | None = None,
        *,
        epochs: int,
        batch_size: int = 10_000,
        seed: int = 1,
        learning_rate: float | None = None,
    ) -> tf.keras.Model:
        model = self.made(interactions, histories, way, seed=seed, learning_rate=learning_rate)
        batches = self.batches(histories, batch_size, seed)
        model.optimizer.build(model.trainable_variables)
        model.fit(batches.dataset(), steps_per_epoch=batches.steps_per_epoch, epochs=epochs, verbose=0)
        return model

    def batches(self, histories: Histories, batch_size: int, seed: int = 1) -> Batches:
        """Training batches of the kind the family is trained on."""
        if family_module(self.family).Config.batches_of == "interactions":
            return InteractionBatches(histories, batch_size, seed)
        return user_batches(histories, batch_size=batch_size, seed=seed)

    def scores(self, model: tf.keras.Model, histories: Histories, users: list[int]) -> NDArray[np.float32]:
        """``[len(users), num_items]`` scores of the catalogue."""
        return RetrievalScorer(model, histories).score(np.array(users, dtype=np.int32))[:, 1:]

    def ranked(
        self, model: tf.keras.Model, histories: Histories, users: Ids, items: Ids, *, keep_seen: bool = False
    ) -> Ranking:
        scorer = RetrievalScorer(model, histories)
        return rank(scorer, users, items, seen=None if keep_seen else histories, num_items=histories.num_items)

    # What is promised.

    def test_builds_from_defaults(self) -> None:
        data = random_interactions(12, 9, 40)
        config = family_module(self.family).Config()
        for variant in config.variants(has_times=True).values():
            model = family_module(self.family).build(variant, FeaturesConfig(), data, all_rows(data), 1)
            assert model.candidate_vectors().shape[0] == 10
            scores = self.scores(model, all_rows(data), [1, 2, 12])
            assert scores.shape == (3, 9)
            assert np.isfinite(scores).all()
            assert np.ptp(scores, axis=1).min() > 0  # some items come before others

    def test_config_round_trip(self, way: Way, tmp_path_factory: pytest.TempPathFactory) -> None:
        config = self.config(way)
        path = tmp_path_factory.mktemp("config") / "model.toml"
        path.write_text(to_toml(config), encoding="utf-8")
        assert build(type(config), [read_toml(path)]) == config

    def loss_and_gradients(self, model: tf.keras.Model, batch: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """The loss of a batch, and its gradient by name of variable."""
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
        assert loss.shape == ()
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables)
        return float(loss), {
            f"{i} {variable.name}": None if gradient is None else tf.convert_to_tensor(gradient).numpy()
            for i, (variable, gradient) in enumerate(zip(variables, gradients, strict=True))
        }

    def test_finite_loss_and_a_gradient_for_every_variable(self, way: Way) -> None:
        """After one step, so that parts which start at zero have left it."""
        data = random_interactions(30, 20, 200)
        model = self.made(data, way={**way, **self.everything})
        first, second = self.batches(all_rows(data), 200).dataset().take(2)
        model.train_step(first)
        loss, gradients = self.loss_and_gradients(model, second)
        assert np.isfinite(loss)
        assert loss > 0
        assert [name for name, gradient in gradients.items() if gradient is None] == []
        assert [name for name, gradient in gradients.items() if not np.isfinite(gradient).all()] == []
        assert [name for name, gradient in gradients.items() if not gradient.any()] == []

    def test_trains_without_ratings_times_and_features(self, way: Way) -> None:
        data = random_interactions(12, 9, 40, features=False)
        bare = without(all_rows(data), "ratings", "timestamps")
        model = self.made(data, bare, way)
        batch = next(iter(self.batches(bare, 40).dataset()))
        loss, gradients = self.loss_and_gradients(model, batch)
        assert np.isfinite(loss)
        # Nothing is made for what the data do not have.
        assert [name for name, gradient in gradients.items() if gradient is None or not gradient.any()] == []
        assert np.isfinite(self.scores(model, bare, [1, 2])).all()

    def test_overfits_eight_rows(self) -> None:
        """Four users, two items of their own each."""
        data = interactions_of(np.repeat([1, 2, 3, 4], 2), np.arange(1, 9), 4, 8)
        histories = all_rows(data)
        model = self.trained(data, histories, self.remember, epochs=60)
        loss = float(model.compute_loss(next(iter(self.batches(histories, 8).dataset()))))
        assert self.least_loss - 1e-4 < loss < self.least_loss + 0.05
        ranking = self.ranked(model, histories, data.users, data.items, keep_seen=True)
        assert sorted(ranking.greater.tolist()) == [0] * 4 + [1] * 4

    def test_learns_the_checkerboard(self, way: Way) -> None:
        board, withheld = checkerboard(20)
        histories = all_rows(board)
        model = self.trained(board, histories, way, epochs=40, batch_size=100)
        ranking = self.ranked(model, histories, np.arange(1, 21, dtype=np.int32), withheld)
        assert ranking.num_candidates.tolist() == [11] * 20  # the item withheld and those of the other group
        assert ranking.greater.tolist() == [0] * 20
        assert ranking.ties.tolist() == [1] * 20

    def test_finds_nothing_where_there_is_nothing_to_find(self) -> None:
        """Leak detector: on shuffled data only popularity helps, up to `popularity_bound`.

        The same model, trained on the test rows as well, has to be found out, or the detector proves nothing.
        """
        data = load_simulated("simulated-tiny-unlearnable")
        split = make_split(data, self.leak_split)
        histories = build_histories(data, split.train)
        bound = popularity_bound(data, split, k=10)
        error = math.sqrt(bound * (1 - bound) / len(split.test))
        hits = []
        for known in (histories, all_rows(data)):
            model = self.trained(data, known, self.capable, **self.leak_training)
            ranking = self.ranked(model, histories, data.users[split.test], data.items[split.test])
            hits.append(accuracy(ranking)["hit@10"])
        chance = float(np.minimum(10 / ranking.num_candidates, 1).mean())
        honest, leaking = hits
        assert chance - 3 * error < honest < bound + 3 * error
        assert leaking > bound + 3 * error

    def test_unknown_users_and_empty_histories_get_something(self) -> None:
        """User 0 stands for everybody unknown; user 5 is in the data set, but not in its training rows."""
        data = random_interactions(12, 9, 40, features=False)
        histories = build_histories(data, np.flatnonzero(data.users != 5))
        model = self.made(data, histories)
        unknown, not_in_training = self.scores(model, histories, [0, 5])
        assert np.isfinite(unknown).all()
        assert len(np.unique(unknown)) > 1  # some items come before others
        np.testing.assert_allclose(unknown, not_in_training, atol=1e-6)  # rows of one product may be rounded apart
        empty = build_histories(data, np.zeros(0, dtype=np.int64))
        assert np.isfinite(self.scores(model, empty, [1, 0])).all()

    def test_an_item_unknown_to_training_is_scored_and_may_stand_in_a_history(self) -> None:
        data = random_interactions(12, 9, 60, features=True)
        histories = build_histories(data, np.flatnonzero(data.items != 4))
        model = self.made(data, histories)
        scores = self.scores(model, all_rows(data), list(range(1, 13)))
        assert np.isfinite(scores).all()
        assert (np.ptp(scores[:, 3]) > 0) == self.describes_items  # its features speak for it

    def test_of_an_over_long_history_the_newest_items_count(self) -> None:
        data = random_interactions(6, 20, 100, features=False)
        whole = without(all_rows(data), "ratings")
        model = self.made(data, whole, features=FeaturesConfig(max_history=5))
        newest = np.concatenate([whole.rows[whole.offsets[u] : whole.offsets[u + 1]][-5:] for u in range(1, 7)])
        cut = without(build_histories(data, newest), "ratings")
        assert whole.lengths[1:].min() > 5
        users = list(range(1, 7))
        np.testing.assert_allclose(self.scores(model, whole, users), self.scores(model, cut, users), atol=1e-5)
        assert np.abs(self.scores(model, cut, users) - self.scores(model, cut, [0] * 6)).max() > 1e-3

    def test_a_batch_of_n_equals_n_batches_of_one(self) -> None:
        data = random_interactions(12, 9, 40)
        histories = all_rows(data)
        model = self.made(data, histories, {**self.ways[-1], **self.everything})
        users = [0, 1, 2, 12]
        together = self.scores(model, histories, users)
        alone = np.concatenate([self.scores(model, histories, [user]) for user in users])
        np.testing.assert_allclose(together, alone, atol=1e-5)
        assert np.abs(together - together[:1]).max() > 1e-3

    def test_the_seed_decides_the_weights(self) -> None:
        data = random_interactions(30, 20, 200, features=False)
        batch = next(iter(self.batches(all_rows(data), 200).dataset()))
        results = []
        for seed in (1, 1, 2):
            model = self.made(data, way=self.everything, seed=seed)
            model.train_step(batch)
            results.append([variable.numpy() for variable in model.trainable_variables])
        for first, same, other in zip(*results, strict=True):
            assert first.tobytes() == same.tobytes()
            # A bias that starts at zero may not have moved yet.
            assert first.tobytes() != other.tobytes() or not first.any()
