"""The models and exports that the tests here share."""

from serving.cascaded import cascaded
from serving.hand_made import untitled, world
from serving.ranked import ranked

__all__ = ["cascaded", "ranked", "untitled", "world"]
