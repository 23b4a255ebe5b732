"""Chunks, files and merged statistics must give what the layer gives of all rows at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_tfrs.data.examples import Examples, InMemory
from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.errors import ConfigError, DataError
from recsys_tfrs.features import example_encoding, example_statistics
from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.example_encoding import GroupCodes, adapt_encoders, encode_examples
from recsys_tfrs.features.example_statistics import StringCounts
from recsys_tfrs.features.fields import IDS, VALUES, ExamplePreprocessor
from recsys_tfrs.schema import Kind


def objects(values: list) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def some_examples(num_rows: int = 300) -> Examples:
    rng = np.random.default_rng(5)
    words = ["Ärger", "red car", "blue", "a blue car", ""]
    columns = {
        "city": (Kind.CATEGORICAL, objects([f"c{x}" if x else "" for x in rng.integers(0, 30, num_rows)])),
        "tags": (
            Kind.MULTI_CATEGORICAL,
            objects([tuple(f"t{x}" for x in rng.integers(0, 6, n)) for n in rng.integers(0, 6, num_rows)]),
        ),
        "title": (Kind.TEXT, objects([words[x] for x in rng.integers(0, 5, num_rows)])),
        "price": (Kind.NUMERIC, np.where(rng.random(num_rows) < 0.1, np.nan, rng.normal(3, 2, num_rows))),
        "when": (Kind.TIMESTAMP, rng.uniform(1e9, 1.1e9, num_rows)),
    }
    return Examples(
        columns={
            name: FeatureColumn(name, kind, values.astype(np.float32) if kind is Kind.NUMERIC else values)
            for name, (kind, values) in columns.items()
        },
        targets={
            "click": rng.integers(0, 2, num_rows).astype(np.float32),
            "stars": rng.integers(1, 6, num_rows).astype(np.float32),
        },
        weights=rng.random(num_rows).astype(np.float32),
        groups=columns["city"][1],
        probability=rng.random(num_rows).astype(np.float32),
    )


@dataclass(frozen=True)
class Chunked:
    examples: Examples
    size: int

    @property
    def num_rows(self) -> int:
        return len(self.examples)

    def chunks(self) -> Iterator[Examples]:
        for low in range(0, len(self.examples), self.size):
            yield self.examples.take(slice(low, low + self.size))


CONFIG = FeaturesConfig(max_values=3, max_words=2, min_frequency=2)


@pytest.mark.parametrize("numeric", ["buckets", "normalized", "log"])
@pytest.mark.parametrize("on_disk", [False, True])
def test_chunks_give_what_the_layer_gives_of_the_rows(numeric: str, on_disk: bool, tmp_path: Path) -> None:
    examples = some_examples()
    config = CONFIG.model_copy(update={"numeric": numeric})
    layer = ExamplePreprocessor(adapt_encoders(InMemory(examples), config))
    expected = layer({name: layer.encoders[name].raw(column.values) for name, column in examples.columns.items()})
    source = Chunked(examples, 70)
    encoded = encode_examples(source, layer, ["stars", "click"], tmp_path / "a" if on_disk else None)
    assert set(encoded.columns) == {IDS, VALUES, "tags", "title"} == set(expected)
    for name, values in expected.items():
        # Ids are the same. The last digit of a sine depends on where in a batch it is computed.
        np.testing.assert_allclose(encoded.columns[name], values.numpy(), rtol=0, atol=1e-6 * (name == VALUES))
        assert encoded.columns[name].dtype == values.dtype.as_numpy_dtype
    np.testing.assert_array_equal(encoded.targets, np.stack([*examples.targets.values()], axis=1)[:, ::-1])
    np.testing.assert_array_equal(encoded.weights, examples.weights)
    np.testing.assert_array_equal(encoded.probability, examples.probability)
    assert isinstance(encoded.targets, np.memmap) == on_disk
    # Rows of a city, and only they, have its code; nobody is 0.
    pairs = set(zip(examples.groups.tolist(), encoded.groups.tolist(), strict=True))
    assert len(pairs) == len(set(examples.groups)) == len({code for _, code in pairs})
    assert ("", 0) in pairs
    assert len(encoded.take(np.array([3, 1]))) == 2


def test_a_chunk_larger_than_a_block_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = some_examples(50)
    layer = ExamplePreprocessor(adapt_encoders(InMemory(examples), CONFIG))
    whole = encode_examples(InMemory(examples), layer, ["click"])
    monkeypatch.setattr(example_encoding, "_BLOCK_ROWS", 7)
    cut = encode_examples(InMemory(examples), layer, ["click"])
    np.testing.assert_array_equal(cut.columns["tags"], whole.columns["tags"])
    np.testing.assert_array_equal(cut.groups, whole.groups)


@pytest.mark.parametrize("size", [7, 300])
def test_statistics_of_chunks_are_those_of_all_rows(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example_statistics, "_MERGE_AT", 3)  # merges at every chance
    examples = some_examples()
    for numeric in ("buckets", "log"):
        config = CONFIG.model_copy(update={"numeric": numeric, "max_vocabulary": 12})
        of_chunks = adapt_encoders(Chunked(examples, size), config)
        for name, encoder in of_chunks.items():
            whole = type(encoder)(config) if encoder.vocabulary_size else type(encoder)()
            column = examples.columns[name].values
            whole.adapt(column)
            assert encoder.vocabulary_size == whole.vocabulary_size
            raw = encoder.raw(column)
            np.testing.assert_allclose(encoder(raw).numpy(), whole(raw).numpy(), rtol=1e-5, atol=1e-6, err_msg=name)


@given(st.lists(st.lists(st.sampled_from("abcdefg")), max_size=6))
@settings(max_examples=30, deadline=None)
def test_counts_add_up_over_chunks(chunks: list[list[str]]) -> None:
    counts = StringCounts("x", limit=100)
    for chunk in chunks:
        counts.add(pa.array(chunk, pa.string()))
    strings, numbers = counts.finish()
    flat = [letter for chunk in chunks for letter in chunk]
    assert dict(zip(strings, numbers.tolist(), strict=True)) == {letter: flat.count(letter) for letter in flat}


def test_too_many_strings_are_refused_with_what_they_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example_statistics, "_MERGE_AT", 10)
    names = objects([f"id{x:06}" for x in range(2_000)])
    examples = Examples({"id": FeatureColumn("id", Kind.CATEGORICAL, names)}, {"y": np.zeros(2_000, np.float32)})
    config = FeaturesConfig(max_distinct=1_000)
    # 1,500 strings of 8 letters and 40 bytes each beside them: 1,500 x 48 = 72,000 bytes.
    message = r"'id' has more than 1,000 different strings: 1,500 after 1,500 values, which take about 7.2e-05 GB"
    with pytest.raises(ConfigError, match=message + r".*features.hash_buckets.*id=ignore"):
        adapt_encoders(Chunked(examples, 500), config)
    hashed = adapt_encoders(Chunked(examples, 500), config.model_copy(update={"hash_buckets": 50}))
    assert hashed["id"].vocabulary_size == 51
    codes = encode_examples(InMemory(examples), ExamplePreprocessor(hashed), ["y"]).columns[IDS]
    assert set(np.unique(codes)) == set(range(1, 51))


def test_a_sample_places_the_quantiles_of_many_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example_statistics, "SAMPLE_SIZE", 2_000)
    values = np.arange(40_000, dtype=np.float32)  # sorted, so that a sample of the beginning would be seen
    examples = Examples({"x": FeatureColumn("x", Kind.NUMERIC, values)}, {"y": values})
    encoder = adapt_encoders(Chunked(examples, 1_000), FeaturesConfig(numeric_buckets=4))["x"]
    shares = np.bincount(encoder(encoder.raw(values)).numpy())[1:] / 40_000
    np.testing.assert_allclose(shares, [0.25, 0.25, 0.25, 0.25], atol=0.04)  # 4 deviations of a quantile of 2,000


def test_groups_agree_between_parts() -> None:
    codes = GroupCodes()
    assert codes.encode(objects(["b", "a", "b", ""])).tolist() == [1, 2, 1, 0]
    assert codes.encode(objects(["c", "a"])).tolist() == [3, 2]
    assert len(codes) == 3


def test_what_does_not_fit_is_refused() -> None:
    examples = some_examples(20)
    layer = ExamplePreprocessor(adapt_encoders(InMemory(examples), CONFIG))
    with pytest.raises(ConfigError, match="no target like: the examples have click, stars"):
        encode_examples(InMemory(examples), layer, ["like"])
    without = Examples({n: c for n, c in examples.columns.items() if n != "tags"}, examples.targets)
    with pytest.raises(DataError, match="lack tags"):
        encode_examples(InMemory(without), layer, ["click"])

    class Grown(Chunked):
        num_rows = 19  # type: ignore[assignment]

    with pytest.raises(DataError, match="Expected 19 rows, found at least 20"):
        encode_examples(Grown(examples, 5), layer, ["click"])
    Grown.num_rows = 21  # type: ignore[assignment]
    with pytest.raises(DataError, match="Expected 21 rows, found 20"):
        encode_examples(Grown(examples, 5), layer, ["click"])
    with pytest.raises(DataError, match="no training rows"):
        adapt_encoders(Chunked(examples.take(slice(0, 0)), 5), CONFIG)
