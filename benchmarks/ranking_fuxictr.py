"""FuxiCTR's DeepFM beside ours: run by a Python that has fuxictr and PyTorch, with orders as JSON lines on its input.

    PYTHON benchmarks/ranking_fuxictr.py FOLDER

FOLDER holds ``train.npz``, ``valid.npz`` and ``test.npz`` with a column for each field and ``label``, and
``fields.json``: name -> ``{"type": ..., "vocab_size": ...}`` as FuxiCTR describes features. The first line on the input
is the settings, each further one an order to a model made at the start, answered by a line:

``{"do": "epoch"}``: train once over ``train.npz``; says rows, wall and processor seconds.
``{"do": "fit"}``: train as FuxiCTR's own script does, early stopping on ``valid.npz`` and a falling step size included,
and write ``predicted.npy`` for ``test.npz``; says the step size of each epoch up to the best.
``{"do": "train", "rates": [...]}``: train an epoch with each of these step sizes, and predict likewise.

The model is FuxiCTR's own layers put together as its model zoo does: its package on PyPI leaves DeepFM out.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import fuxictr
import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.layers import FactorizationMachine, FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel
from fuxictr.pytorch.torch_utils import seed_everything


class DeepFM(BaseModel):
    """``sigmoid(fm(x, v) + mlp(v))`` over shared embeddings v."""

    def __init__(self, fields: FeatureMap, settings: dict[str, Any], folder: Path) -> None:
        super().__init__(
            fields,
            model_id="DeepFM",
            monitor="AUC",
            early_stop_patience=settings["patience"],
            embedding_regularizer=settings["embedding_regularizer"] or None,
            verbose=0,
            model_root=str(folder / "checkpoints"),
            metrics=["AUC", "logloss"],
        )
        Path(self.model_dir).mkdir(parents=True, exist_ok=True)  # FuxiCTR's own script makes it for its log
        self.embedding_layer = FeatureEmbedding(fields, settings["dim"])
        self.fm = FactorizationMachine(fields)
        self.mlp = MLP_Block(
            input_dim=fields.sum_emb_out_dim(),
            output_dim=1,
            hidden_units=settings["hidden"],
            hidden_activations="relu",
            output_activation=None,
            dropout_rates=settings["dropout"],
            batch_norm=settings["batch_norm"],
        )
        self.compile("adam", "binary_crossentropy", settings["learning_rate"])
        self.reset_parameters()
        self.model_to_device()
        self.rates: list[float] = []  # the step size of each epoch

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Probabilities of a batch."""
        x = self.get_inputs(inputs)
        vectors = self.embedding_layer(x)
        return {"y_pred": self.output_activation(self.fm(x, vectors) + self.mlp(vectors.flatten(start_dim=1)))}

    def train_epoch(self, data_generator: Any) -> None:
        """FuxiCTR's own, the step size noted."""
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        super().train_epoch(data_generator)


def feature_map(folder: Path, dim: int) -> FeatureMap:
    """What FuxiCTR makes of a configuration of data."""
    made = FeatureMap("benchmark", str(folder))
    made.features = OrderedDict(json.loads((folder / "fields.json").read_text("utf-8")))
    made.labels, made.default_emb_dim = ["label"], dim
    made.num_fields = made.get_num_fields()
    made.set_column_index()
    return made


def train_once(model: DeepFM, batches: Any) -> dict[str, float]:
    """An epoch, timed; nothing is validated."""
    model._eval_steps, model._total_steps, model._stop_training, model._max_gradient_norm = 1 << 60, 0, False, 10.0
    started, used = time.perf_counter(), cpu_seconds()
    model.train_epoch(batches)
    return {
        "rows": batches.num_samples,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": cpu_seconds() - used,
        "fuxictr": fuxictr.__version__,
        "torch": torch.__version__,
    }


def fit(model: DeepFM, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Train with early stopping and predict."""
    started = time.perf_counter()
    train, valid = (reader(model.feature_map, folder, name, settings) for name in ("train", "valid"))
    model.fit(train, epochs=settings["epochs"], validation_data=valid)
    best = len(model.rates) - model._stopping_steps
    np.save(folder / "predicted.npy", model.predict(reader(model.feature_map, folder, "test", settings)))
    return {"rates": model.rates[:best], "seconds": time.perf_counter() - started, "auc": float(model._best_metric)}


def train_as(model: DeepFM, folder: Path, settings: dict[str, Any], rates: list[float]) -> dict[str, Any]:
    """Train an epoch with each of some step sizes and predict."""
    train = reader(model.feature_map, folder, "train", settings)
    for rate in rates:
        model.optimizer.param_groups[0]["lr"] = rate
        train_once(model, train)
    np.save(folder / "predicted.npy", model.predict(reader(model.feature_map, folder, "test", settings)))
    return {"epochs": len(rates)}


def reader(fields: FeatureMap, folder: Path, name: str, settings: dict[str, Any]) -> Any:
    """Batches of a file; those to train on are shuffled."""
    return RankDataLoader(
        fields,
        stage="train",
        train_data=str(folder / f"{name}.npz"),
        batch_size=settings["batch_size"],
        shuffle=name == "train",
        num_workers=settings["workers"],
    )[0]


def cpu_seconds() -> float:
    """Processor seconds of this process and of the workers it has ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def main() -> None:
    """Obey orders until there are no more."""
    folder, settings = Path(sys.argv[1]), json.loads(sys.stdin.readline())
    torch.set_num_threads(settings["threads"])
    seed_everything(settings["seed"])
    model, batches = DeepFM(feature_map(folder, settings["dim"]), settings, folder), None
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "fit":
            answer = fit(model, folder, settings)
        elif order["do"] == "train":
            answer = train_as(model, folder, settings, order["rates"])
        else:
            batches = reader(model.feature_map, folder, "train", settings) if batches is None else batches
            answer = train_once(model, batches)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
