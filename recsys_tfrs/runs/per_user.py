"""``per_user.npz``: every system's accuracy by user, so that any two can be compared on the same users later."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.errors import RunError
from recsys_tfrs.evaluation.metrics import UserSums
from recsys_tfrs.evaluation.rating_errors import METRICS

if TYPE_CHECKING:  # comparing runs needs no TensorFlow
    from recsys_tfrs.runs.measuring import Measured

PER_USER = "per_user.npz"


def write_per_user(measured: Measured, family: str, folder: Path) -> None:
    """Write the sums of the model (under the name of its family) and of its baselines."""
    systems = {family: measured.model.user_sums}
    systems |= {name: evaluation.user_sums for name, evaluation in measured.baselines.items()}
    own = systems[family]
    arrays: dict[str, NDArray[np.floating[Any]]] = {
        f"sums {name}": sums.sums.astype(np.float32) for name, sums in systems.items()
    }
    ratings = {family: measured.ratings} | measured.baseline_ratings
    arrays |= {f"errors {name}": errors.user_sums.sums for name, errors in ratings.items() if errors is not None}
    np.savez_compressed(
        folder / PER_USER,
        names=np.array(own.names),
        users=own.users,
        weights=own.weights.astype(np.float32),
        **arrays,  # type: ignore[arg-type]
    )


def read_per_user(run: Path) -> dict[str, UserSums]:
    """The sums of each system of a run by its name.

    Raises:
      RunError: the file is missing or damaged.
    """
    return _read(run, "sums ")


def read_rating_errors(run: Path) -> dict[str, UserSums]:
    """`RatingErrors.user_sums` of each system of a run that predicts ratings, by its name.

    Raises:
      RunError: the file is missing or damaged.
    """
    return _read(run, "errors ")


def _read(run: Path, prefix: str) -> dict[str, UserSums]:
    path = run / PER_USER
    try:
        with np.load(path) as file:
            names = [str(name) for name in file["names"]]
            users, weights = file["users"], file["weights"].astype(np.float64)
            if prefix == "errors ":
                # Errors are summed up over test pairs, as hits are.
                names, weights = list(METRICS), np.repeat(weights[:, [names.index("hit@1")]], len(METRICS), axis=1)
            return {
                key.removeprefix(prefix): UserSums(names, users, file[key].astype(np.float64), weights)
                for key in file.files
                if key.startswith(prefix)
            }
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise RunError(f"{path} cannot be read ({error}): train the run again.") from None
