"""MovieTweetings: ratings from 0 to 10 that people tweeted, keyed by IMDb id.

Format: ``ratings.dat`` holds ``user::imdb_id::rating::unix_time``, ``movies.dat`` holds ``imdb_id::title
(year)::genre|genre``, both UTF-8. Source: Dooms, De Pessemier and Martens, "MovieTweetings: a movie rating dataset
collected from Twitter", CrowdRec at RecSys 2013.
"""

from __future__ import annotations

from recsys_tfrs import schema
from recsys_tfrs.data.archives import DataFolder
from recsys_tfrs.data.assemble import Policy, assemble
from recsys_tfrs.data.delimited import Layout, read_rows
from recsys_tfrs.data.interactions import Interactions
from recsys_tfrs.data.movielens import read_double_colon_movies

NAME = "movietweetings"

_IMDB_DIGITS = 7  # IMDb ids are padded to seven digits; no MovieLens id is that long


def recognise(folder: DataFolder) -> str | None:
    """``movietweetings`` if the folder holds its two files, else None."""
    if not folder.has("ratings.dat", "movies.dat"):
        return None
    with folder.open("movies.dat") as stream:
        imdb_id = stream.readline().removeprefix(b"\xef\xbb\xbf").split(b"::")[0]
    return NAME if imdb_id.isdigit() and len(imdb_id) >= _IMDB_DIGITS else None


def load_folder(folder: DataFolder, name: str, policy: Policy) -> Interactions:
    """One MovieTweetings folder, ratings in file order.

    Raises:
      DataError: a file is missing, truncated or malformed.
    """
    layout = Layout.double_colon(schema.USER_ID, schema.ITEM_ID, schema.RATING, schema.TIMESTAMP)
    with folder.open("ratings.dat") as stream:
        raw = read_rows(stream, folder.label("ratings.dat"), layout, skip_bad_rows=policy.skip_bad_rows)
    return assemble(name, raw, policy, item_table=read_double_colon_movies(folder, "utf-8"))
