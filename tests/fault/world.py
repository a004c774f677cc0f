"""What there really is of SKUs while warehouses, orders and people change it: numbers over time.

Of its own arithmetic. A change that is on its way to the engine may be known there or not yet, so
of several at once each mixture counts, and the one with most units is what may be promised.
"""

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from typing import TypeAlias

Place: TypeAlias = tuple[str, str]  # a SKU and a group of nodes
Number: TypeAlias = tuple[str, ...]  # what it is of, then where: ("good", node, sku)


def now_ms() -> float:
    """The clock that the log's ids are of, too: servers and tests are on one machine."""
    return time.time() * 1000


@dataclass
class Steps:
    """A number that changes at instants, and is 0 before the first."""

    at: list[float] = field(default_factory=list)
    values: list[int] = field(default_factory=list)

    def add(self, at: float, value: int) -> None:
        if not self.values or self.values[-1] != value:
            self.at.append(at)
            self.values.append(value)

    def then(self, at: float) -> int:
        """What it was at an instant."""
        n = bisect_right(self.at, at) - 1
        return self.values[n] if n >= 0 else 0

    def before(self, at: float) -> int:
        """What it was until an instant."""
        n = bisect_right(self.at, at - 1e-6) - 1
        return self.values[n] if n >= 0 else 0

    def last(self, least: int, at: float) -> float:
        """The last instant until `at` when it was so much."""
        if self.before(at) >= least:
            return at
        for n in range(bisect_right(self.at, at - 1e-6) - 1, 0, -1):
            if self.values[n - 1] >= least:
                return self.at[n]
        return self.at[0] if self.at else at

    def most(self, since: float, until: float) -> int:
        """The most that it was in a time."""
        first, last = bisect_right(self.at, since), bisect_right(self.at, until)
        return max([self.then(since), *self.values[first:last]])


class World:
    """Units by place and number; `has` is what may be promised of each SKU in each group."""

    def __init__(self, nodes: Mapping[str, str], skus: list[str]) -> None:
        self.nodes = nodes  # and their groups
        self.places = [(sku, group) for sku in skus for group in sorted(set(nodes.values()))]
        self.numbers: Counter[Number] = Counter()
        self.has: dict[Place, Steps] = {place: Steps() for place in self.places}
        self._on_its_way: list[dict[Number, int]] = []

    @contextmanager
    def changing(self, **changes: Mapping[tuple[str, ...], int]) -> Iterator[None]:
        """Tell the engine inside: changes are by name of the number, then by where."""
        one = {
            (name, *where): units for name, all_of in changes.items()
            for where, units in all_of.items()
        }  # fmt: skip
        self._on_its_way.append(one)
        self._note()
        yield
        self._on_its_way.remove(one)
        self.numbers.update(one)
        self._note()

    def now(self, place: Place) -> int:
        """What may be promised as far as the engine was told, and answered."""
        return self._promisable(place, self.numbers)

    def _note(self) -> None:
        at = now_ms()
        worlds = []
        for n in range(len(self._on_its_way) + 1):
            for some in combinations(self._on_its_way, n):
                world = self.numbers.copy()
                for one in some:
                    world.update(one)
                worlds.append(world)
        for place in self.places:
            self.has[place].add(at, max(self._promisable(place, world) for world in worlds))

    def _promisable(self, place: Place, world: Mapping[Number, int]) -> int:
        """What may be sold of units that ever were good, and those that were given to orders."""
        sku, group = place
        units = world["credit", sku, group]
        for node in (node for node, of in self.nodes.items() if of == group):
            given = world["given", node, sku]
            units += given
            if world["off", node]:
                continue
            left = world["good", node, sku] - world["locked", node, sku] - given
            units += min(left, max(0, left - world["safety", node, sku]))
        return units
