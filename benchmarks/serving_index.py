"""Part `index` of the serving benchmark: the ScaNN export beside TFRS BruteForce, hnswlib and faiss.

    python benchmarks/serving_index.py [--items 1000000] [--recall 0.99] [--rounds 5] [--json FILE]

All search the same vectors for the same queries in batches of 256 on all cores, turn by turn in one process; medians of
the turns are reported. hnswlib and faiss search with the cheapest setting of a grid that reaches the recall on other
queries than those reported, as the ScaNN index does. They are optional: `pip install 'recsys-tfrs[bench]'`.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from embeddings import DESCRIPTION, DIM, Embeddings
from numpy.typing import NDArray
from record import Figures, finish, judged, parser, table

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()

import tensorflow_recommenders as tfrs  # noqa: E402

from recsys_tfrs.index.audit import recall  # noqa: E402
from recsys_tfrs.index.config import IndexConfig  # noqa: E402
from recsys_tfrs.index.exact import ExactIndex  # noqa: E402
from recsys_tfrs.index.scann_index import ScannIndex  # noqa: E402
from recsys_tfrs.index.tuning import tune_search  # noqa: E402

K, BATCH, TUNING, QUERIES = 10, 256, 8_192, 2_048
#: By how much a setting must exceed the recall on the queries it is chosen on, the same for all systems: the cheapest
#: of many that just reach it there falls short of it elsewhere.
MARGIN = 0.002
#: Times BruteForce's and the others' queries per second that ScaNN must reach, and seconds its build may take.
BAR_BRUTE_FORCE, BAR_OTHERS, BAR_BUILD = 80.0, 1.3, 20.0

Ids = NDArray[np.int32]
Search = Callable[[NDArray[np.float32]], Ids]


def scann_config(items: int) -> IndexConfig:
    """What is built: a leaf per thousand items, few iterations, since leaves of so many items are soon good."""
    return IndexConfig(kind="scann-tree", num_leaves=max(2, items // 1_000), training_iterations=6)


def measure(items: int, wanted: float, rounds: int) -> Figures:
    """Build everything, tune it on one half of the queries and measure it on the other."""
    source = Embeddings()
    vectors = source.sample(items + 1)
    tuning, queries = source.sample(TUNING), source.sample(QUERIES)
    chosen_at = wanted + MARGIN
    expected = {"tuning": _exact(vectors, tuning), "reporting": _exact(vectors, queries)}
    searches: dict[str, Search] = {"TFRS BruteForce": _brute_force(vectors)}
    built: dict[str, Figures] = {"TFRS BruteForce": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (
            ("ScaNN export", lambda: _scann(vectors, tuning, chosen_at, folder)),
            ("faiss", lambda: _first(_faiss(vectors), tuning, expected["tuning"], chosen_at)),
            ("hnswlib", lambda: _first(_hnswlib(vectors), tuning, expected["tuning"], chosen_at)),
        ):
            try:
                searches[name], built[name] = make()
            except ModuleNotFoundError as error:
                print(f"{name} is left out: {error}")
                continue
            print(name, built[name], flush=True)
        turns: dict[str, list[float]] = {name: [] for name in searches}
        found: dict[str, Ids] = {}
        for search in searches.values():
            search(queries[:BATCH])
        for _ in range(rounds):
            for name, search in searches.items():
                started = time.perf_counter()
                found[name] = _batched(search, queries)
                turns[name].append(QUERIES / (time.perf_counter() - started))
    return {
        "items": items,
        "dim": DIM,
        "recall": wanted,
        "systems": {
            name: {
                "queries_per_second": float(np.median(turns[name])),
                "slowest": min(turns[name]),
                "fastest": max(turns[name]),
                "recall": recall(found[name], expected["reporting"]),
                **built[name],
            }
            for name in searches
        },
    }


def _exact(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> Ids:
    index = ExactIndex(vectors)
    return _batched(lambda batch: index.search(tf.constant(batch), K)[1].numpy(), queries)


def _batched(search: Search, queries: NDArray[np.float32]) -> Ids:
    return np.concatenate([search(queries[low : low + BATCH]) for low in range(0, len(queries), BATCH)])


def _brute_force(vectors: NDArray[np.float32]) -> Search:
    layer = tfrs.layers.factorized_top_k.BruteForce(k=K)
    layer.index(tf.constant(vectors[1:]))
    search = tf.function(layer)
    return lambda queries: search(tf.constant(queries))[1].numpy() + 1


def _scann(
    vectors: NDArray[np.float32], tuning: NDArray[np.float32], wanted: float, folder: str
) -> tuple[Search, Figures]:
    best = tune_search(vectors, tuning, scann_config(len(vectors) - 1), recall=wanted, k=K).best
    index = ScannIndex(vectors, best.config)
    module = tf.Module()
    module.index = index
    specs = [tf.TensorSpec([None, DIM], tf.float32, name="queries"), tf.TensorSpec([], tf.int32, name="k")]
    module.search = tf.function(
        lambda queries, k: dict(zip(("score", "id"), index.search(queries, k), strict=True)), input_signature=specs
    )
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    tf.saved_model.save(module, folder, signatures=module.search, options=options)
    loaded = tf.saved_model.load(folder)
    search = loaded.signatures["serving_default"]
    k = tf.constant(K)
    config = best.config
    setting = f"{config.num_leaves} leaves, {config.leaves_to_search} searched, {config.reorder} reordered"
    # The function keeps what it searches alive.
    return (lambda queries, alive=loaded: search(queries=tf.constant(queries), k=k)["id"].numpy()), {
        "setting": setting,
        "build_seconds": index.build_seconds,
    }


def _first(
    settings: Iterator[tuple[Search, Figures]], tuning: NDArray[np.float32], expected: Ids, wanted: float
) -> tuple[Search, Figures]:
    """Of the settings that reach the recall the fastest; where none does, that with the highest recall."""
    tried = []
    for search, figures in settings:
        found = _batched(search, tuning)
        started = time.perf_counter()
        _batched(search, tuning)
        seconds = time.perf_counter() - started
        reached = recall(found, expected)
        tried.append((reached >= wanted, -seconds if reached >= wanted else reached, len(tried), search, figures))
    _, _, _, search, figures = max(tried, key=lambda entry: entry[:3])
    figures["use"]()
    return search, {name: value for name, value in figures.items() if name != "use"}


def _hnswlib(vectors: NDArray[np.float32]) -> Iterator[tuple[Search, Figures]]:
    hnswlib: Any = importlib.import_module("hnswlib")
    started = time.perf_counter()
    index = hnswlib.Index(space="ip", dim=DIM)
    index.init_index(max_elements=len(vectors) - 1, M=16, ef_construction=100)
    index.add_items(vectors[1:], np.arange(1, len(vectors)), num_threads=-1)
    seconds = time.perf_counter() - started
    for ef in (20, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960):
        index.set_ef(ef)
        yield (
            lambda queries: index.knn_query(queries, k=K, num_threads=-1)[0].astype(np.int32),
            {"setting": f"M 16, ef {ef}", "build_seconds": seconds, "use": lambda ef=ef: index.set_ef(ef)},
        )


def _faiss(vectors: NDArray[np.float32]) -> Iterator[tuple[Search, Figures]]:
    faiss: Any = importlib.import_module("faiss")
    faiss.omp_set_num_threads(runtime.usable_cores())
    started = time.perf_counter()
    recipe = f"IVF{max(2, len(vectors) // 1_000)},PQ32x4fs,RFlat"
    index = faiss.index_factory(DIM, recipe, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[1 : 1 + 100_000])
    index.add(vectors[1:])
    seconds = time.perf_counter() - started
    base = faiss.downcast_index(index.base_index)

    def use(probe: int, factor: int) -> None:
        base.nprobe, index.k_factor = probe, factor

    for probe in (4, 8, 12, 16, 24, 32, 48, 64):
        for factor in (5, 10, 20, 40, 80):
            use(probe, factor)
            yield (
                lambda queries: (index.search(queries, K)[1] + 1).astype(np.int32),
                {
                    "setting": f"{recipe}, nprobe {probe}, k_factor {factor}",
                    "build_seconds": seconds,
                    "use": lambda probe=probe, factor=factor: use(probe, factor),
                },
            )


def render(figures: Figures) -> list[str]:
    """Lines of Markdown."""
    systems, rows = figures["systems"], []
    ours = systems["ScaNN export"]["queries_per_second"]
    for name, of in systems.items():
        bar = BAR_BRUTE_FORCE if name == "TFRS BruteForce" else BAR_OTHERS
        times = ours / of["queries_per_second"]
        verdict = "" if name == "ScaNN export" else f"{times:.1f}, at least {bar}: {judged(times, bar)}"
        rate = f"{of['queries_per_second']:,.0f} ({of['slowest']:,.0f} to {of['fastest']:,.0f})"
        build = f"{of['build_seconds']:.1f} s" if "build_seconds" in of else "-"
        rows.append([name, f"{of['recall']:.4f}", rate, verdict, build, of.get("setting", "-")])
    reached = systems["ScaNN export"]
    return [
        f"{figures['items']:,} x {figures['dim']}: {DESCRIPTION}. Recall@10 of {figures['recall']} asked; {QUERIES:,} "
        f"queries in batches of {BATCH}. A setting is the cheapest of those with a recall of "
        f"{figures['recall'] + MARGIN:.3f} on {TUNING:,} other queries. Medians (and range) of the turns.",
        "",
        *table(["", "recall@10", "queries/s", "ScaNN is times as fast", "build", "setting"], rows),
        "",
        f"Recall of the ScaNN export {reached['recall']:.4f}, at least {figures['recall']}: "
        f"{judged(reached['recall'], figures['recall'])}. "
        f"Index built in {reached['build_seconds']:.1f} s, at most {BAR_BUILD:.0f} s: "
        f"{judged(reached['build_seconds'], BAR_BUILD, at_most=True)}.",
    ]


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--items", type=int, default=1_000_000)
    arguments.add_argument("--recall", type=float, default=0.99)
    arguments.add_argument("--rounds", type=int, default=5)
    args = arguments.parse_args()
    result = measure(args.items, args.recall, args.rounds)
    finish(result, render(result), args.json)
