"""MovieLens as GroupLens ships it: 100k, 1m, and the CSV files of latest-small, 20m, 25m and their successors.

The features carry the names of the TensorFlow Datasets builders, and genres are spelled as there ("Children" for
"Children's", "Unknown" for "unknown"). Formats: the README inside each zip, and Harper and Konstan, "The MovieLens
Datasets: History and Context", ACM TiiS 5(4), 2015.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs import schema
from recsys_tfrs.data.archives import DataFolder
from recsys_tfrs.data.assemble import FeatureTable, Policy, assemble, is_member
from recsys_tfrs.data.delimited import Layout, read_records, read_rows
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.errors import DataError
from recsys_tfrs.schema import Kind

#: Data set name -> the folder inside its zip, which is called the same with ``.zip``.
FOLDERS = {
    "movielens-100k": "ml-100k",
    "movielens-1m": "ml-1m",
    "movielens-latest-small": "ml-latest-small",
    "movielens-20m": "ml-20m",
    "movielens-25m": "ml-25m",
}

#: How many ratings GroupLens ships; latest-small changes over time.
_NUM_RATINGS = {
    "movielens-100k": 100_000,
    "movielens-1m": 1_000_209,
    "movielens-20m": 20_000_263,
    "movielens-25m": 25_000_095,
}

#: The folds of the 100k: five of a fifth each, and two with ten ratings of every user.
_FOLDS = ("u1", "u2", "u3", "u4", "u5", "ua", "ub")

_TAB_ROWS = Layout(
    (schema.USER_ID, schema.ITEM_ID, schema.RATING, schema.TIMESTAMP),
    schema.USER_ID,
    schema.ITEM_ID,
    schema.RATING,
    schema.TIMESTAMP,
    delimiter="\t",
)

_OCCUPATIONS_1M = (
    "other/not specified",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)

_TITLE_YEAR = re.compile(r"\((\d{4})(?:\s*[-\u2013]\s*(?:\d{4})?)?\)\s*$")
_RELEASE_YEAR = re.compile(r"(\d{4})$")
_GENRE_SPELLING = {"Children's": "Children", "unknown": "Unknown"}
_NO_GENRES = "(no genres listed)"


def recognise(folder: DataFolder) -> str | None:
    """The data set whose official files the folder holds, or None."""
    if folder.has("u.data"):
        return "movielens-100k"
    if folder.has("ratings.dat", "users.dat"):
        with folder.open("users.dat") as stream:
            # MovieTweetings has a users.dat too, with two fields a line.
            return "movielens-1m" if stream.readline().count(b"::") == 4 else None
    if folder.has("ratings.csv", "movies.csv"):
        return "movielens-" + folder.name.removeprefix("ml-")
    return None


def load_folder(folder: DataFolder, name: str, policy: Policy) -> Interactions:
    """One official folder, ratings in file order.

    Args:
      folder: what `recognise` recognised.
      name: data set name for reports.
      policy: about bad and repeated rows.

    Raises:
      DataError: a file is missing, truncated or malformed.
    """
    if folder.has("u.data"):
        interactions = _load_100k(folder, name, policy)
    elif folder.has("ratings.dat"):
        interactions = _load_1m(folder, name, policy)
    else:
        interactions = _load_csv(folder, name, policy)
    expected = _NUM_RATINGS.get(name)
    if expected is not None and len(interactions) < expected:
        return interactions.with_notes(
            f"{folder.label()} holds {len(interactions):,} ratings where {name} has {expected:,}: if that is not "
            "meant, the file is truncated; extract the original zip again."
        )
    return interactions


def title_years(titles: Iterable[str], fallback: Iterable[str] | None = None) -> NDArray[np.float32]:
    """``[n]`` years from "Title (1995)", or from the end of `fallback` ("01-Jan-1995"); NaN where there is none."""
    texts = list(titles)
    dates = list(fallback) if fallback is not None else [""] * len(texts)
    found = (_TITLE_YEAR.search(title) or _RELEASE_YEAR.search(date) for title, date in zip(texts, dates, strict=True))
    return np.array([float(match.group(1)) if match else np.nan for match in found], dtype=np.float32)


def genre_tuples(genres: Iterable[Sequence[str]]) -> NDArray[np.object_]:
    """``[n]`` object array of tuples of genres, spelled as TensorFlow Datasets spells them."""
    tuples = [tuple(_GENRE_SPELLING.get(g, g) for g in row if g and g != _NO_GENRES) for row in genres]
    return objects(tuples)


def objects(values: Sequence[object]) -> NDArray[np.object_]:
    """A one-dimensional object array, also of tuples of equal length."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def user_table(
    ids: Sequence[str], ages: Sequence[float], genders: Sequence[str], occupations: Sequence[str], zips: Sequence[str]
) -> FeatureTable:
    """Users with the features of the 100k and the 1m."""
    return FeatureTable(
        ids=objects(ids),
        columns={
            schema.RAW_USER_AGE: (Kind.NUMERIC, np.array(ages, dtype=np.float32)),
            schema.USER_GENDER: (Kind.CATEGORICAL, objects(genders)),
            schema.USER_OCCUPATION_TEXT: (Kind.CATEGORICAL, objects(occupations)),
            schema.USER_ZIP_CODE: (Kind.CATEGORICAL, objects(zips)),
            schema.USER_ZIP_AREA: (Kind.CATEGORICAL, objects([code[:1] for code in zips])),
        },
    )


