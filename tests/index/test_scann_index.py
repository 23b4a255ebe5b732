from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf

from recsys_tfrs import runtime
from recsys_tfrs.errors import DataError, MissingExtraError
from recsys_tfrs.index.audit import audit, recall
from recsys_tfrs.index.chooser import build_index, choose_kind
from recsys_tfrs.index.config import IndexConfig
from recsys_tfrs.index.scann_index import ScannIndex

needs_scann = pytest.mark.skipif(sys.platform != "linux", reason="ScaNN exists for Linux only")

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(1_001, 16)).astype(np.float32)
QUERIES = RNG.normal(size=(40, 16)).astype(np.float32)


@pytest.fixture(scope="module", params=["scann-flat", "scann-tree"])
def scann(request: pytest.FixtureRequest) -> ScannIndex:
    runtime.import_tensorflow()
    return ScannIndex(VECTORS, IndexConfig(reorder=300, leaves_to_search=60), request.param)


@needs_scann
class TestScann:
    def test_scores_are_exact_and_nearly_everything_is_found(self, scann: ScannIndex) -> None:
        scores, ids = (tensor.numpy() for tensor in scann.search(tf.constant(QUERIES), 10))
        expected = np.sort(QUERIES @ VECTORS[1:].T, axis=1)[:, :-11:-1]
        np.testing.assert_allclose(scores, np.einsum("bd,bkd->bk", QUERIES, VECTORS[ids]), rtol=1e-5)
        assert np.mean(np.abs(scores - expected) < 1e-4) > 0.95
        assert ids.min() > 0

    def test_excluded_ids_never_return_and_the_list_stays_full(self, scann: ScannIndex) -> None:
        _, best = scann.search(tf.constant(QUERIES), 30)
        excluded = tf.concat([best[:, :20], tf.zeros([40, 3], tf.int32)], axis=1)
        scores, ids = (tensor.numpy() for tensor in scann.search(tf.constant(QUERIES), 10, excluded))
        assert ids.min() > 0
        assert not (ids[:, :, None] == excluded.numpy()[:, None, :]).any()
        assert (np.diff(scores, axis=1) <= 0).all()
        assert np.mean(ids == best.numpy()[:, 20:]) > 0.9

    def test_fewer_candidates_than_k_end_in_id_0(self, scann: ScannIndex) -> None:
        scores, ids = (tensor.numpy() for tensor in scann.search(tf.constant(QUERIES[:2]), 1_010))
        assert scores.shape == ids.shape == (2, 1_010)
        assert sorted(ids[0][ids[0] > 0]) == list(range(1, 1_001))
        assert (ids[:, 1_000:] == 0).all()
        assert np.isneginf(scores[:, 1_000:]).all()

    def test_a_filter_per_request(self, scann: ScannIndex) -> None:
        tenths = np.tile(np.arange(1_001) % 10 == 0, (40, 1))
        _, ids = scann.search(tf.constant(QUERIES), 20, allowed=tf.constant(tenths))
        assert (ids.numpy() % 10 == 0).all()
        assert np.count_nonzero(ids.numpy()) > 0.95 * 40 * 20

    def test_an_empty_batch_and_dynamic_k(self, scann: ScannIndex) -> None:
        search = tf.function(scann.search, input_signature=[tf.TensorSpec([None, 16]), tf.TensorSpec([], tf.int32)])
        assert search(tf.zeros([0, 16]), tf.constant(3))[1].shape == (0, 3)
        assert search(tf.constant(QUERIES), tf.constant(7))[1].shape == (40, 7)

    def test_the_audit(self, scann: ScannIndex) -> None:
        report = audit(scann, VECTORS, QUERIES)
        assert report["recall@10"] > 0.95
        assert 0 < report["p50_ms"] <= report["p99_ms"]
        assert report["queries_per_second"] > 0
        assert report["build_seconds"] > 0
        assert report["bytes"] > 1_000 * 16 * 4
        assert (report["kind"], report["num_items"], report["num_queries"]) == (scann.kind, 1_000, 40)


@needs_scann
def test_more_than_the_usual_leaves_hold_searches_more_leaves() -> None:
    index = ScannIndex(VECTORS, IndexConfig(leaves_to_search=1))
    counts = [np.count_nonzero(index.search(tf.constant(QUERIES), k)[1], axis=1) for k in (10, 100, 900)]
    # A single leaf is searched for ten, and now and then one of them holds fewer: leaves are learned anew each time.
    assert np.median(counts[0]) == 10
    assert [count.min() for count in counts[1:]] == [100, 900]


@needs_scann
def test_items_masked_at_build_are_not_indexed() -> None:
    allowed = np.arange(1_001) >= 700
    index = ScannIndex(VECTORS, kind="scann-flat", allowed=allowed)
    _, ids = index.search(tf.constant(QUERIES), 300)
    assert index.num_candidates == 301
    assert ids.numpy().min() >= 700


@needs_scann
@pytest.mark.parametrize("kind", ["scann-flat", "scann-tree"])
@pytest.mark.parametrize("num_items", [1, 3, 20])
def test_tiny_catalogues(kind: str, num_items: int) -> None:
    _, ids = build_index(VECTORS[: num_items + 1], kind=kind).search(tf.constant(QUERIES[:1]), 5)  # type: ignore[arg-type]
    assert np.count_nonzero(ids.numpy()) == min(num_items, 5)


@needs_scann
def test_what_cannot_be_indexed_says_why() -> None:
    broken = VECTORS.copy()
    broken[5] = np.nan
    with pytest.raises(DataError, match=r"1 items are not finite.*internal id 5"):
        ScannIndex(broken)
    with pytest.raises(DataError, match="catalogue is empty"):
        ScannIndex(VECTORS[:1])


def test_recall_counts_found_over_expected() -> None:
    # Row 0: two of three; row 1: one of one, its padding aside.
    assert recall(np.array([[1, 9, 2], [4, 0, 0]]), np.array([[1, 2, 3], [4, 0, 0]])) == 3 / 4


class TestChooser:
    def test_by_size(self) -> None:
        sizes = [1, 19_999, 20_000, 99_999, 100_000]
        assert [choose_kind(n) for n in sizes] == ["exact", "exact", "scann-flat", "scann-flat", "scann-tree"]

    def test_a_named_kind_beats_the_configuration_and_that_the_size(self) -> None:
        config = IndexConfig(kind="scann-flat")
        assert build_index(VECTORS).kind == "exact"
        assert build_index(VECTORS, config, kind="exact").kind == "exact"
        if sys.platform == "linux":
            assert build_index(VECTORS, config).kind == "scann-flat"

    def test_without_scann_auto_takes_the_exact_index_and_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "scann.scann_ops.py.scann_ops", None)
        monkeypatch.setattr("recsys_tfrs.index.chooser.choose_kind", lambda num_items: "scann-flat")
        with pytest.warns(UserWarning, match=r"pip install 'scann\[tf\]==.*The exact index is used"):
            assert build_index(VECTORS).kind == "exact"
        with pytest.raises(MissingExtraError, match=r"Linux only.*exact index"):
            build_index(VECTORS, kind="scann-flat")
