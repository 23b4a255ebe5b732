"""How well it is foreseen what a session puts into the cart, where the data says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from recsys_tfrs.data.carts import CartPairs, cart_pairs
from recsys_tfrs.evaluation.intervals import confidence_intervals
from recsys_tfrs.evaluation.metrics import user_sums
from recsys_tfrs.evaluation.ranking import Ranking, Scorer, rank
from recsys_tfrs.models.scoring import RetrievalScorer
from recsys_tfrs.runs.prepared import Prepared

METRIC = "recall@10"


class CartQueries:
    """A model that is asked for what will be put into the cart, as `RetrievalScorer` takes it.

    Args:
      model: has `cart_vectors`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def query_vectors(
        self,
        users: tf.Tensor,
        history: tf.RaggedTensor,
        ratings: tf.RaggedTensor | None = None,
        rows: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """See `recsys_tfrs.models.scoring.RetrievalModel`."""
        return self._model.cart_vectors(history)

    def candidate_vectors(self) -> tf.Tensor:
        """See `recsys_tfrs.models.scoring.RetrievalModel`."""
        return self._model.candidate_vectors()


def cart_scorer(prepared: Prepared, model: Any) -> Scorer:
    """A trained model as a scorer of what is carted: by a query of its own, or by that of the next click."""
    asked = CartQueries(model) if hasattr(model, "cart_vectors") else model
    return RetrievalScorer(asked, prepared.known)


def carts_of(prepared: Prepared) -> CartPairs | None:
    """What the rest of each test session puts into the cart; None where nothing is known of carts."""
    config = prepared.config
    if not config.of_sessions or not hasattr(config.model, "cart_column"):
        return None
    pairs = cart_pairs(prepared.interactions, prepared.split.test, config.model.cart_column)
    return pairs if len(pairs.users) else None


def rank_carts(prepared: Prepared, scorer: Scorer) -> Ranking | None:
    """Where every item that the rest of a test session puts into the cart stands; None where nothing is known of carts.

    All that `Prepared.catalogue` allows competes, what was clicked already included.
    """
    pairs = carts_of(prepared)
    return None if pairs is None else _ranked(prepared, scorer, pairs)


def _ranked(prepared: Prepared, scorer: Scorer, pairs: CartPairs) -> Ranking:
    return rank(
        scorer,
        pairs.users,
        pairs.items,
        seen=None,
        num_items=prepared.interactions.num_items,
        catalogue=prepared.catalogue(prepared.train),
    )


def measure_carts(
    prepared: Prepared, scorers: Mapping[str, Scorer], pairs: CartPairs | None = None
) -> dict[str, dict[str, float]]:
    """``{system: {"recall@10", "low", "high", "num_cases"}}``, mean over test cases, ends of its 95% interval.

    Args:
      prepared: data and split.
      scorers: by name; systems without a query of their own for carts are asked for the next click.
      pairs: what is to be found, where `carts_of` has been asked already.

    Returns:
      Nothing where nothing is known of carts.
    """
    pairs = carts_of(prepared) if pairs is None else pairs
    if pairs is None:
        return {}
    found = {}
    for name, scorer in scorers.items():
        sums = user_sums(_ranked(prepared, scorer, pairs))
        low, high = confidence_intervals(sums)[METRIC]
        mean = dict(zip(sums.names, sums.means().tolist(), strict=True))[METRIC]
        found[name] = {METRIC: mean, "low": low, "high": high, "num_cases": float(len(sums.users))}
    return found
