"""Folding scores against arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_tfrs.data.histories import Histories
from recsys_tfrs.data.interactions import FeatureColumn
from recsys_tfrs.errors import ConfigError, DataError
from recsys_tfrs.evaluation import folding
from recsys_tfrs.schema import Kind

# Groups a, b, c of items 1..6: a, a, b, a and b, c, none.
GROUPS = np.array(
    [[0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]],
    dtype=bool,
)


def histories(*rows: list[int]) -> Histories:
    """Users 1, 2, ... with the given items."""
    items = np.array([item for row in rows for item in row], np.int32)
    offsets = np.concatenate([[0, 0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Histories(offsets, items, None, None, np.arange(len(items)), num_items=6)


def test_groups_from_columns() -> None:
    values = np.empty(4, object)
    values[:] = [(), ("Noir", "Crime"), (), ("Crime",)]
    labels, groups = folding.multi_hot(FeatureColumn("genres", Kind.MULTI_CATEGORICAL, values))
    assert labels == ["Crime", "Noir"]
    np.testing.assert_array_equal(groups, [[0, 0], [1, 1], [0, 0], [1, 0]])
    labels, groups = folding.multi_hot(FeatureColumn("genre", Kind.CATEGORICAL, np.array(["", "b", "a"], object)))
    assert labels == ["a", "b"]
    np.testing.assert_array_equal(groups, [[0, 0], [0, 1], [1, 0]])
    _, groups = folding.multi_hot(FeatureColumn("genre", Kind.CATEGORICAL, np.array(["", ""], object)))
    assert groups.shape == (2, 0)
    with pytest.raises(DataError, match=r"column of categories; 'year' is numeric"):
        folding.multi_hot(FeatureColumn("year", Kind.NUMERIC, np.zeros(3, np.float32)))


def test_share_of_lists_from_groups_never_touched() -> None:
    # User 1 touched a; user 2 c; user 3 b and a; user 4 nothing; user 5 only an item without a group.
    seen = histories([1, 6], [5], [4], [], [6])
    lists = np.array([[2, 3, 6], [1, 2, 3], [5, 3, 0], [1, 2, 3], [1, 2, 3]])
    found = folding.foreign_share(np.array([1, 2, 3, 4, 5]), lists, seen, GROUPS)
    # User 1: 3 is foreign, 6 does not count: 1/2. User 2: all. User 3: 5 of two.
    assert found.share == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    # Of five grouped items, foreign are 3 and 5; all but 5; 5.
    assert found.chance == pytest.approx((2 / 5 + 4 / 5 + 1 / 5) / 3)
    assert found.num_users == 3


def test_share_in_many_users_and_in_other_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_CHUNK", 2)
    rng = np.random.default_rng(0)
    groups = rng.random((31, 5)) < 0.3
    rows = [rng.integers(1, 31, rng.integers(0, 6)).tolist() for _ in range(25)]
    users = rng.permutation(np.arange(1, 26))[:19]
    lists = rng.integers(0, 31, (19, 4))
    found = folding.foreign_share(users, lists, histories(*rows), groups)
    shares, chances = [], []
    for user, items in zip(users, lists, strict=True):
        touched = {g for item in rows[user - 1] for g in np.flatnonzero(groups[item])}
        foreign = [not touched & set(np.flatnonzero(groups[i])) for i in items if i and groups[i].any()]
        if touched and foreign:
            shares.append(np.mean(foreign))
            chances.append(
                np.mean([not touched & set(np.flatnonzero(groups[i])) for i in range(1, 31) if groups[i].any()])
            )
    assert found.share == pytest.approx(np.mean(shares))
    assert found.chance == pytest.approx(np.mean(chances))
    assert found.num_users == len(shares) < 19


def test_groups_left_alone_by_luck_are_not_avoided() -> None:
    """Of the ten rows a has 5, b 4 and c 3, an item of a and b counting for both."""
    seen = histories([1, 2, 1, 2], [3, 3], [4], [5, 5, 5])
    users = np.array([1, 2, 3, 4])
    np.testing.assert_array_equal(folding.avoided_groups(seen, users, GROUPS, 1.0)[1], [True, False, True])
    # Missed by luck: by user 1, b with .7 ^ 4 = .2401 and c likewise; by user 2, a with .5 ^ 2 and c with .7 ^ 2 =
    # .49; by user 3, c with .7; by user 4, a with .5 ^ 3 = .125 and b with .7 ^ 3 = .343.
    for luck, avoided in (
        (0.7, [[0, 1, 1], [1, 0, 1], [0, 0, 1], [1, 1, 0]]),
        (0.345, [[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0]]),
        (0.3, [[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 0, 0]]),
        (0.05, [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ):
        np.testing.assert_array_equal(folding.avoided_groups(seen, users, GROUPS, luck), np.array(avoided, bool))
    assert not folding.avoided_groups(histories([]), np.array([1]), GROUPS, 0.5).any()
    for luck in (0.0, 1.1):
        with pytest.raises(ConfigError, match=f"by luck must lie above 0 and up to 1, not {luck}"):
            folding.avoided_groups(seen, users, GROUPS, luck)


def test_share_of_lists_from_groups_avoided() -> None:
    seen = histories([1, 2, 1, 2], [3, 3], [4], [5, 5, 5])
    lists = np.array([[3, 5, 6], [1, 5, 4], [5, 5, 1], [3, 4, 1]])
    found = folding.foreign_share(np.array([1, 2, 3, 4]), lists, seen, GROUPS, 0.3)
    # User 1: both; 2: item 1 of three, for c may be luck and 4 is of b, too; 3: none; 4: 4 and 1, but not 3 of b.
    assert found.share == pytest.approx((1 + 1 / 3 + 0 + 2 / 3) / 4)
    # Of five grouped items: 3 and 5; 1 and 2; none; 1, 2 and 4.
    assert found.chance == pytest.approx((2 / 5 + 2 / 5 + 0 + 3 / 5) / 4)
    assert found.num_users == 4


def test_nobody_to_measure() -> None:
    found = folding.foreign_share(np.array([1]), np.array([[6, 0]]), histories([1]), GROUPS)
    assert (found.share, found.chance, found.num_users) == (0, 0, 0)
    found = folding.foreign_share(np.array([1]), np.array([[1, 2]]), histories([1]), np.zeros((7, 2), bool))
    assert found.num_users == 0


def test_groups_are_related_by_the_users_they_share() -> None:
    # Users of a: 1, 2, 3; of b: 2, 3; of c: 3, 4. In common: ab 2, ac 1, bc 1.
    seen = histories([1], [2, 3], [4, 5], [5])
    np.testing.assert_array_equal(folding.related_groups(seen, GROUPS), np.ones((3, 3)))
    np.testing.assert_array_equal(folding.related_groups(seen, GROUPS, 0.7), [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(folding.related_groups(seen, GROUPS, 1.0), np.eye(3))
    np.testing.assert_array_equal(folding.related_groups(histories([1], [3]), GROUPS), np.eye(3))


def test_overlap_in_a_space_by_hand() -> None:
    """Angles 0, 10, 20, 90, 15, with lengths that must not matter; item 6 has no group and is nobody's neighbour."""
    angles = np.radians([0, 0, 10, 20, 90, 15, 12])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array([[1], [9], [1], [5], [1], [2], [1]])
    related = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], bool)
    found = folding.overlap(vectors, GROUPS, related, num_neighbours=2)
    # Items' neighbours: 1: 2, 5; 2: 5, 1 (10 apart); 3: 5, 2; 4: 3, 5; 5: 2 and 3.
    # Unrelated are all but 1-2, 1-4, 2-4, 3-4.
    shares = [1 / 2, 1 / 2, 1, 1 / 2, 1]
    assert found.neighbour_share == pytest.approx(np.mean(shares))
    assert found.neighbour_chance == pytest.approx(np.mean([2 / 4, 2 / 4, 3 / 4, 1 / 4, 4 / 4]))
    # Centroids: a of 0, 10, 90 degrees; b of 20 and 90: at 55; c at 15.
    a = np.array([1 + np.cos(np.radians(10)), np.sin(np.radians(10)) + 1])
    angle_a = np.degrees(np.arctan2(a[1], a[0]))
    cosines = np.cos(np.radians([55 - angle_a, angle_a - 15, 55 - 15]))
    assert found.centroid_cosine == pytest.approx(cosines.mean())
    assert found.num_unrelated_pairs == 3
    ab_related = folding.overlap(vectors, GROUPS, related | np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], bool))
    assert ab_related.num_unrelated_pairs == 2
    assert ab_related.centroid_cosine == pytest.approx(cosines[1:].mean())
    # All four others are neighbours: only item 5 is unrelated to the rest.
    assert ab_related.neighbour_share == ab_related.neighbour_chance == pytest.approx(np.mean([1 / 4] * 4 + [1]))
    everything = folding.overlap(vectors, GROUPS, np.ones((3, 3), bool))
    assert (everything.neighbour_share, everything.centroid_cosine, everything.num_unrelated_pairs) == (0, None, 0)


