"""What `stranger` looks for in an export that recommends: the model's own scores and lists, exclusions, limits."""

from __future__ import annotations

import tensorflow as tf

from .stranger_export import CheckError, Export, apart

#: Length of the lists that are compared with the recorded ones.
LENGTH = 10


def scores(export: Export) -> str:
    """`score` gives the model's own scores of recorded pairs."""
    largest, count = 0.0, 0
    for user in export.expected["users"]:
        pairs = user["pairs"]
        out = export.call("score", {**user["inputs"], "item_id": pairs["item_id"]})
        largest = max(largest, apart(out["score"], pairs["score"]))
        count += len(pairs["score"])
    if largest > export.expected["tolerance"]:
        raise CheckError(f"the largest difference to the run's own scores is {largest:.2g} in {count} pairs")
    return f"{count} pairs as the run scores them, largest difference {largest:.2g}"


def recommendations(export: Export) -> str:
    """`serving_default` gives the items the model itself ranks first, with its scores."""
    largest, found, wanted = 0.0, 0, 0
    k = min(LENGTH, export.manifest["max_k"])
    for user in export.expected["users"]:
        ids, values = export.recommend(user, k)
        own = dict(zip(user["items"], user["scores"], strict=True))
        if export.is_exact:
            largest = max(largest, apart(values, user["scores"][:k]))
        largest = max([largest, *(apart(s, own[i]) for i, s in zip(ids, values, strict=True) if i in own)])
        if export.is_exact and (missing := set(ids) - set(own)):
            raise CheckError(f"user {user['inputs']['user_id'][0]} gets {sorted(missing)}, ranked far lower by the run")
        found += len(set(ids) & set(user["items"][:k]))
        wanted += len(user["items"][:k])
    if largest > export.expected["tolerance"]:
        raise CheckError(f"the largest difference to the run's own scores is {largest:.2g}")
    recall = found / max(wanted, 1)
    if not export.is_exact:
        audited = export.manifest.get("index_audit", {}).get("recall@10", 0.0)
        if recall < audited - 0.2:
            raise CheckError(f"recall@{k} is {recall:.3f} on the recorded users, {audited:.3f} in the audit")
    users = len(export.expected["users"])
    return f"{users} users, recall@{k} {recall:.3f}, largest difference {largest:.2g}"


def exclusion(export: Export) -> str:
    """What is excluded or has been seen never returns, and lists are full all the same."""
    k = export.manifest["max_k"]
    for user in export.expected["users"]:
        best, _ = export.recommend(user, min(3, k))
        barred = {*user["seen"], *best}
        for length in (min(LENGTH, k), k):
            ids, _ = export.recommend(user, length, exclude=[best or [""]])
            if back := barred & set(ids):
                raise CheckError(f"user {user['inputs']['user_id'][0]} gets {sorted(back)}, which were excluded")
            full = min(length, user["num_unseen"] - len(best))
            if len(ids) != full or len(set(ids)) != full:
                who = user["inputs"]["user_id"][0]
                raise CheckError(f"user {who} gets {len(set(ids))} different items instead of {full}")
    return f"{len(export.expected['users'])} users: nothing excluded returns, lists up to k = {k} are full"


def limits(export: Export) -> str:
    """A `k` outside the stated range is refused."""
    user, largest = export.expected["users"][0], export.manifest["max_k"]
    for k in (0, -1, largest + 1):
        try:
            export.recommend(user, k)
        except tf.errors.InvalidArgumentError:
            continue
        raise CheckError(f"k = {k} is answered, although the manifest says 1 to {largest}")
    return f"k = 0, -1 and {largest + 1} are refused"
