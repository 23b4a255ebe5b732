"""A sampler and a loss together, against numpy: what is masked, what is corrected, whose query meets what."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from recsys_tfrs.objectives.negative_sampling import NegativeSampling
from recsys_tfrs.objectives.sampled import SampledSoftmax
from recsys_tfrs.objectives.samplers import Sampler
from recsys_tfrs.objectives.softmax import FullSoftmax
from recsys_tfrs.objectives.stream_samplers import InBatchSampler

RNG = np.random.default_rng(1)
NUM_ITEMS = 6
POSITIVES = [[1, 4], [], [6, 2, 3], [5]]
WEIGHTS = np.array([1.0, 0.5, 2.0, 1.0, 0.25, 3.0], dtype=np.float32)
SCORES = RNG.normal(0, 3, (4, NUM_ITEMS + 1)).astype(np.float32)


class Given(Sampler):
    """Always the same items, with stated probabilities."""

    def __init__(self, ids: ArrayLike, probabilities: ArrayLike, num_items: int) -> None:
        super().__init__(num_items)
        self._ids = tf.constant(np.asarray(ids, np.int32))
        self._log_q = tf.constant(np.log(np.asarray(probabilities)), tf.float32)

    def draw(self, positives: tf.RaggedTensor, seed: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        return self._ids, tf.size(self._ids)

    def log_q(self, item_ids: tf.Tensor, num_streamed: tf.Tensor) -> tf.Tensor:
        return self._log_q


def loss_of(
    sampling: NegativeSampling,
    scores: ArrayLike | tf.Tensor,
    positives: list[list[int]],
    weights: ArrayLike,
    *,
    temperature: float = 1.0,
    own_query: bool = False,
) -> tf.Tensor:
    """The loss where query u scores item i with ``scores[u, i]``: queries are unit vectors, items the columns."""
    scores = tf.convert_to_tensor(scores, tf.float32)
    return sampling(
        tf.eye(scores.shape[0]),
        lambda items: tf.gather(tf.transpose(scores), items),
        tf.ragged.constant(positives, dtype=tf.int32, ragged_rank=1),
        tf.constant(np.asarray(weights), tf.float32),
        tf.constant([1, 2]),
        temperature=temperature,
        own_query=own_query,
        training=True,
    )


def by_item(num_items: int, scores: dict[int, float]) -> NDArray[np.float64]:
    """A row of scores, 50 for items that should not matter."""
    row = np.full(num_items + 1, 50.0)
    row[list(scores)] = list(scores.values())
    return row


def test_written_out() -> None:
    """Items 7, 3, 9 with scores log 2, log 3, log 5, drawn with probabilities 1/2, 1/4, 1/5.

    Query 0 likes 7: 2 / (2 + 3 x 4 + 5 x 5) = 2/39; the positive itself is not corrected.
    Query 1 likes 3 and 9, which do not compete with one another: 3 / (3 + 2 x 2) = 3/7 and 5 / (5 + 4) = 5/9.
    """
    scores = np.tile(by_item(9, {7: np.log(2), 3: np.log(3), 9: np.log(5)}), (2, 1))
    sampling = NegativeSampling(Given([7, 3, 9], [1 / 2, 1 / 4, 1 / 5], 9), SampledSoftmax())
    expected = (np.log(39 / 2) + 2 * np.log(7 / 3) + 4 * np.log(9 / 5)) / 7
    assert float(loss_of(sampling, scores, [[7], [3, 9]], [1, 2, 4])) == pytest.approx(expected, rel=1e-5)
    # At temperature 1/2 the scores are log 4, log 9, log 25.
    cooler = (np.log((4 + 36 + 125) / 4) + 2 * np.log((9 + 8) / 9) + 4 * np.log((25 + 8) / 25)) / 7
    assert float(loss_of(sampling, scores, [[7], [3, 9]], [1, 2, 4], temperature=0.5)) == pytest.approx(
        cooler, rel=1e-5
    )


def test_without_correction_all_negatives_count_alike() -> None:
    scores = by_item(9, {7: np.log(2), 3: np.log(3), 9: np.log(5)})[None]
    sampling = NegativeSampling(Given([7, 3, 9], [1 / 2, 1 / 4, 1 / 5], 9), SampledSoftmax(), log_q=False)
    assert float(loss_of(sampling, scores, [[7]], [1])) == pytest.approx(np.log(10 / 2), rel=1e-5)


def test_hard_negatives_are_those_the_query_scores_highest() -> None:
    """Of 7, 3, 9 and 9 again, only the best other than the positive stays, uncorrected: 2 / (2 + 5)."""
    scores = by_item(9, {7: np.log(2), 3: np.log(3), 9: np.log(5)})[None]
    sampling = NegativeSampling(Given([7, 3, 9, 9], [1 / 2, 1 / 4, 1 / 5, 1 / 5], 9), SampledSoftmax(), num_hard=1)
    assert float(loss_of(sampling, scores, [[7]], [1])) == pytest.approx(np.log(7 / 2), rel=1e-5)


def test_each_positive_may_have_a_query_of_its_own() -> None:
    """The mask is that of the user all the same: his other positives never compete."""
    scores = np.tile(by_item(3, {1: np.log(2), 2: np.log(3), 3: np.log(5)}), (2, 1))
    scores[1, 3] = np.log(7)
    sampling = NegativeSampling(Given([1, 2, 3], [1, 1, 1], 3), SampledSoftmax())
    expected = (np.log((2 + 5) / 2) + np.log((3 + 7) / 3)) / 2
    assert float(loss_of(sampling, scores, [[1, 2]], [1, 1], own_query=True)) == pytest.approx(expected, rel=1e-5)


def test_a_query_without_negatives_costs_nothing_and_moves_nothing() -> None:
    scores = tf.Variable([[0.0, 0.3, -2.0], [0.0, 1.0, 1.0]])
    sampling = NegativeSampling(Given([1, 2], [1, 1], 2), SampledSoftmax())
    with tf.GradientTape() as tape:
        loss = loss_of(sampling, scores, [[1, 2], [2]], [1, 1, 2])
    assert float(loss) == pytest.approx(2 * np.log(2) / 4)
    gradient = tape.gradient(loss, scores).numpy()
    np.testing.assert_allclose(gradient, [[0, 0, 0], [0, 0.25, -0.25]], atol=1e-6)


def test_all_items_in_the_batch_equal_the_masked_full_softmax() -> None:
    """Uncorrected and with every item in the batch, nothing is left to chance."""
    in_batch = NegativeSampling(InBatchSampler(NUM_ITEMS), SampledSoftmax(), log_q=False)
    terms = []
    for u, row in enumerate(POSITIVES):
        for i in row:
            rivals = [j for j in range(1, NUM_ITEMS + 1) if j == i or j not in row]
            terms.append(logsumexp(SCORES[u, rivals].astype(np.float64)) - SCORES[u, i])
    expected = np.dot(WEIGHTS, terms) / WEIGHTS.sum()
    assert float(loss_of(in_batch, SCORES, POSITIVES, WEIGHTS)) == pytest.approx(expected, rel=1e-5)
    # With one positive a query, the mask takes nothing away, and it is the full softmax itself.
    scores, single = RNG.normal(size=(4, 5)).astype(np.float32), [[1], [2], [3], [4]]
    positives = tf.ragged.constant(single, dtype=tf.int32, ragged_rank=1)
    whole = FullSoftmax()(tf.constant(scores), positives, tf.ones(4))
    four = NegativeSampling(InBatchSampler(4), SampledSoftmax(), log_q=False)
    assert float(loss_of(four, scores, single, np.ones(4))) == pytest.approx(float(whole), rel=1e-5)


def test_negatives_stand_for_the_catalogue_on_average() -> None:
    """e^loss is linear in the corrected sum, so its mean over draws is that of the full softmax."""
    rng = np.random.default_rng(0)
    num_items, num_draws = 40, 60
    probability = np.linspace(0.2, 0.9, num_items)
    scores = np.concatenate([[0.0], rng.normal(0, 1, num_items)])
    exp_losses = []
    for drawn in rng.random((num_draws, num_items)) < probability:
        sampling = NegativeSampling(Given(np.flatnonzero(drawn) + 1, probability[drawn], num_items), SampledSoftmax())
        exp_losses.append(np.exp(float(loss_of(sampling, scores[None], [[1]], [1]))))
    expected = np.exp(scores[1:]).sum() / np.exp(scores[1])
    standard_error = np.std(exp_losses) / np.sqrt(num_draws)
    assert np.mean(exp_losses) == pytest.approx(expected, abs=4 * standard_error)
    assert standard_error < 0.04 * expected
