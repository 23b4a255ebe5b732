"""Tables of examples, with labels of their own, as a ranking run sees them."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys_tfrs.data.example_request import PREFIXES, SIMULATED_CLICKS, ExampleRequest
from recsys_tfrs.data.example_tables import load_examples
from recsys_tfrs.data.examples import ExampleParts, Examples, ExampleSource, InMemory
from recsys_tfrs.data.sources import AUTO
from recsys_tfrs.errors import ConfigError
from recsys_tfrs.evaluation.prediction_slices import RowGroups
from recsys_tfrs.evaluation.slices import MAX_GROUPS
from recsys_tfrs.features.encoders import CategoricalEncoder
from recsys_tfrs.features.example_encoding import GroupCodes, adapt_encoders, encode_examples
from recsys_tfrs.features.fields import IDS, EncodedExamples, ExamplePreprocessor
from recsys_tfrs.runs.ranking_config import RankingDataConfig, RankingRunConfig
from recsys_tfrs.runs.ranking_data import Fold, fewer_negatives, labels_of, targets_of
from recsys_tfrs.runs.ranking_pairs import PairData

#: Settings by section that nothing is done with where examples are read.
_OF_INTERACTIONS = {
    "data": (
        *("data_dir", "items", "users", "duplicates", "num_rows", "core", "session_gap"),
        *("like_from", "negatives", "negative_alpha"),
    ),
    "split": ("method",),
    "features": ("user_columns", "item_columns", "context_columns", "max_history", "history", "recent"),
}
#: The same where they are simulated, whose columns and parts are fixed.
_OF_FILES = {"data": ("columns",), "split": ("test_fraction", "validation_fraction", "seed")}

#: Slices by field, at most: those of the fewest values.
_MOST_SLICES = 6

#: Rows hashed at a time.
_HASHED_ROWS = 1 << 18


def is_table(data: RankingDataConfig) -> bool:
    """Whether what is configured is a table of examples, not interactions."""
    files = data.train, data.validation, data.test
    named = data.dataset.startswith((*PREFIXES, SIMULATED_CLICKS))
    return named or "label" in data.columns or any(file is not None for file in files)


@dataclass(frozen=True)
class _Chain:
    """Sources one after the other."""

    sources: tuple[ExampleSource, ...]

    @property
    def num_rows(self) -> int:
        return sum(source.num_rows for source in self.sources)

    def chunks(self) -> Iterator[Examples]:
        for source in self.sources:
            yield from source.chunks()


class TableData:
    """A table of examples, or its parts in files of their own.

    Args:
      config: of the run.

    Attributes:
      parts: as read.
      target_names: what is predicted.
      name, split, split_hash, notes, counts: see `RankingData`; the hash is there once `final` was called.

    Raises:
      ConfigError: settings were given that a table of examples knows nothing of.
      RecsysError: the files cannot be read, or do not hold what is asked for.
    """

    def __init__(self, config: RankingRunConfig) -> None:
        self._config, data = config, config.data
        if data.skip_bad_rows:
            raise ConfigError(
                "--skip-bad-rows goes with interactions: a table of examples is read as it stands, and a row that "
                "cannot be read is named with its file and line. Correct it, or take it out of the file."
            )
        simulated = data.train is None and data.dataset.startswith(SIMULATED_CLICKS)
        _refuse_ignored(config, simulated)
        self.parts: ExampleParts = load_examples(
            ExampleRequest(
                dataset=None if data.train else data.dataset,
                train=data.train,
                validation=data.validation,
                test=data.test,
                columns=data.columns,
                binary=config.target != "rating",
                test_fraction=config.split.test_fraction,
                validation_fraction=config.split.validation_fraction,
                seed=data.seed if simulated else config.split.seed,
            )
        )
        self.name, self.split, self.notes = self.parts.name, self.parts.split, list(self.parts.notes)
        self.split_hash = ""
        self.target_names = self._targets()
        self.counts = {
            "num_train": self.parts.train.num_rows,
            "num_validation": 0 if data.validation else self.parts.validation.num_rows,
            "num_test": self.parts.test.num_rows,
        }
        if not data.validation:
            self.counts["num_train"] += self.counts["num_validation"]
        self._groups = GroupCodes()
        self._folder: Path | None = None

    def selection(self) -> Fold:
        """See `RankingData`."""
        return self._fold(self.parts.train, self.parts.validation)

    def final(self, selection: Fold) -> Fold:
        """See `RankingData`; with a validation file of its own, what was fitted on while selecting stays."""
        if self._config.training.refit:
            last = self._fold(_Chain((self.parts.train, self.parts.validation)), self.parts.test)
        else:
            measured = self._encoded(self.parts.test, selection.preprocessor, "test")
            last = self._with(selection.preprocessor, selection.train, measured)
        digest = hashlib.sha256()
        for examples in (selection.train, selection.measured, last.measured):
            digest.update(len(examples).to_bytes(8, "little"))
            for low in range(0, len(examples), _HASHED_ROWS):
                part = examples.take(slice(low, low + _HASHED_ROWS))
                for _, values in sorted(part.columns.items()):
                    digest.update(np.ascontiguousarray(values).tobytes())
                digest.update(np.ascontiguousarray(part.targets).tobytes())
        self.split_hash = digest.hexdigest()
        return last

    def _fold(self, train: ExampleSource, measured: ExampleSource) -> Fold:
        layer = ExamplePreprocessor(adapt_encoders(train, self._config.features))
        name = f"fold-{train.num_rows}"
        fitted = self._encoded(train, layer, f"{name}-train")
        return self._with(layer, fitted, self._encoded(measured, layer, f"{name}-measured"))

    def _with(self, layer: ExamplePreprocessor, train: EncodedExamples, measured: EncodedExamples) -> Fold:
        kinds = ["rating"] * len(self.target_names) if self._config.target == "rating" else None
        kept = fewer_negatives(train, self._config.data.negative_rate, self._config.seed)
        config = self._config
        targets = targets_of(
            self.target_names, config.target_weights, labels_of(train, kept), kinds, config.objective_of([])
        )
        means = np.array([target.mean for target in targets], np.float32)
        return Fold(
            preprocessor=layer,
            targets=targets,
            train=train,
            measured=measured,
            kept=kept,
            negative_rate=self._config.data.negative_rate,
            slices=_slices(layer, measured),
            mean_predictions={"mean": np.broadcast_to(means, measured.targets.shape)},
        )

    def _encoded(self, source: ExampleSource, layer: ExamplePreprocessor, name: str) -> EncodedExamples:
        folder = None if _in_memory(source) else self._place() / name
        return encode_examples(source, layer, self.target_names, folder, groups=self._groups)

    def _place(self) -> Path:
        """A folder for the arrays of what does not fit into memory, which goes with this object."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="examples-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def _targets(self) -> list[str]:
        known = list(next(iter(self.parts.train.chunks())).targets)
        if self._config.target in (AUTO, "rating"):
            return known
        names = [name.strip() for name in self._config.target.split(",")]
        if unknown := [name for name in names if name not in known]:
            raise ConfigError(
                f"target = {', '.join(unknown)} is no label of {self.name}, which has {', '.join(known)}: name labels "
                "with --columns label=NAME, or several with +."
            )
        return names


