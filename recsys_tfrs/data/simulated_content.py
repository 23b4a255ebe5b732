"""Sounds and pictures of simulated items: what their genre sounds and looks like, under noise.

A genre is a combination of three aspects, so that none of them tells genres apart by itself:

=========  ==================================  =======================================
aspect     of a sound                          of a picture
=========  ==================================  =======================================
first      tempo: strokes per second           hue
second     spectrum: how overtones fall off    direction of its stripes
third      envelope of a stroke                shape in its middle
=========  ==================================  =======================================

What differs within a genre: pitch, tempo by up to 12%, phases, loudness, colour of the noise; shade, width and
place of stripes and shape. `docs/simulated.md` holds the sizes and the measured difficulty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray
from scipy.io import wavfile

from recsys_tfrs.data.content_files import Medium
from recsys_tfrs.errors import ConfigError

Floats = NDArray[np.float64]

#: Strokes per second, exponents of the fall of overtones, hues (of 1): by level of an aspect.
_TEMPI = (3.0, 6.0, 12.0)
_FALLS = (2.0, 0.5, 1.2)
_HUES = (0.05, 0.38, 0.7)
_ANGLES = (0.0, math.pi / 2, math.pi / 4)
_MOST_GENRES = 18
_OVERTONES = 10
_BLOCK = 256


@dataclass(frozen=True)
class ContentConfig:
    """How simulated content is rendered.

    Attributes:
      snr_db: power of the signal over that of the noise, in decibels; ``-inf``: noise alone.
      sample_rate: samples per second.
      seconds: length of a clip.
      image_size: pixels of a side of a poster.
    """

    snr_db: float = 0.0
    sample_rate: int = 8_000
    seconds: float = 1.5
    image_size: int = 32

    def __post_init__(self) -> None:
        if math.isnan(self.snr_db) or self.sample_rate < 1_000 or self.seconds <= 0 or self.image_size < 8:
            raise ConfigError(
                "Simulated content needs a signal-to-noise ratio, a sample rate of at least 1,000, a length above 0 "
                f"and images of at least 8 pixels, got {self}."
            )

    @property
    def shares(self) -> tuple[float, float]:
        """Amplitudes of signal and noise, both of which have power 1; their squares sum to 1."""
        if self.snr_db == math.inf:
            return 1.0, 0.0
        ratio = 10 ** (self.snr_db / 10)
        return math.sqrt(ratio / (1 + ratio)), math.sqrt(1 / (1 + ratio))


def aspects(genres: NDArray[np.integer], num_genres: int) -> tuple[NDArray[np.int64], ...]:
    """Levels of the three aspects, each ``[num_items]``: two by two by two for 8 genres, else three by three by two.

    Raises:
      ConfigError: more genres than there are combinations, or a genre out of range.
    """
    if num_genres > _MOST_GENRES or (len(genres) and not 0 <= int(genres.min()) <= int(genres.max()) < num_genres):
        raise ConfigError(
            f"Content is simulated for genres 0..{num_genres - 1} of at most {_MOST_GENRES}; got {num_genres} genres "
            f"and items of {np.unique(genres).tolist()}."
        )
    levels = 2 if num_genres <= 8 else 3
    rest = genres.astype(np.int64)
    first, rest = rest % levels, rest // levels
    return first, rest % levels, rest // levels


def render_clips(
    genres: NDArray[np.integer], num_genres: int, config: ContentConfig | None = None, *, seed: int = 42
) -> NDArray[np.int16]:
    """A clip per item.

    Args:
      genres: ``[num_items]`` from 0.
      num_genres: how many there are.
      config: noise and sizes.
      seed: of everything within a genre; a clip depends on its place in `genres`.

    Returns:
      ``[num_items, sample_rate * seconds]`` 16-bit samples.
    """
    config = config or ContentConfig()
    samples = round(config.sample_rate * config.seconds)
    made = np.empty((len(genres), samples), np.int16)
    levels = np.stack(aspects(genres, num_genres), axis=1)
    for low in range(0, len(genres), _BLOCK):
        draw = np.random.default_rng([seed, 0, low])
        made[low : low + _BLOCK] = _clips(levels[low : low + _BLOCK], samples, config, draw)
    return made


def render_posters(
    genres: NDArray[np.integer], num_genres: int, config: ContentConfig | None = None, *, seed: int = 42
) -> NDArray[np.uint8]:
    """A picture per item, ``[num_items, image_size, image_size, 3]``; arguments as for `render_clips`."""
    config = config or ContentConfig()
    made = np.empty((len(genres), config.image_size, config.image_size, 3), np.uint8)
    levels = np.stack(aspects(genres, num_genres), axis=1)
    for low in range(0, len(genres), _BLOCK):
        draw = np.random.default_rng([seed, 1, low])
        made[low : low + _BLOCK] = _posters(levels[low : low + _BLOCK], config, draw)
    return made


def write_content(
    folder: Path,
    item_ids: NDArray[np.object_],
    genres: NDArray[np.integer],
    num_genres: int,
    medium: Medium,
    config: ContentConfig | None = None,
    *,
    seed: int = 42,
) -> Path:
    """Write ``<item id>.wav`` or ``.png`` for every item.

    Args:
      folder: made if absent.
      item_ids: ``[num_items]`` external ids.
      genres: ``[num_items]`` from 0.
      num_genres: how many there are.
      medium: clips or posters.
      config: noise and sizes.
      seed: as for `render_clips`.

    Returns:
      The folder.
    """
    config = config or ContentConfig()
    folder.mkdir(parents=True, exist_ok=True)
    if medium == "audio":
        for item, clip in zip(item_ids, render_clips(genres, num_genres, config, seed=seed), strict=True):
            wavfile.write(folder / f"{item}.wav", config.sample_rate, clip)
    else:
        for item, poster in zip(item_ids, render_posters(genres, num_genres, config, seed=seed), strict=True):
            imsave(folder / f"{item}.png", poster)
    return folder


def _clips(levels: NDArray[np.int64], samples: int, config: ContentConfig, draw: np.random.Generator) -> Floats:
    count = len(levels)
    time = np.arange(samples) / config.sample_rate
    tempo = np.array(_TEMPI)[levels[:, 0]] * draw.uniform(0.88, 1.12, count)
    beat = (time * tempo[:, None] + draw.random((count, 1))) % 1.0
    struck, swelling = np.exp(-beat / 0.15), beat**2
    envelope = np.where(levels[:, 2:3] == 0, struck, swelling)
    pitch = 110.0 * 4.0 ** draw.random(count)
    tone = np.zeros((count, samples))
    for overtone in range(1, _OVERTONES + 1):
        frequency = overtone * pitch
        loud = overtone ** -np.array(_FALLS)[levels[:, 1]] * (frequency < 0.45 * config.sample_rate)
        loud = np.where((levels[:, 1] == 2) & (overtone % 2 == 0), 0.0, loud)  # the third spectrum is hollow
        phase = 2 * np.pi * draw.random((count, 1))
        tone += loud[:, None] * np.sin(2 * np.pi * frequency[:, None] * time + phase)
    signal, noise = config.shares
    mixed = signal * _of_power_one(envelope * tone) + noise * _of_power_one(_noise(count, samples, draw))
    loudness = 0.1 * 10 ** draw.uniform(-0.3, 0.3, (count, 1))
    return np.asarray(np.clip(np.round(32_768 * loudness * mixed), -32_768, 32_767))


def _noise(count: int, samples: int, draw: np.random.Generator) -> Floats:
    """Noise whose power falls with the frequency, by an exponent between 0 (white) and 1 (pink)."""
    spectrum = np.fft.rfft(draw.standard_normal((count, samples)))
    fall = draw.uniform(0.0, 1.0, (count, 1)) / 2
    return np.asarray(np.fft.irfft(spectrum * np.arange(1, spectrum.shape[1] + 1) ** -fall, samples))


def _posters(levels: NDArray[np.int64], config: ContentConfig, draw: np.random.Generator) -> Floats:
    count, size = len(levels), config.image_size
    across = (np.arange(size) + 0.5) / size
    x, y = across[None, None, :], across[None, :, None]
    angle = (np.array(_ANGLES)[levels[:, 1]] + draw.normal(0, 0.1, count))[:, None, None]
    stripes = draw.uniform(3, 6, count)[:, None, None]
    shift = draw.random(count)[:, None, None]
    wave = np.sin(2 * np.pi * (stripes * (x * np.sin(angle) + y * np.cos(angle)) + shift))
    center = draw.uniform(0.4, 0.6, (2, count, 1, 1))
    radius = draw.uniform(0.2, 0.3, (count, 1, 1))
    dx, dy = np.abs(x - center[0]), np.abs(y - center[1])
    disc = dx**2 + dy**2 < radius**2
    cross = (np.minimum(dx, dy) < radius / 3) & (np.maximum(dx, dy) < radius * 1.3)
    shape = np.where((levels[:, 2] == 0)[:, None, None], disc, cross)
    hue = 2 * np.pi * (np.array(_HUES)[levels[:, 0]] + draw.uniform(-0.06, 0.06, count))[:, None]
    color = np.cos(hue - 2 * np.pi * np.arange(3) / 3)[:, None, None, :]
    lit = wave + draw.choice([-2.0, 2.0], (count, 1, 1)) * shape
    picture = (lit + draw.normal(0, 0.3, (count, 1, 1)))[..., None] * 0.7 + color
    signal, noise = config.shares
    flat = _of_power_one((picture - picture.mean(axis=(1, 2, 3), keepdims=True)).reshape(count, -1))
    mixed = signal * flat + noise * draw.standard_normal(flat.shape)
    return np.asarray(np.clip(np.round(128 + 50 * mixed), 0, 255).reshape(picture.shape))


def _of_power_one(rows: Floats) -> Floats:
    return np.asarray(rows / np.sqrt((rows**2).mean(axis=1, keepdims=True)))
