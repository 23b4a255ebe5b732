"""Runs that were opened, as the stages of a cascade: outside a graph to be measured, and in one to be served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.errors import RunError
from recsys_tfrs.evaluation.ranking import Scorer
from recsys_tfrs.features.encoded import EncodedData
from recsys_tfrs.index.exact import ExactIndex
from recsys_tfrs.models.scoring import RetrievalScorer, asking_rows
from recsys_tfrs.runs.cascade_measuring import MAX_USERS, CascadeFigures, measure_cascade, validated_weight
from recsys_tfrs.runs.export import DEFAULT_K, Choice, choose_index
from recsys_tfrs.runs.index import settings_for
from recsys_tfrs.runs.ranking_pairs import PairData
from recsys_tfrs.runs.ranking_reopen import ReopenedRanker
from recsys_tfrs.runs.reopen import Reopened
from recsys_tfrs.serving.cascade_export import export_cascade
from recsys_tfrs.serving.cascade_signatures import CascadeSettings
from recsys_tfrs.serving.cascade_sources import Source, popularity_source
from recsys_tfrs.serving.queries import Queries
from recsys_tfrs.serving.ranking_inputs import PairInputs
from recsys_tfrs.serving.two_stages import TwoStages

POPULARITY = "popularity"


class OpenedCascade:
    """Runs that were opened, over one catalogue: that of the first source.

    Args:
      ranker: of the second stage.
      first: first source.
      allowed: ``[num_items + 1]`` False for items never to be returned.
      others: further sources with the same; None: popularity.
      quotas: of all sources.
    """

    def __init__(
        self,
        ranker: ReopenedRanker,
        first: Reopened,
        allowed: NDArray[np.bool_],
        others: Sequence[tuple[Reopened, NDArray[np.bool_]] | None],
        quotas: Sequence[int],
    ) -> None:
        self._ranker, self._first, self._allowed, self._quotas = ranker, first, allowed, quotas
        self.interactions = first.prepared.interactions
        self._others: list[tuple[Reopened, NDArray[np.float32], NDArray[np.bool_]] | None] = []
        for other in others:
            self._others.append(None if other is None else (other[0], *self._in_order(*other)))
        self.names = distinct(
            [first.recorded.family, *(o[0].recorded.family if o else POPULARITY for o in self._others)]
        )
        self._encoded = self._over_catalogue(ranker.data.encoded)  # type: ignore[union-attr]

    def validated_weight(self) -> tuple[float, dict[float, float]]:
        """The weight that the validation part likes best, and ndcg@10 of all that were tried.

        Raises:
          RunError: a model was fitted on the validation part.
        """
        runs = [self._first, *(other[0] for other in self._others if other is not None)]
        fitted = [run.run for run in runs if run.prepared.config.training.refit]
        fitted += [self._ranker.run] if self._ranker.config.training.refit else []
        if fitted:
            raise RunError(
                f"{', '.join(map(str, fitted))} learned from the validation part, too, as runs do at the end: no "
                "weight can be chosen there. Train the same with --set training.refit=false, export those with "
                "--retrieval-weight auto, and give the weight that it finds here as a number."
            )
        split = self._first.prepared.split
        stages = self._stages(self._first.prepared.selection_train, split.validation, 0.0)
        return validated_weight(stages, self.interactions, split.selection_train, split.validation)

    def figures(self, weight: float, max_users: int | None = MAX_USERS) -> CascadeFigures:
        """Both stages beside the first source alone, on the test part, or on so many users of it."""
        prepared = self._first.prepared
        stages = self._stages(prepared.train, prepared.split.test, weight)
        alone = prepared.scorer(self._first.model, prepared.train, prepared.split.test)
        rows = (prepared.split.train, prepared.split.test)
        pairs = prepared.config.pairs
        return measure_cascade(
            *(stages, alone, self.interactions, *rows),
            pairs=pairs,
            max_users=max_users,
            num_candidates=sum(self._quotas),
        )

    def export(
        self,
        base: Path,
        figures: CascadeFigures,
        *,
        weight: float,
        diversify: float | None,
        index: Choice,
        max_k: int | None,
    ) -> Path:
        """Write the next version below `base`; for the rest see `recsys_tfrs.runs.cascade.CascadeOptions`."""
        histories = self._first.prepared.train
        inputs = PairInputs(self.interactions, self._encoded, self._ranker.fold.preprocessor, histories)
        max_k = max_k or sum(self._quotas)
        recorded = self._first.recorded
        return export_cascade(
            self._sources(index),
            self._ranker.model,
            inputs,
            self.interactions,
            histories,
            base,
            settings=CascadeSettings(max_k, min(DEFAULT_K, max_k), weight, diversify),
            answering=self._stages(histories, None, weight),
            manifest={
                "dataset": recorded.dataset,
                "dataset_notes": recorded.dataset_notes,
                "split": recorded.split,
                "split_hash": recorded.split_hash,
                "retrieval": {"family": recorded.family, "metrics": recorded.metrics},
                "ranking": {"family": self._ranker.recorded.family, "metrics": self._ranker.recorded.metrics},
                **figures.facts(),
            },
        )

    def _sources(self, index: Choice) -> list[Source]:
        first, histories = self._first, self._first.prepared.train
        built = choose_index(first.scorer, settings_for(first, index), index, self._allowed)
        made = [Source(self.names[0], self._quotas[0], first.scorer.candidates, built, self._queries(first))]
        for name, quota, other in zip(self.names[1:], self._quotas[1:], self._others, strict=True):
            if other is None:
                made.append(popularity_source(self.interactions, histories.items, quota, self._allowed))
            else:
                run, vectors, allowed = other
                made.append(Source(name, quota, vectors, ExactIndex(vectors, allowed), self._queries(run)))
        return made

    @staticmethod
    def _queries(opened: Reopened) -> Queries:
        prepared = opened.prepared
        return Queries(opened.model, prepared.interactions, prepared.train, True)

    def _stages(self, histories: Histories, rows: NDArray[np.int64] | None, weight: float) -> TwoStages:
        """Both stages outside the graph, asked in the contexts of `rows`."""
        asking = None if rows is None else asking_rows(self.interactions, rows)
        scorers: list[Scorer] = [RetrievalScorer(self._first.model, histories, asking)]
        for other in self._others:
            if other is None:
                scorers.append(_Counts(histories))
            else:
                scorers.append(_Reordered(RetrievalScorer(other[0].model, histories, asking), other[1], other[2]))
        return TwoStages(
            list(zip(scorers, self._quotas, strict=True)),
            self._ranker.model,
            self._encoded,
            histories,
            asking=asking,
            allowed=self._allowed,
            weight=weight,
        )

    def _in_order(self, opened: Reopened, allowed: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors and mask of another source in the order of this catalogue; what it does not know is masked."""
        vectors = opened.scorer.candidates
        places = {item: place for place, item in enumerate(opened.prepared.interactions.item_ids)}
        where = np.array([places.get(item, 0) for item in self.interactions.item_ids])
        return vectors[where], allowed[where] & self._allowed & (where > 0)

    def _over_catalogue(self, encoded: EncodedData) -> EncodedData:
        """The ranking model's columns of this catalogue, which may hold other items than it was trained with."""
        data = self._ranker.data
        if isinstance(data, PairData) and np.array_equal(data.interactions.item_ids, self.interactions.item_ids):
            return encoded
        table = encoded.items.table(self.interactions.item_ids, dict(self.interactions.item_features))
        return replace(encoded, item_table=table, num_items=self.interactions.num_items)


class _Counts:
    """How often each item occurs, for everybody."""

    def __init__(self, histories: Histories) -> None:
        self._counts = np.bincount(histories.items, minlength=histories.num_items + 1).astype(np.float32)

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.broadcast_to(self._counts, (len(users), len(self._counts)))


class _Reordered:
    """A scorer over vectors in another order; -inf for what it does not know or may not bring."""

    def __init__(self, scorer: RetrievalScorer, vectors: NDArray[np.float32], allowed: NDArray[np.bool_]) -> None:
        self._scorer, self._vectors, self._allowed = scorer, vectors, allowed

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.where(self._allowed, self._scorer.queries(users) @ self._vectors.T, np.float32(-np.inf))


def distinct(names: Sequence[str]) -> list[str]:
    """Each name once: the second of a kind gets a number."""
    made: list[str] = []
    for name in names:
        number = sum(other.partition("#")[0] == name for other in made)
        made.append(f"{name}#{number + 1}" if number else name)
    return made
