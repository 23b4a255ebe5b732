"""Part `latency` of the serving benchmark: one query through the SavedModel's signature, strings in and strings out.

    python benchmarks/serving_latency.py [--items 1000000] [--recall 0.99] [--requests 3000] [--json FILE]

The export is the one `recsys-tfrs export` writes: a two-tower model of 64 dimensions, its users' histories, and the
index of the part `index`. A request carries the id of a user; the answer, ids, titles and scores, is read into numpy.
The model is not trained, which its speed does not depend on. Beside the signatures stand the steps below them, alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from embeddings import DIM, Embeddings
from latency import asking, timed
from record import Figures, finish, judged, parser, table
from serving_index import scann_config

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()

from recsys_tfrs.data.histories import build_histories  # noqa: E402
from recsys_tfrs.data.interactions import Interactions  # noqa: E402
from recsys_tfrs.features.config import FeaturesConfig  # noqa: E402
from recsys_tfrs.index.scann_index import ScannIndex  # noqa: E402
from recsys_tfrs.index.tuning import tune_search  # noqa: E402
from recsys_tfrs.models import two_tower  # noqa: E402
from recsys_tfrs.serving.export import export_retrieval  # noqa: E402

USERS, HISTORY, QUERIES = 100_000, 20, 2_048
#: Milliseconds that half, and 99 of 100, of the requests may take.
BAR_P50, BAR_P99 = 0.8, 2.0


def measure(items: int, wanted: float, requests: int) -> Figures:
    """Export, load, and ask one by one."""
    source = Embeddings()
    vectors = source.sample(items + 1)
    tuning, queries = source.sample(QUERIES), source.sample(QUERIES)
    config = tune_search(vectors, tuning, scann_config(items), recall=wanted, goal="latency").best.config
    index = ScannIndex(vectors, config)
    interactions = _interactions(items)
    histories = build_histories(interactions, np.arange(len(interactions)))
    model = two_tower.build(two_tower.Config(dim=DIM), FeaturesConfig(), interactions, histories, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = export_retrieval(model, interactions, histories, index, Path(folder))
        loaded = tf.saved_model.load(str(path))
    users = [{"user_id": tf.constant([f"user-{n}"])} for n in np.random.default_rng(1).integers(1, USERS + 1, requests)]
    asked = [tf.constant(queries[n % QUERIES][None]) for n in range(requests)]
    k, excluded = tf.constant(10), tf.constant(np.arange(1, HISTORY + 1, dtype=np.int32)[None])
    search = tf.function(index.search, reduce_retracing=True)
    steps: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
        "recommend_user": (asking(loaded, "recommend_user"), users),
        "serving_default": (asking(loaded, "serving_default"), users),
        "embed_query alone": (asking(loaded, "embed_query"), users),
        "index with a history excluded": (lambda query: search(query, k, excluded)[1].numpy(), asked),
        "index alone": (lambda query: search(query, k)[1].numpy(), asked),
        "an empty function": (_nothing(), users),
    }
    return {
        "items": items,
        "requests": requests,
        "setting": f"{config.num_leaves} leaves, {config.leaves_to_search} searched, {config.reorder} reordered",
        "steps": {name: timed(step, values) for name, (step, values) in steps.items()},
    }


def _interactions(items: int) -> Interactions:
    draw = np.random.default_rng(0)
    rows = USERS * HISTORY
    ids = {
        side: np.array(["", *(f"{side}-{n}" for n in range(1, count + 1))], dtype=object)
        for side, count in (("user", USERS), ("item", items))
    }
    return Interactions(
        name="latency",
        users=np.repeat(np.arange(1, USERS + 1, dtype=np.int32), HISTORY),
        items=draw.integers(1, items + 1, rows).astype(np.int32),
        ratings=None,
        timestamps=np.arange(rows, dtype=np.int64),
        user_ids=ids["user"],
        item_ids=ids["item"],
    )


def _nothing() -> Callable[[Any], None]:
    """What TensorFlow needs to call a function at all."""
    function = tf.function(tf.identity, input_signature=[tf.TensorSpec([None], tf.string)])
    return lambda request: function(request["user_id"]).numpy()


def render(figures: Figures) -> list[str]:
    """Lines of Markdown."""
    rows = [[name, f"{of['p50_ms']:.3f}", f"{of['p99_ms']:.3f}"] for name, of in figures["steps"].items()]
    whole = figures["steps"]["recommend_user"]
    return [
        f"{figures['items']:,} x {DIM}, {figures['setting']}; {figures['requests']:,} requests one after another, each "
        f"one user id, of whom {HISTORY} items are known and excluded.",
        "",
        *table(["", "p50 (ms)", "p99 (ms)"], rows),
        "",
        f"`recommend_user`: p50 {whole['p50_ms']:.2f} ms, at most {BAR_P50}: "
        f"{judged(whole['p50_ms'], BAR_P50, at_most=True)}; p99 {whole['p99_ms']:.2f} ms, at most {BAR_P99}: "
        f"{judged(whole['p99_ms'], BAR_P99, at_most=True)}.",
    ]


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--items", type=int, default=1_000_000)
    arguments.add_argument("--recall", type=float, default=0.99)
    arguments.add_argument("--requests", type=int, default=3_000)
    args = arguments.parse_args()
    result = measure(args.items, args.recall, args.requests)
    finish(result, render(result), args.json)
