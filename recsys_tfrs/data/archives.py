"""One view of a folder of data files and of a zip that holds such a folder.

A zip is read in place and never extracted: nothing is left behind when reading is interrupted, and a member cannot
be written outside its folder. Members whose paths climb out, and symbolic links, are refused all the same: such a
file was made by somebody with other intentions than sharing data.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from recsys_tfrs.errors import DataError

#: What reading a damaged zip member or gzip file raises, depending on where the damage is.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError)


@dataclass(frozen=True)
class DataFolder:
    """The files of one folder, on disk or inside a zip.

    Attributes:
      path: the folder, or the zip file.
      inside: folder inside the zip (``ml-100k``), empty at its top level and for a folder on disk.
      names: names of the files directly in the folder.
      archive: whether `path` is a zip.
    """

    path: Path
    names: frozenset[str]
    inside: str = ""
    archive: bool = field(default=False)

    @property
    def name(self) -> str:
        """Name of the folder itself, for example ``ml-25m``."""
        return PurePosixPath(self.inside).name or (self.path.stem if self.archive else self.path.resolve().name)

    def label(self, name: str = "") -> str:
        """How messages refer to a file of the folder."""
        return "/".join(part for part in (str(self.path), self.inside, name) if part)

    def has(self, *names: str) -> bool:
        """Whether all the named files are there."""
        return self.names.issuperset(names)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A binary stream over one file.

        Raises:
          DataError: the file is missing, unreadable, or the zip is damaged.
        """
        if name not in self.names:
            raise DataError(
                f"{name} is missing in {self.label()}: extract the original zip again, all of its files are needed."
            )
        try:
            if not self.archive:
                with (self.path / name).open("rb") as stream:
                    yield stream
                return
            with zipfile.ZipFile(self.path) as archive, archive.open(str(PurePosixPath(self.inside) / name)) as member:
                yield member
        except DAMAGE as error:
            raise DataError(f"{self.label(name)} is damaged or truncated ({error}): download it again.") from error
        except RuntimeError as error:  # what zipfile raises for an encrypted member
            if not self.archive:
                raise
            raise DataError(f"{self.label(name)} cannot be read: {error}.") from error
        except OSError as error:
            raise DataError(f"{self.label(name)} cannot be read: {error.strerror or error}.") from error

    def read(self, name: str) -> bytes:
        """The whole of one (small) file."""
        with self.open(name) as stream:
            return stream.read()


def _refuse_unsafe(path: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        # A backslash separates folders on Windows, where the same archive would climb out.
        name = member.filename.replace("\\", "/")
        parts = PurePosixPath(name).parts
        if name.startswith("/") or PureWindowsPath(name).drive or ".." in parts:
            raise DataError(f"{path} is refused: its member {member.filename!r} climbs out of the archive's folder.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DataError(f"{path} is refused: its member {member.filename!r} is a symbolic link.")


def zip_folders(path: Path) -> list[DataFolder]:
    """Every folder of a zip that holds files, outermost first.

    Raises:
      DataError: not a zip, truncated, or with members that climb out of their folder or are symbolic links.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (*DAMAGE, OSError) as error:
        raise DataError(
            f"{path} is not a readable zip file ({error}): it may be truncated, download it again."
        ) from error
    _refuse_unsafe(path, members)
    folders: dict[str, set[str]] = {}
    for member in members:
        if not member.is_dir():
            folder, _, name = member.filename.rpartition("/")
            folders.setdefault(folder, set()).add(name)
    ordered = sorted(folders, key=lambda folder: (folder.count("/") + bool(folder), folder))
    return [DataFolder(path, frozenset(folders[inside]), inside, archive=True) for inside in ordered]


def disk_folder(path: Path) -> DataFolder:
    """A folder on disk.

    Raises:
      DataError: it cannot be listed.
    """
    try:
        return DataFolder(path, frozenset(entry.name for entry in path.iterdir() if entry.is_file()))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def data_folders(path: Path) -> list[DataFolder]:
    """The folder itself, or every folder of a zip; nothing for what is neither."""
    if path.is_dir():
        return [disk_folder(path)]
    return zip_folders(path) if path.suffix.lower() == ".zip" else []
