"""Which rows are trained on, which select, which test. All vectorised, all reproducible across machines.

Rules (the same for every model and baseline):

* ``train`` is everything known before testing; final models are fitted on all of it.
* ``validation`` is a part of ``train``, taken the same way the test part was taken. Epochs, hyper-parameters and
  baselines' settings are chosen by fitting on ``train`` without ``validation``; nothing is ever chosen on ``test``.
* Time order is a stable sort on (timestamp, file order).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import SplitError
from recsys_tfrs.schema import SplitMethod

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Row numbers of one data set, told apart.

    Attributes:
      name: ``temporal``, ``leave-last-out``, ``random``, ``official:<fold>`` or ``sessions``.
      train: ``[num_train]`` sorted rows final models are fitted on; holds `validation` too.
      validation: ``[num_validation]`` sorted rows withheld while selecting.
      test: ``[num_test]`` sorted rows nobody looks at before the end.
      hash: SHA-256 over the (user, item) external ids of train, validation and test: equal on every machine.
      given: sorted rows that are asked with and never fitted on: the beginnings of the sessions to be continued.
      withheld: sorted rows of `train` not fitted on while selecting; None: those of `validation`.
      num_added_rows, num_added_users: copies in the data that are there for test cases alone.
    """

    name: str
    train: Rows
    validation: Rows
    test: Rows
    hash: str
    given: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    withheld: Rows | None = None
    num_added_rows: int = 0
    num_added_users: int = 0

    @property
    def selection_train(self) -> Rows:
        """Rows to fit on while selecting: `train` without `validation`, or without what is `withheld` instead."""
        withheld = self.validation if self.withheld is None else self.withheld
        return np.setdiff1d(self.train, withheld, assume_unique=True)

    @property
    def num_withheld(self) -> int:
        """Training rows not fitted on while selecting."""
        return len(self.train) - len(self.selection_train)

    @property
    def known(self) -> Rows:
        """Rows known when asking for `test`: `train` and what is `given`."""
        return np.union1d(self.train, self.given) if len(self.given) else self.train

    @property
    def selection_known(self) -> Rows:
        """Rows known when asking for `validation`."""
        return np.union1d(self.selection_train, self.given) if len(self.given) else self.selection_train


def time_order(interactions: Interactions, rows: Rows) -> Rows:
    """``[num_rows]`` `rows` sorted by (timestamp, file order), oldest first.

    Raises:
      SplitError: there are no timestamps.
    """
    if interactions.timestamps is None:
        raise SplitError(
            f"Data set {interactions.name!r} has no timestamps, which this split needs: "
            + (
                "use --split leave-last-out"
                if interactions.in_order
                else "name the column with --columns timestamp=NAME"
            )
            + ", or use --split random."
        )
    rows = np.sort(rows)
    return rows[np.argsort(interactions.timestamps[rows], kind="stable")]


def _last_fraction(interactions: Interactions, rows: Rows, fraction: float, seed: int) -> Rows:
    ordered = time_order(interactions, rows)
    return ordered[round(len(ordered) * (1 - fraction)) :]


def _random_fraction(interactions: Interactions, rows: Rows, fraction: float, seed: int) -> Rows:
    shuffled = rows[np.random.default_rng(seed).permutation(len(rows))]
    return shuffled[round(len(rows) * (1 - fraction)) :]


def _last_of_each_user(interactions: Interactions, rows: Rows, fraction: float, seed: int) -> Rows:
    """The newest row of every user who has at least one other row left to be known by."""
    within_lists = interactions.in_order and interactions.timestamps is None
    ordered = np.sort(rows) if within_lists else time_order(interactions, rows)
    by_user = ordered[np.argsort(interactions.users[ordered], kind="stable")]
    users = interactions.users[by_user]
    is_last = np.append(users[1:] != users[:-1], True)
    has_more = np.bincount(users)[users] > 1
    return by_user[is_last & has_more]


_HOLD_OUT = {
    SplitMethod.TEMPORAL: _last_fraction,
    SplitMethod.RANDOM: _random_fraction,
    SplitMethod.LEAVE_LAST_OUT: _last_of_each_user,
    SplitMethod.OFFICIAL: _random_fraction,
}


