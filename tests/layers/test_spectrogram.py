"""The log-mel spectrogram: where a tone shows, and what does not count."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.layers.spectrogram import LogMel

RATE = 8_000
TIME = np.arange(RATE) / RATE


def spectrogram(wave: np.ndarray) -> np.ndarray:
    made = LogMel(RATE, bands=32, frame=256, step=128)(tf.constant(wave[None], tf.float32))
    return np.asarray(made)[0]


def test_shape_and_scale() -> None:
    seen = spectrogram(np.random.default_rng(0).standard_normal(RATE))
    assert seen.shape == (1 + (RATE - 256) // 128, 32)
    assert abs(seen.mean()) < 1e-4
    assert abs(seen.std() - 1) < 0.01


@pytest.mark.parametrize("pitch", [300.0, 1_000.0, 3_000.0])
def test_a_tone_is_loudest_in_its_band(pitch: float) -> None:
    """Bands lie at equal steps of ``1127 ln(1 + f / 700)`` from 40 Hz to half the rate, their middles at 1 to 32."""
    low, high, at = (1_127 * np.log(1 + f / 700) for f in (40.0, RATE / 2, pitch))
    band = (at - low) / (high - low) * 33 - 1
    assert abs(spectrogram(0.5 * np.sin(2 * np.pi * pitch * TIME)).mean(axis=0).argmax() - band) <= 1


def test_loudness_does_not_count() -> None:
    wave = np.sin(2 * np.pi * 500 * TIME) * (TIME % 0.2 < 0.1) + 0.2 * np.random.default_rng(0).standard_normal(RATE)
    assert np.abs(spectrogram(0.2 * wave) - spectrogram(wave)).mean() < 0.01


def test_silence_is_finite() -> None:
    assert np.isfinite(spectrogram(np.zeros(RATE))).all()
