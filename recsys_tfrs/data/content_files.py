"""A folder of sounds or pictures, one file per item: ``<item id>.wav``, or ``<item id>.png``, ``.jpg`` or ``.jpeg``."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile
from scipy.signal import resample_poly

from recsys_tfrs.errors import DataError

Medium = Literal["audio", "image"]

#: What files of a medium are called, in lower case.
SUFFIXES: dict[Medium, tuple[str, ...]] = {"audio": (".wav",), "image": (".png", ".jpg", ".jpeg")}

#: The filters of Python's warnings are those of the whole process.
_WARNINGS = threading.Lock()


@dataclass(frozen=True)
class ContentFiles:
    """Files by item.

    Attributes:
      medium: what they hold.
      item_ids: ``[num_items]`` object array of str, in the order of the file names.
      paths: ``[num_items]`` where each lies.
      notes: what was left out.
    """

    medium: Medium
    item_ids: NDArray[np.object_]
    paths: Sequence[Path]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)


def list_content(folder: Path) -> ContentFiles:
    """Find the files of a folder; those below its folders are not looked at.

    Raises:
      DataError: no folder, no file of sound or picture in it, files of both, or two files for one item.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: name a folder that holds a .wav, .png or .jpg file for each item.")
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    of = {
        medium: [path for path in files if path.suffix.lower() in suffixes and path.stem]
        for medium, suffixes in SUFFIXES.items()
    }
    if of["audio"] and of["image"]:
        raise DataError(
            f"{folder} holds sounds and pictures, such as {of['audio'][0].name} and {of['image'][0].name}: a model "
            "reads one of them, so keep them in folders of their own."
        )
    medium: Medium = "audio" if of["audio"] else "image"
    paths = of[medium]
    if not paths:
        known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
        raise DataError(f"{folder} holds no file named by an item's id with one of the endings {known}.")
    first: dict[str, Path] = {}
    for path in paths:
        if path.stem in first:
            raise DataError(
                f"{folder} holds two files for the item {path.stem!r}, {first[path.stem].name} and {path.name}: "
                "remove one of them."
            )
        first[path.stem] = path
    others = len(files) - len(paths)
    notes = (f"Files of {folder.name} that are no {medium} and were left out: {others:,}.",) if others else ()
    return ContentFiles(medium, np.array([path.stem for path in paths], dtype=object), paths, notes)


def read_wav(path: Path, rate: int) -> NDArray[np.float32]:
    """Sound of any sampling rate, width and number of channels as one channel at one rate.

    Samples of 8 bits (unsigned), 16, 24 and 32 bits are brought to -1..1, those of floating point are taken as they
    are, channels are averaged, and other rates resampled by a polyphase filter.

    Args:
      path: of the file.
      rate: samples per second to bring it to.

    Returns:
      ``[num_samples]``.

    Raises:
      DataError: the file is no WAV, damaged or truncated, or holds no sample.
    """
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            warnings.filterwarnings("error", "Reached EOF prematurely", wavfile.WavFileWarning)
            found, samples = wavfile.read(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}. See that it may be read, or take it away."
        ) from None
    except Exception as error:  # scipy raises whatever a damaged header leads it to
        raise DataError(f"{path} cannot be read as WAV ({error}): it is damaged or truncated.") from None
    if not samples.size or found <= 0:
        raise DataError(f"{path} lasts 0 seconds: it holds no sample.")
    wave = _unit_range(samples)
    if wave.ndim == 2:
        wave = wave.mean(axis=1)
    if not np.isfinite(wave).all():
        raise DataError(f"{path} holds samples that are no finite numbers.")
    if found != rate:
        shared = gcd(found, rate)
        wave = resample_poly(wave, rate // shared, found // shared)
    return np.asarray(wave, np.float32)


def _unit_range(samples: NDArray[np.generic]) -> NDArray[np.float64]:
    if samples.dtype == np.uint8:
        return (samples.astype(np.float64) - 128.0) / 128.0
    full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1) if samples.dtype.kind == "i" else 1.0
    return np.asarray(samples.astype(np.float64) / full_scale)