def test_folded_and_separate_groups_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_CHUNK", 7)
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(4), 50)
    groups = np.concatenate([np.zeros((1, 4), bool), np.eye(4, dtype=bool)[group]])
    noise = 0.1 * rng.normal(size=(201, 8))
    apart, folded = noise.copy(), noise.copy()
    apart[np.arange(1, 201), group] += 1
    folded[:, 0] += 1
    related = np.eye(4, dtype=bool)
    good, bad = (folding.overlap(v, groups, related) for v in (apart, folded))
    assert good.neighbour_share == 0
    assert good.centroid_cosine == pytest.approx(0, abs=0.1)
    assert bad.neighbour_share == pytest.approx(bad.neighbour_chance, abs=0.05)
    assert bad.neighbour_chance == pytest.approx(150 / 199)
    assert bad.centroid_cosine is not None
    assert bad.centroid_cosine > 0.99
    sampled = folding.overlap(folded, groups, related, max_items=60, seed=3)
    assert sampled.neighbour_share != bad.neighbour_share
    assert sampled.neighbour_share == pytest.approx(bad.neighbour_share, abs=0.05)


def test_overlap_needs_items() -> None:
    with pytest.raises(DataError, match=r"at least two items that have a group, but there are 1"):
        folding.overlap(np.ones((7, 2)), np.eye(7, 3, k=-1, dtype=bool)[:, :1], np.ones((1, 1), bool))


def test_groups_without_items_and_vectors_of_nothing_do_no_harm() -> None:
    groups = np.concatenate([GROUPS, np.zeros((7, 1), bool)], axis=1)
    found = folding.overlap(np.zeros((7, 2)), groups, np.eye(4, dtype=bool))
    assert found.num_unrelated_pairs == 3
    assert found.centroid_cosine == 0
