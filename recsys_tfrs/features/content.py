"""Files of sounds and pictures -> tensors of one shape: the same decoding in training and in the exported graph.

Sounds become ``[samples]`` float32 in -1..1 at one sampling rate and of one length: what is longer is cut behind, what
is shorter followed by silence; several channels are averaged. The graph decodes WAV of 16 bits at that rate; what it
cannot decode (other widths, other rates) `recsys_tfrs.data.content_files.read_wav` brings there.

Pictures become ``[size, size, 3]`` float32 in 0..1: stretched to a square by area averaging, grey ones tripled, and
what is transparent laid over white.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import Field

from recsys_tfrs.config import Section
from recsys_tfrs.data.content_files import ContentFiles, Medium, read_wav
from recsys_tfrs.errors import DataError

#: Decoded content up to which it is kept in memory, rather than read anew each epoch.
_IN_MEMORY_BYTES = 512 << 20

#: Files named in a note.
_NAMED = 3


class ContentFeaturesConfig(Section):
    """How sounds and pictures are brought to one shape."""

    sample_rate: int = Field(8_000, ge=1_000, le=48_000, description="Samples of a sound per second.")
    seconds: float = Field(1.5, gt=0, le=60, description="What is read of a sound; a shorter one ends in silence.")
    image_size: int = Field(32, ge=8, le=256, description="Pixels of a side of a picture.")


@dataclass(frozen=True)
class Decoder:
    """Bytes of a file -> tensor.

    Attributes:
      medium: what files hold.
      config: the shape to bring them to.
    """

    medium: Medium
    config: ContentFeaturesConfig

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the content of one item."""
        if self.medium == "audio":
            return (round(self.config.sample_rate * self.config.seconds),)
        return (self.config.image_size, self.config.image_size, 3)

    def decode(self, contents: tf.Tensor) -> tf.Tensor:
        """Decode the bytes of one file in the graph.

        Raises:
          tf.errors.InvalidArgumentError: (when run) damaged bytes, or sound of another width or rate.
        """
        decoded = self._sound(contents) if self.medium == "audio" else self._picture(contents)
        return tf.ensure_shape(decoded, self.shape)

    def decode_all(self, contents: tf.Tensor) -> tf.Tensor:
        """``[batch]`` strings -> ``[batch, ...]``."""
        spec = tf.TensorSpec(self.shape, tf.float32)
        return tf.map_fn(self.decode, contents, fn_output_signature=spec)

    def read(self, path: Path) -> NDArray[np.float32]:
        """Read one file by whatever can read it.

        Raises:
          DataError: nothing can.
        """
        try:
            return np.asarray(self._read(str(path)).numpy())
        except (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError) as error:
            if self.medium == "image":
                raise DataError(f"{path} cannot be read as PNG or JPEG: {_first_line(error)}.") from None
        except tf.errors.OpError as error:
            raise DataError(f"{path} cannot be read: {_first_line(error)}.") from None
        return self.fitted(read_wav(path, self.config.sample_rate))

    @cached_property
    def _read(self) -> Callable[[str], tf.Tensor]:
        """One graph for all files: its operations one by one cost several times as much."""
        spec = tf.TensorSpec([], tf.string)
        graph = tf.function(lambda path: self.decode(tf.io.read_file(path)), input_signature=[spec], autograph=False)
        return lambda path: graph(tf.constant(path))

    def fitted(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut a sound, or let silence follow it."""
        wave = wave[: self.shape[0]]
        return np.pad(wave, (0, self.shape[0] - len(wave)))

    def fitted_in_graph(self, values: tf.Tensor) -> tf.Tensor:
        """``[batch, samples]`` or ``[batch, height, width, 3]`` of any size -> ``[batch, ...]`` of the model's."""
        if self.medium == "image":
            size = [self.config.image_size] * 2
            return tf.ensure_shape(tf.image.resize(values, size, method="area"), [None, *self.shape])
        waves = values[:, : self.shape[0]]
        return tf.ensure_shape(tf.pad(waves, [[0, 0], [0, self.shape[0] - tf.shape(waves)[1]]]), [None, *self.shape])

    def _sound(self, contents: tf.Tensor) -> tf.Tensor:
        samples, rate = tf.audio.decode_wav(contents)
        checks = [
            tf.debugging.assert_equal(
                rate,
                self.config.sample_rate,
                message=f"The model hears {self.config.sample_rate} samples a second: resample the sound to that rate.",
            ),
            tf.debugging.assert_positive(tf.shape(samples)[0], message="The sound lasts 0 seconds."),
        ]
        with tf.control_dependencies([check for check in checks if check is not None]):
            wave = tf.reduce_mean(samples, axis=1)[: self.shape[0]]
        return tf.pad(wave, [[0, self.shape[0] - tf.shape(wave)[0]]])

    def _picture(self, contents: tf.Tensor) -> tf.Tensor:
        pixels = tf.io.decode_image(contents, channels=0, expand_animations=False, dtype=tf.float32)
        channels = tf.shape(pixels)[-1]
        opaque = channels % 2 == 1  # 1 and 3: grey and colour; 2 and 4: the same with how opaque each pixel is
        alpha = tf.where(opaque, tf.ones_like(pixels[..., -1:]), pixels[..., -1:])
        colors = pixels[..., : channels - tf.cast(~opaque, tf.int32)]
        colors = tf.broadcast_to(colors, tf.concat([tf.shape(pixels)[:-1], [3]], axis=0))
        over_white = colors * alpha + (1.0 - alpha)
        size = [self.config.image_size] * 2
        return tf.clip_by_value(tf.image.resize(over_white, size, method="area"), 0.0, 1.0)


@dataclass(frozen=True)
class Content:
    """Readable content of items, in memory or on disk.

    Attributes:
      decoder: brings it to one shape.
      item_ids: ``[num_items]`` object array of str.
      paths: ``[num_items]`` files.
      values: ``[num_items, ...]`` decoded, or None where there is too much for memory.
      notes: which files were left out.
    """

    decoder: Decoder
    item_ids: NDArray[np.object_]
    paths: Sequence[Path]
    values: NDArray[np.float32] | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.item_ids)

    def dataset(self, batches: Callable[[], Iterator[NDArray[np.int64]]]) -> tf.data.Dataset:
        """Stream batches of content, read ahead.

        Args:
          batches: makes an iterator over rows of each batch.

        Returns:
          A data set of ``(rows [batch], contents [batch, ...])``.
        """
        rows = tf.data.Dataset.from_generator(batches, output_signature=tf.TensorSpec([None], tf.int64))
        shape = [None, *self.decoder.shape]

        def taken(chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            contents = tf.numpy_function(self._take, [chosen], tf.float32, stateful=False)
            return chosen, tf.ensure_shape(contents, shape)

        return rows.map(taken, num_parallel_calls=2, deterministic=True).prefetch(4)

    def in_order(self, batch_size: int = 256) -> tf.data.Dataset:
        """All items once, from the first."""
        count = len(self)
        return self.dataset(
            lambda: (np.arange(low, min(low + batch_size, count)) for low in range(0, count, batch_size))
        )

    def _take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        if self.values is not None:
            return self.values[rows]
        return np.stack([self.decoder.read(self.paths[row]) for row in rows])


def examine(files: ContentFiles, config: ContentFeaturesConfig, most_bytes: int = _IN_MEMORY_BYTES) -> Content:
    """Read every file once; those that cannot be read are left out and counted.

    Args:
      files: of the items.
      config: the shape to bring them to.
      most_bytes: of decoded content that is kept in memory.

    Raises:
      DataError: no file can be read.
    """
    decoder = Decoder(files.medium, config)
    keep = len(files) * int(np.prod(decoder.shape)) * 4 <= most_bytes
    values = np.empty((len(files) if keep else 0, *decoder.shape), np.float32)
    good: list[int] = []
    bad: list[str] = []
    for place, path in enumerate(files.paths):
        try:
            read = decoder.read(path)
        except DataError as error:
            bad.append(str(error))
            continue
        if keep:
            values[len(good)] = read
        good.append(place)
    if not good:
        raise DataError(f"None of the {len(bad):,} files can be read. {bad[0]}")
    notes = [*files.notes]
    if bad:
        more = f" and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else ""
        notes.append(f"Files that could not be read and were skipped: {len(bad):,}. {' '.join(bad[:_NAMED])}{more}")
    paths = [files.paths[place] for place in good]
    return Content(decoder, files.item_ids[good], paths, values[: len(good)] if keep else None, tuple(notes))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
