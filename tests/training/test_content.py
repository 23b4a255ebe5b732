"""Batches of content are a function of (seed, step); temperatures are those of least log-loss."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from recsys_tfrs.features.content import Content, ContentFeaturesConfig, Decoder
from recsys_tfrs.training.content import ContentBatches
from recsys_tfrs.training.temperature import fit_temperature

DECODER = Decoder("audio", ContentFeaturesConfig(seconds=0.001))
VALUES = np.arange(10, dtype=np.float32)[:, None] * np.ones(8, np.float32)
CONTENT = Content(DECODER, np.arange(10).astype(str).astype(object), [], VALUES)
LABELS = np.arange(10, dtype=np.int32) * 10


def batches(seed: int = 1) -> ContentBatches:
    return ContentBatches(CONTENT, np.array([1, 2, 3, 5, 7, 8, 9]), LABELS, 3, seed)


def first(count: int, *, seed: int = 1, step: int = 0) -> list[dict[str, np.ndarray]]:
    return list(islice(batches(seed).dataset(step).as_numpy_iterator(), count))


def test_an_epoch_visits_every_item_and_fills_the_last_batch_up() -> None:
    made = first(6)
    assert batches().steps_per_epoch == 3
    assert batches().examples_per_epoch == 9
    seen = np.concatenate([batch["labels"] for batch in made[:3]])
    assert set(seen) == {10, 20, 30, 50, 70, 80, 90}
    assert seen.shape == (9,)
    np.testing.assert_array_equal(seen[7:], seen[:2])
    assert seen.tolist() != np.concatenate([batch["labels"] for batch in made[3:]]).tolist()


def test_contents_go_with_labels() -> None:
    for batch in first(3):
        np.testing.assert_array_equal(batch["contents"][:, 0] * 10, batch["labels"])


def test_a_resumed_run_sees_the_same_batches() -> None:
    for whole, resumed in zip(first(7)[4:], first(3, step=4), strict=True):
        for name, values in whole.items():
            np.testing.assert_array_equal(values, resumed[name])
    assert [batch["seed"].tolist() for batch in first(2, step=4)] == [[1, 4], [1, 5]]
    assert any((a["labels"] != b["labels"]).any() for a, b in zip(first(3), first(3, seed=2), strict=True))


class TestTemperature:
    @pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
    def test_it_is_found(self, true: float) -> None:
        draw = np.random.default_rng(0)
        odds = 2 * draw.standard_normal((40_000, 4))
        chances = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
        labels = (draw.random((40_000, 1)) > np.cumsum(chances, axis=1)).sum(axis=1)
        assert fit_temperature(odds * true, labels) == pytest.approx(true, rel=0.03)

    def test_four_rows_by_hand(self) -> None:
        """Right three times of four, a sixth of each label moved: 16/24 of the first class, odds of 2 = e^(2 / T)."""
        odds = np.array([[2.0, 0.0]] * 4)
        assert fit_temperature(odds, np.array([0, 0, 0, 1])) == pytest.approx(2 / np.log(2), rel=1e-3)

    def test_certainty_is_as_great_as_the_rows_allow(self) -> None:
        """Eighteen right ones of eighteen: 19/20, odds of 19 = e^(2 / T)."""
        odds = np.array([[2.0, 0.0]] * 18)
        assert fit_temperature(odds, np.zeros(18, int)) == pytest.approx(2 / np.log(19), rel=1e-3)

    def test_no_rows(self) -> None:
        assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1.0
