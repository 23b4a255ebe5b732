"""From a configuration to data, split and untrained model: the part that training and evaluation share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from recsys_tfrs import runtime
from recsys_tfrs.baselines.tuning import baseline_names
from recsys_tfrs.data.carts import carted_rows, next_carted
from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.sessions import split_interactions
from recsys_tfrs.data.sources import AUTO, load
from recsys_tfrs.data.splits import Split
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.features.preprocessing import context_columns
from recsys_tfrs.models.registry import family_module
from recsys_tfrs.models.scoring import RetrievalModel, RetrievalScorer, asking_rows
from recsys_tfrs.objectives.memory import check_full_softmax_fits
from recsys_tfrs.runs.config import RunConfig
from recsys_tfrs.training.clicks import click_batches
from recsys_tfrs.training.fit import Batches, largest_table, make_optimizer
from recsys_tfrs.training.pairs import pair_batches
from recsys_tfrs.training.pipeline import InteractionBatches, user_batches
from recsys_tfrs.training.sequences import next_item_batches

#: Share of the training rows that validation has to hold for `refit = "auto"` to fit once more.
_REFIT_SHARE = 0.02


@dataclass(frozen=True)
class Prepared:
    """A data set read and split as a configuration says.

    Attributes:
      config: the configuration, ``auto`` replaced by what it chose, so that a re-run does the same.
      interactions: the data set.
      split: its parts.
    """

    config: RunConfig
    interactions: Interactions
    split: Split

    @cached_property
    def train(self) -> Histories:
        """Training rows by user, validation rows included."""
        return build_histories(self.interactions, self.split.train)

    @cached_property
    def selection_train(self) -> Histories:
        """Rows to fit on while selecting, by user."""
        return build_histories(self.interactions, self.split.selection_train)

    @cached_property
    def known(self) -> Histories:
        """What is known of each user when the test part is asked for."""
        return build_histories(self.interactions, self.split.known)

    @cached_property
    def selection_known(self) -> Histories:
        """What is known of each user when the validation part is asked for."""
        return build_histories(self.interactions, self.split.selection_known)

    def catalogue(self, histories: Histories) -> NDArray[np.bool_] | None:
        """``[num_items + 1]`` True for the candidates of a model trained on `histories`; None: all items.

        Under the sessions split these are the items it was trained on, so that any other target is missed, unless the
        family ranks new items by what is said about them.
        """
        if not self.config.of_sessions or self.config.model.ranks_new_items:
            return None
        return np.bincount(histories.items, minlength=self.interactions.num_items + 1) > 0

    @property
    def fitted_on(self) -> Histories:
        """Rows that a run's final weights, vocabularies and statistics come from."""
        return self.train if self.config.training.refit else self.selection_train

    def variants(self) -> dict[str, Prepared]:
        """The same with each of the family's settings that validation chooses from, by name."""
        models = self.config.model.variants(has_times=self.interactions.is_ordered)
        return {
            name: replace(self, config=self.config.model_copy(update={"model": model}))
            for name, model in models.items()
        }

    def build_model(self, histories: Histories) -> tf.keras.Model:
        """An untrained, compiled model whose preprocessing is adapted on `histories`."""
        config = self.config
        module = family_module(config.family)
        model = module.build(config.model, config.features, self.interactions, histories, config.seed)
        batches = self.batches(histories)
        if model.scores_catalogue and (queries := getattr(batches, "queries_per_batch", None)):
            rows, sampled = queries * model.score_matrices, config.model.sampled_objective
            check_full_softmax_fits(rows, self.interactions.num_items, runtime.memory_bytes(), sampled)
        steps = None if config.training.learning_rate_decay == "none" else batches.steps_per_epoch
        optimizer = make_optimizer(config.training, steps, largest_table(model))
        model.compile(optimizer=optimizer, jit_compile=config.training.jit_compile)
        return model

    def batches(self, histories: Histories) -> Batches:
        """Training batches of `histories`, of the kind the family is trained on."""
        config = self.config
        kind = config.model.batches_of
        if kind == "interactions":
            return InteractionBatches(histories, config.training.batch_size, config.seed)
        if kind == "pairs":
            return pair_batches(
                histories, batch_size=config.training.batch_size, seed=config.seed, **config.model.pairs()
            )
        if kind == "sequences":
            return next_item_batches(
                histories, batch_size=config.training.batch_size, seed=config.seed, **config.model.sequences()
            )
        if kind == "clicks":
            carted = carted_rows(self.interactions, config.model.cart_column)
            return click_batches(
                histories,
                batch_size=config.training.batch_size,
                seed=config.seed,
                carts=None if carted is None else next_carted(histories, carted),
                **config.model.clicks(),
            )
        return user_batches(
            histories,
            batch_size=config.training.batch_size,
            seed=config.seed,
            with_rows=bool(context_columns(self.interactions, config.features)),
        )

    def scorer(self, model: RetrievalModel, histories: Histories, rows: NDArray[np.int64]) -> RetrievalScorer:
        """A trained model that knows `histories` and is asked in the contexts of `rows`."""
        return RetrievalScorer(model, histories, asking_rows(self.interactions, rows))


def prepare(config: RunConfig) -> Prepared:
    """Read the data set and split it.

    Raises:
      DataError: the data cannot be read or split.
    """
    if config.training.jit_compile and not config.model.compiles:
        raise ConfigError(
            f"training.jit_compile: XLA cannot compile the sparse products of {config.family}: leave it out."
        )
    interactions = load(config.data.request())
    interactions, split = split_interactions(
        interactions,
        config.split.method,
        test_fraction=config.split.test_fraction,
        validation_fraction=config.split.validation_fraction,
        seed=config.split.seed,
    )
    if config.data.dataset == AUTO:
        config = config.model_copy(update={"data": config.data.model_copy(update={"dataset": interactions.name})})
    if split.name != config.split.method:  # test cases decide how data that come with them are split
        config = config.model_copy(update={"split": config.split.model_copy(update={"method": split.name})})
    config = config.model_copy(update={"model": config.model.settled(interactions.ratings)})
    training = config.training
    if training.metric == AUTO:
        training = training.model_copy(update={"metric": config.model.validation_metric})
    if training.refit == AUTO:
        refit = len(split.validation) >= _REFIT_SHARE * len(split.train)
        training = training.model_copy(update={"refit": refit})
    config = config.model_copy(update={"training": training})
    baselines = baseline_names(
        config.evaluation.baselines,
        config.training.metric,
        in_order=config.model.batches_of in ("sequences", "clicks"),
        of_sessions=config.of_sessions,
    )
    config = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"baselines": baselines})})
    return Prepared(config, interactions, split)
