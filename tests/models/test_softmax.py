"""The softmax DNN: the contract of every family, and what is its own."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from contracts.model_contract import ModelContract, Way
from contracts.tiny_data import all_rows, checkerboard, interactions_of, random_interactions

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.models import history_model, softmax
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.models.softmax import Config, SoftmaxModel
from recsys_tfrs.schema import USER_GENDER
from recsys_tfrs.training.pipeline import user_batches


class TestContract(ModelContract):
    family: ClassVar[str] = "softmax"
    small: ClassVar[Way] = {"dim": 8, "hidden": [], "members": 1}  # hidden layers have no gradient at the first step
    ways: ClassVar[list[Way]] = [
        {"hide": "any", "objective": "full-softmax"},
        {"hide": "newest", "objective": "in-batch"},
        {"hide": "around", "mask_positives": 0.5, "members": 2},
    ]
    everything: ClassVar[Way] = {"hidden": [8], "empty_history": 0.4}
    capable: ClassVar[Way] = {"dim": 32, "hidden": [64]}
    remember: ClassVar[Way] = {"hide": "any", "hide_rate": 0.0, "empty_history": 0.0}


def built(**settings: object) -> SoftmaxModel:
    data = random_interactions(12, 9, 40)
    config = Config(**{"dim": 4, "hide": "any", "hidden": [], "members": 1, **settings})
    return softmax.build(config, FeaturesConfig(min_frequency=1), data, all_rows(data), seed=1)


def query(model: SoftmaxModel, items: list[int], **columns: int) -> np.ndarray:
    """psi of an unknown user with this history and these encoded columns."""
    encoded = {**model.data.encoded_users(tf.constant([0])), **{n: tf.constant([v]) for n, v in columns.items()}}
    history = tf.RaggedTensor.from_row_lengths(tf.constant(items, tf.int32), [len(items)])
    return model.encoded_query_vectors(encoded, history).numpy()[0].astype(np.float64)


def test_psi_adds_up_what_is_known_before_the_hidden_layers() -> None:
    model = built(normalize=False)
    psi = model.query_tower.towers[0]
    bag = psi.history.bag.table.numpy().astype(np.float64)
    length = psi._length.kernel.numpy()[0].astype(np.float64)
    gender = psi._features.table.numpy()[psi._features._first_row[USER_GENDER] + 2].astype(np.float64)
    expected = (bag[3] + bag[7]) / np.sqrt(2) + np.log(3) * length + gender
    np.testing.assert_allclose(query(model, [3, 7], **{USER_GENDER: 2}), expected, rtol=1e-4)
    expected = psi.anyone.numpy() + gender
    np.testing.assert_allclose(query(model, [], **{USER_GENDER: 2}), expected, rtol=1e-4)


def test_users_are_nothing_but_what_is_known_of_them() -> None:
    """Two users of the same columns and history get the same query, one in training and one nobody has seen."""
    model = built()
    columns = {name: int(values[0]) for name, values in model.data.encoded_users(tf.constant([3])).items()}
    known = model.query_vectors(tf.constant([3]), tf.ragged.constant([[2, 5]], tf.int32, ragged_rank=1)).numpy()[0]
    columns["user_id"] = 0
    np.testing.assert_allclose(query(model, [2, 5], **columns), known, atol=1e-6)
    assert not [v.name for v in model.trainable_variables if v.shape[0] == len(model.data.user_table["user_id"])]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_user_weighs_by_the_number_of_his_items_to_a_power(power: float) -> None:
    """User 1 has weights 1, 2 and 3, of sum 6: shares of 1/6, 2/6 and 3/6; user 3 a single item of weight 4."""
    positives = tf.ragged.constant([[1, 2, 3], [], [4]], tf.int32, ragged_rank=1)
    found = built(user_weight=power)._target_weights(positives, tf.constant([1.0, 2.0, 3.0, 4.0])).numpy()
    expected = [6**power / 6, 6**power * 2 / 6, 6**power * 3 / 6, 4**power]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_columns_of_a_user_are_withheld_now_and_then() -> None:
    model = built(user_columns_dropout=0.5)
    encoded = model._encoded_users(tf.fill([1_000], 3), tf.constant([1, 2]))[USER_GENDER].numpy()
    assert set(encoded) == {0, int(model.data.user_table[USER_GENDER][3])}
    assert 0.45 < (encoded == 0).mean() < 0.55


def test_a_group_known_by_a_column_alone_is_served_from_the_first_request() -> None:
    """Women like odd items, men even ones: a new user without any history is told apart by gender."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(1, 101), 5)
    items = 2 * rng.integers(0, 10, len(users)) + 1 + (users % 2 == 0)
    data = interactions_of(users, items, 102, 20, features=True)
    histories = all_rows(data)  # users 101 and 102 have no interactions
    model = softmax.build(
        Config(dim=8, hide="any", members=1), FeaturesConfig(user_columns=[USER_GENDER]), data, histories, 1
    )
    model.compile(optimizer=tf.keras.optimizers.Adam(0.02))
    batches = user_batches(histories, batch_size=100, seed=1)
    model.fit(batches.dataset(), steps_per_epoch=batches.steps_per_epoch, epochs=30, verbose=0)
    best = np.argsort(-RetrievalScorer(model, histories).score(np.array([101, 102], np.int32))[:, 1:], axis=1)[:, :8]
    odd = (best + 1) % 2
    assert odd.mean(axis=1).tolist() == [1, 0]


