"""A module and its signatures -> a version folder that TensorFlow Serving runs.

The folder is written beside its final place and renamed, so a server that watches the base path sees it whole or not
at all.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from recsys_tfrs import runtime
from recsys_tfrs.errors import RunError, UsageError
from recsys_tfrs.serving.folders import EXTRA_FOLDER, MANIFEST, versions


def write_version(
    module: tf.Module,
    functions: Mapping[str, Any],
    folder: Path,
    facts: Mapping[str, Any],
    accompany: Callable[[Path, Mapping[str, Any]], None],
    *,
    version: int | None = None,
    custom_ops: Sequence[str] = (),
) -> Path:
    """Write ``<folder>/<version>/``: the SavedModel, the manifest, and what goes with them below ``assets.extra/``.

    Args:
      module: owns the variables and tables of `functions`.
      functions: `tf.function` by signature name.
      folder: TensorFlow Serving's base path of the model; made if absent.
      facts: of the manifest, beside those that `described` reads off the SavedModel.
      accompany: writes further files into ``assets.extra``, told that folder and the manifest.
      version: of the folder; None: the next free one.
      custom_ops: prefixes of the operations that TensorFlow alone does not have.

    Returns:
      The version folder.

    Raises:
      UsageError: an impossible version.
      RunError: the version exists already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The name is no integer, so that a server takes no notice of it.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-", ignore_cleanup_errors=True) as temporary:
        work = Path(temporary) / "saved_model"
        options = tf.saved_model.SaveOptions(namespace_whitelist=[op.rstrip(">") for op in custom_ops])
        with runtime.quiet():
            tf.saved_model.save(module, str(work), signatures=dict(functions), options=options)
        manifest = {**described(work), **facts}
        (work / EXTRA_FOLDER).mkdir(exist_ok=True)
        write_json(manifest, work / MANIFEST)
        accompany(work / EXTRA_FOLDER, manifest)
        flush(work)
        return _move_into_place(work, folder, version)


def check_version(folder: Path, version: int | None) -> None:
    """See that a version can be written, before anything is computed.

    Raises:
      UsageError: an impossible version.
      RunError: the version exists already.
    """
    if version is not None and version < 1:
        raise UsageError(f"A version is a positive integer, not {version}.")
    if version is not None and (folder / str(version)).exists():
        raise RunError(f"{folder / str(version)} exists already: leave the version out to take the next free one.")


def operations(version_folder: Path) -> set[str]:
    """Names of all operations an exported graph uses, functions included."""
    graph = _meta_graph(version_folder).graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return {node.op for node in nodes} - {function.signature.name for function in graph.library.function}


def described(work: Path) -> dict[str, Any]:
    """What can be read off a SavedModel itself: signatures, operations beyond TensorFlow's own, versions."""
    return {
        "custom_operations": sorted(op for op in operations(work) if ">" in op),
        "signatures": _signatures(work),
        "versions": runtime.package_versions(),
    }


def vocabulary_hash(ids: Iterable[object]) -> str:
    """SHA-256 over external ids in internal order."""
    digest = hashlib.sha256()
    for external in ids:
        text = str(external).encode()
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()


def write_json(facts: Mapping[str, Any], path: Path) -> None:
    """Write what people may want to read, too."""
    path.write_text(json.dumps(facts, indent=2, ensure_ascii=False), encoding="utf-8")


def flush(work: Path) -> None:
    """Have the files on disk before the folder gets its name."""
    for path in work.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _meta_graph(version_folder: Path) -> Any:
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((version_folder / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0]


def _signatures(work: Path) -> dict[str, Any]:
    return {
        name: {
            "inputs": {
                i: {**_type(info), "default": _default(declared.defaults[i]) if i in declared.defaults else None}
                for i, info in sorted(declared.inputs.items())
            },
            "outputs": {o: _type(info) for o, info in sorted(declared.outputs.items())},
        }
        for name, declared in sorted(_meta_graph(work).signature_def.items())
        if not name.startswith("__")
    }


def _type(info: Any) -> dict[str, Any]:
    unknown = info.tensor_shape.unknown_rank
    shape = None if unknown else [None if d.size < 0 else d.size for d in info.tensor_shape.dim]
    return {"dtype": tf.as_dtype(info.dtype).name, "shape": shape}


def _default(tensor: Any) -> Any:
    value = tf.make_ndarray(tensor).ravel()[0]
    if isinstance(value, bytes):
        return value.decode()
    value = value.item()
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def _move_into_place(work: Path, folder: Path, version: int | None) -> Path:
    number = version or max(versions(folder), default=0) + 1
    while True:
        target = folder / str(number)
        try:
            work.rename(target)
        except OSError:
            if not target.exists():
                raise
            if version is not None:
                raise RunError(f"{target} was made by another export meanwhile: leave the version out.") from None
            number += 1  # another export took it meanwhile
        else:
            return target
