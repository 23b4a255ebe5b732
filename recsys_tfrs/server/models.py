"""A watched folder of versions: the newest complete one is served, and a newer one replaces it while requests run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from tensorflow_serving.apis import get_model_status_pb2

from recsys_tfrs import runtime
from recsys_tfrs.errors import RecsysError, RunError
from recsys_tfrs.server.servable import Servable
from recsys_tfrs.server.status import invalid, not_found
from recsys_tfrs.serving.folders import base_path, no_export, versions

State = get_model_status_pb2.ModelVersionStatus.State

_log = logging.getLogger(__name__)

#: Names, sizes and times of all files in a version folder.
_Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class VersionStatus:
    """What TensorFlow Serving says about a version.

    Attributes:
      version: its number.
      state: TensorFlow Serving's.
      code: number of gRPC's status code, 0 for OK.
      message: why it could not be loaded.
    """

    version: int
    state: int
    code: int = 0
    message: str = ""


class WatchedModel:
    """The versions of one model in a base path; `poll` looks for changes.

    Args:
      name: as in requests.
      base_path: holds a folder per version, named by its number.
      labels: version by label; a version with a label stays loaded beside the newest.
      only: the one version to serve, whatever else comes.
    """

    def __init__(
        self, name: str, base_path: Path, *, labels: Mapping[str, int] | None = None, only: int | None = None
    ) -> None:
        self.name = name
        self._base_path = base_path
        self._labels = dict(labels or {})
        self._only = only
        self._loaded: dict[int, Servable] = {}
        self._newest: Servable | None = None
        self._statuses: dict[int, VersionStatus] = {}
        self._seen: dict[int, _Fingerprint] = {}
        self._failed: dict[int, _Fingerprint] = {}
        self._polling = threading.Lock()

    @classmethod
    def at(cls, path: Path, name: str, labels: Mapping[str, int] | None = None) -> WatchedModel:
        """The model of a run, of a base path, or of one version folder.

        Raises:
          RunError: nothing of the three is there.
        """
        path = path.resolve()
        if (path / "saved_model.pb").is_file():
            if not path.name.isdecimal():
                raise RunError(f"{path} holds a SavedModel, but a version folder is named by a number, as in movies/1.")
            return cls(name, path.parent, labels=labels, only=int(path.name))
        base = base_path(path)
        if not versions(base):
            raise no_export(path)
        return cls(name, base, labels=labels)

    def load(self) -> None:
        """Load what is there, once, at the start.

        Raises:
          RunError: no version can be loaded.
        """
        self.poll(settled=True)
        if self._newest is None:
            reasons = "; ".join(f"version {s.version}: {s.message}" for s in self._statuses.values())
            raise RunError(
                f"No version in {self._base_path} can be loaded ({reasons or 'none is complete'}): "
                "export the run again."
            )

    def poll(self, settled: bool = False) -> None:
        """Load the newest complete version if it is not loaded, and unload what it replaces.

        A folder that appears while the server runs may still be written: it is taken once it has not changed between
        two looks. One that cannot be loaded is looked at again when it changes, and what was served goes on.

        Args:
          settled: take folders at the first look.
        """
        with self._polling:
            found = versions(self._base_path) if self._only is None else [self._only]
            complete = [v for v in found if self._is_complete(v, settled)]
            if not complete:
                return  # an emptied folder is no reason to stop answering
            newest = next((s for v in reversed(complete) if (s := self._servable(v)) is not None), None)
            if newest is None:
                return
            labelled = [self._servable(v) for v in sorted(set(self._labels.values())) if v in complete]
            kept = {s.version: s for s in (newest, *labelled) if s is not None}
            if self._newest is not None and newest is not self._newest:
                _log.info("model %s: version %d replaces %d", self.name, newest.version, self._newest.version)
            replaced = self._loaded.keys() - kept.keys()
            self._newest, self._loaded = newest, kept
            # Said only once it is true: who reads it may ask at once.
            for version in kept:
                self._statuses[version] = VersionStatus(version, State.AVAILABLE)
            for version in replaced:  # requests that still run hold on to it
                self._statuses[version] = VersionStatus(version, State.END)

    def resolve(self, version: int | None = None, label: str = "") -> Servable:
        """The version a request means: the newest if it names none.

        Raises:
          RequestFailed: it is not loaded, or the label is unknown.
        """
        if label:
            version = self._labelled(label)
        if version is None:
            if self._newest is None:
                raise not_found(f"Servable not found for request: Latest({self.name})")
            return self._newest
        found = self._loaded.get(version)
        if found is None:
            raise not_found(f"Servable not found for request: Specific({self.name}, {version})")
        return found

    def statuses(self, version: int | None = None, label: str = "") -> list[VersionStatus]:
        """All versions since the start, newest first, or one of them.

        Raises:
          RequestFailed: there was no such version, or the label is unknown.
        """
        if label:
            version = self._labelled(label)
        known = dict(self._statuses)
        if version is None:
            return [known[v] for v in sorted(known, reverse=True)]
        if version not in known:
            raise not_found(f"Could not find version {version} of model {self.name}")
        return [known[version]]

    @property
    def newest(self) -> int:
        """Number of the version that is served where a request names none; 0 before the first is loaded."""
        return self._newest.version if self._newest else 0

    def _labelled(self, label: str) -> int:
        if label not in self._labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return self._labels[label]

    def _is_complete(self, version: int, settled: bool) -> bool:
        if version in self._loaded:
            return True
        folder = self._base_path / str(version)
        if not (folder / "saved_model.pb").is_file():
            return False
        now = _fingerprint(folder)
        before = self._seen.get(version)
        self._seen[version] = now
        return settled or now == before

    def _servable(self, version: int) -> Servable | None:
        if version in self._loaded:
            return self._loaded[version]
        if self._failed.get(version) == self._seen.get(version):
            return None
        self._statuses[version] = VersionStatus(version, State.LOADING)
        try:
            with runtime.quiet():
                servable = Servable.load(self._base_path / str(version))
                servable.warm_up(self._base_path / str(version))
        except Exception as error:  # TensorFlow raises all kinds for a damaged export, and serving goes on
            code, message = _reason(error)
            _log.warning("model %s: version %d cannot be loaded: %s", self.name, version, message)
            self._statuses[version] = VersionStatus(version, State.END, code, message)
            self._failed[version] = self._seen[version]
            return None
        return servable


def _reason(error: Exception) -> tuple[int, str]:
    message = (str(error) or type(error).__name__).partition("\n")[0]
    code: Any = grpc.StatusCode.FAILED_PRECONDITION if isinstance(error, RecsysError) else grpc.StatusCode.DATA_LOSS
    return code.value[0], message


def _fingerprint(folder: Path) -> _Fingerprint:
    files = []
    for path in sorted(folder.rglob("*")):
        try:
            found = path.stat()
        except OSError:
            continue  # removed meanwhile; the next look is another one
        files.append((str(path.relative_to(folder)), found.st_size, found.st_mtime_ns))
    return tuple(files)
