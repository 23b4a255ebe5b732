"""What the exported model must answer: scores of the model itself, computed outside the exported graph.

They are recorded in ``assets.extra/expected.json`` at the time of the export, so that whoever holds nothing but the
version folder can still tell whether it computes what was trained and measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.schema import ITEM_ID, USER_ID
from recsys_tfrs.serving.signatures import HISTORY, HISTORY_RATING
from recsys_tfrs.serving.warmup import unknown_id

EXPECTED = "expected.json"

#: Largest difference of two scores, relative to the larger of 1 and the score.
TOLERANCE = 1e-5

#: Users recorded; among them the one with the shortest and the one with the longest history.
NUM_USERS = 16

#: Best items recorded of each user.
NUM_ITEMS = 200

#: Pairs recorded of each user.
_PAIRS = 4


def expected_answers(
    scorer: RetrievalScorer,
    interactions: Interactions,
    histories: Histories,
    *,
    stored_histories: bool,
    allowed: NDArray[np.bool_] | None = None,
    context: Mapping[str, FeatureColumn] | None = None,
    asking: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Record the model's own answers for some known users and an unknown one.

    Args:
      scorer: the model with `histories`.
      interactions: the data set.
      histories: what the export knows of the users, or what the requests tell it; these items it leaves out.
      stored_histories: False where a request must carry the history.
      allowed: ``[num_items + 1]`` False for items that are never returned; None allows all.
      context: what requests tell of the moment of asking, by name of the input, rows as in the interactions.
      asking: ``[num_users + 1]`` row in whose context each user asks, as the scorer has it; None: nothing is told.

    Returns:
      ``tolerance``; ``users``: for each the ``inputs`` of a request, the ids in his history (``seen``), the number
      of items left to him (``num_unseen``), the best ``items`` of these with their ``scores``, and the scores of some
      ``pairs``.
    """
    users = np.append(spread_users(histories), 0)
    scores = scorer.score(users)
    draw = np.random.default_rng(0)
    hidden = np.zeros(0, dtype=np.int64) if allowed is None else np.flatnonzero(~allowed)
    pairs = draw.integers(1, interactions.num_items + 1, (len(users), _PAIRS))
    return {
        "tolerance": TOLERANCE,
        "users": [
            {
                "inputs": _inputs(int(user), interactions, histories, stored_histories)
                | ({} if asking is None else _moment(context or {}, int(asking[user]))),
                "seen": interactions.item_ids[np.unique(histories.of(user))].tolist(),
                **_best(scores[row], np.append(histories.of(user), hidden), interactions.item_ids),
                "pairs": {
                    ITEM_ID: interactions.item_ids[pairs[row]].tolist(),
                    "score": scores[row, pairs[row]].astype(float).tolist(),
                },
            }
            for row, user in enumerate(users)
        ],
    }


def spread_users(histories: Histories) -> NDArray[np.int32]:
    """Users with a history, evenly spread over its lengths."""
    lengths = histories.lengths
    by_length = np.argsort(lengths, kind="stable")[np.count_nonzero(lengths == 0) :]
    chosen = np.linspace(0, len(by_length) - 1, min(NUM_USERS, len(by_length))).astype(np.int64)
    return by_length[chosen].astype(np.int32)


def _best(scores: NDArray[np.float32], left_out: NDArray[np.integer[Any]], ids: NDArray[np.object_]) -> dict[str, Any]:
    masked = scores.astype(np.float64)
    masked[0] = masked[left_out] = -np.inf
    unseen = int(np.count_nonzero(masked > -np.inf))
    best = np.argsort(-masked, kind="stable")[: min(NUM_ITEMS, unseen)]
    return {"num_unseen": unseen, "items": ids[best].tolist(), "scores": masked[best].tolist()}


def _inputs(user: int, interactions: Interactions, histories: Histories, stored: bool) -> dict[str, Any]:
    if user == 0:
        return {USER_ID: [unknown_id(interactions.user_ids)]}
    inputs: dict[str, Any] = {USER_ID: [interactions.user_ids[user]]}
    if not stored:
        _, position = histories.positions(np.array([user]))
        inputs[HISTORY] = [interactions.item_ids[histories.items[position]].tolist()]
        if histories.ratings is not None:
            inputs[HISTORY_RATING] = [histories.ratings[position].astype(float).tolist()]
    return inputs


def _moment(context: Mapping[str, FeatureColumn], row: int) -> dict[str, Any]:
    """What is known of one row, as inputs of a request; nothing for row -1."""
    inputs: dict[str, Any] = {}
    for name, column in context.items() if row >= 0 else ():
        value = column.values[row]
        if isinstance(value, tuple):
            inputs[name] = [list(value)]
        elif isinstance(value, str) or np.isfinite(value):
            inputs[name] = [value if isinstance(value, str) else float(value)]
    return inputs
