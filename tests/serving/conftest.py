"""The fixtures of `serving.hand_made` and `serving.ranked`, for every test here."""

from serving.hand_made import untitled, world
from serving.ranked import ranked

__all__ = ["ranked", "untitled", "world"]
