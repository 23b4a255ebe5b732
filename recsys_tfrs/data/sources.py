"""Where data comes from: a name or a path -> `Interactions`.

A named data set is the one asked for or an error that says where to put it. ``auto`` alone may choose: MovieLens
100K if it is here or can be had within seconds, else the simulated data set, with a note that says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from recsys_tfrs.data import lists, movielens, movietweetings, session_files, tfds_movielens
from recsys_tfrs.data.archives import DataFolder, data_folders
from recsys_tfrs.data.assemble import Duplicates, Policy
from recsys_tfrs.data.core import core
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.sessions import sessions_by_gap
from recsys_tfrs.errors import DataError, DatasetNotFoundError, UsageError

AUTO = "auto"
SIMULATED = "simulated"
SIMULATED_SHOP = "simulated-shop"
_AUTO_MOVIELENS = "movielens-100k"

#: Seconds to wait for the download host.
_AUTO_TIMEOUT, _NAMED_TIMEOUT = 3.0, 10.0


@dataclass(frozen=True)
class DataRequest:
    """What somebody wants to read.

    Attributes:
      dataset: ``auto``, a name (``simulated...``, ``simulated-shop``, ``movielens-100k``, ``movielens-1m``,
        ``movielens-latest-small``, ``movielens-20m``, ``movielens-25m``, ``movietweetings``) or a path: an official
        folder, its zip, or a table of one's own (CSV, TSV, Parquet, folder of Parquet files); ``lists:`` and a path:
        one list of items a line.
      data_dir: for a name, the folder or zip to read instead of searching.
      items: table about the items of a table or of lists of one's own.
      users: table about its users.
      columns: ``user``, ``session``, ``item``, ``rating``, ``timestamp``, ``weight`` -> column name, a session taking
        the user's place; any other key is a column of `items`, of `users` or, as context, of the interactions, its
        value a `recsys_tfrs.schema.Kind`.
      skip_bad_rows: leave out and count rows that cannot be read.
      duplicates: which row of a repeated (user, item) pair stays, see `recsys_tfrs.data.assemble.Policy`.
      seed: of simulated data.
      num_rows: of simulated data; None keeps the size its name says.
      core: keep only users and items with at least this many interactions among each other, see `data.core`; of
        sessions, once they are cut.
      session_gap: cut users into sessions at pauses of more than so many minutes; None: they stay whole.
    """

    dataset: str = AUTO
    data_dir: Path | None = None
    items: Path | None = None
    users: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    skip_bad_rows: bool = False
    duplicates: Duplicates = "keep-last"
    seed: int = 42
    num_rows: int | None = None
    core: int | None = None
    session_gap: float | None = None

    @property
    def policy(self) -> Policy:
        """What to do about bad and repeated rows; in a session, an item that comes again is no repetition to merge."""
        of_sessions = self.session_gap is not None or "session" in self.columns
        duplicates = "keep-all" if of_sessions and self.duplicates == "keep-last" else self.duplicates
        return Policy(self.skip_bad_rows, duplicates)


@dataclass(frozen=True)
class FolderFormat:
    """One kind of official folder.

    Attributes:
      files: the files it is known by, for messages.
      recognise: the data set's name if a folder is of this kind, else None.
      load: reads such a folder under a name.
    """

    files: str
    recognise: Callable[[DataFolder], str | None]
    load: Callable[[DataFolder, str, Policy], Interactions]


#: Every kind of folder, the first that recognises one reads it. A new kind is one more line here.
FORMATS = (
    FolderFormat("MovieTweetings (ratings.dat, movies.dat)", movietweetings.recognise, movietweetings.load_folder),
    FolderFormat(
        "MovieLens (u.data; or ratings.dat, users.dat, movies.dat; or ratings.csv, movies.csv)",
        movielens.recognise,
        movielens.load_folder,
    ),
    FolderFormat(
        "prepared sessions (train_sessions.txt, test_cases.txt, also with .gz)",
        session_files.recognise_prepared,
        session_files.load_prepared,
    ),
    FolderFormat(
        "RecSys Challenge 2015 (yoochoose-clicks.dat)", session_files.recognise_clicks, session_files.load_clicks
    ),
)


def load(request: DataRequest) -> Interactions:
    """Read the data set asked for.

    Raises:
      DatasetNotFoundError: it is not on this machine and cannot be downloaded.
      DataError: its files are missing, truncated or malformed.
      UsageError: the request is not understood.
    """
    interactions = _load(request)
    if request.session_gap is not None:
        interactions = sessions_by_gap(interactions, request.session_gap)
    return interactions if request.core is None else core(interactions, request.core)


def _load(request: DataRequest) -> Interactions:
    name = request.dataset
    of_ones_own = [option for option in ("items", "users", "columns") if getattr(request, option)]
    if name == AUTO or name in known_names() or name.startswith(SIMULATED):
        if of_ones_own:
            raise UsageError(
                f"--{' and --'.join(of_ones_own)} go with a table of your own, not with --dataset {name}: give the "
                "table's path to --dataset."
            )
        _refuse_unread(request)
        if name == AUTO:
            return _load_auto(request)
        return _load_simulated(request, name) if name.startswith(SIMULATED) else _load_named(request, name)
    if name.startswith(lists.PREFIX):
        _refuse_unread(request)
        return _load_lists(request)
    path = Path(name).expanduser()
    if not path.exists():
        raise UsageError(
            f"--dataset {name!r} is neither a file or folder nor a known name: use {AUTO}, {SIMULATED}, "
            f"{', '.join(known_names())}, the path of your data, or {lists.PREFIX}PATH of a text with a "
            "list of items a line."
        )
    _refuse_unread(request)
    return load_path(path, request)


def _refuse_unread(request: DataRequest) -> None:
    """See that nothing was given that is not looked at with this data set; what ``auto`` finds is not known yet."""
    name = request.dataset
    if request.data_dir is not None and name != AUTO and name not in known_names():
        raise UsageError(
            f"--data-dir is where the files of a named data set lie ({', '.join(known_names())}) and does not go with "
            f"--dataset {name}: leave it out."
        )
    real = not name.startswith(SIMULATED) and (name != AUTO or request.data_dir is not None)
    if request.num_rows is not None and real:
        raise UsageError(
            f"data.num_rows is the size of simulated data and does not go with real data, here {name}: leave it out, "
            f"or use --dataset {SIMULATED}."
        )


def known_names() -> tuple[str, ...]:
    """Names of the data sets that are files somewhere."""
    return (*movielens.FOLDERS, movietweetings.NAME)


def load_path(path: Path, request: DataRequest) -> Interactions:
    """An official folder or zip, or a table of one's own.

    Raises:
      DataError: nothing that can be read is there, or what is there is malformed.
    """
    if path.is_file() and path.name.removesuffix(".gz") == session_files.CLICKS:
        path = path.parent
    found = recognise(path)
    if not found and path.is_dir() and not _is_table(path):
        below = [match for child in sorted(path.iterdir()) for match in recognise(child)]
        if len(below) > 1:
            raise UsageError(
                f"{path} holds several data sets: give one of {', '.join(folder.label() for _, _, folder in below)}."
            )
        found = below
    if found:
        kind, name, folder = found[0]
        if request.items or request.users or request.columns:
            raise UsageError(
                f"--items, --users and --columns describe a table of your own; {folder.label()} is {name}, whose files "
                "say what they hold: leave them out."
            )
        return kind.load(folder, name, request.policy)
    if path.suffix.lower() == ".zip" or (path.is_dir() and not _is_table(path)):
        raise DataError(
            f"{path} is no folder or zip of a known kind. Accepted are: "
            f"{'; '.join(kind.files for kind in FORMATS)}; a folder of .parquet files; or one .csv, .tsv or .parquet "
            "file."
        )
    # Reading tables needs all of Arrow; official folders need only its CSV reader.
    from recsys_tfrs.data.tables import load_table

    return load_table(path, request.columns, request.policy, items=request.items, users=request.users)


def recognise(path: Path) -> list[tuple[FolderFormat, str, DataFolder]]:
    """Every (kind, name, folder) of a known kind at a path: the folder itself, or what a zip holds."""
    return [
        (kind, name, folder)
        for folder in data_folders(path)
        for kind in FORMATS
        if (name := kind.recognise(folder)) is not None
    ]


def find_local() -> list[tuple[str, Path]]:
    """Known data sets on this machine as (name, path), in the order in which a name is searched."""
    found: dict[tuple[str, Path], None] = {}
    for name in known_names():
        for path in _places(name):
            try:
                matches = recognise(path)
            except DataError:
                continue  # a damaged zip: reading it says so
            if any(_fits(name, match) for _, match, _ in matches):
                found[name, path] = None
        if name in movielens.FOLDERS and (prepared := tfds_movielens.prepared_folder(name)):
            found[name, prepared] = None
    return list(found)


def _is_table(folder: Path) -> bool:
    return any(entry.suffix.lower() in (".parquet", ".pq") for entry in folder.iterdir())


def _load_simulated(request: DataRequest, name: str) -> Interactions:
    if name.startswith(SIMULATED_SHOP):
        from recsys_tfrs.data.simulated_shop import load_simulated_shop

        if request.num_rows is not None:
            raise UsageError(f"data.num_rows does not go with {name}, whose sizes are fixed: leave it out.")
        return load_simulated_shop(name, seed=request.seed)
    from recsys_tfrs.data.simulated import load_simulated

    return load_simulated(name, seed=request.seed, num_rows=request.num_rows)


def _load_lists(request: DataRequest) -> Interactions:
    path = Path(request.dataset.removeprefix(lists.PREFIX)).expanduser()
    if request.users:
        raise UsageError(f"--users does not go with {lists.PREFIX}, whose users are numbers of lines.")
    from recsys_tfrs.data.tables import Columns

    spec = Columns.parse(request.columns)
    if set(spec.roles) - {"item"} or (request.columns and not request.items):
        raise UsageError(
            f"--columns goes with {lists.PREFIX} only to describe an --items table: lists have no columns of their own."
        )
    table = None
    if request.items:
        from recsys_tfrs.data.column_names import with_usable_names
        from recsys_tfrs.data.table_features import read_feature_table

        names_id = spec.roles.get("item")
        table = read_feature_table(request.items, "item", names_id, spec.kinds, skip_bad_rows=request.skip_bad_rows)
        table = with_usable_names(table, request.items.name)
    return lists.load_lists(path, request.policy, item_table=table)


def _load_auto(request: DataRequest) -> Interactions:
    if request.data_dir is not None:
        inside = _find(_AUTO_MOVIELENS, _places_in(request.data_dir, _AUTO_MOVIELENS))
        if inside is not None:
            return movielens.load_folder(inside, _AUTO_MOVIELENS, request.policy)
        if not request.data_dir.exists():
            raise DatasetNotFoundError(f"--data-dir {request.data_dir} does not exist.")
        return load_path(request.data_dir, request)
    try:
        found = _load_named(request, _AUTO_MOVIELENS, timeout=_AUTO_TIMEOUT)
    except DatasetNotFoundError as error:
        simulated = _load_simulated(request, SIMULATED)
        return simulated.with_notes(f"SIMULATED DATA stand in for MovieLens 100K. {error}")
    _refuse_unread(replace(request, dataset=found.name))
    return found


def _load_named(request: DataRequest, name: str, timeout: float = _NAMED_TIMEOUT) -> Interactions:
    if request.data_dir is not None:
        folder = _find(name, _places_in(request.data_dir, name))
        if folder is None:
            raise DatasetNotFoundError(_not_in(request.data_dir, name))
    else:
        folder = _find(name, _places(name))
    if folder is not None:
        load_folder = movietweetings.load_folder if name == movietweetings.NAME else movielens.load_folder
        return load_folder(folder, name, request.policy)
    if name == movietweetings.NAME:
        raise DatasetNotFoundError(
            f"{name} is not on this machine: get it from https://github.com/sidooms/MovieTweetings and name its folder "
            "with --data-dir."
        )
    if tfds_movielens.prepared_folder(name) is not None:
        return tfds_movielens.load_prepared(name, request.policy)
    folder = _find(name, iter([tfds_movielens.download(name, timeout)]))
    if folder is None:
        raise DataError(f"The zip downloaded for {name} does not hold its files: remove it and try again.")
    return movielens.load_folder(folder, name, request.policy)


def _places_in(root: Path, name: str) -> Iterator[Path]:
    """Where a named data set may lie when its folder, a parent, or a zip is given."""
    yield root
    if name in movielens.FOLDERS:
        yield root / movielens.FOLDERS[name]
        yield root / f"{movielens.FOLDERS[name]}.zip"
    elif root.is_dir():
        yield from sorted(child for child in root.iterdir() if child.name.lower().startswith(movietweetings.NAME))


def _places(name: str) -> Iterator[Path]:
    """Where a named data set may lie when nothing is said, in order."""
    if os.environ.get("RECSYS_DATA"):
        yield from _places_in(Path(os.environ["RECSYS_DATA"]).expanduser(), name)
    yield from _places_in(Path("data"), name)
    if name in movielens.FOLDERS:
        manual = tfds_movielens.manual_zip(name)
        yield manual
        yield manual.with_suffix("")
        yield from tfds_movielens.downloaded_zips(name)


def _find(name: str, places: Iterator[Path]) -> DataFolder | None:
    for path in places:
        if path.exists():
            for _, match, folder in recognise(path):
                if _fits(name, match):
                    return folder
    return None


def _fits(wanted: str, found: str) -> bool:
    """Whether a recognised data set is the wanted one: CSV folders that were renamed may be any of the CSV versions."""
    if found == wanted:
        return True
    renamed = found.startswith("movielens-") and found not in movielens.FOLDERS
    return renamed and wanted in ("movielens-latest-small", "movielens-20m", "movielens-25m")


def _not_in(root: Path, name: str) -> str:
    if not root.exists():
        return f"--data-dir {root} does not exist."
    there = [match for _, match, _ in recognise(root)]
    holds = f"holds {', '.join(there)}" if there else "holds none of its files"
    folder = movielens.FOLDERS.get(name, "a folder with ratings.dat and movies.dat")
    return f"{name} is not in --data-dir {root}, which {holds}: expected {folder}, its zip, or a folder with either."
