"""A cascade of the two-tower of `hand_made`, popularity and the ranking model of `ranked`, and its export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving.hand_made import World, call
from serving.ranked import Ranked

from recsys_tfrs import runtime


class Counts:
    """Popularity as a scorer."""

    def __init__(self, items: np.ndarray, num_items: int) -> None:
        self._counts = np.bincount(items, minlength=num_items + 1).astype(np.float32)

    def score(self, users: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self._counts, (len(users), len(self._counts)))


@dataclass(frozen=True)
class Cascaded:
    """A cascade, both stages apart, and its export."""

    world: World
    ranked: Ranked
    stages: Callable[..., Any]
    sources: Callable[..., Any]
    export: Callable[..., Path]
    path: Path
    loaded: Any

    def call(self, signature: str, **given: Any) -> dict[str, np.ndarray]:
        """Call a signature, inputs left out being neutral."""
        return call(self.loaded, signature, **given)


@pytest.fixture(scope="session")
def cascaded(world: World, ranked: Ranked, tmp_path_factory: pytest.TempPathFactory) -> Cascaded:
    tf = runtime.import_tensorflow()
    from recsys_tfrs.index.exact import ExactIndex
    from recsys_tfrs.models.scoring import RetrievalScorer
    from recsys_tfrs.serving.cascade_export import export_cascade
    from recsys_tfrs.serving.cascade_signatures import CascadeSettings
    from recsys_tfrs.serving.cascade_sources import Source, popularity_source
    from recsys_tfrs.serving.queries import Queries
    from recsys_tfrs.serving.two_stages import TwoStages

    data, histories = world.interactions, world.histories

    def sources(*quotas: int) -> list[Any]:
        made = [Source("two-tower", quotas[0], world.vectors, ExactIndex(world.vectors), queries())]
        return made + [popularity_source(data, histories.items, quota) for quota in quotas[1:]]

    def queries() -> Queries:
        return Queries(world.model, data, histories, True)

    def stages(*quotas: int, weight: float = 0.0) -> TwoStages:
        scorers = [RetrievalScorer(world.model, histories), Counts(histories.items, data.num_items)]
        pairs = list(zip(scorers, quotas, strict=False))
        return TwoStages(pairs, ranked.model, ranked.data, histories, weight=weight)

    def export(folder: Path, *quotas: int, **options: Any) -> Path:
        settings = CascadeSettings(**{"max_k": 3, "default_k": 2, **options})
        return export_cascade(
            sources(*quotas),
            ranked.model,
            ranked.inputs,
            data,
            histories,
            folder,
            settings=settings,
            answering=stages(*quotas, weight=settings.retrieval_weight),
            manifest={"dataset": "hand-made"},
        )

    path = export(tmp_path_factory.mktemp("cascade"), 2, 2)
    return Cascaded(world, ranked, stages, sources, export, path, tf.saved_model.load(str(path)))
