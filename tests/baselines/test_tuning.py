from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys_tfrs.baselines import tuning
from recsys_tfrs.baselines.biased_mf import BiasedMF, BiasedMFConfig
from recsys_tfrs.baselines.ease import EASE, EASEConfig
from recsys_tfrs.baselines.ials import IALS, IALSConfig
from recsys_tfrs.baselines.tuning import BASELINES, baseline_names, tuned_baselines
from recsys_tfrs.data.histories import build_histories
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.splits import make_split
from recsys_tfrs.errors import SplitError, UsageError
from recsys_tfrs.evaluation.protocol import evaluate


def planted(seed=0, num_users=60, num_items=40, num_groups=4):
    """Users like the items of their own group, and a few others, and rate them two points higher."""
    rng = np.random.default_rng(seed)
    same = np.arange(num_users)[:, None] % num_groups == np.arange(num_items)[None, :] % num_groups
    users, items = np.nonzero(rng.random((num_users, num_items)) < np.where(same, 0.7, 0.04))
    order = rng.permutation(len(users))
    ratings = (3 + 2 * same[users, items] + rng.normal(scale=0.5, size=len(users))).astype(np.float32)
    ids = [np.array(["", *map(str, range(n))], dtype=object) for n in (num_users, num_items)]
    return Interactions(
        "planted", (users[order] + 1).astype(np.int32), (items[order] + 1).astype(np.int32), ratings[order], None, *ids
    )


@pytest.fixture(scope="module")
def data():
    interactions = planted()
    return interactions, make_split(interactions, "random")


@pytest.fixture(scope="module")
def tuned(data):
    return tuned_baselines(*data)


def test_all_four_run_and_the_personal_ones_beat_popularity(data, tuned):
    interactions, split = data
    assert list(tuned) == ["popularity", "item_knn", "ease", "ials"]
    got = {
        name: evaluate(b.scorer, interactions, split.train, split.test, intervals=False).metrics["ndcg@10"]
        for name, b in tuned.items()
    }
    assert min(got[name] for name in ("item_knn", "ease", "ials")) > 1.3 * got["popularity"]


def test_the_best_trial_on_validation_is_chosen_and_refitted_on_all_of_train(data, tuned):
    interactions, split = data
    for name in ("item_knn", "ease", "ials"):
        best = max(tuned[name].trials, key=lambda trial: trial.value)
        assert tuned[name].config == best.config
    train = build_histories(interactions, split.train)
    refitted = EASE(EASEConfig(**tuned["ease"].config))
    refitted.fit(train)
    users = np.arange(1, interactions.num_users + 1, dtype=np.int32)
    np.testing.assert_allclose(tuned["ease"].scorer.score(users), refitted.score(users), atol=1e-5)


def test_a_trial_is_fitted_without_validation_and_measured_on_it(data, tuned):
    interactions, split = data
    trial = tuned["ease"].trials[2]
    model = EASE(EASEConfig(**trial.config))
    model.fit(build_histories(interactions, split.selection_train))
    got = evaluate(model, interactions, split.selection_train, split.validation, intervals=False)
    assert trial.value == pytest.approx(got.metrics["ndcg@10"], rel=1e-4)


def test_the_test_rows_decide_nothing(data, tuned):
    interactions, split = data
    items = interactions.items.copy()
    items[split.test] = np.random.default_rng(9).permutation(items[split.test])[::-1] % 7 + 1
    changed = tuned_baselines(replace(interactions, items=items), split)
    for name, baseline in changed.items():
        assert baseline.config == tuned[name].config
        assert baseline.trials == tuned[name].trials
    users = np.arange(1, 20, dtype=np.int32)
    np.testing.assert_array_equal(changed["ials"].scorer.score(users), tuned["ials"].scorer.score(users))


def test_the_second_stage_of_a_search_starts_from_the_first_ones_best(tuned):
    first, second = tuned["ials"].trials[:9], tuned["ials"].trials[9:]
    best = max(first, key=lambda trial: trial.value).config
    assert [trial.config["factors"] for trial in second] == [16, 64, 128]
    for trial in second:
        assert {**trial.config, "factors": 32} == best


def test_what_cannot_run_is_skipped_with_its_reason(data, monkeypatch):
    small = replace(BASELINES["ease"], default=EASEConfig(max_items=5))
    monkeypatch.setitem(tuning.BASELINES, "ease", small)
    said = []
    got = tuned_baselines(*data, names=["ease", "popularity"], report=said.append)
    assert got["ease"].scorer is None
    assert got["ease"].config is None
    assert "limit 5 items" in got["ease"].skipped
    assert got["popularity"].skipped is None
    assert said[0].startswith("ease skipped: EASE inverts")
    assert said[1].startswith("popularity tuned over 0 settings")


