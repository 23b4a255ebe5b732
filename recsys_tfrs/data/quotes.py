"""Quotes that are opened and never closed: they swallow the rows that follow, and no parser calls that an error."""

from __future__ import annotations

import re

from recsys_tfrs.errors import DataError

_QUOTE = b'"'
_LOOK_ANYWAY = 1 << 20


def refuse_open_quote(block: bytes, delimiter: str, label: str, first_line: int) -> None:
    """See that a block of whole lines ends outside quotes.

    Args:
      block: the lines, beginning outside quotes.
      delimiter: one character, between fields.
      label: the file's name in messages.
      first_line: number of the block's first line.

    Raises:
      DataError: its last quote is not closed; the line where it was opened is named.
    """
    # Looking at every field takes as long as parsing does. Closed quotes come in pairs, so large blocks are spared
    # that unless there is an odd one; one inside a field, as in 5" pipe, is odd, too, and opens nothing.
    if block.count(_QUOTE) % 2 == 0 and len(block) > _LOOK_ANYWAY:
        return
    opened = _open_quote(block, delimiter)
    if opened is not None:
        line = first_line + block.count(b"\n", 0, opened)
        raise DataError(
            f'{label}, line {line}: the quote (") that opens here is not closed, and all lines that follow would be '
            "read as one field. Close it, or write it twice inside quotes."
        )


def _open_quote(block: bytes, delimiter: str) -> int | None:
    """Where the quote stands inside which the block ends. Only one that begins a field opens anything."""
    quoted = rb'(?<![^%b\r\n])"[^"]*(?:""[^"]*)*("|\Z)' % re.escape(delimiter.encode())
    return next((found.start() for found in re.finditer(quoted, block) if not found[1]), None)
