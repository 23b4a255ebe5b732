from __future__ import annotations

from typing import Any

import pytest

from recsys_tfrs.serving.model_card import gap, model_card

METRICS = ("hit@10", "ndcg@10", "hit@100", "recall@10", "map@10")


def figures(value: float) -> dict[str, float]:
    return {**dict.fromkeys(METRICS, value), "coverage@10": 0.5, "gini@10": 0.25}


@pytest.fixture
def facts() -> dict[str, Any]:
    difference = {"difference": 0.02, "interval": [0.01, 0.03], "p_value": 0.01}
    worse = {"difference": -0.02, "interval": [-0.03, -0.01], "p_value": 0.01}
    unclear = {"difference": 0.001, "interval": [-0.01, 0.012], "p_value": 0.4}
    return {
        "index": {"kind": "exact", "num_candidates": 1682, "bytes": 863_379},
        "default_k": 10,
        "max_k": 1000,
        "custom_operations": [],
        "versions": {"tensorflow": "2.20.0"},
        "stored_histories": True,
        "num_users": 943,
        "num_items": 1682,
        "family": "two-tower",
        "dataset": "movielens-100k",
        "dataset_notes": ["3 rows were skipped"],
        "split": "temporal",
        "split_hash": "ab" * 32,
        "seed": 42,
        "num_train": 80_000,
        "num_validation": 8_000,
        "num_test": 20_000,
        "num_test_measured": 2_863,
        "pairs": "warm",
        "seen": "filtered",
        "refit": True,
        "metrics": figures(0.06),
        "metrics_all_pairs": figures(0.05),
        "intervals": dict.fromkeys(METRICS, (0.051, 0.072)),
        "baselines": {"popularity": figures(0.04), "ease": figures(0.08), "ials": figures(0.0599)},
        "comparisons": {
            name: dict.fromkeys(("hit@10", "ndcg@10"), entry)
            for name, entry in {"popularity": difference, "ease": worse, "ials": unclear}.items()
        },
        "slices": {
            "user_gender": {
                "F": {"num_pairs": 5_000, "hit@10": 0.08, "ndcg@10": 0.04},
                "M|X": {"num_pairs": 15_000, "hit@10": 0.16, "ndcg@10": 0.05},
                "unknown": {"num_pairs": 3, "hit@10": 1.0, "ndcg@10": 1.0},
            },
            "item_popularity": {
                "head": {"num_pairs": 500, "hit@10": 0.3, "ndcg@10": 0.2},
                "tail": {"num_pairs": 500, "hit@10": 0.0, "ndcg@10": 0.0},
            },
        },
        "index_audit": {"recall@10": 0.9912, "num_queries": 941},
        "history_items": 1000,
    }


def test_figures_stand_with_their_intervals_beside_the_baselines(facts: dict[str, Any]) -> None:
    card = model_card(facts)
    assert "| **two-tower** | 0.0600 [0.0510, 0.0720] |" in card
    assert "| popularity | 0.0400 |" in card
    assert "| popularity | +0.0200 [+0.0100, +0.0300], better |" in card
    assert "| ease | -0.0200 [-0.0300, -0.0100], worse |" in card
    assert "| ials | +0.0010 [-0.0100, +0.0120], not told apart |" in card
    assert "2,863 test pairs of users and items known from training" in card
    assert "The index finds 99.12% of the ten items that exact search finds (941 queries" in card


def test_the_rules_are_those_of_the_run(facts: dict[str, Any]) -> None:
    card = model_card(facts)
    assert "among all items the user has not had, ties" in card
    assert "Baselines are tuned on validation." in card
    card = model_card({**facts, "seen": "kept", "refit": False})
    assert "among all items with those the user has had, ties" in card
    assert "Baselines are tuned on validation and, unlike the model, refitted on its rows, too." in card


def test_groups_of_users_with_their_gap(facts: dict[str, Any]) -> None:
    card = model_card(facts)
    assert "| F | 5,000 | 0.0800 | 0.0400 |" in card
    assert "| M\\|X | 15,000 | 0.1600 | 0.0500 |" in card
    # .16 - .08, without the group of three pairs.
    assert "Gap in hit@10: 0.0800, 2.00 times (M|X 0.1600, F 0.0800)." in card
    assert card.index("user_gender") < card.index("### By kind of item") < card.index("item_popularity")


def test_a_gap_needs_two_groups_and_no_division_by_zero() -> None:
    tail = {"num_pairs": 100, "hit@10": 0.0}
    head = {"num_pairs": 100, "hit@10": 0.3}
    assert gap({"head": head, "tail": tail}) == "Gap in hit@10: 0.3000 (head 0.3000, tail 0.0000)."
    assert "fewer than two groups have 100 pairs" in gap({"head": head, "tail": {**tail, "num_pairs": 99}})


def test_data_use_and_limits(facts: dict[str, Any]) -> None:
    card = model_card(facts)
    assert "`movielens-100k`, temporal split: 80,000 training interactions" in card
    assert "> 3 rows were skipped" in card
    assert "**Personal data**: the export holds the user ids and the training history of every user." in card
    assert "cover 50.0% of the catalogue (Gini coefficient of the exposure 0.25" in card
    assert "the newest 1,000 items count" in card
    assert "approximate" not in card
    other = {
        **facts,
        "history_items": None,
        "stored_histories": False,
        "custom_operations": ["Scann>ScannSearchBatched"],
        "index": {**facts["index"], "kind": "scann-tree"},
    }
    card = model_card(other)
    assert "but no histories; requests bring them" in card
    assert "operations beyond TensorFlow's own: Scann>ScannSearchBatched" in card
    assert "The index is approximate" in card
    assert "items count" not in card


def test_without_a_run_nothing_was_measured(facts: dict[str, Any]) -> None:
    known = (
        "index",
        "default_k",
        "max_k",
        "custom_operations",
        "versions",
        "stored_histories",
        "num_users",
        "num_items",
    )
    card = model_card({name: facts[name] for name in known})
    assert "Nothing was measured" in card
    assert "hit@10" not in card
