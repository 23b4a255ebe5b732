"""Sessions: a user's interactions cut where he was away for long, and their split into sessions and test cases.

In a data set of sessions every session is a user. What is predicted is the next item of a session that is known up to
there, so a test case, too, is a user: its rows are what came before, and the target. The rows before the target are
*given*: asked with, and never fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories, build_histories
from recsys_tfrs.data.interactions import FeatureColumn, Interactions
from recsys_tfrs.data.splits import Rows, Split, make_split, split_hash
from recsys_tfrs.errors import DataError, SplitError
from recsys_tfrs.schema import SplitMethod

#: Validation cases, at most; drawn at random where the sessions offer more.
MAX_VALIDATION_CASES = 20_000

#: Newest items that a case made from a longer session is asked with.
MAX_GIVEN = 200


def sessions_by_gap(interactions: Interactions, gap_minutes: float) -> Interactions:
    """Cut each user's interactions wherever he did nothing for longer than `gap_minutes`; every piece is a user.

    The k-th session of user ``u`` is called ``u/k``. Rows are put in order of time (file order where times are equal),
    and user columns stand for each of the user's sessions.

    Args:
      interactions: with timestamps.
      gap_minutes: longest pause within a session, positive.

    Raises:
      DataError: there are no timestamps.
    """
    if interactions.timestamps is None:
        raise DataError(
            f"Data set {interactions.name!r} has no timestamps, so sessions cannot be told by a pause: name the column "
            "with --columns timestamp=NAME, or the column of a session's id with --columns session=NAME."
        )
    order = np.lexsort((interactions.timestamps, interactions.users))
    users, times = interactions.users[order], interactions.timestamps[order]
    new_user = np.append(True, users[1:] != users[:-1])
    starts = new_user | np.append(True, np.diff(times) > gap_minutes * 60)
    session = np.cumsum(starts)  # from 1
    owner = np.append(0, users[starts])
    place = np.arange(1, len(owner)) - np.maximum.accumulate(np.where(new_user[starts], np.arange(len(owner) - 1), 0))
    joined = pc.binary_join_element_wise(
        pa.array(interactions.user_ids[owner[1:]], pa.string()), pa.array(place).cast(pa.string()), "/"
    )
    chosen = _taken(interactions, order, session.astype(np.int32))
    return replace(
        chosen,
        user_ids=np.append("", joined.to_numpy(zero_copy_only=False)).astype(object),
        user_features=_columns_of(interactions, owner),
    ).with_notes(
        f"{interactions.num_users:,} users cut into {len(owner) - 1:,} sessions at pauses of more than "
        f"{gap_minutes:g} minutes."
    )


def split_interactions(
    interactions: Interactions,
    method: str = SplitMethod.TEMPORAL.value,
    *,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.1,
    seed: int = 42,
) -> tuple[Interactions, Split]:
    """`make_split` for every method, and the split by sessions, which adds the rows of its test cases.

    Under ``sessions`` the newest sessions test and the newest of the others validate; every item of theirs but the
    first is a case. Data that come with test cases are always split so, and test with those cases. Sessions are ordered
    by the time of their last row, or, without times, by their number.

    Returns:
      The data, with cases as further users, and its split.

    Raises:
      SplitError: see `make_split`; another method was asked for data with test cases; or there are too few sessions.
    """
    has_cases = interactions.test_cases is not None
    if has_cases and method not in (SplitMethod.TEMPORAL.value, SplitMethod.SESSIONS.value):
        raise SplitError(
            f"Data set {interactions.name!r} comes with test cases, which leave nothing to split by {method!r}: leave "
            "--split out."
        )
    if not has_cases and method != SplitMethod.SESSIONS.value:
        return interactions, make_split(
            interactions, method, test_fraction=test_fraction, validation_fraction=validation_fraction, seed=seed
        )
    if not interactions.is_ordered:
        raise SplitError(
            f"Data set {interactions.name!r} has no timestamps, so nobody's next item is known: name the column with "
            "--columns timestamp=NAME, or use --split random."
        )
    sessions = _sessions_in_order(interactions)
    test_sessions = np.zeros(0, dtype=np.int32)
    if not has_cases:
        sessions, test_sessions = _cut(sessions, test_fraction)
    _, validation_sessions = _cut(sessions, validation_fraction)
    train = _rows_of(interactions, sessions)
    withheld = _rows_of(interactions, validation_sessions)
    data, validation, validation_given = _with_cases(interactions, withheld, MAX_VALIDATION_CASES, seed + 1)
    if interactions.test_cases is not None:
        test = np.sort(interactions.test_cases)
        test_given = np.setdiff1d(_rows_of(interactions, np.unique(interactions.users[test])), test)
    else:
        data, test, test_given = _with_cases(data, _rows_of(interactions, test_sessions), None, seed)
    for part, rows in (
        ("train", np.setdiff1d(train, withheld)),
        ("validation", validation),
        ("test", test),
    ):
        if len(rows) == 0:
            raise SplitError(
                f"The sessions split of {interactions.name!r} ({len(interactions)} rows, {len(sessions)} sessions to "
                f"train on) leaves no {part} rows: bring more sessions of two items or more, or choose another --split "
                "or fraction."
            )
    return data, Split(
        name=SplitMethod.SESSIONS.value,
        train=train,
        validation=validation,
        test=test,
        hash=split_hash(data, train, validation, test, validation_given, test_given),
        given=np.sort(np.concatenate([validation_given, test_given])),
        withheld=withheld,
        num_added_rows=len(data) - len(interactions),
        num_added_users=data.num_users - interactions.num_users,
    )


def _sessions_in_order(interactions: Interactions) -> NDArray[np.int32]:
    """Users that are sessions and no test cases, oldest first."""
    is_session = np.bincount(interactions.users, minlength=interactions.num_users + 1) > 0
    if interactions.test_cases is not None:
        is_session[interactions.users[interactions.test_cases]] = False
    sessions = np.flatnonzero(is_session).astype(np.int32)
    if interactions.timestamps is None:
        return sessions
    ends = np.full(interactions.num_users + 1, np.iinfo(np.int64).min)
    np.maximum.at(ends, interactions.users, interactions.timestamps)
    return sessions[np.argsort(ends[sessions], kind="stable")]


def _cut(sessions: NDArray[np.int32], fraction: float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    first = round(len(sessions) * (1 - fraction))
    return sessions[:first], sessions[first:]


def _rows_of(interactions: Interactions, users: NDArray[np.int32]) -> Rows:
    chosen = np.zeros(interactions.num_users + 1, dtype=bool)
    chosen[users] = True
    return np.flatnonzero(chosen[interactions.users])


@dataclass(frozen=True)
class _Cases:
    """Where the rows of cases stand.

    Attributes:
      positions: ``[num_rows]`` positions in `Histories.items`, case after case, the target last.
      case: ``[num_rows]`` number of the case, from 0.
    """

    positions: NDArray[np.int64]
    case: NDArray[np.int64]


def _cases(histories: Histories, max_cases: int | None, seed: int) -> _Cases:
    starts = np.repeat(histories.offsets[:-1], histories.lengths)
    at = np.arange(len(histories.items))
    targets = np.flatnonzero(at > starts)
    if max_cases is not None and len(targets) > max_cases:
        targets = np.sort(np.random.default_rng(seed).choice(targets, max_cases, replace=False))
    first = np.maximum(starts[targets], targets - MAX_GIVEN)
    lengths = targets + 1 - first
    case = np.repeat(np.arange(len(targets)), lengths)
    within = np.arange(len(case)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return _Cases(first[case] + within, case)


def _with_cases(
    interactions: Interactions, rows: Rows, max_cases: int | None, seed: int
) -> tuple[Interactions, Rows, Rows]:
    """The data with a user for each next item of the sessions in `rows`; its rows of targets, and those before them.

    The case that predicts the n-th item of session ``s`` is called ``s@n``.

    Raises:
      SplitError: a session has the name of a case.
    """
    histories = build_histories(interactions, rows)
    cases = _cases(histories, max_cases, seed)
    if not len(cases.case):
        none = np.zeros(0, dtype=np.int64)
        return interactions, none, none
    source = histories.rows[cases.positions]
    is_target = np.append(cases.case[1:] != cases.case[:-1], True)
    owner = interactions.users[source[is_target]]
    place = cases.positions[is_target] - histories.offsets[owner] + 1
    names = pc.binary_join_element_wise(
        pa.array(interactions.user_ids[owner], pa.string()), pa.array(place).cast(pa.string()), "@"
    )
    there = set(interactions.user_ids.tolist())
    if taken := next((name for name in names.to_pylist() if name in there), None):
        raise SplitError(
            f"A session of {interactions.name!r} is called {taken!r}, which is what the case that predicts that item "
            "of another session is called: give sessions ids that do not end in @ and a number."
        )
    everybody = np.concatenate([np.arange(interactions.num_users + 1), owner])
    everything = np.concatenate([np.arange(len(interactions)), source])
    users = np.concatenate([interactions.users, cases.case + interactions.num_users + 1]).astype(np.int32)
    added = np.arange(len(interactions), len(everything))
    data = replace(
        _taken(interactions, everything, users),
        user_ids=np.append(interactions.user_ids, names.to_numpy(zero_copy_only=False)).astype(object),
        user_features=_columns_of(interactions, everybody),
        test_cases=interactions.test_cases,
    )
    return data, added[is_target], added[~is_target]


def _taken(interactions: Interactions, rows: Rows, users: NDArray[np.int32]) -> Interactions:
    """The chosen rows, in that order, under other users, whose ids and columns are still to be replaced."""
    return replace(
        interactions,
        users=users,
        user_ids=np.full(int(users.max()) + 1, "", dtype=object),
        user_features={},
        items=interactions.items[rows],
        ratings=None if interactions.ratings is None else interactions.ratings[rows],
        timestamps=None if interactions.timestamps is None else interactions.timestamps[rows],
        weights=None if interactions.weights is None else interactions.weights[rows],
        context_features={
            name: replace(column, values=column.values[rows]) for name, column in interactions.context_features.items()
        },
        official_folds={},
        oracle=None,
        test_cases=None,
    )


def _columns_of(interactions: Interactions, owner: NDArray[np.integer]) -> dict[str, FeatureColumn]:
    """User columns, row ``u`` being that of user ``owner[u]``."""
    return {name: replace(column, values=column.values[owner]) for name, column in interactions.user_features.items()}
