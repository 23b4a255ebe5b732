"""Sessions as the papers on them exchange data: prepared text files, and the clicks of the RecSys Challenge 2015.

A folder with ``train_sessions.txt`` and ``test_cases.txt`` (each also with ``.gz``) holds one session of item ids a
line, in order and separated by spaces, and one test case a line: the clicks so far, a tab, and the next item. Every
session and every case is a user of its own.

``yoochoose-clicks.dat`` holds ``session,timestamp,item,category`` without a header, times in ISO 8601. The category
belongs to the click and is known only with it, so it is not read.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_tfrs.data.archives import DAMAGE, DataFolder
from recsys_tfrs.data.assemble import Policy, RawInteractions, assemble
from recsys_tfrs.data.delimited import Layout, read_rows
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import DataError

TRAIN, TEST = "train_sessions.txt", "test_cases.txt"
CLICKS = "yoochoose-clicks.dat"

#: In front of the number of a test case, where sessions have the number of their line.
CASE_PREFIX = "case-"

_CLICK_COLUMNS = ("session", "timestamp", "item", "category")


def recognise_prepared(folder: DataFolder) -> str | None:
    """The folder's name if it holds sessions to train on and test cases, else None."""
    return folder.name if _present(folder, TRAIN) and _present(folder, TEST) else None


def recognise_clicks(folder: DataFolder) -> str | None:
    """``yoochoose-clicks`` if the folder holds the challenge's clicks, else None."""
    return CLICKS.removesuffix(".dat") if _present(folder, CLICKS) else None


def load_prepared(folder: DataFolder, name: str, policy: Policy) -> Interactions:
    """Sessions to train on and test cases; `Interactions.test_cases` says which rows are to be predicted.

    A repeated click is a click, so no row is merged, whatever the policy says of repeated pairs.

    Raises:
      DataError: a file is missing, damaged, empty or not UTF-8, or a test case is not ``clicks<TAB>item`` (the line is
        named) unless the policy skips bad rows.
    """
    sessions, train_notes = _read_sessions(folder)
    cases, test_notes = _read_cases(folder, policy.skip_bad_rows)
    lengths = np.concatenate([_lengths(sessions), _lengths(cases)])
    tokens = pa.chunked_array([pc.list_flatten(sessions), pc.list_flatten(cases)]).combine_chunks()
    items = tokens.dictionary_encode()
    names = [np.arange(1, len(sessions) + 1).astype(str).astype(object)]
    names.append((CASE_PREFIX + np.arange(1, len(cases) + 1).astype(str).astype(object)).astype(object))
    raw = RawInteractions(
        users=np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
        items=items.indices.to_numpy(zero_copy_only=False).astype(np.int32),
        ratings=None,
        times=None,
        user_ids=np.concatenate(names),
        item_ids=items.dictionary.to_numpy(zero_copy_only=False).astype(object),
        notes=(*train_notes, *test_notes),
    )
    last_of_each = np.cumsum(lengths) - 1
    return replace(
        assemble(name, raw, replace(policy, duplicates="keep-all")),
        in_order=True,
        test_cases=last_of_each[len(sessions) :].astype(np.int64),
    )


def load_clicks(folder: DataFolder, name: str, policy: Policy) -> Interactions:
    """The clicks of the RecSys Challenge 2015, every session a user.

    A repeated click is a click, so no row is merged, whatever the policy says of repeated pairs.

    Raises:
      DataError: the file is damaged or a line is malformed (it is named).
    """
    layout = Layout(_CLICK_COLUMNS, "session", "item", None, "timestamp", delimiter=",")
    file = _present(folder, CLICKS) or CLICKS
    with _opened(folder, file) as stream:
        raw = read_rows(stream, folder.label(file), layout, skip_bad_rows=policy.skip_bad_rows)
    return assemble(name, raw, replace(policy, duplicates="keep-all"))


def _present(folder: DataFolder, name: str) -> str | None:
    return next((found for found in (name, f"{name}.gz") if folder.has(found)), None)


@contextmanager
def _opened(folder: DataFolder, name: str) -> Iterator[IO[bytes]]:
    """A binary stream, unpacked if its name ends in ``.gz``."""
    with folder.open(name) as stream:
        if not name.endswith(".gz"):
            yield stream
            return
        try:
            with gzip.open(stream) as unpacked:
                yield cast("IO[bytes]", unpacked)
        except (*DAMAGE, gzip.BadGzipFile) as error:
            raise DataError(f"{folder.label(name)} is damaged or truncated ({error}): download it again.") from error


def _lines(folder: DataFolder, name: str) -> tuple[str, pa.Array]:
    """The file's name for messages, and its lines with nothing at their ends that cannot be seen."""
    file = _present(folder, name) or name
    with _opened(folder, file) as stream:
        data = stream.read().removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{folder.label(file)}, line {line}: not UTF-8 text: save the file as UTF-8.") from None
    if not data.strip():
        raise DataError(f"{folder.label(file)} is empty: expected one session or test case a line.")
    lines = pc.list_flatten(pc.split_pattern(pa.array([data], pa.large_string()), "\n"))
    return folder.label(file), pc.utf8_rtrim_whitespace(lines)


def _read_sessions(folder: DataFolder) -> tuple[pa.LargeListArray, tuple[str, ...]]:
    _, lines = _lines(folder, TRAIN)
    sessions = _words(lines.filter(pc.not_equal(pc.utf8_trim_whitespace(lines), "")))
    single = int(np.count_nonzero(_lengths(sessions) == 1))
    notes = (f"Sessions of a single click, from which no next click can be learnt: {single:,}.",) if single else ()
    return sessions, notes


def _read_cases(folder: DataFolder, skip_bad_rows: bool) -> tuple[pa.LargeListArray, tuple[str, ...]]:
    """``[num_cases]`` lists of the clicks so far with the target behind them."""
    label, lines = _lines(folder, TEST)
    given = pc.not_equal(pc.utf8_trim_whitespace(lines), "").to_numpy(zero_copy_only=False)
    parts = pc.split_pattern(lines, "\t")
    is_pair = pc.equal(pc.list_value_length(parts), 2).to_numpy(zero_copy_only=False)
    words = _words(lines)
    targets = _lengths(_words(pc.replace_substring_regex(lines, r"^[^\t]*\t", "")))
    bad = given & ~(is_pair & (targets == 1))
    if bad.any() and not skip_bad_rows:
        raise DataError(
            f"{label}, line {int(np.argmax(bad)) + 1}: expected the clicks so far, a tab and one next item. Correct "
            "the line, or leave such lines out with --skip-bad-rows."
        )
    kept = given & ~bad
    if not kept.any():
        raise DataError(
            f"{label} holds no test case: expected the clicks so far, a tab and one next item on each line."
        )
    notes = (f"Lines of {label} that are no test case, skipped: {int(bad.sum()):,}.",) if bad.any() else ()
    return words.filter(pa.array(kept)), notes


def _words(lines: pa.Array) -> pa.LargeListArray:
    """``[num_lines]`` lists of what spaces and tabs separate."""
    return pc.utf8_split_whitespace(pc.utf8_trim_whitespace(lines))


def _lengths(lists: pa.Array) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths
