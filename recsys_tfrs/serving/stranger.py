"""A program that knows TensorFlow and TensorFlow Serving's messages, and nothing of this package, looks at an export.

`recsys_tfrs.serving.check` runs this file in a process of its own, as a module of a package that holds nothing but this
folder. It and what it imports beside itself (``stranger_*.py``) import nothing else from here, so what passes passes in
anybody's program. It prints one JSON object per line, ``{"check", "passed", "detail"}``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow_serving.apis import prediction_log_pb2

from .stranger_cascade import both_stages, silent_stages
from .stranger_content import damage, descriptions
from .stranger_export import CheckError, Export, Outputs, apart, play
from .stranger_ranking import predictions, silent_parts
from .stranger_retrieval import exclusion, limits, recommendations, scores

EXTRA = "assets.extra"
WARMUP = "tf_serving_warmup_requests"
MAX_RECORDS = 1_000

#: Modules whose import would mean that the export cannot stand alone.
OURS = ("recsys_tfrs", "tensorflow_recommenders")


def files(export: Export) -> str:
    """The folder is complete and its records can be read."""
    for name in ("saved_model.pb", "variables/variables.index", f"{EXTRA}/manifest.json"):
        if not (export.folder / name).is_file():
            raise CheckError(f"{name} is missing: half written, or not written by `recsys-tfrs export`")
    if not list(export.folder.glob("variables/variables.data-*")):
        raise CheckError("variables/variables.data-* is missing: the folder is half written")
    for name in ("expected.json", WARMUP):
        if not (export.folder / EXTRA / name).is_file():
            raise CheckError(f"{EXTRA}/{name} is missing: export the run again with `recsys-tfrs export`")
    export.manifest = json.loads((export.folder / EXTRA / "manifest.json").read_text(encoding="utf-8"))
    export.expected = json.loads((export.folder / EXTRA / "expected.json").read_text(encoding="utf-8"))
    size = sum(path.stat().st_size for path in export.folder.rglob("*") if path.is_file())
    return f"complete, {size / 1e6:,.1f} MB"


def operations(export: Export) -> str:
    """Stock operations alone, or those of ScaNN, which are named and can be had here."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((export.folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    used = {node.op for node in nodes} - {function.signature.name for function in graph.library.function}
    foreign = sorted(op for op in used if ">" in op)
    if foreign != export.manifest["custom_operations"]:
        raise CheckError(f"the graph uses {foreign}, the manifest names {export.manifest['custom_operations']}")
    if export.is_exact and foreign:
        raise CheckError(f"an exact export must hold stock operations only, but uses {', '.join(foreign)}")
    if any(op.startswith("Scann>") for op in foreign):
        try:
            from scann.scann_ops.py import scann_ops  # noqa: F401 - the import registers the operations
        except Exception as error:
            raise CheckError(
                f"needs {', '.join(foreign)}, and ScaNN cannot be imported here ({error}): install "
                "'scann[tf]==1.4.2' beside TensorFlow 2.20, or export with --index exact"
            ) from None
    unknown = sorted(op for op in used if op_def_registry.get(op) is None)
    if unknown:
        raise CheckError(f"TensorFlow {tf.__version__} does not know {', '.join(unknown)}")
    needs = f"needs {', '.join(foreign)}" if foreign else "stock TensorFlow only"
    return f"{len(used)} operations, {needs}"


def load(export: Export) -> str:
    """TensorFlow loads it."""
    started = time.perf_counter()
    export.loaded = tf.saved_model.load(str(export.folder))
    return f"in {time.perf_counter() - started:.1f} s with TensorFlow {tf.__version__}"


def signatures(export: Export) -> str:
    """The signatures of the manifest are there, with these inputs and outputs."""
    declared = export.manifest["signatures"]
    found = set(export.loaded.signatures)
    if found != set(declared):
        raise CheckError(f"the export has {sorted(found)}, the manifest names {sorted(declared)}")
    for name, signature in declared.items():
        specs = export.loaded.signatures[name].structured_input_signature[1]
        inputs = {n: s.dtype.name for n, s in specs.items()}
        named = {n: i["dtype"] for n, i in signature["inputs"].items()}
        if inputs != named:
            raise CheckError(f"the inputs of {name} are {_listed(inputs)}, the manifest names {_listed(named)}")
        outputs = set(export.loaded.signatures[name].structured_outputs)
        if outputs != set(signature["outputs"]):
            raise CheckError(
                f"the outputs of {name} are {sorted(outputs)}, the manifest names {sorted(signature['outputs'])}"
            )
    return f"{len(declared)} as in the manifest: {', '.join(sorted(declared))}"


def _listed(inputs: dict[str, str]) -> str:
    return ", ".join(f"{name} ({dtype})" for name, dtype in sorted(inputs.items()))


