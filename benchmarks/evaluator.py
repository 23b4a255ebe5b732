"""Full-ranking evaluation against `tfrs.metrics.FactorizedTopK`, on the same scores, in one run.

    python benchmarks/evaluator.py [--pairs 20000] [--users 943] [--items 1682] [--dim 32] [--repeats 3]

Both get the same random embeddings and the same test pairs, and compute hit@k for the same k. FactorizedTopK runs as
TFRS documents it: candidates indexed from batches of 128, its update inside a `tf.function`, batches of queries; it is
warmed up before the clock starts. Ours computes, from scores made inside the clock, every accuracy metric with
expected ties, with seen items kept (FactorizedTopK cannot filter any) and, as a second figure, with seen items
filtered too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from record import Figures, finish, judged, parser, table

from recsys_tfrs import runtime
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.evaluation.metrics import KS, accuracy
from recsys_tfrs.evaluation.ranking import rank, rank_filtered_and_kept

#: Times as fast as the faster of the FactorizedTopK.
BAR = 20.0
_OURS, _OURS_BOTH = "ours, 30 metrics, seen kept", "ours, 30 metrics, seen filtered and kept"


class InnerProduct:
    """Scores by the inner product of given vectors; row 0 of each table is padding."""

    def __init__(self, users: np.ndarray, items: np.ndarray) -> None:
        self.users, self.items = users, items

    def score(self, users: np.ndarray) -> np.ndarray:
        """``[len(users), num_items + 1]``."""
        return self.users[users] @ self.items.T


def factorized_top_k(
    scorer: InnerProduct, users: np.ndarray, items: np.ndarray, batch: int
) -> Callable[[], dict[str, float]]:
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    candidates = tf.data.Dataset.from_tensor_slices(scorer.items[1:]).batch(128)
    metric = tfrs.metrics.FactorizedTopK(candidates=candidates, ks=KS)
    pairs = tf.data.Dataset.from_tensor_slices((scorer.users[users], scorer.items[items])).batch(batch).cache()

    @tf.function
    def update(query: tf.Tensor, candidate: tf.Tensor) -> None:
        metric.update_state(query, candidate)

    def run() -> dict[str, float]:
        metric.reset_states()
        for query, candidate in pairs:
            update(query, candidate)
        return {f"hit@{k}": float(value) for k, value in zip(KS, metric.result(), strict=True)}

    return run


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time, after one run to warm up."""
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure(pairs: int, num_users: int, num_items: int, dim: int, seen: int, repeats: int) -> Figures:
    """Seconds of each evaluator on the same scores, and the largest difference between their hit@k."""
    runtime.configure("auto", seed=0)
    rng = np.random.default_rng(0)
    # Whole numbers whose inner products float32 holds exactly. FactorizedTopK computes the target's score a second
    # time, in another order of summation, and the target then competes with its own copy: with arbitrary embeddings
    # it misses some hits for a difference in the last bit.
    scorer = InnerProduct(
        rng.integers(-500, 501, (num_users + 1, dim)).astype(np.float32),
        rng.integers(-500, 501, (num_items + 1, dim)).astype(np.float32),
    )
    users = rng.integers(1, num_users + 1, pairs).astype(np.int32)
    items = rng.integers(1, num_items + 1, pairs).astype(np.int32)
    offsets = np.concatenate(([0], np.arange(num_users + 1))) * seen
    taken = rng.integers(1, num_items + 1, offsets[-1]).astype(np.int32)
    histories = Histories(offsets, taken, None, None, np.arange(len(taken)), num_items)

    def ours() -> dict[str, float]:
        return accuracy(rank(scorer, users, items, seen=None, num_items=num_items))

    def ours_both() -> list[dict[str, float]]:
        return [accuracy(r) for r in rank_filtered_and_kept(scorer, users, items, seen=histories, num_items=num_items)]

    theirs = {f"FactorizedTopK, batch {b:,}": factorized_top_k(scorer, users, items, b) for b in (4_096, 128)}
    expected, got = next(iter(theirs.values()))(), ours()
    timings = {name: seconds(run, repeats) for name, run in theirs.items()}
    fastest = min(timings.values())
    timings |= {_OURS: seconds(ours, repeats), _OURS_BOTH: seconds(ours_both, repeats)}
    return {
        "pairs": pairs,
        "num_users": num_users,
        "num_items": num_items,
        "dim": dim,
        "ks": list(KS),
        "repeats": repeats,
        "largest_difference": max(abs(expected[name] - got[name]) for name in expected),
        "seconds": timings,
        "ratio": fastest / timings[_OURS],
        "ratio_both": fastest / timings[_OURS_BOTH],
    }


def render(figures: Figures) -> list[str]:
    """Markdown."""
    return [
        f"{figures['pairs']:,} test pairs of {figures['num_users']:,} users, {figures['num_items']:,} items, "
        f"vectors of {figures['dim']}, k in {', '.join(map(str, figures['ks']))}, median of {figures['repeats']} after "
        f"warming up; largest difference of hit@k between the two: {figures['largest_difference']:.1e}.",
        "",
        *table(["", "seconds"], [[name, f"{value:.3f}"] for name, value in figures["seconds"].items()]),
        "",
        f"- to the faster FactorizedTopK, seen kept as there: {figures['ratio']:.1f} times as fast, bar {BAR:.0f}: "
        f"{judged(figures['ratio'], BAR)}",
        f"- with seen items filtered and kept, both at once: {figures['ratio_both']:.1f} times",
    ]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--pairs", type=int, default=20_000)
    arguments.add_argument("--users", type=int, default=943)
    arguments.add_argument("--items", type=int, default=1_682)
    arguments.add_argument("--dim", type=int, default=32)
    arguments.add_argument("--seen", type=int, default=85, help="training items per user, for the filtered figure")
    arguments.add_argument("--repeats", type=int, default=3)
    args = arguments.parse_args()
    figures = measure(args.pairs, args.users, args.items, args.dim, args.seen, args.repeats)
    finish(figures, render(figures), args.json)


if __name__ == "__main__":
    main()
