"""Decisions of the elastic quotas; no I/O."""

from engine.elastic.rules.bounds import bounds_of, ceiling_of, floor_of, half_life
from engine.elastic.rules.burn import LOOK_S, first, since
from engine.elastic.rules.lending import decide

__all__ = [
    "LOOK_S", "bounds_of", "ceiling_of", "decide", "first", "floor_of", "half_life", "since",
]  # fmt: skip
