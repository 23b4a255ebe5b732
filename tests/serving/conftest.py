"""The fixtures of `serving.hand_made`, for every test here."""

from serving.hand_made import untitled, world

__all__ = ["untitled", "world"]
