"""Simulated clips and posters: what is in them, and that noise is what it says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from recsys_tfrs.data.content_files import list_content, read_wav
from recsys_tfrs.data.simulated_content import ContentConfig, aspects, render_clips, render_posters, write_content
from recsys_tfrs.errors import ConfigError

SIX = np.arange(6)


def test_eight_genres_are_all_combinations_of_two_levels() -> None:
    assert list(zip(*(a.tolist() for a in aspects(np.arange(8), 8)), strict=True)) == [
        (0, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (1, 1, 0),
        (0, 0, 1),
        (1, 0, 1),
        (0, 1, 1),
        (1, 1, 1),
    ]
    assert len(set(zip(*(a.tolist() for a in aspects(np.arange(18), 18)), strict=True))) == 18


@pytest.mark.parametrize("render", [render_clips, render_posters])
def test_the_seed_decides(render: object) -> None:
    once, again, other = (render(SIX, 8, seed=s) for s in (1, 1, 2))  # type: ignore[operator]
    assert once.tobytes() == again.tobytes() != other.tobytes()


@pytest.mark.parametrize(("decibels", "signal"), [(0.0, 0.5), (10.0, 10 / 11), (-math.inf, 0.0), (math.inf, 1.0)])
def test_powers_of_signal_and_noise(decibels: float, signal: float) -> None:
    shares = ContentConfig(snr_db=decibels).shares
    np.testing.assert_allclose([share**2 for share in shares], [signal, 1 - signal], atol=1e-12)


@pytest.mark.parametrize("render", [render_clips, render_posters])
def test_noise_alone_says_nothing_of_the_genre(render: object) -> None:
    """What differs within a genre is drawn from the same stream whatever the genre is."""
    noise = ContentConfig(snr_db=-math.inf)
    of_one, of_another = (render(np.full(6, g), 8, noise) for g in (0, 7))  # type: ignore[operator]
    np.testing.assert_array_equal(of_one, of_another)
    heard = ContentConfig(snr_db=0.0)
    assert (render(np.full(6, 0), 8, heard) != render(np.full(6, 7), 8, heard)).any()  # type: ignore[operator]


def test_tempo_is_the_first_aspect() -> None:
    """Without noise, the loudness of a fast genre rises and falls about twice as often."""
    clips = render_clips(np.repeat([0, 1], 20), 8, ContentConfig(snr_db=math.inf)).astype(np.float64)
    loud = (clips**2).reshape(40, 300, 40).mean(axis=2)  # 40 samples are 5 ms
    spectrum = np.abs(np.fft.rfft(loud - loud.mean(axis=1, keepdims=True)))[:, 1:45]
    strokes = (1 + spectrum.argmax(axis=1)) / 1.5
    slow, fast = np.median(strokes[:20]), np.median(strokes[20:])
    assert 2.5 < slow < 3.5
    assert 5 < fast < 7


@pytest.mark.parametrize(("medium", "suffix"), [("audio", "wav"), ("image", "png")])
def test_a_folder_holds_a_file_per_item(tmp_path: Path, medium: str, suffix: str) -> None:
    ids = np.array(["10", "7", "x y"], dtype=object)
    write_content(tmp_path / "new", ids, np.array([0, 3, 7]), 8, medium)  # type: ignore[arg-type]
    files = list_content(tmp_path / "new")
    assert (files.medium, set(files.item_ids)) == (medium, {"10", "7", "x y"})
    assert {path.suffix for path in files.paths} == {f".{suffix}"}
    if medium == "audio":
        first = render_clips(np.array([0, 3, 7]), 8)[0]
        np.testing.assert_allclose(read_wav(tmp_path / "new" / "10.wav", 8_000), first / 32_768, atol=1e-7)


def test_impossible_settings() -> None:
    with pytest.raises(ConfigError, match="signal-to-noise"):
        ContentConfig(snr_db=math.nan)
    with pytest.raises(ConfigError, match="at most 18"):
        render_clips(np.zeros(1, int), 19)
    with pytest.raises(ConfigError, match=r"genres 0\.\.7"):
        render_clips(np.array([8]), 8)
