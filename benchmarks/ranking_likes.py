"""Which ranking model predicts likes best: runs of our families beside FuxiCTR's DeepFM, on the same rows."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ranking_speed import Fuxi, fuxictr_settings
from record import Figures

from recsys_tfrs.config import build, read_toml
from recsys_tfrs.evaluation.predictions import Predictions, prediction_differences
from recsys_tfrs.features.fields import IDS, VALUES, EncodedExamples, FieldLayout
from recsys_tfrs.runs.ranking_config import ranking_config
from recsys_tfrs.runs.ranking_measuring import PREDICTIONS, measure_target
from recsys_tfrs.runs.ranking_metrics import read_ranking_metrics
from recsys_tfrs.runs.ranking_pairs import PairData

#: FuxiCTR's settings by name: what its benchmark publishes, and the same in batches that give a small data set more
#: steps an epoch, since ours are made smaller, too.
VARIANTS: dict[str, Figures] = {"as published": {}, "batches of 1,024": {"batch_size": 1_024}}


def measured_run(run: Path) -> Predictions:
    """A finished run's predictions of the test rows, measured."""
    kind = read_ranking_metrics(run).targets[0].kind
    with np.load(run / PREDICTIONS) as arrays:
        return _measured(kind, arrays["predicted"], arrays["labels"], arrays.get("groups"), arrays.get("weights"))


def paired(first: Predictions, others: Mapping[str, Predictions]) -> Figures:
    """Each metric of the first less that of every other."""
    return {
        name: {metric: asdict(found) for metric, found in prediction_differences(first, other).items()}
        for name, other in others.items()
    }


def figures_of(measured: Predictions) -> Figures:
    """As results hold them."""
    return {"metrics": measured.metrics, "intervals": measured.intervals}


def fuxictr_likes(run: Path, python: str) -> dict[str, Predictions]:
    """FuxiCTR's DeepFM on the rows and encoded fields of a run, by variant.

    Each is there twice: stopped by validation, as FuxiCTR's script leaves it, and, as ours are, trained once more for
    as many epochs on training and validation rows together.
    """
    tree = read_toml(run / "config.toml")
    tree["training"]["refit"] = False
    alone = _Folds(PairData(build(ranking_config(tree["family"]), [tree])))
    tree["training"]["refit"] = True
    together = _Folds(PairData(build(ranking_config(tree["family"]), [tree])))
    with np.load(run / PREDICTIONS) as arrays:
        labels, groups = arrays["labels"], arrays.get("groups")
    if not np.array_equal(labels, alone.test.targets[:, 0]):
        raise RuntimeError("The rows read anew are not those the run was measured on.")
    made = {}
    with tempfile.TemporaryDirectory() as place:
        first, second = alone.write(Path(place) / "first"), together.write(Path(place) / "second")
        for name, settings in VARIANTS.items():
            answers = Fuxi(python, first, fuxictr_settings(**settings)).orders({"do": "fit"})
            rates = answers[0]["rates"]
            Fuxi(python, second, fuxictr_settings(**settings)).orders({"do": "train", "rates": rates})
            for folder, suffix in ((first, ""), (second, ", refitted")):
                values = np.load(folder / "predicted.npy").astype(np.float32)
                made[f"fuxictr {name}{suffix}"] = _measured("binary", values, labels, groups, None)
    return made


class _Folds:
    """Training, validation and test rows, encoded by what the rows to be fitted on hold.

    Args:
      data: which refits or does not.
    """

    def __init__(self, data: PairData) -> None:
        selection = data.selection()
        last = data.final(selection)
        self.layout, self.train, self.test = last.preprocessor.layout, last.train, last.measured
        # Those of a fold that refits are training rows by now.
        self.validation = selection.measured

    def write(self, folder: Path) -> Path:
        """Write everything as `ranking_fuxictr` reads it."""
        folder.mkdir()
        write_fields(folder, self.layout, self.train)
        for name, examples in (("train", self.train), ("valid", self.validation), ("test", self.test)):
            write_columns(folder / f"{name}.npz", examples, self.layout)
        return folder


def write_fields(folder: Path, layout: FieldLayout, examples: EncodedExamples) -> None:
    """``fields.json``: fields as FuxiCTR describes them."""
    made: dict[str, Figures] = {}
    for name, size in layout.single.items():
        made[name] = {"type": "categorical", "vocab_size": size, "source": ""}
    for name, size in layout.several.items():
        made[name] = {
            "type": "sequence",
            "vocab_size": size,
            "padding_idx": 0,
            "max_len": int(examples.columns[name].shape[1]),
            "feature_encoder": "layers.MaskedAveragePooling()",
            "source": "",
        }
    for name, count in layout.dense.items():
        made |= {f"{name}_{place}": {"type": "numeric", "source": ""} for place in range(count)}
    (folder / "fields.json").write_text(json.dumps(made))


def write_columns(path: Path, examples: EncodedExamples, layout: FieldLayout) -> None:
    """Encoded fields as FuxiCTR reads them."""
    made: dict[str, Any] = {name: examples.columns[IDS][:, place] for place, name in enumerate(layout.single)}
    made |= {name: examples.columns[name] for name in layout.several}
    names = [f"{name}_{place}" for name, count in layout.dense.items() for place in range(count)]
    made |= {name: examples.columns[VALUES][:, place] for place, name in enumerate(names)}
    np.savez(path, label=examples.targets[:, 0], **made)


def _measured(kind: str, predicted: Any, labels: Any, groups: Any, weights: Any) -> Predictions:
    return measure_target(kind, predicted, EncodedExamples({}, labels[:, None], weights, groups), 0, intervals=True)
