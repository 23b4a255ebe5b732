"""Full softmax that does not fit into memory is refused before anything is allocated."""

from __future__ import annotations

import pytest

from recsys_tfrs.errors import ConfigError
from recsys_tfrs.objectives.memory import check_full_softmax_fits, full_softmax_bytes


def test_bytes_of_all_scores() -> None:
    assert full_softmax_bytes(256, 1_000_000) == 256 * 1_000_000 * 4 * 3


def test_too_large_a_catalogue_is_refused_with_the_estimate_and_the_remedy() -> None:
    needed = 1_024 * 10_000_000 * 12
    check_full_softmax_fits(1_024, 10_000_000, needed, "in-batch")
    with pytest.raises(
        ConfigError, match=r"114\.4 GiB .* 1,024 rows against 10,000,000 items, .*model.objective=in-batch,"
    ):
        check_full_softmax_fits(1_024, 10_000_000, needed - 1, "in-batch")