def test_running_out_of_memory_is_a_reason_too(data, monkeypatch):
    class Hungry(IALS):
        def fit(self, histories):
            raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setitem(tuning.BASELINES, "ials", replace(BASELINES["ials"], build=Hungry))
    got = tuned_baselines(*data, names=["ials"])["ials"]
    assert got.scorer is None
    assert got.skipped == "out of memory: Unable to allocate 1 TiB"


def test_large_data_is_searched_over_fewer_settings(data, monkeypatch):
    large = replace(BASELINES["ials"], large_rows=1, default=IALSConfig(iterations=1))
    monkeypatch.setitem(tuning.BASELINES, "ials", large)
    got = tuned_baselines(*data, names=["ials"], seed=3)["ials"]
    assert [trial.config["alpha"] for trial in got.trials] == [1.0, 10.0]
    assert got.config["seed"] == 3


def test_bad_requests_are_refused(data):
    interactions, split = data
    with pytest.raises(UsageError, match=r"\['svd'\].*popularity, item_knn, ease, ials, biased_mf"):
        tuned_baselines(interactions, split, names=["svd"])
    with pytest.raises(SplitError, match=r"evaluation\.pairs=warm"):
        tuned_baselines(interactions, replace(split, validation=split.train), pairs="warm")


def test_a_baseline_of_ratings_is_chosen_by_rmse_on_validation(data):
    interactions, split = data
    got = tuned_baselines(interactions, split, names=["biased_mf"])["biased_mf"]
    assert got.config == min(got.trials, key=lambda trial: trial.value).config
    assert {trial.metric for trial in got.trials} == {"rmse"}
    first = got.trials[0]
    model = BiasedMF(BiasedMFConfig(**first.config))
    model.fit(build_histories(interactions, split.selection_train))
    rows = split.validation
    error = model.predicted_ratings(interactions.users[rows], interactions.items[rows]) - interactions.ratings[rows]
    assert first.value == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-4)
    # The groups can be seen in the ratings: better than any constant.
    test = split.test
    predicted = got.scorer.predicted_ratings(interactions.users[test], interactions.items[test])
    rmse = np.sqrt(np.mean((predicted - interactions.ratings[test]) ** 2))
    assert rmse < interactions.ratings[test].std()


def test_without_ratings_to_learn_a_baseline_of_ratings_is_skipped(data):
    interactions, split = data
    ratings = np.full(len(interactions), 3, dtype=np.float32)
    validation_differs = ratings.copy()
    validation_differs[split.validation] = 4
    for given, reason in (
        (None, "it predicts ratings, and the data has none"),
        (ratings, "it predicts ratings, and every one in the data is 3"),
        (validation_differs, "it predicts ratings, and every one in the data is 3"),
    ):
        got = tuned_baselines(replace(interactions, ratings=given), split, names=["biased_mf"])["biased_mf"]
        assert (got.scorer, got.skipped) == (None, reason)


def test_baselines_of_ratings_go_with_models_of_ratings_unless_asked_for():
    ranking = ["popularity", "item_knn", "ease", "ials"]
    assert baseline_names("auto", "ndcg@100") == ranking
    assert baseline_names("auto", "rmse") == [*ranking, "biased_mf"]
    assert baseline_names(["biased_mf"], "ndcg@100") == ["biased_mf"]
    assert baseline_names("auto", "ndcg@100", in_order=True) == [*ranking, "markov_chain"]
    of_sessions = {"in_order": True, "of_sessions": True}
    assert baseline_names("auto", "ndcg@20", **of_sessions) == ["popularity", "item_knn", "markov_chain"]
    assert baseline_names(["ease", "popularity"], "ndcg@20", **of_sessions) == ["popularity"]
    with pytest.raises(UsageError, match=r"Unknown baselines \['svd'\]"):
        baseline_names(["svd"], "rmse")


def test_the_memory_of_a_refit_is_that_of_its_arrays(data, tuned):
    """EASE on 40 items holds a few matrices of 40 x 40 doubles, and what is made of the users' lists."""
    matrix = 40 * 40 * 8
    assert 3 * matrix < tuned["ease"].peak_bytes < 3 * matrix + 60_000

    class Hungry(EASE):
        def fit(self, histories):
            self.spare = np.zeros(10_000_000, dtype=np.uint8)
            super().fit(histories)

    peak = tuning._peak_bytes(lambda: Hungry().fit(build_histories(data[0], data[1].train)))
    assert 10_000_000 < peak < 10_200_000
