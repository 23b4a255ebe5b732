"""What every family of ranking models promises; its test file inherits `RankerContract`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow as tf
from contracts.tiny_examples import encoded, examples_of
from numpy.typing import NDArray

from recsys_tfrs.config import Section, build, read_toml, to_toml
from recsys_tfrs.evaluation.predictions import evaluate_predictions
from recsys_tfrs.features.fields import EncodedExamples
from recsys_tfrs.models.ranker import Ranker
from recsys_tfrs.models.registry import family_module
from recsys_tfrs.objectives.prediction import Target
from recsys_tfrs.training.examples import ExampleBatches

CLICK = Target("click", "binary", 0.4)
STARS = Target("rating", "rating", 3.0, deviation=1.2, low=1.0, high=5.0)


class RankerContract:
    """Attributes to set in a family's test class.

    Attributes:
      family: its name in the registry.
      small: settings that make the model small.
      has_vectors: whether its fields have more than a weight.
      sees_pairs: whether it can learn what two fields say together and neither alone.
    """

    family: ClassVar[str]
    small: ClassVar[dict[str, Any]] = {
        "dim": 4,
        "hidden": [16],
        "unknown_rate": 0.0,
        "dropout": 0.0,
        "embedding_decay": 0.0,
    }
    has_vectors: ClassVar[bool] = True
    sees_pairs: ClassVar[bool] = True

    def config(self, **settings: Any) -> Section:
        return family_module(self.family).Config(**{**self.small, **settings})

    def made(
        self, examples: EncodedExamples, layer: Any, targets: tuple[Target, ...] = (CLICK,), seed: int = 1, **way: Any
    ) -> Ranker:
        model: Ranker = family_module(self.family).build(self.config(**way), layer, targets, seed)
        model.compile(optimizer=tf.keras.optimizers.Adam(0.03))
        model.optimizer.build(model.trainable_variables)
        return model

    def trained(self, examples: EncodedExamples, layer: Any, epochs: int, batch_size: int = 200, **way: Any) -> Ranker:
        model = self.made(examples, layer, **way)
        self.train_on(model, examples, epochs, batch_size)
        return model

    @staticmethod
    def train_on(model: Ranker, examples: EncodedExamples, epochs: int, batch_size: int = 200) -> None:
        batches = ExampleBatches(examples, batch_size, 1)
        model.fit(batches.dataset(), steps_per_epoch=batches.steps_per_epoch, epochs=epochs, verbose=0)

    @pytest.fixture(scope="class")
    def learned(self) -> tuple[Ranker, EncodedExamples, Any]:
        """A model that has learned what single fields say, shared by the tests that change nothing of it."""
        examples, layer = encoded(examples_of(1_000, depends_on="one"))
        return self.trained(examples, layer, epochs=15), examples, layer

    def batch(self, examples: EncodedExamples) -> dict[str, Any]:
        return next(iter(ExampleBatches(examples, len(examples), 1).dataset()))

    def test_builds_from_defaults_and_starts_at_the_mean(self) -> None:
        examples, layer = encoded(examples_of(60))
        model = family_module(self.family).build(family_module(self.family).Config(), layer, [CLICK], 1)
        predicted = model.predict_examples(examples)
        assert predicted.shape == (60, 1)
        np.testing.assert_allclose(predicted, 0.4, atol=0.05)

    def test_validation_chooses_how_embeddings_are_held_down(self) -> None:
        """Each way has its own term in the loss, and a network of its own size."""
        examples, layer = encoded(examples_of(60))
        variants = family_module(self.family).Config(**self.small).variants(has_times=True)
        if not self.has_vectors:
            assert len(variants) == 1
            return
        config = family_module(self.family).Config
        free = config().variants(has_times=True)
        if "deep" in self.config().parts:
            found = {n: (v.regularization, v.embedding_decay, v.dim, v.hidden) for n, v in free.items()}
            assert found == {
                "rows": ("rows", 0.01, 16, [400, 400, 400]),
                "normalized": ("normalized", 0.05, 16, [400, 400, 400]),
                "lookups": ("lookups", 0.01, 64, [128]),
            }
            ways = ("rows", "normalized")
            assert [len(self.made(examples, layer, regularization=way).tower._norms) for way in ways] == [0, 1]
        else:
            found = {n: (v.regularization, v.embedding_l2, v.dim, v.initial_scale) for n, v in free.items()}
            assert found == {"lookups": ("lookups", 0.03, 64, 0.01), "lookups-light": ("lookups", 0.003, 64, 0.1)}
        assert {v.dim for v in config(dim=5).variants(has_times=True).values()} == {5}
        assert build(config, [free["lookups"].model_dump()]).variants(has_times=True) == {"lookups": free["lookups"]}
        batch = self.batch(examples)
        for name, settings in (("rows", {"embedding_decay": 3.0}), ("lookups", {"embedding_l2": 3.0})):
            none = self.made(examples, layer, regularization=name, embedding_decay=0.0, embedding_l2=0.0)
            some = self.made(
                examples, layer, regularization=name, **{"embedding_decay": 0.0, "embedding_l2": 0.0, **settings}
            )
            vectors = some.embeddings.table[:, : some.embeddings.dim]
            if name == "lookups":
                vectors = some.fields(batch["columns"]).vectors
                expected = 3.0 * tf.reduce_sum(tf.square(vectors)) / 60
            else:
                expected = 3.0 * tf.reduce_sum(tf.square(vectors)) / 2
            np.testing.assert_allclose(some.compute_loss(batch) - none.compute_loss(batch), expected, rtol=1e-3)

    def test_config_round_trip(self, tmp_path: Any) -> None:
        config = self.config()
        path = tmp_path / "model.toml"
        path.write_text(to_toml(config), encoding="utf-8")
        assert build(type(config), [read_toml(path)]) == config

    @pytest.mark.parametrize("targets", [(CLICK,), (STARS,), (CLICK, STARS)], ids=["click", "rating", "both"])
    def test_finite_loss_and_a_gradient_for_every_variable(self, targets: tuple[Target, ...]) -> None:
        """After one step, so that what starts at zero has left it."""
        examples, layer = encoded(examples_of(200, targets=[t.name for t in targets]))
        model = self.made(examples, layer, targets, unknown_rate=0.2, dropout=0.1, embedding_dropout=0.1)
        batch = self.batch(examples)
        model.train_step(batch)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
        gradients = tape.gradient(loss, model.trainable_variables)
        assert loss.shape == ()
        assert np.isfinite(float(loss))
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            assert gradient is not None, variable.name
            values = tf.convert_to_tensor(gradient).numpy()
            assert np.isfinite(values).all(), variable.name
            assert values.any(), variable.name

    def test_learns_what_single_fields_say(self, learned: tuple[Ranker, EncodedExamples, Any]) -> None:
        model, examples, _ = learned
        assert self.auc(model, examples) > 0.95

    def test_learns_what_two_fields_say_together(self) -> None:
        """Labels are the exclusive or of two fields: neither says anything alone."""
        examples, layer = encoded(examples_of(1_000, depends_on="two"))
        model = self.trained(examples, layer, epochs=60)
        assert (self.auc(model, examples) > 0.95) == self.sees_pairs

    def test_learns_ratings(self) -> None:
        examples, layer = encoded(examples_of(1_000, depends_on="one", targets=["rating"]))
        model = self.trained(examples, layer, epochs=20, targets=(STARS,))
        predicted, actual = model.predict_examples(examples)[:, 0], examples.targets[:, 0]
        assert float(np.sqrt(np.mean((predicted - actual) ** 2))) < 0.5 * float(actual.std())
        assert predicted.min() >= 1.0
        assert predicted.max() <= 5.0

    def test_finds_nothing_where_there_is_nothing_to_find(self) -> None:
        """Leak detector; the same model, trained on with the test rows among them, has to be found out."""
        examples, layer = encoded(examples_of(1_500, depends_on="none", ids=400))
        train, test = examples.take(slice(0, 1_000)), examples.take(slice(1_000, 1_500))
        model = self.trained(train, layer, epochs=15)
        honest = self.auc(model, test)
        self.train_on(model, examples, epochs=15)
        leaking = self.auc(model, test)
        positives = int(test.targets.sum())
        error = np.sqrt((len(test) + 1) / (12 * positives * (len(test) - positives)))  # of AUC where ranks are random
        assert abs(honest - 0.5) < 3 * error
        assert leaking > 0.5 + 6 * error

    def test_unknown_and_missing_fields_get_something(self, learned: tuple[Ranker, EncodedExamples, Any]) -> None:
        model, _, layer = learned
        unknown = layer({"left": tf.constant(["never seen"]), "words": tf.constant([["nor", "this"]])})
        assert np.isfinite(model(unknown).numpy()).all()
        assert np.isfinite(model(layer({"left": tf.constant([""])})).numpy()).all()

    def test_a_batch_of_n_equals_n_batches_of_one(self, learned: tuple[Ranker, EncodedExamples, Any]) -> None:
        model, examples, _ = learned
        examples = examples.take(slice(0, 40))
        together = model.predict_examples(examples)
        alone = np.concatenate([model.predict_examples(examples.take(slice(row, row + 1))) for row in range(40)])
        np.testing.assert_allclose(together, alone, atol=1e-5)
        assert np.ptp(together) > 1e-3

    def test_the_seed_decides_the_weights(self) -> None:
        examples, layer = encoded(examples_of(100))
        results = []
        for seed in (1, 1, 2):
            model = self.made(examples, layer, seed=seed, dropout=0.2, unknown_rate=0.2)
            model.train_step(self.batch(examples))
            results.append(np.concatenate([variable.numpy().ravel() for variable in model.trainable_variables]))
        assert results[0].tobytes() == results[1].tobytes()
        assert results[0].tobytes() != results[2].tobytes() or self.family == "lr"  # whose weights start at zero

    def test_rows_of_weight_two_count_as_two_rows(self) -> None:
        single, layer = encoded(examples_of(50, weights=np.repeat([1.0, 2.0], 25)))
        double = single.take(np.concatenate([np.arange(50), np.arange(25, 50)]))
        model = self.made(single, layer)
        unweighted = EncodedExamples(double.columns, double.targets)
        with_weights, twice = model.compute_loss(self.batch(single)), model.compute_loss(self.batch(unweighted))
        np.testing.assert_allclose(with_weights, twice, rtol=1e-5)

    @staticmethod
    def auc(model: Ranker, examples: EncodedExamples) -> float:
        predicted: NDArray[np.float32] = model.predict_examples(examples)[:, 0]
        found = evaluate_predictions("binary", predicted, examples.targets[:, 0], intervals=False)
        return found.metrics["auc"]