def open_data(config: RankingRunConfig) -> PairData | TableData:
    """Interactions, or a table of examples.

    Raises:
      RecsysError: they cannot be read.
    """
    return TableData(config) if is_table(config.data) else PairData(config)


def _refuse_ignored(config: RankingRunConfig, simulated: bool) -> None:
    """See that no setting was changed that would not be looked at."""
    kinds = [_OF_INTERACTIONS, _OF_FILES] if simulated else [_OF_INTERACTIONS]
    given = [
        f"{section}.{name}"
        for sections in kinds
        for section, names in sections.items()
        for name in names
        if getattr(values := getattr(config, section), name) != type(values).model_fields[name].default
    ]
    if config.data.train is not None and config.data.dataset != AUTO:
        given.append("data.dataset")
    if given:
        what = f"{config.data.dataset}, whose columns and parts are fixed" if simulated else "a table of examples"
        raise ConfigError(f"Nothing is done with {', '.join(given)} where the data is {what}: leave it out.")


def _in_memory(source: ExampleSource) -> bool:
    parts = source.sources if isinstance(source, _Chain) else (source,)
    return all(isinstance(part, InMemory) for part in parts)


def _slices(layer: ExamplePreprocessor, measured: EncodedExamples) -> dict[str, RowGroups]:
    """Rows by the value of each field of few values."""
    found = {}
    for place, name in enumerate(layer.layout.single):
        encoder = layer.encoders[name]
        if isinstance(encoder, CategoricalEncoder) and (labels := encoder.labels()) is not None:
            found[name] = RowGroups(labels, measured.columns[IDS][:, place])
    few = sorted((len(groups.labels), name) for name, groups in found.items() if len(groups.labels) <= MAX_GROUPS + 2)
    return {name: found[name] for _, name in few[:_MOST_SLICES]}
