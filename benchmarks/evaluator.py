"""Full-ranking evaluation against `tfrs.metrics.FactorizedTopK`, on the same scores, in one run.

    python benchmarks/evaluator.py [--pairs 20000] [--users 943] [--items 1682] [--dim 32] [--repeats 3]

Both get the same random embeddings and the same test pairs, and compute hit@k for the same k. FactorizedTopK runs as
TFRS documents it: candidates indexed from batches of 128, its update inside a `tf.function`, batches of queries; it is
warmed up before the clock starts. Ours computes, from scores made inside the clock, every accuracy metric with
expected ties, with seen items kept (FactorizedTopK cannot filter any) and, as a second figure, with seen items
filtered too.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

import recsys_tfrs  # noqa: F401  (switches TensorFlow to Keras 2, before TensorFlow is imported)
from recsys_tfrs.data.histories import Histories
from recsys_tfrs.evaluation.metrics import KS, accuracy
from recsys_tfrs.evaluation.ranking import rank, rank_filtered_and_kept


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=943)
    parser.add_argument("--items", type=int, default=1_682)
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--seen", type=int, default=85, help="training items per user, for the filtered figure")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    # Whole numbers whose inner products float32 holds exactly. FactorizedTopK computes the target's score a second
    # time, in another order of summation, and the target then competes with its own copy: with arbitrary embeddings
    # it misses some hits for a difference in the last bit.
    scorer = InnerProduct(
        rng.integers(-500, 501, (args.users + 1, args.dim)).astype(np.float32),
        rng.integers(-500, 501, (args.items + 1, args.dim)).astype(np.float32),
    )
    users = rng.integers(1, args.users + 1, args.pairs).astype(np.int32)
    items = rng.integers(1, args.items + 1, args.pairs).astype(np.int32)
    offsets = np.concatenate(([0], np.arange(args.users + 1))) * args.seen
    taken = rng.integers(1, args.items + 1, offsets[-1]).astype(np.int32)
    seen = Histories(offsets, taken, None, None, np.arange(len(taken)), args.items)

    def ours() -> dict[str, float]:
        return accuracy(rank(scorer, users, items, seen=None, num_items=args.items))

    def ours_both() -> list[dict[str, float]]:
        return [accuracy(r) for r in rank_filtered_and_kept(scorer, users, items, seen=seen, num_items=args.items)]

    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}")
    print(f"{args.pairs:,} test pairs, {args.users:,} users, {args.items:,} items, {args.dim} dimensions, k in {KS}")
    evaluators = {f"FactorizedTopK, batch {b}": factorized_top_k(scorer, users, items, b) for b in (4096, 128)}
    expected, got = next(iter(evaluators.values()))(), ours()
    worst = max(abs(expected[name] - got[name]) for name in expected)
    print(f"largest difference of hit@k between the two: {worst:.1e}")
    timings = {name: seconds(run, args.repeats) for name, run in evaluators.items()}
    mine = seconds(ours, args.repeats)
    both = seconds(ours_both, args.repeats)
    for name, value in timings.items():
        print(f"{name:<44} {value:8.3f} s")
    print(f"{'ours, 30 metrics, seen kept':<44} {mine:8.3f} s")
    print(f"{'ours, 30 metrics, seen filtered and kept':<44} {both:8.3f} s")
    fastest = min(timings.values())
    print(f"ratio to the faster FactorizedTopK: {fastest / mine:.1f} (seen filtered and kept: {fastest / both:.1f})")


if __name__ == "__main__":
    main()
