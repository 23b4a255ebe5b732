"""Retrieval models and a ranking model -> one SavedModel that TensorFlow Serving runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import UsageError
from recsys_tfrs.features.preprocessing import circumstances
from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.schema import USER_ID
from recsys_tfrs.serving.cascade_card import cascade_card
from recsys_tfrs.serving.cascade_signatures import CascadeSettings, CascadeSignatures
from recsys_tfrs.serving.cascade_sources import Source
from recsys_tfrs.serving.expected import EXPECTED, TOLERANCE, spread_users
from recsys_tfrs.serving.export import catalogue_facts
from recsys_tfrs.serving.model_card import MODEL_CARD
from recsys_tfrs.serving.ranking_inputs import PairInputs
from recsys_tfrs.serving.two_stages import TwoStages
from recsys_tfrs.serving.version_folder import check_version, write_json, write_version
from recsys_tfrs.serving.warmup import WARMUP, WarmupRequests, unknown_id, write_warmup

KIND = "cascade"


def export_cascade(
    sources: Sequence[Source],
    model: Ranker,
    inputs: PairInputs,
    interactions: Interactions,
    histories: Histories,
    folder: Path,
    *,
    settings: CascadeSettings,
    answering: TwoStages | None = None,
    manifest: Mapping[str, Any] | None = None,
    version: int | None = None,
) -> Path:
    """Write ``<folder>/<version>/`` with the signatures of `CascadeSignatures`, and what goes with them.

    Args:
      sources: of candidates, over the items of `interactions`.
      model: ranks them.
      inputs: of that model, over the same users and items.
      interactions: the catalogue.
      histories: what the export knows of each user.
      folder: TensorFlow Serving's base path of the model; made if absent.
      settings: of the order.
      answering: both stages outside the graph, whose answers are recorded.
      manifest: facts to record beside those of the export itself.
      version: of the folder; left out: the next free one.

    Returns:
      The version folder.

    Raises:
      UsageError: settings or a version that are not possible.
      RunError: the version exists already.
    """
    total = sum(source.quota for source in sources)
    if not 1 <= settings.default_k <= settings.max_k <= total:
        raise UsageError(
            f"Lists of {settings.default_k} to {settings.max_k} items cannot be made of {total} candidates: 1 <= "
            "default_k <= max_k <= candidates must hold."
        )
    if not 0 <= settings.retrieval_weight <= 1 or not 0 <= (settings.diversity or 0) <= 1:
        raise UsageError("The weight of retrieval and the trade-off of diversity lie between 0 and 1.")
    check_version(folder, version)
    module = CascadeSignatures(sources, model, inputs, interactions, settings)
    moments = circumstances(interactions)
    context = {name: moments[column] for name, column in module.context_inputs().items()}
    told = {name: interactions.user_features[column] for name, column in module.user_inputs().items()}

    def accompany(extra: Path, facts: Mapping[str, Any]) -> None:
        (extra / MODEL_CARD).write_text(cascade_card(facts), encoding="utf-8")
        requests = WarmupRequests(facts["signatures"], interactions, histories, told, context)
        write_warmup(requests, extra / WARMUP, folder.name)
        if answering is not None:
            write_json(_expected(answering, interactions, histories, settings), extra / EXPECTED)

    facts = {
        **catalogue_facts(interactions),
        "sources": [{"name": source.name, "quota": source.quota} for source in sources],
        "candidates": total,
        "parts": module.parts,
        "target": model.targets[0].name,
        "retrieval_weight": settings.retrieval_weight,
        "diversity": settings.diversity,
        "max_k": settings.max_k,
        "default_k": settings.default_k,
        "stored_histories": True,
        "index": {"kind": "exact"},
        **(manifest or {}),
        "kind": KIND,
    }
    custom_ops = sorted({op for source in sources for op in source.custom_ops})
    return write_version(module, module.functions(), folder, facts, accompany, version=version, custom_ops=custom_ops)


def _expected(
    answering: TwoStages, interactions: Interactions, histories: Histories, settings: CascadeSettings
) -> dict[str, Any]:
    """Candidates of some users, all that there are and an unknown one's, with both scores, as the stages say apart."""
    users = np.append(spread_users(histories), 0).astype(np.int32)
    found = answering.candidates(users)
    blended = found.blended(settings.retrieval_weight)
    order = np.argsort(-blended, axis=1, kind="stable")
    ids = interactions.item_ids
    recorded = []
    for row, user in enumerate(users.tolist()):
        places = order[row][: np.count_nonzero(found.items[row])]
        recorded.append(
            {
                "inputs": {USER_ID: [str(interactions.user_ids[user]) if user else unknown_id(interactions.user_ids)]},
                "seen": ids[np.unique(histories.of(user))].tolist(),
                "num_unseen": answering.num_left(user),
                "item_ids": ids[found.items[row, places]].tolist(),
                "order": blended[row, places].astype(float).tolist(),
                "retrieval_scores": found.retrieval[row, places].astype(float).tolist(),
                "ranking_scores": found.ranking[row, places].astype(float).tolist(),
                "sources": found.sources[row, places].tolist(),
            }
        )
    return {"tolerance": TOLERANCE, "users": recorded}
