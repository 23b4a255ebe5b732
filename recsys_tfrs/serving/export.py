"""A trained retrieval model and its index -> one SavedModel that TensorFlow Serving runs.

The version folder is written beside its final place and renamed, so a server that watches the folder sees it whole
or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import saved_model_pb2

from recsys_tfrs import runtime
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import RunError, UsageError
from recsys_tfrs.features.preprocessing import circumstances
from recsys_tfrs.index.interface import Index
from recsys_tfrs.models.scoring import RetrievalModel, RetrievalScorer
from recsys_tfrs.serving.expected import EXPECTED, expected_answers
from recsys_tfrs.serving.folders import EXTRA_FOLDER, MANIFEST, versions
from recsys_tfrs.serving.made_up import made_up
from recsys_tfrs.serving.model_card import MODEL_CARD, model_card
from recsys_tfrs.serving.queries import ServableModel
from recsys_tfrs.serving.signatures import RetrievalSignatures
from recsys_tfrs.serving.warmup import WARMUP, WarmupRequests, write_warmup

__all__ = ["EXTRA_FOLDER", "MANIFEST", "export_retrieval", "operations", "versions", "vocabulary_hash"]


def export_retrieval(
    model: ServableModel,
    interactions: Interactions,
    histories: Histories,
    index: Index,
    folder: Path,
    *,
    max_k: int = 1_000,
    default_k: int = 10,
    version: int | None = None,
    store_histories: bool = True,
    manifest: Mapping[str, Any] | None = None,
    answering: RetrievalModel | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> Path:
    """Write ``<folder>/<version>/`` with the signatures of `RetrievalSignatures`, and what goes with them.

    Below ``assets.extra/`` lie the manifest, the model card, warm-up requests and, where `answering` is given, answers
    of the model itself by which the export can be checked. Where histories are not stored, none stands in these either.

    Args:
      model: trained, both towers called at least once.
      interactions: the data set, whose users and items the graph is to know.
      histories: what the model may know of each user.
      index: over the model's candidate vectors.
      folder: TensorFlow Serving's base path of the model; made if absent.
      max_k: longest list a request may ask for.
      default_k: length where a request does not say.
      version: of the folder; left out: the next free one.
      store_histories: keep the users' histories in the graph, so that a user id is enough to ask with. Without them a
        request carries its history, and no past behaviour leaves the training machine.
      manifest: facts to record beside those of the export itself, for example family, data set and split hash.
      answering: the model outside the graph, whose answers are recorded.
      allowed: ``[num_items + 1]`` False for items the index leaves out; None: it holds all.

    Returns:
      The version folder.

    Raises:
      UsageError: impossible `max_k`, `default_k` or `version`.
      RunError: the version exists already.
    """
    if not 1 <= default_k <= max_k:
        raise UsageError(f"default_k must lie in 1..max_k, but default_k = {default_k} and max_k = {max_k}.")
    if version is not None and version < 1:
        raise UsageError(f"A version is a positive integer, not {version}.")
    if version is not None and (folder / str(version)).exists():
        raise RunError(f"{folder / str(version)} exists already: leave the version out to take the next free one.")
    module = RetrievalSignatures(
        model, interactions, histories, index, store_histories=store_histories, max_k=max_k, default_k=default_k
    )
    folder.mkdir(parents=True, exist_ok=True)
    # The name is no integer, so that a server takes no notice of it.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-", ignore_cleanup_errors=True) as temporary:
        work = Path(temporary) / "saved_model"
        options = tf.saved_model.SaveOptions(namespace_whitelist=[op.rstrip(">") for op in index.custom_ops])
        with runtime.quiet():
            tf.saved_model.save(module, str(work), signatures=module.functions(), options=options)
        facts = {**_facts(work, interactions, index, max_k, default_k, store_histories), **(manifest or {})}
        extra = work / EXTRA_FOLDER
        extra.mkdir(exist_ok=True)
        _write_json(facts, work / MANIFEST)
        (extra / MODEL_CARD).write_text(model_card(facts), encoding="utf-8")
        shown = histories if store_histories else made_up(histories)
        moments = circumstances(interactions)
        context = {name: moments[column] for name, column in module.context_inputs().items()}
        requests = WarmupRequests(facts["signatures"], interactions, shown, context)
        write_warmup(requests, extra / WARMUP, folder.name)
        if answering is not None:
            asking = None
            if context:  # any row of the data is a moment to ask in
                asking = np.random.default_rng(0).integers(0, len(interactions), len(shown.offsets) - 1)
            answers = expected_answers(
                RetrievalScorer(answering, shown, asking),
                interactions,
                shown,
                stored_histories=store_histories,
                allowed=allowed,
                context=context,
                asking=asking,
            )
            _write_json(answers, extra / EXPECTED)
        _flush(work)
        return _move_into_place(work, folder, version)


def operations(version_folder: Path) -> set[str]:
    """Names of all operations an exported graph uses, functions included."""
    graph = _meta_graph(version_folder).graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return {node.op for node in nodes} - {function.signature.name for function in graph.library.function}


def _meta_graph(version_folder: Path) -> Any:
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((version_folder / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0]


def _write_json(facts: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(facts, indent=2, ensure_ascii=False), encoding="utf-8")


def _facts(
    work: Path, interactions: Interactions, index: Index, max_k: int, default_k: int, stored: bool
) -> dict[str, Any]:
    return {
        "num_users": interactions.num_users,
        "num_items": interactions.num_items,
        "vocabulary_hash": {
            "users": vocabulary_hash(interactions.user_ids),
            "items": vocabulary_hash(interactions.item_ids),
        },
        "index": {"kind": index.kind, "num_candidates": index.num_candidates, "bytes": index.num_bytes},
        "max_k": max_k,
        "default_k": default_k,
        "stored_histories": stored,
        # Operations that a server needs beyond TensorFlow's own.
        "custom_operations": sorted(op for op in operations(work) if ">" in op),
        "signatures": _described(work),
        "versions": runtime.package_versions(),
    }


def _described(work: Path) -> dict[str, Any]:
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


def vocabulary_hash(ids: Iterable[object]) -> str:
    """SHA-256 over external ids in internal order."""
    digest = hashlib.sha256()
    for external in ids:
        text = str(external).encode()
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()


def _flush(work: Path) -> None:
    """Have the files on disk before the folder gets its name."""
    for path in work.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


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
