"""Recall and MRR under the three rules on equal scores that papers on sessions use.

* ``standard``: the target stands first among its equals. A scorer that says the same of everything is perfect.
* ``conservative``: it stands last among them.
* ``expected``: the mean over all orders of the equals, which is what every other figure of this package is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recsys_tfrs.evaluation.metrics import hit, mrr
from recsys_tfrs.evaluation.ranking import Ranking

#: Cutoff of the papers on sessions.
SESSION_K = 20


def by_tie_rule(ranking: Ranking, k: int = SESSION_K) -> dict[str, dict[str, float]]:
    """``{rule: {"recall@k", "mrr@k"}}``, means over test pairs, each target alone being relevant.

    Args:
      ranking: of the test pairs.
      k: cutoff.
    """
    ones = np.ones_like(ranking.ties)
    first = replace(ranking, ties=ones)
    last = replace(ranking, greater=ranking.greater + ranking.ties - 1, ties=ones)
    rules = {"expected": ranking, "standard": first, "conservative": last}
    return {
        rule: {f"recall@{k}": float(hit(placed, k).mean()), f"mrr@{k}": float(mrr(placed, k).mean())}
        for rule, placed in rules.items()
    }
