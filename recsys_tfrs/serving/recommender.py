"""An exported model, loaded in this process and asked in plain Python."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs.errors import RunError, UsageError
from recsys_tfrs.index.scann_index import load_scann
from recsys_tfrs.schema import USER_ID
from recsys_tfrs.serving.folders import MANIFEST, newest_version
from recsys_tfrs.serving.results import Recommendation
from recsys_tfrs.serving.signatures import EXCLUDE, EXCLUDE_HISTORY, HISTORY, K

__all__ = ["Recommendation", "Recommender"]

_SIGNATURE = "serving_default"


class Recommender:
    """Recommendations from a SavedModel that `recsys_tfrs.serving.export` wrote; made by `load`.

    Attributes:
      manifest: what the export recorded of itself.
    """

    def __init__(self, loaded: Any, manifest: Mapping[str, Any]) -> None:
        self._loaded = loaded  # a signature does not keep alive the model it came from
        self._recommend = loaded.signatures[_SIGNATURE]
        self._specs: dict[str, tf.TensorSpec] = self._recommend.structured_input_signature[1]
        self.manifest = manifest

    @classmethod
    def load(cls, path: Path | str) -> Recommender:
        """Load a version folder, or the newest one with a model of a base path or a run.

        Raises:
          RunError: there is no export, it is damaged, not one of ours, or of a model that recommends nothing.
          MissingExtraError: it holds a ScaNN index, and ScaNN cannot be imported.
        """
        folder = newest_version(Path(path), complete=True)
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if "max_k" not in manifest:
                raise RunError(
                    f"The export in {folder} recommends nothing, as those of retrieval runs and cascades do: it is of "
                    "a ranking model or of one that describes items. `recsys-tfrs export-cascade` makes one that "
                    "recommends of a retrieval and a ranking run."
                )
            if any(op.startswith("Scann>") for op in manifest["custom_operations"]):
                load_scann()
            return cls(tf.saved_model.load(str(folder)), manifest)
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise RunError(
                f"The export in {folder} cannot be loaded ({type(error).__name__}: {error}): it is incomplete or was "
                "not written by this package. Export the run again."
            ) from None

    def recommend(
        self,
        user_ids: Sequence[str],
        k: int = 10,
        *,
        history: Sequence[Sequence[str]] | None = None,
        exclude: Sequence[Sequence[str]] | None = None,
        exclude_history: bool = True,
        inputs: Mapping[str, Sequence[Any]] | None = None,
    ) -> list[list[Recommendation]]:
        """Recommend the best items for each user.

        Args:
          user_ids: external ids; an unknown one gets what the model recommends to anyone with such a history and
            features.
          k: length of the lists, 1 up to the export's maximum. A list is shorter where the candidates end.
          history: external item ids per user, oldest first; an empty one leaves the stored history in place.
          exclude: external item ids per user that are not to be returned.
          exclude_history: leave out the stored history and `history` as well.
          inputs: further inputs of the signature by name, one value (or list of values) per user: user columns that
            replace what is known, and item filters.

        Raises:
          UsageError: `k` out of range, an unknown input, or an argument not as long as `user_ids`.
        """
        given = {USER_ID: user_ids, HISTORY: history, EXCLUDE: exclude, **(inputs or {})}
        out = self._ask(given, len(user_ids), k, exclude_history)
        columns = zip(*(out[name] for name in ("item_id", "title", "score")), strict=True)
        return [
            [Recommendation(i.decode(), t.decode(), float(s)) for i, t, s in zip(*row, strict=True) if i]
            for row in columns
        ]

    def recommend_arrays(self, user_ids: Sequence[str], k: int = 10) -> dict[str, NDArray[Any]]:
        """`recommend` by user id alone, for many users at once.

        Returns:
          ``item_id`` and ``title`` ``[batch, k]`` bytes in UTF-8, empty where a list ends early; ``score`` of the same
          shape, -inf there; ``user_known`` ``[batch]``.

        Raises:
          UsageError: `k` out of range.
        """
        return self._ask({USER_ID: user_ids}, len(user_ids), k, True)

    def _ask(self, given: Mapping[str, Any], rows: int, k: int, exclude_history: bool) -> dict[str, NDArray[Any]]:
        maximum = self.manifest["max_k"]
        if not 1 <= k <= maximum:
            raise UsageError(f"This export answers with 1 to {maximum} items, not {k}.")
        tensors = {name: self._tensor(name, values, rows) for name, values in given.items()}
        tensors |= {K: tf.constant(k), EXCLUDE_HISTORY: tf.constant(exclude_history)}
        out = self._recommend(**{name: _neutral(spec) for name, spec in self._specs.items()} | tensors)
        return {name: tensor.numpy() for name, tensor in out.items()}

    def knows(self, user_id: str) -> bool:
        """Whether a user occurs in the data the model was exported with."""
        neutral = {name: _neutral(spec) for name, spec in self._specs.items()}
        out = self._recommend(**neutral | {USER_ID: tf.constant([user_id]), K: tf.constant(1)})
        return bool(out["user_known"].numpy()[0])

    def _tensor(self, name: str, values: Sequence[Any] | None, rows: int) -> tf.Tensor:
        if name not in self._specs:
            raise UsageError(f"This export has no input {name!r}: it has {', '.join(sorted(self._specs))}.")
        spec = self._specs[name]
        if values is None:
            return _neutral(spec)
        if len(values) != rows:
            raise UsageError(f"{name} has {len(values)} entries for {rows} users: one per user is needed.")
        if spec.shape.rank == 1:
            return tf.constant(list(values), spec.dtype, shape=[rows])
        padded: Any = np.full((rows, max([1, *map(len, values)])), "", dtype=object)
        for row, entry in enumerate(values):
            padded[row, : len(entry)] = list(entry)
        return tf.constant(padded, spec.dtype)


def _neutral(spec: tf.TensorSpec) -> tf.Tensor:
    """The value that stands for "not given"; `K` and `EXCLUDE_HISTORY` have none and are always given."""
    value = {tf.string: "", tf.bool: True, tf.int32: 1}.get(spec.dtype, math.nan)
    return tf.fill([1] * (spec.shape.rank or 0), tf.constant(value, spec.dtype))
