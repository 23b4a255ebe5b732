from __future__ import annotations

import numpy as np

from recsys_tfrs.baselines.popularity import Popularity
from recsys_tfrs.data.histories import Histories


def test_counts_interactions_written_out():
    items = np.array([2, 1, 2, 2, 4], dtype=np.int32)
    popularity = Popularity()
    popularity.fit(Histories(np.array([0, 0, 3, 5]), items, None, None, np.arange(5), 4))
    assert popularity.refusal(popularity) is None
    assert popularity.score(np.array([2, 0], dtype=np.int32)).tolist() == [[0, 1, 3, 0, 1]] * 2
