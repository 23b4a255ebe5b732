"""What `stranger` looks for in a cascade: the list of both stages run apart, and answers without any one of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .stranger_export import CheckError, Export, apart


def both_stages(export: Export) -> str:
    """`serving_default` gives the candidates in the order, and with the scores, that the stages gave apart."""
    largest, k = 0.0, export.manifest["max_k"]
    everybody = "+".join(export.manifest["parts"])
    names = [source["name"] for source in export.manifest["sources"]]
    for user in export.expected["users"]:
        out = export.call("serving_default", {**user["inputs"], "k": k})
        who, places = user["inputs"]["user_id"][0], {item: p for p, item in enumerate(user["item_ids"])}
        ids = [item.decode() for item in out["item_id"][0] if item]
        where = [places[item] for item in ids if item in places]
        here = [place for place, item in enumerate(ids) if item in places]
        order = np.asarray(user["order"])
        if len(where) < len(ids):
            others = [place for place in range(len(ids)) if place not in here]
            _at_the_border(user, names, out, others, export.expected["tolerance"])
        elif export.manifest["diversity"] is None:
            # Of equal candidates either may come first.
            largest = max(largest, apart(order[where], order[:k]))
        for name in ("retrieval_score", "ranking_score"):
            largest = max(largest, apart(out[name][0][here], np.asarray(user[f"{name}s"])[where]))
        if [item.decode() for item in out["source"][0][here]] != [names[user["sources"][p]] for p in where]:
            raise CheckError(f"user {who} gets items from other sources than the stages apart name")
        if out["parts"][0].decode() != everybody:
            raise CheckError(f"instead of {everybody} only {out['parts'][0].decode()!r} spoke")
    if largest > 10 * export.expected["tolerance"]:  # standardised over the candidates, differences are larger
        raise CheckError(f"the largest difference to the stages apart is {largest:.2g}")
    return f"{len(export.expected['users'])} users, largest difference to the stages apart {largest:.2g}"


def _at_the_border(user: Any, names: list[str], out: Any, places: list[int], tolerance: float) -> None:
    """Where the last candidates of a source are nearly equal, others of them may be found."""
    for place in places:
        source = names.index(out["source"][0][place].decode())
        last = min(s for s, who in zip(user["retrieval_scores"], user["sources"], strict=True) if who == source)
        if apart(out["retrieval_score"][0][place], last) > tolerance:
            item = out["item_id"][0][place].decode()
            raise CheckError(f"user {user['inputs']['user_id'][0]} gets {item}, which the stages apart do not find")


def silent_stages(export: Export) -> str:
    """Without any one source or part, and without the ranking, the others answer and it is said who did."""
    names = [source["name"] for source in export.manifest["sources"]]
    user = export.expected["users"][0]["inputs"]
    for left_out in (*names, *export.manifest["parts"], "ranking"):
        out = export.call("serving_default", {**user, "without": [[left_out]]})
        if left_out in (*out["sources"][0].decode().split("+"), *out["parts"][0].decode().split("+")):
            raise CheckError(f"{left_out} is left out and said to have spoken")
        if names != [left_out] and not out["item_id"][0][0]:
            raise CheckError(f"without {left_out} nobody answers")
    return f"answers without {', '.join((*names, *export.manifest['parts'], 'ranking'))}"