_METHODS = "temporal, leave-last-out, random, sessions or official:FOLD"


def parse_method(text: str) -> tuple[SplitMethod, str | None]:
    """``"official:u1"`` -> (OFFICIAL, "u1"); other methods take no fold.

    Raises:
      SplitError: the method is not one of `SplitMethod`.

    Example:
      >>> parse_method("official:u1")
      (<SplitMethod.OFFICIAL: 'official'>, 'u1')
    """
    method, _, fold = text.partition(":")
    known = [m.value for m in SplitMethod]
    if method not in known or (method == SplitMethod.OFFICIAL.value) != bool(fold):
        raise SplitError(f"Split {text!r} is not known: use {_METHODS}.")
    return SplitMethod(method), fold or None


def _official_test(interactions: Interactions, fold: str) -> Rows:
    if fold not in interactions.official_folds:
        known = ", ".join(sorted(interactions.official_folds)) or "none"
        raise SplitError(
            f"Data set {interactions.name!r} has no official fold {fold!r} (it has: {known}): use one of those, or "
            "another --split such as random."
        )
    return interactions.official_folds[fold]


def split_hash(interactions: Interactions, *parts: Rows) -> str:
    """SHA-256 over external ids, so that it does not depend on how internal ids were numbered."""
    digest = hashlib.sha256()
    user_hashes = _id_hashes(interactions.user_ids)
    item_hashes = _id_hashes(interactions.item_ids)
    for rows in parts:
        digest.update(len(rows).to_bytes(8, "little"))
        digest.update(user_hashes[interactions.users[rows]].tobytes())
        digest.update(item_hashes[interactions.items[rows]].tobytes())
    return digest.hexdigest()


def _id_hashes(ids: NDArray[np.object_]) -> NDArray[np.uint64]:
    digests = (hashlib.blake2b(str(i).encode(), digest_size=8).digest() for i in ids)
    return np.frombuffer(b"".join(digests), dtype="<u8")


def make_split(
    interactions: Interactions,
    method: str = SplitMethod.TEMPORAL.value,
    *,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.1,
    seed: int = 42,
) -> Split:
    """Tell test from training rows, then validation from training rows the same way.

    Args:
      interactions: the data set.
      method: ``temporal`` (the newest `test_fraction` of all rows test), ``leave-last-out`` (the newest row of each
        user tests, the one before it validates), ``random`` (rows permuted by
        ``numpy.random.default_rng(seed).permutation``, the first ``1 - test_fraction`` train), or
        ``official:<fold>`` (a fold the source ships).
      test_fraction: share of rows to test on (temporal and random).
      validation_fraction: share of training rows to select on (all but leave-last-out).
      seed: of the random splits; has no effect on the others' test rows.

    Raises:
      SplitError: a part would be empty, or the data lacks what the method needs.
    """
    kind, fold = parse_method(method)
    if kind is SplitMethod.SESSIONS:
        raise SplitError("The sessions split adds test cases to the data: make it with sessions.split_interactions.")
    all_rows = np.arange(len(interactions), dtype=np.int64)
    hold_out = _HOLD_OUT[kind]
    if fold is not None:
        test = _official_test(interactions, fold)
    else:
        test = hold_out(interactions, all_rows, test_fraction, seed)
    test = np.sort(test)
    train = np.setdiff1d(all_rows, test, assume_unique=True)
    validation = np.sort(hold_out(interactions, train, validation_fraction, seed + 1))
    for part, rows in (("train", np.setdiff1d(train, validation)), ("validation", validation), ("test", test)):
        if len(rows) == 0:
            raise SplitError(
                f"The {method} split of {interactions.name!r} ({len(interactions)} rows, {interactions.num_users} "
                f"users) leaves no {part} rows: bring more data, or choose another --split or fraction."
            )
    return Split(
        name=method,
        train=train,
        validation=validation,
        test=test,
        hash=split_hash(interactions, train, validation, test),
    )
