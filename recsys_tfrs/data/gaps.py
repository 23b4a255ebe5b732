"""Time between an item of a history and the one before it, in steps that grow with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys_tfrs.data.histories import Histories

#: Buckets of a gap; 0: not known, as before the first item of a history.
NUM_GAPS = 33


def gap_buckets(histories: Histories) -> NDArray[np.int32]:
    """``[num_rows]`` bucket of the time before each row of `Histories.items`: 0 where it is not known.

    Bucket b holds gaps of ``2^(b-1) - 1`` to ``2^b - 2`` seconds: 1 none, 2 one or two seconds, 13 one to two hours, 18
    two or three days, 32 everything from 68 years on.
    """
    buckets = np.zeros(len(histories.items), dtype=np.int32)
    if histories.timestamps is None or not len(buckets):
        return buckets
    gaps = np.diff(histories.timestamps, prepend=histories.timestamps[:1])
    buckets = np.minimum(1 + np.log2(1.0 + np.maximum(gaps, 0)).astype(np.int32), NUM_GAPS - 1).astype(np.int32)
    firsts = histories.offsets[:-1][histories.lengths > 0]
    buckets[firsts] = 0
    return buckets
