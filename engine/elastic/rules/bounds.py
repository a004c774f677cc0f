"""What a campaign's policy comes to for one SKU and one shop."""

from collections.abc import Mapping
from typing import Final

from engine.campaigns.rules import part_of
from engine.campaigns.types import Elastic
from engine.elastic.types import Bounds

# The memory is a quarter of what is looked ahead: four half-lives back, one horizon forward.
_HALF_LIFE_OF_HORIZON: Final = 0.25
_HALF_LIFE_S_MIN: Final = 2.0  # pools are looked at once a second


def bounds_of(elastic: Elastic, quotas: Mapping[str, int]) -> Bounds:
    """Return the policy in units for a SKU with these quotas; a step is one unit at least."""
    step = part_of(elastic.step, "", sum(quotas.values())) or 0
    return Bounds(max(1, step), elastic.cool_down_seconds, elastic.horizon_seconds)


def half_life(horizon_s: float) -> float:
    """Return after how many seconds a unit sold counts for half."""
    return max(_HALF_LIFE_S_MIN, horizon_s * _HALF_LIFE_OF_HORIZON)


def floor_of(elastic: Elastic, channel: str, quota: int) -> int:
    """Return the unsold units that a shop does not lend below."""
    return part_of(elastic.floor, channel, quota) or 0


def ceiling_of(elastic: Elastic, channel: str, quota: int) -> int | None:
    """Return the units that a shop may be given in all; None: as many as there are."""
    return part_of(elastic.ceiling, channel, quota)
