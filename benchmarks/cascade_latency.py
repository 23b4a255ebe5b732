"""Part `latency` of the cascade benchmark: one request of raw strings through retrieval and ranking in one graph.

    python benchmarks/cascade_latency.py [--items 100000] [--candidates 200] [--requests 1000] [--json FILE]

A two-tower model of 64 dimensions finds the candidates, with the index that `auto` takes at this size, and with the
exact one; DeepFM with its default settings
(embeddings of 16, hidden layers 400-400-400) ranks them over user id, gender, age, item id, genres, words of the title,
year and the newest 50 items of the history. The models are not trained, which their speed does not depend on. A request
says who asks, his gender and age and a history of 20 items; the answer, ten items with titles and both scores, is read
into numpy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from embeddings import DIM
from latency import asking, timed
from record import Figures, finish, judged, parser, table

from recsys_tfrs import runtime

tf = runtime.import_tensorflow()

from recsys_tfrs.data.histories import build_histories  # noqa: E402
from recsys_tfrs.data.interactions import FeatureColumn, Interactions  # noqa: E402
from recsys_tfrs.features.config import FeaturesConfig  # noqa: E402
from recsys_tfrs.features.encoded import encode  # noqa: E402
from recsys_tfrs.features.fields import ExamplePreprocessor  # noqa: E402
from recsys_tfrs.features.pair_examples import pair_encoders  # noqa: E402
from recsys_tfrs.index.chooser import build_index  # noqa: E402
from recsys_tfrs.models import deepfm, two_tower  # noqa: E402
from recsys_tfrs.objectives.prediction import Target  # noqa: E402
from recsys_tfrs.schema import Kind  # noqa: E402
from recsys_tfrs.serving.cascade_export import export_cascade  # noqa: E402
from recsys_tfrs.serving.cascade_signatures import CascadeSettings  # noqa: E402
from recsys_tfrs.serving.cascade_sources import Source, popularity_source  # noqa: E402
from recsys_tfrs.serving.queries import Queries  # noqa: E402
from recsys_tfrs.serving.ranking_inputs import PairInputs  # noqa: E402

USERS, HISTORY = 20_000, 20
#: Milliseconds that half of the requests may take.
BAR_P50 = 5.0
_GENRES = ("Action", "Comedy", "Drama", "Romance", "Science fiction", "War", "Western", "Crime")


def measure(items: int, candidates: int, requests: int) -> Figures:
    """Export, load, and ask one by one."""
    interactions = _interactions(items)
    histories = build_histories(interactions, np.arange(len(interactions)))
    retrieval = two_tower.build(two_tower.Config(dim=DIM), FeaturesConfig(), interactions, histories, 0)
    data = encode(FeaturesConfig(), interactions, histories)
    layer = ExamplePreprocessor(pair_encoders(data, 50, recent=3))
    ranker = deepfm.build(deepfm.Config(), layer, [Target("click", "binary", 0.2)], 0)
    vectors = retrieval.candidate_vectors().numpy()
    inputs = PairInputs(interactions, data, layer, histories)

    indexes = {name: build_index(vectors, kind=name) for name in ("auto", "exact")}

    def loaded(index: str = "auto", *, others: int = 0, diversity: float | None = None) -> Any:
        first = Source(
            "two-tower",
            candidates - others,
            vectors,
            indexes[index],
            Queries(retrieval, interactions, histories, True),
        )
        sources = [first, *([popularity_source(interactions, histories.items, others)] if others else [])]
        settings = CascadeSettings(100, 10, 0.0, diversity)
        with tempfile.TemporaryDirectory() as folder:
            path = export_cascade(sources, ranker, inputs, interactions, histories, Path(folder), settings=settings)
            return tf.saved_model.load(str(path))

    plain = loaded()
    draw = np.random.default_rng(1)
    asked = [_request(interactions, draw) for _ in range(requests)]
    searches = {name: tf.function(index.search, reduce_retracing=True) for name, index in indexes.items()}
    queries = [tf.constant(vectors[draw.integers(1, items + 1, 1)]) for _ in range(requests)]
    k, excluded = tf.constant(candidates), tf.constant(np.arange(1, 2 * HISTORY + 1, dtype=np.int32)[None])
    steps: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
        "serving_default": (asking(plain, "serving_default"), asked),
        "recommend_user": (asking(plain, "recommend_user"), [{"user_id": r["user_id"]} for r in asked]),
        "with popularity as a second source": (asking(loaded(others=50), "serving_default"), asked),
        "diversified": (asking(loaded(diversity=0.7), "serving_default"), asked),
        "serving_default, exact index": (asking(loaded("exact"), "serving_default"), asked),
    }
    for name, search in searches.items():
        steps[f"search for the candidates alone, {indexes[name].kind}"] = (
            lambda query, search=search: search(query, k, excluded)[1].numpy(),
            queries,
        )
    return {
        "items": items,
        "candidates": candidates,
        "index": indexes["auto"].kind,
        "requests": requests,
        "steps": {name: timed(step, values) for name, (step, values) in steps.items()},
    }


def _interactions(items: int) -> Interactions:
    draw = np.random.default_rng(0)
    rows = USERS * HISTORY
    words = np.array([f"word{n}" for n in range(5_000)])

    def column(name: str, kind: Kind, values: list[Any], missing: Any) -> FeatureColumn:
        array = np.empty(len(values) + 1, np.float32 if kind is Kind.NUMERIC else object)
        array[0] = missing
        array[1:] = values
        return FeatureColumn(name, kind, array)

    titles = [" ".join(chosen) for chosen in words[draw.integers(0, len(words), (items, 4))]]
    genres = [tuple(sorted({_GENRES[n] for n in chosen})) for chosen in draw.integers(0, len(_GENRES), (items, 2))]
    of_items = [
        column("title", Kind.TEXT, titles, ""),
        column("genres", Kind.MULTI_CATEGORICAL, genres, ()),
        column("year", Kind.NUMERIC, draw.integers(1950, 2020, items).tolist(), np.nan),
    ]
    of_users = [
        column("gender", Kind.CATEGORICAL, draw.choice(["F", "M"], USERS).tolist(), ""),
        column("age", Kind.NUMERIC, draw.integers(10, 80, USERS).tolist(), np.nan),
    ]
    return Interactions(
        name="latency",
        users=np.repeat(np.arange(1, USERS + 1, dtype=np.int32), HISTORY),
        items=draw.integers(1, items + 1, rows).astype(np.int32),
        ratings=None,
        timestamps=np.arange(rows, dtype=np.int64),
        user_ids=np.array(["", *(f"user-{n}" for n in range(1, USERS + 1))], dtype=object),
        item_ids=np.array(["", *(f"item-{n}" for n in range(1, items + 1))], dtype=object),
        user_features={c.name: c for c in of_users},
        item_features={c.name: c for c in of_items},
        title_column="title",
    )


def _request(interactions: Interactions, draw: np.random.Generator) -> dict[str, Any]:
    told = interactions.item_ids[draw.integers(1, interactions.num_items + 1, (1, HISTORY))]
    return {
        "user_id": tf.constant([f"user-{draw.integers(1, USERS + 1)}"]),
        "gender": tf.constant([str(draw.choice(["F", "M"]))]),
        "age": tf.constant([float(draw.integers(10, 80))]),
        "history": tf.constant(told.astype(str)),
    }


def render(figures: Figures) -> list[str]:
    """Lines of Markdown."""
    rows = [[name, f"{of['p50_ms']:.2f}", f"{of['p99_ms']:.2f}"] for name, of in figures["steps"].items()]
    whole = figures["steps"]["serving_default"]["p50_ms"]
    return [
        f"{figures['items']:,} items x {DIM}, index {figures['index']}; {figures['candidates']} candidates ranked; "
        f"{figures['requests']:,} requests one after another.",
        "",
        *table(["", "p50 (ms)", "p99 (ms)"], rows),
        "",
        f"`serving_default`: p50 {whole:.2f} ms, at most {BAR_P50}: {judged(whole, BAR_P50, at_most=True)}.",
    ]


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--items", type=int, default=100_000)
    arguments.add_argument("--candidates", type=int, default=200)
    arguments.add_argument("--requests", type=int, default=1_000)
    args = arguments.parse_args()
    result = measure(args.items, args.candidates, args.requests)
    finish(result, render(result), args.json)