def movie_table(
    ids: Sequence[str],
    titles: Sequence[str],
    genres: Sequence[Sequence[str]],
    release_dates: Sequence[str] | None = None,
) -> FeatureTable:
    """Films with the features all versions have."""
    return FeatureTable(
        ids=objects(ids),
        columns={
            schema.MOVIE_TITLE: (Kind.TEXT, objects(titles)),
            schema.MOVIE_GENRES: (Kind.MULTI_CATEGORICAL, genre_tuples(genres)),
            schema.MOVIE_YEAR: (Kind.NUMERIC, title_years(titles, release_dates)),
        },
        title_column=schema.MOVIE_TITLE,
    )


def read_double_colon_movies(folder: DataFolder, encoding: str) -> FeatureTable:
    """``movies.dat`` of the 1m and of MovieTweetings: ``id::title::genre|genre``."""
    ids, titles, genres = read_records(folder, "movies.dat", "::", 3, encoding)
    return movie_table(ids, titles, [text.split("|") for text in genres])


def _load_100k(folder: DataFolder, name: str, policy: Policy) -> Interactions:
    with folder.open("u.data") as stream:
        raw = read_rows(stream, folder.label("u.data"), _TAB_ROWS, skip_bad_rows=policy.skip_bad_rows)
    _check_info(folder, len(raw.users), policy)
    (genre_names, _) = read_records(folder, "u.genre", "|", 2, "latin-1")
    ids, titles, dates, _, _, *flags = read_records(folder, "u.item", "|", 5 + len(genre_names), "latin-1")
    marked = np.array(flags, dtype=object).T == "1"
    genres = [[genre_names[position] for position in np.flatnonzero(row)] for row in marked]
    user_ids, ages, genders, occupations, zips = read_records(folder, "u.user", "|", 5, "latin-1")
    interactions = assemble(
        name,
        raw,
        policy,
        user_table=user_table(user_ids, _numbers(folder, "u.user", ages), genders, occupations, zips),
        item_table=movie_table(ids, titles, genres, dates),
    )
    return replace(interactions, official_folds=_official_folds(folder, interactions, policy))


