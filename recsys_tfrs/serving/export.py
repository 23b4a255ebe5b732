"""A trained retrieval model and its index -> one SavedModel that TensorFlow Serving runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import UsageError
from recsys_tfrs.features.preprocessing import circumstances
from recsys_tfrs.index.interface import Index
from recsys_tfrs.models.scoring import RetrievalModel, RetrievalScorer
from recsys_tfrs.serving.expected import EXPECTED, expected_answers
from recsys_tfrs.serving.made_up import made_up
from recsys_tfrs.serving.model_card import MODEL_CARD, model_card
from recsys_tfrs.serving.queries import ServableModel
from recsys_tfrs.serving.signatures import RetrievalSignatures
from recsys_tfrs.serving.version_folder import check_version, vocabulary_hash, write_json, write_version
from recsys_tfrs.serving.warmup import WARMUP, WarmupRequests, write_warmup


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
    check_version(folder, version)
    module = RetrievalSignatures(
        model, interactions, histories, index, store_histories=store_histories, max_k=max_k, default_k=default_k
    )
    shown = histories if store_histories else made_up(histories)
    moments = circumstances(interactions)
    context = {name: moments[column] for name, column in module.context_inputs().items()}
    told = {name: interactions.user_features[column] for name, column in module.user_inputs().items()}

    def accompany(extra: Path, facts: Mapping[str, Any]) -> None:
        (extra / MODEL_CARD).write_text(model_card(facts), encoding="utf-8")
        requests = WarmupRequests(facts["signatures"], interactions, shown, told, context)
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
            write_json(answers, extra / EXPECTED)

    facts = {
        **catalogue_facts(interactions),
        "index": {"kind": index.kind, "num_candidates": index.num_candidates, "bytes": index.num_bytes},
        "max_k": max_k,
        "default_k": default_k,
        "stored_histories": store_histories,
        **(manifest or {}),
    }
    return write_version(
        module, module.functions(), folder, facts, accompany, version=version, custom_ops=index.custom_ops
    )


def catalogue_facts(interactions: Interactions) -> dict[str, Any]:
    """What the manifest says of the users and items that an export knows."""
    return {
        "num_users": interactions.num_users,
        "num_items": interactions.num_items,
        "vocabulary_hash": {
            "users": vocabulary_hash(interactions.user_ids),
            "items": vocabulary_hash(interactions.item_ids),
        },
    }
