"""A trained content model -> one SavedModel that TensorFlow Serving runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.features.content import Decoder
from recsys_tfrs.models.content_cnn import ContentCNN
from recsys_tfrs.serving.content_signatures import CONTENTS, ContentSignatures
from recsys_tfrs.serving.expected import EXPECTED, TOLERANCE
from recsys_tfrs.serving.model_card import MODEL_CARD
from recsys_tfrs.serving.version_folder import write_json, write_version
from recsys_tfrs.serving.warmup import WARMUP, row_requests, write_warmup

KIND = "content"


def export_content(
    model: ContentCNN,
    decoder: Decoder,
    folder: Path,
    *,
    examples: Sequence[bytes],
    manifest: Mapping[str, Any] | None = None,
) -> Path:
    """Write the next ``<folder>/<version>/`` with the signatures of `ContentSignatures`, and what goes with them.

    Below ``assets.extra/`` lie the manifest, the model card, warm-up requests and the model's own answers by which the
    export can be checked.

    Args:
      model: trained and calibrated.
      decoder: what made its inputs.
      folder: TensorFlow Serving's base path of the model; made if absent.
      examples: bytes of one or a few files that the graph can decode, which go into the export.
      manifest: facts to record beside those of the export itself, for example data set and figures.

    Returns:
      The version folder.
    """
    module = ContentSignatures(model, decoder)
    values = np.stack([decoder.decode(contents).numpy() for contents in examples])
    rows = {CONTENTS: np.array(list(examples), dtype=object), module.decoded_input: values}
    answers = {name: tensor.numpy() for name, tensor in module.describe(values).items()}
    facts = {
        **(manifest or {}),
        "kind": KIND,
        "medium": decoder.medium,
        "classes": model.classes,
        "threshold": float(model.threshold.numpy()),
        "temperature": float(model.temperature.numpy()),
        "features": decoder.config.model_dump(),
    }

    def accompany(extra: Path, written: Mapping[str, Any]) -> None:
        (extra / MODEL_CARD).write_text("\n".join(_card(written)) + "\n", encoding="utf-8")
        write_warmup(row_requests(written["signatures"], {"known": rows}), extra / WARMUP, folder.name)
        one = slice(0, 1)
        recorded = {
            "tolerance": TOLERANCE,
            "inputs": {module.decoded_input: _plain(values[one])},
            "outputs": {name: _plain(answer[one]) for name, answer in answers.items()},
        }
        write_json(recorded, extra / EXPECTED)

    return write_version(module, module.functions(), folder, facts, accompany)


def _plain(values: NDArray[Any]) -> Any:
    if values.dtype == object:
        return [value.decode() for value in values.tolist()]
    return values.astype(float).tolist()


def _card(facts: Mapping[str, Any]) -> Iterator[str]:
    attribute, classes = facts.get("attribute", "attribute"), ", ".join(f"`{name}`" for name in facts["classes"])
    thing = "sound" if facts["medium"] == "audio" else "picture"
    yield f"# Model card: {attribute} of items by {thing}"
    yield "\n## Model\n"
    yield f"A convolutional network that tells one {attribute} of an item from its {thing}. It knows: {classes}."
    yield (
        "**A value it was not trained on cannot be predicted**: an item of another one gets one of these, or none. The "
        f"model abstains where its confidence is below {facts['threshold']:.3f}."
    )
    yield "\n## Intended use\n"
    yield (
        "To fill in what is not known about items, so that recommenders can tell new ones apart. Not to decide about "
        "people, and not for content of another kind than it was trained on, on which its confidence says nothing."
    )
    if "metrics" in facts:
        count = facts["counts"]["num_test"]
        yield f"\n## Figures\n\nOn {count:,} items of `{facts['dataset']}` withheld from training:\n"
        for name, value in facts["metrics"].items():
            yield f"- {name.replace('_', ' ')}: {value:.4f}"
        low, high = facts["accuracy_interval"]
        yield f"\nAccuracy, 95% interval: {low:.4f} to {high:.4f}; the commonest value always: {facts['chance']:.4f}."
    yield "\n## Known limits\n"
    yield "- One value per item: what has several is described by one."
    yield "- Vectors mean something to models trained on vectors of the same run only."
    yield "- Calibration holds for content as in training; louder noise or other encoders call for measuring again."