def _check_info(folder: DataFolder, num_rows: int, policy: Policy) -> None:
    """Compare with ``u.info``, which says how many ratings there must be."""
    if not folder.has("u.info") or policy.skip_bad_rows:
        return
    match = re.search(rb"(\d+) ratings", folder.read("u.info"))
    if match and int(match.group(1)) != num_rows:
        raise DataError(
            f"{folder.label('u.data')} holds {num_rows:,} ratings, but u.info beside it says {int(match.group(1)):,}: "
            "the file is truncated, extract the original zip again."
        )


def _official_folds(folder: DataFolder, interactions: Interactions, policy: Policy) -> dict[str, NDArray[np.int64]]:
    """Of each fold that is there, the sorted rows of `interactions` whose (user, item) stand in ``<fold>.test``."""
    internal_users = {external: internal for internal, external in enumerate(interactions.user_ids)}
    internal_items = {external: internal for internal, external in enumerate(interactions.item_ids)}
    width = len(interactions.item_ids)
    pairs = interactions.users.astype(np.int64) * width + interactions.items
    sorted_pairs = np.sort(pairs)
    folds = {}
    for fold in _FOLDS:
        file = f"{fold}.test"
        if not folder.has(file):
            continue
        with folder.open(file) as stream:
            raw = read_rows(stream, folder.label(file), _TAB_ROWS)
        users = np.array([internal_users.get(external, 0) for external in raw.user_ids], np.int64)[raw.users]
        items = np.array([internal_items.get(external, 0) for external in raw.item_ids], np.int64)[raw.items]
        wanted = users * width + items
        present = is_member(wanted, sorted_pairs)
        if not present.all() and not policy.skip_bad_rows:  # where rows were skipped, folds may lack them
            raise DataError(
                f"{folder.label(file)}, line {int(np.argmin(present)) + 1}: this rating does not occur in u.data, so "
                "the two files are not of one download: extract the original zip again."
            )
        folds[fold] = np.flatnonzero(is_member(pairs, np.sort(wanted)))
    return folds


def _load_1m(folder: DataFolder, name: str, policy: Policy) -> Interactions:
    layout = Layout.double_colon(schema.USER_ID, schema.ITEM_ID, schema.RATING, schema.TIMESTAMP)
    with folder.open("ratings.dat") as stream:
        raw = read_rows(stream, folder.label("ratings.dat"), layout, skip_bad_rows=policy.skip_bad_rows)
    ids, genders, ages, codes, zips = read_records(folder, "users.dat", "::", 5, "latin-1")
    occupations = [_OCCUPATIONS_1M[int(code)] if code.isdigit() and int(code) < 21 else code for code in codes]
    return assemble(
        name,
        raw,
        policy,
        # An age is the lower end of a bracket here: 1 for under 18, then 18, 25, 35, 45, 50, 56.
        user_table=user_table(ids, _numbers(folder, "users.dat", ages), genders, occupations, zips),
        item_table=read_double_colon_movies(folder, "latin-1"),
    )


def _load_csv(folder: DataFolder, name: str, policy: Policy) -> Interactions:
    with folder.open("ratings.csv") as stream:
        label = folder.label("ratings.csv")
        header = stream.readline().decode(errors="replace").strip().lstrip("\ufeff")
        if header != "userId,movieId,rating,timestamp":
            raise DataError(
                f"{label} must begin with userId,movieId,rating,timestamp, but begins with {header[:80]!r}."
            )
        layout = Layout(tuple(header.split(",")), "userId", "movieId", "rating", "timestamp", ",", header_lines=1)
        raw = read_rows(stream, label, layout, skip_bad_rows=policy.skip_bad_rows)
    ids, titles, genres = read_records(folder, "movies.csv", ",", 3, "utf-8", quoted=True, header_lines=1)
    return assemble(name, raw, policy, item_table=movie_table(ids, titles, [text.split("|") for text in genres]))


def _numbers(folder: DataFolder, file: str, texts: Sequence[str]) -> list[float]:
    try:
        return [float(text) for text in texts]
    except ValueError as error:
        raise DataError(f"{folder.label(file)}: an age is not a number ({error}).") from None
