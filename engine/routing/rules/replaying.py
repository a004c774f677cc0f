"""Recorded orders, decided again by two plans, and added up; pure."""

import heapq
from operator import add
from typing import Final

from engine.routing.rules import comparing
from engine.routing.types.comparing import Compared, Group, Sums

OF_THEN: Final = (
    "orders as they were, also which nodes had refused them",
    "the instant: dates are counted from it, and a rate is that of the day when a parcel leaves",
    "of stock, load and scarce capacity what was left when each was decided",
)
OF_NOW: Final = (
    "nodes with their profiles and calendars; a new one has no stock, what is gone sends nothing",
    "services with their zones, days and scores, and where they are switched off",
    "regions, holidays, and numbers that are measured",
)
LEFT_OUT: Final = (
    "what the plan would have taken elsewhere is not missing to later orders",
    "how many orders a stage takes of a batch: each is decided alone",
)


class Tally:
    """What orders add up to so far."""

    def __init__(self) -> None:
        """Begin with none."""
        self.groups: dict[Group, Sums] = {}
        self.as_recorded = self.unreadable = self.plan_not_kept = self.failed = 0
        self.last_failure = ""
        self._largest: list[tuple[tuple[int, ...], str, Compared]] = []

    def add(self, one: Compared, plan: str, version: int, *, as_recorded: bool) -> None:
        """Add an order; plan and version are those that decided it."""
        of = comparing.group(one, plan, version)
        self.groups[of] = Sums(*map(add, self.groups.get(of, Sums()), comparing.sums(one)))
        self.as_recorded += as_recorded
        if not comparing.same(one.decided, one.tried):
            heapq.heappush(self._largest, (comparing.size(one), one.order_id, one))
            if len(self._largest) > comparing.LARGEST_MAX:
                heapq.heappop(self._largest)

    def fail(self, failure: Exception) -> None:
        """Count an order that a plan could not decide."""
        self.failed += 1
        self.last_failure = type(failure).__name__

    @property
    def read(self) -> int:
        """How many orders were looked at."""
        compared = sum([one.orders for one in self.groups.values()])
        return compared + self.unreadable + self.plan_not_kept + self.failed

    @property
    def largest(self) -> list[Compared]:
        """Those that differ most, the largest difference first."""
        return [one for _, _, one in sorted(self._largest, reverse=True)]
