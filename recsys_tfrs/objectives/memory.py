"""Whether the scores of a whole catalogue fit into memory."""

from __future__ import annotations

from recsys_tfrs.errors import ConfigError

#: Matrices of all scores that are alive at once: the scores, their softmax, and the gradient.
_COPIES = 3

_FLOAT32_BYTES = 4


def full_softmax_bytes(num_rows: int, num_items: int) -> int:
    """Memory that the scores of a batch against the whole catalogue take in training.

    Args:
      num_rows: rows of scores in a batch.
      num_items: size of the catalogue.
    """
    return num_rows * num_items * _FLOAT32_BYTES * _COPIES


def check_full_softmax_fits(num_rows: int, num_items: int, available_bytes: int, sampled: str) -> None:
    """Refuse the full softmax where its scores need more memory than there is.

    Args:
      num_rows: rows of scores in a batch.
      num_items: size of the catalogue.
      available_bytes: memory there is.
      sampled: the family's `objective` that does without.

    Raises:
      ConfigError: it does not fit; the message says by how much, and names the loss that does.
    """
    needed = full_softmax_bytes(num_rows, num_items)
    if needed > available_bytes:
        raise ConfigError(
            f"the full softmax would need about {needed / 2**30:,.1f} GiB for the scores of {num_rows:,} rows against "
            f"{num_items:,} items, but there are {available_bytes / 2**30:,.1f} GiB: use "
            f"--set model.objective={sampled}, which scores a part of the catalogue and corrects for it, or a smaller "
            "--set training.batch_size."
        )