class TestSampledLosses:
    @pytest.mark.parametrize(
        ("objective", "sampler"),
        [
            ("sampled-softmax", "uniform"),
            ("sampled-softmax", "mixed"),
            ("sampled-softmax", "queue"),
            ("bpr", "unigram"),
            ("warp", "uniform"),
            ("gbce", "log-uniform"),
        ],
    )
    def test_the_withheld_item_comes_first(self, objective: str, sampler: str) -> None:
        board, withheld = checkerboard(20)
        model = learnt(board, objective=objective, sampler=sampler, num_negatives=10)
        scores = RetrievalScorer(model, all_rows(board)).score(np.arange(1, 21, dtype=np.int32))
        scores[board.users - 1, board.items] = -np.inf  # what is known is left out
        assert (scores[:, 1:].argmax(axis=1) + 1).tolist() == withheld.tolist()

    def test_hard_negatives_learn_it_too(self) -> None:
        board, withheld = checkerboard(20)
        model = learnt(board, objective="sampled-softmax", sampler="uniform", num_negatives=20, num_hard=5)
        scores = RetrievalScorer(model, all_rows(board)).score(np.arange(1, 21, dtype=np.int32))
        scores[board.users - 1, board.items] = -np.inf
        assert (scores[:, 1:].argmax(axis=1) + 1).tolist() == withheld.tolist()

    def test_without_negatives_everything_folds_into_one(self) -> None:
        """Odd and even items have no user in common, and yet end up side by side: nothing ever pushed them apart."""
        board, _ = checkerboard(20)
        between = {}
        for objective in ("positives-only", "sampled-softmax"):
            model = learnt(board, objective=objective, sampler="uniform", num_negatives=10)
            vectors = model.candidate_vectors().numpy()[1:]
            between[objective] = (vectors[::2] @ vectors[1::2].T).mean()
        assert between["positives-only"] > 0.3
        assert between["sampled-softmax"] < 0

    def test_all_items_as_negatives_give_the_masked_full_softmax(self) -> None:
        """Drawn with certainty, log q is 0; a batch of one user with one item masks nothing else."""
        data = interactions_of(np.array([1, 2]), np.array([3, 5]), 2, 9)
        losses = []
        for settings in ({"objective": "sampled-softmax", "sampler": "uniform"}, {"objective": "full-softmax"}):
            config = Config(**{"dim": 4, "hidden": [], "hide": "any", "members": 1, "num_negatives": 9, **settings})
            model = softmax.build(config, FeaturesConfig(), data, all_rows(data), seed=1)
            batch = next(iter(user_batches(all_rows(data), batch_size=2, seed=1).dataset()))
            losses.append(float(model.compute_loss(batch)))
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)

    def test_more_negatives_than_items_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="10"):
            built(objective="sampled-softmax", sampler="uniform", num_negatives=10)


def learnt(board: Interactions, **settings: object) -> SoftmaxModel:
    config = Config(**{"dim": 16, "hidden": [], "hide": "any", "members": 1, "target_rating_weight": 0.0, **settings})
    model = softmax.build(config, FeaturesConfig(), board, all_rows(board), seed=1)
    model.compile(optimizer=tf.keras.optimizers.Adam(0.03))
    batches = user_batches(all_rows(board), batch_size=100, seed=1)
    model.fit(batches.dataset(), steps_per_epoch=batches.steps_per_epoch, epochs=40, verbose=0)
    return model


class TestMembers:
    def test_each_has_the_loss_it_would_have_alone(self) -> None:
        together, alone = built(members=2, mask_positives=0.0), built()
        batch = next(iter(user_batches(all_rows(random_interactions(12, 9, 40)), batch_size=40, seed=3).dataset()))
        other = dict(batch, seed=batch["seed"] + [1_000_003, 0])
        second = SoftmaxModel(together._config.model_copy(update={"members": 1}), together.data, seed=1 + 1_000_003)
        expected = (alone.compute_loss(batch) + second.compute_loss(other)) / 2
        np.testing.assert_allclose(together.compute_loss(batch), expected, rtol=1e-5)
        assert abs(float(alone.compute_loss(batch) - second.compute_loss(other))) > 1e-4

    def test_scores_are_the_mean_of_theirs(self) -> None:
        model = built(members=2)
        queries, candidates = query(model, [3, 7]), model.candidate_vectors().numpy()
        catalogue = [tower.catalogue(model._catalogue).numpy() for tower in model.candidate_tower.towers]
        scores = candidates @ queries
        expected = (catalogue[0] @ queries[:4] + catalogue[1] @ queries[4:]) / np.sqrt(2)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)
        assert not np.allclose(catalogue[0], catalogue[1], atol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(candidates[1:], axis=1), 1.0, rtol=1e-5)

    @pytest.mark.parametrize(("settings", "number"), [({}, 4), ({"objective": "in-batch"}, 1), ({"members": 3}, 3)])
    def test_there_are_several_where_the_catalogue_is_scored(self, settings: dict[str, object], number: int) -> None:
        model = built(**{"members": 0, "dim": 2, **settings})
        assert len(model.query_tower.towers) == model.score_matrices == number
        assert model.candidate_vectors().shape == (10, 2 * number)


def test_a_share_of_the_members_leaves_out_a_users_other_items() -> None:
    assert history_model.masked_members(0.25, 4) == [False, False, False, True]
    assert history_model.masked_members(0.25, 1) == [False]
    assert history_model.masked_members(0.0, 2) == [False, False]
    assert history_model.masked_members(1.0, 2) == [True, True]
    batch = next(iter(user_batches(all_rows(random_interactions(12, 9, 40)), batch_size=6, seed=1).dataset()))
    none, half, every = (
        float(built(members=2, objective="full-softmax", mask_positives=share).compute_loss(batch))
        for share in (0.0, 0.5, 1.0)
    )
    assert none > half > every  # fewer items to lose against, the less loss
