"""Where exports lie: ``<base path>/<integer version>/``, as TensorFlow Serving reads them."""

from __future__ import annotations

from pathlib import Path

from recsys_tfrs.errors import RunError

#: Where TensorFlow Serving expects files that come with a model.
EXTRA_FOLDER = "assets.extra"
MANIFEST = f"{EXTRA_FOLDER}/manifest.json"

#: Base path of the exports inside a run.
IN_RUN = "saved_model"


def versions(folder: Path) -> list[int]:
    """Versions in a base path, ascending."""
    if not folder.is_dir():
        return []
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal() and entry.is_dir())


def base_path(path: Path) -> Path:
    """Where the versions of a run lie; any other path is one already."""
    return path / IN_RUN if (path / IN_RUN).is_dir() else path


def newest_version(path: Path, *, complete: bool = False) -> Path:
    """The version folder meant by a version folder, a base path or a run.

    Args:
      path: of any of them.
      complete: of a base path, the newest version with a model; without, the one with the largest number, whatever is
        in it: that is the one a server tries to load.

    Raises:
      RunError: there is none.
    """
    if _has_model(path) or (not complete and (path / MANIFEST).is_file()):
        return path
    base = base_path(path)
    found = [base / str(version) for version in versions(base)]
    found = [folder for folder in found if _has_model(folder)] if complete else found
    if found:
        return found[-1]
    if not complete and path.name.isdecimal() and path.is_dir():
        return path
    raise no_export(path)


def no_export(path: Path) -> RunError:
    """That nothing at a path can be loaded."""
    return RunError(
        f"There is no exported model in {path}: expected a run, a folder with version folders, or one of them, which "
        "holds saved_model.pb. Export a run with `recsys-tfrs export RUN`."
    )


def _has_model(folder: Path) -> bool:
    return (folder / "saved_model.pb").is_file()
