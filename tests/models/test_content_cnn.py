"""The contract of `content-cnn`: what every family promises, of a model that describes items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.config import build, read_toml, to_toml
from recsys_tfrs.data.simulated_content import ContentConfig, render_clips, render_posters
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.content import Content, ContentFeaturesConfig, Decoder
from recsys_tfrs.models.registry import family_module
from recsys_tfrs.training.content import ContentBatches

FAMILY = "content-cnn"
MODULE = family_module(FAMILY)
FEATURES = ContentFeaturesConfig(sample_rate=2_000, seconds=0.5, image_size=8)
SMALL: dict[str, Any] = {"channels": [8, 8], "vector": 8, "dropout": 0.0, "bands": 8, "frame": 64, "step": 32}
GENRES = [f"genre {place}" for place in range(8)]
WAYS = {"log-mel": ("audio", "log-mel"), "waveform": ("audio", "waveform"), "picture": ("image", "log-mel")}


def content_of(genres: np.ndarray, medium: str = "image", snr_db: float = 20.0, seed: int = 1) -> Content:
    rendered = ContentConfig(snr_db, FEATURES.sample_rate, FEATURES.seconds, FEATURES.image_size)
    if medium == "audio":
        values = render_clips(genres, 8, rendered, seed=seed).astype(np.float32) / 32_768
    else:
        values = render_posters(genres, 8, rendered, seed=seed).astype(np.float32) / 255
    ids = np.arange(len(genres)).astype(str).astype(object)
    return Content(Decoder(medium, FEATURES), ids, [], values)  # type: ignore[arg-type]


def made(medium: str = "image", sound: str = "log-mel", seed: int = 1, **settings: Any) -> Any:
    config = MODULE.Config(**{**SMALL, "sound": sound, **settings})
    model = MODULE.build(config, Decoder(medium, FEATURES), GENRES, seed)  # type: ignore[arg-type]
    model.compile(optimizer=tf.keras.optimizers.Adam(0.01))
    model.optimizer.build(model.trainable_variables)
    return model


def trained(content: Content, genres: np.ndarray, rows: np.ndarray, epochs: int, **settings: Any) -> Any:
    model = made(content.decoder.medium, **settings)
    batches = ContentBatches(content, rows, genres.astype(np.int32), min(32, len(rows)), 1)
    model.fit(batches.dataset(), steps_per_epoch=batches.steps_per_epoch, epochs=epochs, verbose=0)
    return model


def batch_of(content: Content, genres: np.ndarray, seed: int = 1) -> dict[str, tf.Tensor]:
    batches = ContentBatches(content, np.arange(len(genres)), genres.astype(np.int32), len(genres), seed)
    return next(iter(batches.dataset()))


def accuracy(model: Any, content: Content, genres: np.ndarray, rows: np.ndarray) -> float:
    return float((model.describe(content)[0].argmax(axis=1) == genres)[rows].mean())


def drawn(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 8, count)


def test_config_round_trip(tmp_path: Path) -> None:
    config = MODULE.Config(**SMALL)
    (tmp_path / "model.toml").write_text(to_toml(config), encoding="utf-8")
    assert build(type(config), [read_toml(tmp_path / "model.toml")]) == config


def test_builds_from_defaults() -> None:
    decoder = Decoder("audio", ContentFeaturesConfig())
    model = MODULE.build(MODULE.Config(), decoder, ["a", "b", "c"], 1)
    chances = model(tf.zeros([2, *decoder.shape])).numpy()
    assert chances.shape == (2, 3)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("reads", WAYS)
def test_finite_loss_and_a_gradient_for_every_variable(reads: str) -> None:
    medium, sound = WAYS[reads]
    genres = np.arange(32) % 8
    model = made(medium, sound, dropout=0.2)
    batch = batch_of(content_of(genres, medium), genres)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert loss.shape == ()
    assert np.isfinite(float(loss))
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.name
        assert np.isfinite(gradient.numpy()).all(), variable.name
        assert gradient.numpy().any(), variable.name


@pytest.mark.parametrize("reads", WAYS)
def test_overfits_eight_items(reads: str) -> None:
    medium, sound = WAYS[reads]
    genres = np.arange(8)
    content = content_of(genres, medium)
    model = trained(content, genres, genres, epochs=120, sound=sound, shift=False)
    assert accuracy(model, content, genres, genres) == 1.0


def test_learns_what_aspects_say_together_and_nothing_of_noise() -> None:
    """On noise alone the accuracy on other items is that of chance; the same model, shown them, is found out."""
    genres, rows = drawn(400), np.arange(400)
    signal = content_of(genres)
    assert accuracy(trained(signal, genres, rows[:300], epochs=15), signal, genres, rows[300:]) > 0.5
    noise = content_of(genres, snr_db=-np.inf)
    error = np.sqrt(1 / 8 * 7 / 8 / 100)
    honest = accuracy(trained(noise, genres, rows[:300], epochs=15), noise, genres, rows[300:])
    assert abs(honest - 1 / 8) < 3 * error
    leaking = accuracy(trained(noise, genres, rows[300:], epochs=40), noise, genres, rows[300:])
    assert leaking > 1 / 8 + 6 * error


@pytest.mark.parametrize("reads", WAYS)
def test_a_batch_of_n_equals_n_batches_of_one(reads: str) -> None:
    medium, sound = WAYS[reads]
    content = content_of(drawn(6), medium)
    model = made(medium, sound)
    assert content.values is not None
    together = model(tf.constant(content.values)).numpy()
    alone = np.concatenate([model(tf.constant(content.values[row : row + 1])).numpy() for row in range(6)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert np.ptp(together, axis=0).max() > 1e-4


def test_describes_as_it_predicts() -> None:
    content = content_of(drawn(10))
    model = made()
    model.temperature.assign(2.0)
    odds, vectors = model.describe(content)
    chances = np.exp(odds / 2) / np.exp(odds / 2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model(tf.constant(content.values)).numpy(), chances, atol=1e-6)
    assert vectors.shape == (10, 8)


def test_the_seed_decides_the_weights() -> None:
    genres = drawn(32)
    content = content_of(genres, "audio")
    results = []
    for seed in (1, 1, 2):
        model = made("audio", seed=seed, dropout=0.3)
        model.train_step(batch_of(content, genres, seed=5))
        results.append(np.concatenate([variable.numpy().ravel() for variable in model.trainable_variables]))
    assert results[0].tobytes() == results[1].tobytes() != results[2].tobytes()


def test_a_shift_in_time_is_part_of_training() -> None:
    genres = drawn(32)
    content = content_of(genres, "audio")
    losses = [
        float(made("audio", shift=shift).compute_loss(batch_of(content, genres), training=True)) for shift in (0, 1)
    ]
    assert losses[0] != losses[1]


def test_how_loud_a_sound_is_hardly_counts() -> None:
    content = content_of(drawn(4), "audio", snr_db=10.0)
    assert content.values is not None
    for sound in ("log-mel", "waveform"):
        model = made("audio", sound)
        first, half = (model(tf.constant(scale * content.values)).numpy() for scale in (1.0, 0.5))
        np.testing.assert_allclose(first, half, atol=0.02)


def test_impossible_models() -> None:
    with pytest.raises(ConfigError, match="nothing to tell apart in one value"):
        MODULE.build(MODULE.Config(), Decoder("image", FEATURES), ["one"], 1)
    short = Decoder("audio", ContentFeaturesConfig(seconds=0.01))
    with pytest.raises(ConfigError, match="80 samples are shorter than a window of 256"):
        MODULE.build(MODULE.Config(), short, ["a", "b"], 1)
