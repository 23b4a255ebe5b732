"""Every encoder against expectations written out by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs.features.config import FeaturesConfig
from recsys_tfrs.features.encoders import (
    CategoricalEncoder,
    Encoder,
    IdEncoder,
    LogNumericEncoder,
    MultiCategoricalEncoder,
    NormalizedNumericEncoder,
    NumericEncoder,
    TextEncoder,
    TimestampEncoder,
    make_encoder,
)
from recsys_tfrs.schema import Kind


def strings(*values: object) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def encode(encoder: Encoder, values: np.ndarray) -> list:
    return encoder(encoder.raw(values)).numpy().tolist()


def test_ids_keep_their_order_and_the_unknown_is_0() -> None:
    encoder = IdEncoder()
    encoder.adapt(strings("b", "a", "ü"))
    assert encode(encoder, strings("a", "b", "never seen", "", "ü")) == [2, 1, 0, 0, 3]
    assert encoder.vocabulary_size == 4
    assert encoder(tf.constant(["a"])).dtype == tf.int32


def test_categories_stand_by_falling_frequency_then_alphabet() -> None:
    encoder = CategoricalEncoder(FeaturesConfig(min_frequency=1))
    encoder.adapt(strings("x", "c", "b", "b", "c", "", "a"))
    # b and c occur twice, a and x once; 0 is missing and 1 unknown.
    assert encode(encoder, strings("b", "c", "a", "x", "", "never seen")) == [2, 3, 4, 5, 0, 1]
    assert encoder.vocabulary_size == 6


def test_rare_categories_and_those_beyond_the_vocabulary_are_unknown() -> None:
    encoder = CategoricalEncoder(FeaturesConfig(min_frequency=2, max_vocabulary=2))
    encoder.adapt(strings(*"aaabbbccd"))
    assert encode(encoder, strings(*"abcd")) == [2, 3, 1, 1]
    assert encoder.vocabulary_size == 4


@pytest.mark.parametrize("kind", [Kind.CATEGORICAL, Kind.TEXT])
def test_a_column_without_any_value_is_missing_everywhere(kind: Kind) -> None:
    encoder = make_encoder(kind, FeaturesConfig(), "empty")
    encoder.adapt(strings("", ""))
    encoded = np.array(encode(encoder, strings("", "x"))).reshape(2, -1)[:, 0]
    assert encoded.tolist() == [0, 1]


def test_hashing_needs_no_vocabulary_and_keeps_missing_apart() -> None:
    encoder = CategoricalEncoder(FeaturesConfig(hash_buckets=7))
    encoder.adapt(strings())
    values = strings("", *(f"value {i}" for i in range(200)), "value 3")
    ids = encode(encoder, values)
    assert ids[0] == 0
    assert set(ids[1:]) == set(range(1, 8))
    assert ids[-1] == ids[4]
    assert encoder.vocabulary_size == 8


def test_several_values_are_padded_and_truncated() -> None:
    encoder = MultiCategoricalEncoder(FeaturesConfig(min_frequency=1, max_values=3))
    rows = strings(("b", "a"), ("a",), (), ("a", "b", "c", "d"))
    encoder.adapt(rows)
    assert encode(encoder, rows) == [[3, 2, 0], [2, 0, 0], [0, 0, 0], [2, 3, 4]]  # a thrice, b twice, c, d
    assert encode(encoder, strings(("never seen",))) == [[1, 0, 0]]
    assert (encoder.vocabulary_size, encoder.width) == (6, 3)


def test_rows_that_all_lack_values_are_padding() -> None:
    encoder = MultiCategoricalEncoder(FeaturesConfig(max_values=2))
    encoder.adapt(strings((), ()))
    assert encode(encoder, strings((), ())) == [[0, 0], [0, 0]]
    assert encoder(tf.zeros([2, 0], tf.string)).numpy().tolist() == [[0, 0], [0, 0]]


def test_several_values_hash() -> None:
    encoder = MultiCategoricalEncoder(FeaturesConfig(hash_buckets=5, max_values=2))
    encoder.adapt(strings(("a",)))
    ((first, second), (third, padding)) = encode(encoder, strings(("a", "b"), ("b",)))
    assert second == third
    assert padding == 0
    assert {first, second} <= set(range(1, 6))


def test_words_of_every_script_in_lower_case() -> None:
    encoder = TextEncoder(FeaturesConfig(min_frequency=1, max_words=4))
    encoder.adapt(strings("Été à Ōsaka", "ÉTÉ, (1995)!", "東京 物語", "été"))
    # été occurs thrice; the others once, by code point: 1995, à, ō, 東, 物.
    assert encode(encoder, strings("été: 1995", "Ōsaka/物語", "東京 --- À", "", "... !")) == [
        [2, 3, 0, 0],
        [5, 7, 0, 0],
        [6, 4, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert encode(encoder, strings("été never été 1995 à")) == [[2, 1, 2, 3]]
    assert (encoder.vocabulary_size, encoder.width) == (8, 4)


def test_rare_words_are_unknown() -> None:
    encoder = TextEncoder(FeaturesConfig(min_frequency=2, max_words=2))
    encoder.adapt(strings("the end", "the beginning"))
    assert encode(encoder, strings("the end")) == [[2, 1]]


def test_numbers_fall_into_quantile_buckets() -> None:
    encoder = NumericEncoder(FeaturesConfig(numeric_buckets=4))
    encoder.adapt(np.array([np.nan, 10, 20, 30, 40, 50], dtype=np.float32))
    # Quartiles of 10..50: 20, 30, 40. A boundary belongs to the bucket above it.
    values = np.array([-1e9, 19.9, 20, 35, 40, 1e9, np.nan, np.inf], dtype=np.float32)
    assert encode(encoder, values) == [1, 1, 2, 3, 4, 4, 0, 0]
    assert encoder.vocabulary_size == 5


def test_equal_quantiles_make_one_bucket() -> None:
    encoder = NumericEncoder(FeaturesConfig(numeric_buckets=10))
    encoder.adapt(np.array([1] * 50 + [2], dtype=np.float32))
    assert encode(encoder, np.array([0, 1, 2], dtype=np.float32)) == [1, 2, 2]
    assert encoder.vocabulary_size == 3


def test_numbers_never_known_are_never_missing_later() -> None:
    encoder = NumericEncoder(FeaturesConfig())
    encoder.adapt(np.array([np.nan], dtype=np.float32))
    ids = encode(encoder, np.array([np.nan, 5.0, -5.0], dtype=np.float32))
    assert ids[0] == 0
    assert 0 < min(ids[1:]) <= max(ids[1:]) < encoder.vocabulary_size


def test_numbers_with_mean_0_and_variance_1() -> None:
    encoder = NormalizedNumericEncoder()
    encoder.adapt(np.array([np.nan, 1, 3], dtype=np.float32))  # mean 2, variance 1
    encoded = encode(encoder, np.array([1, 2, 5, np.nan, -np.inf], dtype=np.float32))
    np.testing.assert_allclose(encoded, [[-1, 0], [0, 0], [3, 0], [0, 1], [0, 1]], atol=1e-6)


@pytest.mark.parametrize("values", [[], [7.0, 7.0]])
def test_numbers_that_do_not_vary_stay_finite(values: list[float]) -> None:
    encoder = NormalizedNumericEncoder()
    encoder.adapt(np.array(values, dtype=np.float32))
    encoded = np.array(encode(encoder, np.array([7.0, np.nan], dtype=np.float32)))
    assert np.isfinite(encoded).all()


def test_timestamps_are_hands_of_clocks_and_recency() -> None:
    encoder = TimestampEncoder()
    oldest = 0.0  # Thursday, 1970-01-01 00:00:00 UTC, where all three clocks start
    newest = 100 * 86_400.0
    encoder.adapt(np.array([newest, oldest, np.nan]))
    six_o_clock, half_a_week, quarter_of_a_year = 21_600.0, 302_400.0, 365.2425 * 86_400 / 4
    times = np.array([oldest, six_o_clock, half_a_week, quarter_of_a_year, newest, np.nan])
    encoded = np.array(encode(encoder, times))
    clocks, recency, missing = encoded[:, :6].reshape(-1, 3, 2), encoded[:, 6], encoded[:, 7]
    np.testing.assert_allclose(clocks[0], [[0, 1], [0, 1], [0, 1]], atol=1e-6)
    np.testing.assert_allclose(clocks[1, 0], [1, 0], atol=1e-6)
    np.testing.assert_allclose(clocks[2, 1], [0, -1], atol=1e-6)
    np.testing.assert_allclose(clocks[2, 0], [0, -1], atol=1e-6)  # 3.5 days: noon
    np.testing.assert_allclose(clocks[3, 2], [1, 0], atol=1e-6)
    np.testing.assert_allclose(recency[:5], times[:5] / newest, atol=1e-6)
    assert missing.tolist() == [0, 0, 0, 0, 0, 1]
    assert encoded[5, :7].tolist() == [0] * 7


def test_timestamps_of_today_are_told_apart_by_the_minute() -> None:
    """In float32, seconds since 1970 are 128 apart."""
    encoder = TimestampEncoder()
    today = 1_700_000_000.0
    encoder.adapt(np.array([today, today + 600]))
    encoded = np.array(encode(encoder, np.array([today, today + 60])))
    turn = math.atan2(encoded[1, 0], encoded[1, 1]) - math.atan2(encoded[0, 0], encoded[0, 1])
    assert turn == pytest.approx(2 * math.pi / (24 * 60), rel=1e-2)
    assert encoded[1, 6] == pytest.approx(0.1)


@pytest.mark.parametrize("values", [[], [5e8]])
def test_one_moment_or_none_has_a_finite_recency(values: list[float]) -> None:
    encoder = TimestampEncoder()
    encoder.adapt(np.array(values))
    assert np.isfinite(encode(encoder, np.array([5e8, 6e8, np.nan]))).all()


@pytest.fixture
def mixed_precision() -> Iterator[None]:
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    tf.keras.mixed_precision.set_global_policy("float32")


def test_logarithms_keep_the_sign_and_are_normalised() -> None:
    encoder = LogNumericEncoder()
    e = math.e
    values = np.array([e - 1, 1 - e, e**3 - 1, 1 - e**3, np.nan], dtype=np.float32)
    encoder.adapt(values)
    # Signed logarithms are 1, -1, 3 and -3: mean 0, variance (1 + 1 + 9 + 9) / 4 = 5.
    expected = np.array([1, -1, 3, -3, 0]) / np.sqrt(5)
    np.testing.assert_allclose(np.array(encode(encoder, values)), np.stack([expected, [0, 0, 0, 0, 1]], 1), atol=1e-6)
    assert encode(encoder, np.array([0.0]))[0] == [0.0, 0.0]


def test_counts_and_moments_from_elsewhere_adapt_alike() -> None:
    config = FeaturesConfig(min_frequency=2, max_vocabulary=2)
    categories = CategoricalEncoder(config)
    # Of those that come at least twice the two most frequent stay, b before c by the alphabet; "" is no string.
    categories.adapt_counts(strings("c", "a", "d", "b", "", "e"), np.array([2, 3, 2, 2, 9, 1]))
    assert encode(categories, strings("a", "b", "c", "d", "e", "")) == [2, 3, 1, 1, 1, 0]
    numbers = NormalizedNumericEncoder()
    numbers.adapt_moments(10.0, 4.0)
    assert encode(numbers, np.array([14.0, 9.0])) == [[2.0, 0.0], [-0.5, 0.0]]


@pytest.mark.usefixtures("mixed_precision")
@pytest.mark.parametrize(("numeric", "expected"), [("buckets", [1, 2, 3, 4]), ("normalized", None)])
def test_mixed_precision_does_not_blur_numbers(numeric: str, expected: list[int] | None) -> None:
    """The years 1990 to 1993 are the same number in bfloat16."""
    encoder = make_encoder(Kind.NUMERIC, FeaturesConfig(numeric=numeric, numeric_buckets=4), "year")
    years = np.array([1990, 1991, 1992, 1993], dtype=np.float32)
    encoder.adapt(years)
    encoded = encode(encoder, years)
    if expected is not None:
        assert encoded == expected
    else:
        spread = np.sqrt(1.25)  # of 0, 1, 2, 3
        np.testing.assert_allclose(np.array(encoded)[:, 0], np.array([-1.5, -0.5, 0.5, 1.5]) / spread, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "numeric", "expected"),
    [
        (Kind.CATEGORICAL, "buckets", CategoricalEncoder),
        (Kind.MULTI_CATEGORICAL, "buckets", MultiCategoricalEncoder),
        (Kind.TEXT, "buckets", TextEncoder),
        (Kind.NUMERIC, "buckets", NumericEncoder),
        (Kind.NUMERIC, "normalized", NormalizedNumericEncoder),
        (Kind.NUMERIC, "log", LogNumericEncoder),
        (Kind.TIMESTAMP, "buckets", TimestampEncoder),
    ],
)
def test_each_kind_has_its_encoder(kind: Kind, numeric: str, expected: type[Encoder]) -> None:
    encoder = make_encoder(kind, FeaturesConfig(numeric=numeric), "column")
    assert type(encoder) is expected
    assert encoder.name == "column"


@pytest.mark.parametrize(
    ("column", "layer"), [("price (€)", "price"), ("größe in m²", "gr_e_in_m"), ("東京", "column")]
)
def test_columns_may_have_any_name(column: str, layer: str) -> None:
    assert make_encoder(Kind.NUMERIC, FeaturesConfig(), column).name == layer


@pytest.mark.parametrize("kind", [Kind.CATEGORICAL, Kind.MULTI_CATEGORICAL, Kind.TEXT, Kind.NUMERIC, Kind.TIMESTAMP])
def test_rows_of_which_nothing_is_known_are_raw_values_of_the_column(kind: Kind) -> None:
    encoder = make_encoder(kind, FeaturesConfig(), "column")
    rows = encoder.missing_rows(3)
    assert rows.dtype == encoder.raw_dtype
    assert rows.shape.as_list() == [3] + [1] * (encoder.raw_rank - 1)
    assert tf.reduce_all((rows == encoder.missing) | (rows != rows)).numpy()  # NaN stands for a missing number


@pytest.mark.parametrize("value", [19.99, 123456789.0, 0.0, 1e7])
def test_a_number_that_never_changes_stays_small_when_it_does(value: float) -> None:
    encoder = NormalizedNumericEncoder()
    encoder.adapt(np.full(1_000, value, np.float32))
    encoded = encoder(tf.constant([value, value * 1.01 + 1], tf.float32)).numpy()[:, 0]
    assert encoded[0] == pytest.approx(0, abs=10 if value > 1e6 else 1e-5)  # what float32 makes of the number
    assert encoded[1] == pytest.approx(value * 0.01 + 1, rel=0.01)


def test_numbers_that_differ_a_little_are_still_told_apart() -> None:
    encoder = NormalizedNumericEncoder()
    encoder.adapt(np.array([1000.0, 1000.1] * 50))
    assert encoder(tf.constant([1000.0, 1000.1])).numpy()[:, 0] == pytest.approx([-1, 1], abs=0.01)
