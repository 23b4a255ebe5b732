"""Recommendations for everybody in a file, in bounded memory."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recsys_tfrs.errors import DataError, RunError, UsageError
from recsys_tfrs.runs.folder import open_run
from recsys_tfrs.schema import USER_ID
from recsys_tfrs.serving.folders import IN_RUN
from recsys_tfrs.serving.recommender import Recommender

#: Users asked for at once.
BATCH = 1_024

#: Rows of the output that are held in memory before they are written.
_ROW_GROUP = 64 * BATCH

SCHEMA = pa.schema(
    [
        (USER_ID, pa.string()),
        ("user_known", pa.bool_()),
        ("item_ids", pa.list_(pa.string())),
        ("titles", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class Written:
    """What a bulk job did.

    Attributes:
      users: rows written.
      unknown: users among them that the model does not know.
    """

    users: int
    unknown: int


def recommend_to_file(path: Path, users: Path, out: Path, k: int, console: Console) -> Written:
    """Write one row per user, in the order of the file, with the columns of `SCHEMA`.

    Args:
      path: a run, or the folder of an export.
      users: one id per line; a CSV or Parquet file (by its name's ending) with the column ``user_id``. Empty lines
        are passed over, an id that occurs twice is answered twice.
      out: Parquet file, replaced if it is there; it appears when everything is in it.
      k: items per user.
      console: where progress is shown.

    Raises:
      DataError: `users` cannot be read, has no such column or holds nobody.
      RunError: there is no export at `path`, or it does not recommend.
      UsageError: `k` is more than the export answers, or `out` cannot be written.
    """
    total = count_users(users)
    recommender = Recommender.load(_export(path))
    if k > recommender.manifest["max_k"]:
        raise UsageError(f"This export answers with 1 to {recommender.manifest['max_k']} items, not {k}.")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise UsageError(f"{out} cannot be written: it is a folder, or its folder is missing.")
    unknown = done = 0
    columns = (TextColumn("users"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    handle, name = tempfile.mkstemp(dir=out.absolute().parent, prefix=f".{out.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        with bar, pq.ParquetWriter(temporary, SCHEMA) as writer:
            task = bar.add_task("users", total=total)
            held: list[Any] = []
            for batch in batches(users):
                table = _table(recommender, batch, k)
                held.append(table)
                done += len(batch)
                unknown += len(batch) - int(pc.sum(table["user_known"].cast(pa.int32())).as_py())
                if len(held) * BATCH >= _ROW_GROUP:
                    writer.write_table(pa.concat_tables(held))
                    held.clear()
                bar.update(task, completed=done)
            if held:
                writer.write_table(pa.concat_tables(held))
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    console.print(f"{done:,} users, {unknown:,} of them unknown to the model, {k} items each: {out}", soft_wrap=True)
    return Written(done, unknown)


def _export(path: Path) -> Path:
    """The folder to load: a run must be complete, anything else is an export's."""
    try:
        return open_run(path, "retrieval") / IN_RUN
    except RunError:
        if (path / "saved_model.pb").is_file() or any(path.glob("[0-9]*/saved_model.pb")):
            return path
        raise


def _table(recommender: Recommender, user_ids: list[str], k: int) -> Any:
    # The last batch is filled up, so that the graph meets one shape only.
    padded = user_ids + [""] * (-len(user_ids) % 64)
    answers = {name: values[: len(user_ids)] for name, values in recommender.recommend_arrays(padded, k).items()}
    there = answers["item_id"] != b""
    offsets = pa.array(np.concatenate([[0], np.cumsum(there.sum(axis=1))]), pa.int32())

    def lists(values: Any) -> Any:
        return pa.ListArray.from_arrays(offsets, values)

    return pa.table(
        [
            pa.array(user_ids, pa.string()),
            pa.array(answers["user_known"]),
            lists(pa.array(answers["item_id"][there], pa.binary()).cast(pa.string())),
            lists(pa.array(answers["title"][there], pa.binary()).cast(pa.string())),
            lists(pa.array(answers["score"][there], pa.float32())),
        ],
        schema=SCHEMA,
    )


def batches(users: Path) -> Iterator[list[str]]:
    """Ids of a users file, `BATCH` at a time, read as they are needed.

    Raises:
      DataError: see `recommend_to_file`.
    """
    ids = _ids(users)
    while batch := list(itertools.islice(ids, BATCH)):
        yield batch


def count_users(users: Path) -> int:
    """Number of ids in a users file; all of it is read once, so a fault at its end is found before work begins.

    Raises:
      DataError: see `recommend_to_file`.
    """
    total = sum(len(batch) for batch in batches(users))
    if total == 0:
        raise DataError(f"{users} holds no user ids: one per line, or a column {USER_ID!r} in CSV or Parquet.")
    return total


def _ids(users: Path) -> Iterator[str]:
    kind = users.suffix.lower()
    try:
        if kind in (".parquet", ".pq"):
            yield from _column(pq.ParquetFile(users), users)
        elif kind == ".csv":
            yield from _csv_column(users)
        else:
            yield from _lines(users)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"The users file {users} cannot be read ({reason}): expected one id per line, or a CSV file with commas or "
            f"a Parquet file with a column {USER_ID!r}."
        ) from None


def _lines(users: Path) -> Iterator[str]:
    with users.open(encoding="utf-8-sig") as file:
        for line in file:
            if text := line.strip():
                yield text


def _column(file: Any, users: Path) -> Iterator[str]:
    _require(file.schema_arrow.names, users)
    for batch in file.iter_batches(BATCH, columns=[USER_ID]):
        yield from _strings(batch.column(0))


def _csv_column(users: Path) -> Iterator[str]:
    if users.stat().st_size == 0:
        return
    # Ids are strings, whatever they look like: 007 is not 7.
    options = pa_csv.ConvertOptions(column_types={USER_ID: pa.string()})
    with pa_csv.open_csv(users, convert_options=options) as reader:
        _require(reader.schema.names, users)
        for batch in reader:
            yield from _strings(batch.column(USER_ID))


def _strings(column: Any) -> Iterator[str]:
    return (text for text in column.cast(pa.string()).to_pylist() if text)


def _require(names: list[str], users: Path) -> None:
    if USER_ID not in names:
        raise DataError(f"{users} has no column {USER_ID!r}; it has {', '.join(names)}. Rename the column of ids.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
