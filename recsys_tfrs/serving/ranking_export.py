"""A trained ranking model -> one SavedModel that TensorFlow Serving runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.serving.expected import EXPECTED, TOLERANCE
from recsys_tfrs.serving.model_card import MODEL_CARD
from recsys_tfrs.serving.ranking_card import ranking_card
from recsys_tfrs.serving.ranking_inputs import RankingInputs
from recsys_tfrs.serving.ranking_signatures import RankingSignatures
from recsys_tfrs.serving.version_folder import check_version, write_json, write_version
from recsys_tfrs.serving.warmup import WARMUP, row_requests, write_warmup

KIND = "ranking"

#: Values by input, all of the same number of rows: what requests tell.
Rows = Mapping[str, NDArray[Any]]


def export_ranking(
    model: Ranker,
    inputs: RankingInputs,
    folder: Path,
    *,
    rows: Mapping[str, Rows],
    answered: tuple[Rows, NDArray[np.float32]] | None = None,
    manifest: Mapping[str, Any] | None = None,
    version: int | None = None,
) -> Path:
    """Write ``<folder>/<version>/`` with the signatures of `RankingSignatures`, and what goes with them.

    Below ``assets.extra/`` lie the manifest, the model card, warm-up requests and, where `answered` is given, answers
    of the model itself by which the export can be checked.

    Args:
      model: trained.
      inputs: from raw fields to encoded ones.
      folder: TensorFlow Serving's base path of the model; made if absent.
      rows: what warm-up requests tell, by kind of request; what a kind does not tell is not given.
      answered: rows, and ``[num_rows, num_targets]`` what the model itself predicts of them.
      manifest: facts to record beside those of the export itself, for example family, data set and split hash;
        figures of a target stand in ``targets``, under its name.
      version: of the folder; left out: the next free one.

    Returns:
      The version folder.

    Raises:
      UsageError: an impossible version.
      RunError: the version exists already.
    """
    check_version(folder, version)
    module = RankingSignatures(model, inputs)
    measured = {target["name"]: target for target in (manifest or {}).get("targets", ())}
    targets = [
        {
            **measured.get(t.name, {}),
            "name": t.name,
            "kind": t.kind,
            "output": module.outputs[t.name],
            "first": not place,
        }
        for place, t in enumerate(model.targets)
    ]
    facts = {
        **(manifest or {}),
        "kind": KIND,
        "fields": model.preprocessor.layout.names,
        "inputs": dict(inputs.input_of),
        "parts": [str(part) for part in model.parts],
        "targets": targets,
    }

    def accompany(extra: Path, written: Mapping[str, Any]) -> None:
        (extra / MODEL_CARD).write_text(ranking_card(written), encoding="utf-8")
        write_warmup(row_requests(written["signatures"], rows), extra / WARMUP, folder.name)
        if answered is not None:
            asked, predicted = answered
            outputs = {module.outputs[t.name]: predicted[:, place] for place, t in enumerate(model.targets)}
            write_json(
                {
                    "tolerance": TOLERANCE,
                    "inputs": {name: _plain(values) for name, values in asked.items()},
                    "outputs": {"score": _plain(predicted[:, 0]), **{n: _plain(v) for n, v in outputs.items()}},
                },
                extra / EXPECTED,
            )

    return write_version(module, module.functions(), folder, facts, accompany, version=version)


def _plain(values: NDArray[Any]) -> Any:
    """Lists of what JSON has: text instead of bytes, "NaN" for what is no number."""
    return _of_json(values.tolist())


def _of_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_of_json(entry) for entry in value]
    if isinstance(value, bytes):
        return value.decode()
    return "NaN" if value != value else value
