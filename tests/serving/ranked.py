"""One small ranking model over pairs with random weights, and its export, shared by the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving.hand_made import CONTEXT, TRAIN, call, make_interactions

from recsys_tfrs import runtime
from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.pairs import PairRows

FACTS = {"family": "deepfm", "dataset": "hand-made", "split": "temporal", "split_hash": "f" * 64}


@dataclass(frozen=True)
class Ranked:
    """A ranking model, what it is about, and where its export lies."""

    interactions: Interactions
    histories: Histories
    data: Any
    layer: Any
    model: Any
    inputs: Any
    path: Path
    loaded: Any

    def call(self, signature: str, **given: Any) -> dict[str, np.ndarray]:
        """Call a signature, inputs left out being neutral."""
        return call(self.loaded, signature, **given)

    def predict(self, users: Any, items: Any, rows: Any) -> np.ndarray:
        """``[num_rows, num_targets]`` the model's own predictions, of pairs that are not known."""
        from recsys_tfrs.features.pair_examples import encode_pairs

        users, items = np.asarray(users, np.int32), np.asarray(items, np.int32)
        pairs = PairRows(users, items, np.asarray(rows), np.zeros((len(users), 1), np.float32))
        # Under numbers that no row of the data has: whose row tells the moment is not known to have happened.
        known = replace(self.histories, rows=self.histories.rows + len(self.interactions))
        examples = encode_pairs(self.data, self.layer, pairs, known, in_order=False)
        return self.model.predict_examples(examples)


@pytest.fixture(scope="session")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Ranked:
    tf = runtime.import_tensorflow()
    from recsys_tfrs.features.config import FeaturesConfig
    from recsys_tfrs.features.encoded import encode
    from recsys_tfrs.features.fields import ExamplePreprocessor
    from recsys_tfrs.features.pair_examples import pair_encoders
    from recsys_tfrs.models.deepfm import Config, build
    from recsys_tfrs.objectives.prediction import Target
    from recsys_tfrs.serving.ranking_export import export_ranking
    from recsys_tfrs.serving.ranking_inputs import PairInputs
    from recsys_tfrs.serving.ranking_rows import PairRequests

    interactions = make_interactions()
    histories = build_histories(interactions, np.arange(len(TRAIN)))
    features = FeaturesConfig(min_frequency=1, context_columns=[column.name for column in CONTEXT])
    data = encode(features, interactions, histories)
    layer = ExamplePreprocessor(pair_encoders(data, 3, recent=1))
    targets = [Target("like", "binary", 0.4), Target("rating", "rating", 3.2, 1.1, 1.0, 5.0)]
    model = build(Config(dim=4, hidden=[6]), layer, targets, seed=3)
    rng = np.random.default_rng(1)
    for weights in model.trainable_variables:
        weights.assign(rng.normal(scale=0.5, size=weights.shape))
    model.calibration.assign([[0.8, -0.3], [1.0, 0.0]])
    model.part_means.assign([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    inputs = PairInputs(interactions, data, layer, histories)
    requests = PairRequests(inputs, interactions, data, histories, stored_histories=True)
    path = export_ranking(
        model,
        inputs,
        tmp_path_factory.mktemp("ranked"),
        rows=requests.to_warm_up(),
        answered=requests.answered(model),
        manifest=FACTS,
    )
    loaded = tf.saved_model.load(str(path))
    return Ranked(interactions, histories, data, layer, model, inputs, path, loaded)
