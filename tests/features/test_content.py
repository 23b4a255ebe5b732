"""Decoding of sounds and pictures: one shape for all, and a rule for each that is not as it should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.io import wavfile

from recsys_tfrs.data.content_files import list_content
from recsys_tfrs.errors import DataError
from recsys_tfrs.features.content import ContentFeaturesConfig, Decoder, examine

CONFIG = ContentFeaturesConfig(sample_rate=8_000, seconds=0.001, image_size=8)  # 8 samples
SOUND, PICTURE = Decoder("audio", CONFIG), Decoder("image", CONFIG)
EIGHT = np.array([0, 8_192, 16_384, -16_384, -32_768, 0, 0, 4_096], np.int16)


def wav(path: Path, samples: np.ndarray, rate: int = 8_000) -> Path:
    wavfile.write(path, rate, samples)
    return path


class TestSound:
    def test_the_graph_and_the_library_decode_alike(self, tmp_path: Path) -> None:
        """Stereo of 16 bits goes through the graph, of 32 bits through scipy."""
        stereo = np.stack([EIGHT, EIGHT // 2], axis=1)
        of_graph = SOUND.decode(tf.constant(wav(tmp_path / "a.wav", stereo).read_bytes())).numpy()
        of_library = SOUND.read(wav(tmp_path / "b.wav", stereo.astype(np.int32) << 16))
        np.testing.assert_allclose(of_graph, EIGHT * 0.75 / 32_768, atol=1e-7)
        np.testing.assert_allclose(of_library, of_graph, atol=1e-7)

    def test_eight_bits(self, tmp_path: Path) -> None:
        read = SOUND.read(wav(tmp_path / "a.wav", np.array([128, 192, 0], np.uint8)))
        np.testing.assert_array_equal(read, [0, 0.5, -1, 0, 0, 0, 0, 0])

    @pytest.mark.parametrize("bits", [16, 32])
    @pytest.mark.parametrize("length", [5, 8, 20])
    def test_one_length(self, tmp_path: Path, length: int, bits: int) -> None:
        samples = np.full(length, 1 << (bits - 2), np.int16 if bits == 16 else np.int32)
        expected = [0.5] * min(length, 8) + [0.0] * (8 - min(length, 8))
        np.testing.assert_array_equal(SOUND.read(wav(tmp_path / "a.wav", samples)), expected)

    def test_the_graph_refuses_another_rate_and_no_sample(self, tmp_path: Path) -> None:
        graph = tf.function(SOUND.decode, autograph=False)
        with pytest.raises(tf.errors.InvalidArgumentError, match="resample the sound"):
            graph(tf.constant(wav(tmp_path / "a.wav", EIGHT, rate=16_000).read_bytes()))
        with pytest.raises(tf.errors.InvalidArgumentError):
            graph(tf.constant(wav(tmp_path / "b.wav", EIGHT[:0]).read_bytes()))
        assert SOUND.read(tmp_path / "a.wav").shape == (8,)
        with pytest.raises(DataError, match="0 seconds"):
            SOUND.read(tmp_path / "b.wav")


def png(pixels: np.ndarray) -> bytes:
    return bytes(tf.io.encode_png(pixels).numpy())


class TestPicture:
    def test_what_is_transparent_is_laid_over_white(self) -> None:
        pixels = np.zeros((8, 8, 4), np.uint8)
        pixels[..., 0] = 255  # red
        pixels[:, :2, 3], pixels[:, 2:, 3] = 255, 51
        seen = PICTURE.decode(tf.constant(png(pixels))).numpy()
        np.testing.assert_allclose(seen[0, 0], [1.0, 0.0, 0.0], atol=1e-6)
        np.testing.assert_allclose(seen[0, 5], [1.0, 0.8, 0.8], atol=1e-6)

    @pytest.mark.parametrize("alpha", [False, True])
    def test_grey_is_tripled(self, alpha: bool) -> None:
        pixels = np.full((8, 8, 1), 51, np.uint8)
        if alpha:
            pixels = np.concatenate([pixels, np.full_like(pixels, 255)], axis=2)
        np.testing.assert_allclose(PICTURE.decode(tf.constant(png(pixels))).numpy(), 0.2, atol=1e-6)

    def test_other_sizes_are_stretched(self) -> None:
        pixels = np.zeros((16, 24, 3), np.uint8)
        pixels[:, 12:] = 255
        seen = PICTURE.decode(tf.constant(png(pixels))).numpy()
        assert seen.shape == (8, 8, 3)
        np.testing.assert_allclose(seen[:, [0, 7], 0], [[0.0, 1.0]] * 8, atol=1e-6)

    def test_jpeg(self) -> None:
        encoded = tf.io.encode_jpeg(np.full((8, 8, 3), 102, np.uint8))
        np.testing.assert_allclose(PICTURE.decode(encoded).numpy(), 0.4, atol=0.01)

    def test_several_at_once(self) -> None:
        both = tf.constant([png(np.full((9, 8, 3), value, np.uint8)) for value in (0, 255)])
        np.testing.assert_allclose(PICTURE.decode_all(both).numpy()[:, 3, 3, 1], [0.0, 1.0])


class TestExamine:
    def test_unreadable_files_are_skipped_and_counted(self, tmp_path: Path) -> None:
        wav(tmp_path / "a.wav", EIGHT)
        wav(tmp_path / "b.wav", EIGHT[:0])
        (tmp_path / "c.wav").write_bytes(b"no sound")
        wav(tmp_path / "d.wav", EIGHT // 2)
        content = examine(list_content(tmp_path), CONFIG)
        assert list(content.item_ids) == ["a", "d"]
        assert content.notes[0].startswith("Files that could not be read and were skipped: 2.")
        assert "b.wav lasts 0 seconds" in content.notes[0]
        assert content.values is not None
        np.testing.assert_allclose(content.values[1], EIGHT // 2 / 32_768, atol=1e-7)

    def test_nothing_readable(self, tmp_path: Path) -> None:
        (tmp_path / "c.png").write_bytes(b"no picture")
        with pytest.raises(DataError, match=r"None of the 1 files .*c\.png cannot be read as PNG or JPEG"):
            examine(list_content(tmp_path), CONFIG)

    def test_what_does_not_fit_into_memory_is_streamed(self, tmp_path: Path) -> None:
        for place in range(5):
            wav(tmp_path / f"{place}.wav", EIGHT // (place + 1))
        kept = examine(list_content(tmp_path), CONFIG)
        streamed = examine(list_content(tmp_path), CONFIG, most_bytes=100)
        assert kept.values is not None
        assert streamed.values is None
        found = list(streamed.in_order(batch_size=2).as_numpy_iterator())
        np.testing.assert_array_equal(np.concatenate([rows for rows, _ in found]), np.arange(5))
        np.testing.assert_array_equal(np.concatenate([contents for _, contents in found]), kept.values)
