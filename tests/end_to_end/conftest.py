"""The fixture of `end_to_end.program`, for every test here."""

from end_to_end.program import trained

__all__ = ["trained"]
