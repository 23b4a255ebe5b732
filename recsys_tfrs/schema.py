"""Column names and kinds, once.

The names of the MovieLens columns are those of the TensorFlow Datasets builders
(https://www.tensorflow.org/datasets/catalog/movielens), so that code written for those reads on here.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

#: External ids of the two sides of an interaction, as strings.
USER_ID = "user_id"
ITEM_ID = "item_id"
RATING = "rating"
TIMESTAMP = "timestamp"

#: Items of a user, oldest first, as a field of an example.
HISTORY = "history"

#: The newest of them, as a field of its own.
RECENT = "recent"

#: MovieLens, after TensorFlow Datasets.
RAW_USER_AGE = "raw_user_age"
USER_GENDER = "user_gender"
USER_OCCUPATION_TEXT = "user_occupation_text"
USER_ZIP_CODE = "user_zip_code"
USER_ZIP_AREA = "user_zip_area"  # first character of the zip code; not in TensorFlow Datasets
MOVIE_TITLE = "movie_title"
MOVIE_GENRES = "movie_genres"
MOVIE_YEAR = "movie_year"

#: Column of interactions that says whether each put its item into the cart: known only afterwards, never an input.
ADDED_TO_CART = "added_to_cart"

#: The internal id of padding and of whatever is not known.
UNKNOWN = 0


class Kind(str, Enum):
    """What a feature column holds, which decides how it is encoded."""

    CATEGORICAL = "categorical"  # one string of a small set: gender, country
    MULTI_CATEGORICAL = "multi_categorical"  # several strings: genres, tags
    TEXT = "text"  # words: titles
    NUMERIC = "numeric"  # a number: age, price, year
    TIMESTAMP = "timestamp"  # seconds since 1970-01-01 UTC


class SplitMethod(str, Enum):
    """How test rows are told from training rows."""

    TEMPORAL = "temporal"
    LEAVE_LAST_OUT = "leave-last-out"
    RANDOM = "random"
    OFFICIAL = "official"
    SESSIONS = "sessions"


#: What a ranking model can predict of interactions.
PairTarget = Literal["like", "rating", "click"]

#: How a ranking model is trained: row by row, or by the order of the lists that rows stand in.
Objective = Literal["pointwise", "softmax", "listmle", "approx-ndcg"]