def warm_up(export: Export) -> str:
    """TensorFlow Serving can play the warm-up file: every record parses and every request is answered."""
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(export.folder / EXTRA / WARMUP))]
    if not 1 <= len(records) <= MAX_RECORDS:
        raise CheckError(f"{len(records)} records; TensorFlow Serving takes 1 to {MAX_RECORDS}")
    export.requests = [prediction_log_pb2.PredictionLog.FromString(r).predict_log.request for r in records]
    asked = {request.model_spec.signature_name for request in export.requests}
    if asked != set(export.manifest["signatures"]):
        raise CheckError(f"no request for {sorted(set(export.manifest['signatures']) - asked)}")
    started = time.perf_counter()
    for request in export.requests:
        for name, values in play(export, request).items():
            if values.dtype.kind == "f" and np.isnan(values).any():
                raise CheckError(f"{name} of {request.model_spec.signature_name} is not a number")
    return f"{len(records)} records, all signatures, replayed in {time.perf_counter() - started:.1f} s"


def batches(export: Export) -> str:
    """A row is answered in a batch as it is alone."""
    compared, largest = 0, 0.0
    for request in export.requests:
        whole = play(export, request)
        rows = len(next(iter(whole.values())))
        for row in sorted({0, rows // 2, rows - 1}) if rows > 1 else ():
            alone = play(export, request, row)
            in_batch = {name: values[row] for name, values in whole.items()}
            largest = max(largest, difference(export, in_batch, {name: v[0] for name, v in alone.items()}))
            compared += 1
    if largest > export.expected["tolerance"]:
        raise CheckError(f"a row alone and in a batch differ by {largest:.2g}")
    return f"{compared} rows in batches and alone, largest difference {largest:.2g}"


def difference(export: Export, batch: Outputs, alone: Outputs) -> float:
    """Largest difference of two rows; infinite where they name different things."""
    if "item_id" in alone and not export.is_exact:
        # An approximate index looks further for a batch in which anybody asks for more: what both found is compared.
        both = {i: s for i, s in zip(batch["item_id"], batch["score"], strict=True) if i}
        pairs = [(both[i], s) for i, s in zip(alone["item_id"], alone["score"], strict=True) if i in both]
        return max((apart(a, b) for a, b in pairs), default=0.0)
    largest = 0.0
    for name in alone:
        value, other = np.asarray(alone[name]), np.asarray(batch[name])  # of an output of strings, a row is bytes
        # A batch is as wide as its longest list; the rest of a row is padding.
        other = other[: len(value)] if value.ndim else other
        if value.dtype.kind == "f":
            largest = max(largest, apart(other, value))
        elif not np.array_equal(other, value) and not tied(alone, value != other):
            return float("inf")
    return largest


def tied(outputs: Outputs, places: Any) -> bool:
    """Whether the places at which two lists name different items are such that their scores hardly differ."""
    if "score" not in outputs or np.ndim(outputs["score"]) != 1 or not np.ndim(places):
        return False
    scores = outputs["score"]
    gaps = np.abs(np.diff(scores)) <= 1e-5 * np.maximum(1, np.abs(scores[1:]))
    near = np.concatenate([[False], gaps]) | np.concatenate([gaps, [True]])
    return bool(near[np.asarray(places)].all())


def alone(export: Export) -> str:
    """Nothing of this package was needed for all that."""
    imported = [name for name in OURS if name in sys.modules]
    if imported:
        raise CheckError(f"{' and '.join(imported)} came to be imported in {export.folder}")
    return f"neither {' nor '.join(OURS)} is loaded in this process"


#: In this order; without these nothing further can be looked at.
NEEDED: tuple[Callable[[Export], str], ...] = (files, operations, load, signatures)
#: By kind of export, as its manifest names it.
FURTHER: dict[str, tuple[Callable[[Export], str], ...]] = {
    "retrieval": (warm_up, scores, recommendations, batches, exclusion, limits, alone),
    "ranking": (warm_up, predictions, batches, silent_parts, alone),
    "content": (warm_up, descriptions, batches, damage, alone),
    "cascade": (warm_up, both_stages, batches, silent_stages, exclusion, limits, alone),
}


def examine(folder: Path) -> Iterator[dict[str, Any]]:
    """Run the checks on a version folder, each with its verdict."""
    export = Export(folder)
    for check in _checks(export):
        try:
            verdict = {"passed": True, "detail": check(export)}
        except CheckError as failure:
            verdict = {"passed": False, "detail": str(failure)}
        except Exception as error:
            lines = str(error).splitlines() or [""]
            verdict = {"passed": False, "detail": f"{type(error).__name__}: {lines[0]}"}
        yield {"check": check.__name__.replace("_", "-"), **verdict}
        if not verdict["passed"] and check in NEEDED:
            return


def _checks(export: Export) -> Iterator[Callable[[Export], str]]:
    yield from NEEDED
    yield from FURTHER[export.manifest.get("kind", "retrieval")]  # read by one of those above


if __name__ == "__main__":
    for line in examine(Path(sys.argv[1])):
        print(json.dumps(line), flush=True)
