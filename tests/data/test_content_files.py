"""Folders of sounds and pictures: what is found in them, and what a WAV of any kind becomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from recsys_tfrs.data.content_files import list_content, read_wav
from recsys_tfrs.errors import DataError

RAMP = np.array([0, 8_192, 16_384, -16_384, -32_768], np.int16)


def test_files_are_named_by_item_and_others_are_counted(tmp_path: Path) -> None:
    for name in ("b.wav", "a.WAV", "notes.txt", ".hidden.wav"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "below").mkdir()
    files = list_content(tmp_path)
    assert (files.medium, list(files.item_ids)) == ("audio", ["a", "b"])
    assert files.notes == (f"Files of {tmp_path.name} that are no audio and were left out: 1.",)


def test_ids_may_hold_dots(tmp_path: Path) -> None:
    (tmp_path / "1.2.png").write_bytes(b"")
    assert list(list_content(tmp_path).item_ids) == ["1.2"]


def test_two_files_for_one_item(tmp_path: Path) -> None:
    for name in ("7.jpg", "7.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"two files for the item '7', 7\.jpg and 7\.png: remove one"):
        list_content(tmp_path)


def test_sounds_beside_pictures(tmp_path: Path) -> None:
    for name in ("1.wav", "2.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"holds sounds and pictures, such as 1\.wav and 2\.png"):
        list_content(tmp_path)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no file named by an item's id .*\.wav"):
        list_content(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        list_content(tmp_path / "missing")


@pytest.mark.parametrize(
    "samples",
    [RAMP, RAMP.astype(np.int32) << 16, (RAMP / 32_768).astype(np.float32)],
    ids=["16 bits", "32 bits", "floating point"],
)
def test_samples_of_every_width_lie_between_minus_one_and_one(tmp_path: Path, samples: np.ndarray) -> None:
    wavfile.write(tmp_path / "x.wav", 8_000, samples)
    np.testing.assert_array_equal(read_wav(tmp_path / "x.wav", 8_000), [0.0, 0.25, 0.5, -0.5, -1.0])


def test_eight_bits_are_unsigned(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "x.wav", 8_000, np.array([128, 192, 0], np.uint8))
    np.testing.assert_array_equal(read_wav(tmp_path / "x.wav", 8_000), [0.0, 0.5, -1.0])


def test_channels_are_averaged(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "x.wav", 8_000, np.array([[16_384, 0], [-16_384, 16_384]], np.int16))
    np.testing.assert_array_equal(read_wav(tmp_path / "x.wav", 8_000), [0.25, 0.0])


@pytest.mark.parametrize("rate", [16_000, 44_100, 4_000])
def test_other_rates_are_resampled(tmp_path: Path, rate: int) -> None:
    """A tone stays what it is: 440 Hz, sampled anew."""
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    wavfile.write(tmp_path / "x.wav", rate, np.round(20_000 * tone).astype(np.int16))
    read = read_wav(tmp_path / "x.wav", 8_000)
    expected = 20_000 / 32_768 * np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)
    assert len(read) == 8_000
    np.testing.assert_allclose(read[500:-500], expected[500:-500], atol=0.01)


def test_no_sample(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "x.wav", 8_000, np.zeros(0, np.int16))
    with pytest.raises(DataError, match="lasts 0 seconds"):
        read_wav(tmp_path / "x.wav", 8_000)


def test_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    wavfile.write(path, 8_000, np.zeros(1_000, np.int16))
    whole = path.read_bytes()
    for damaged in (b"", b"no sound at all", whole[:20], whole[:1_000]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="damaged or truncated"):
            read_wav(path, 8_000)
    with pytest.raises(DataError, match=r"cannot be read: No such file.*See that it may be read"):
        read_wav(tmp_path / "missing.wav", 8_000)
