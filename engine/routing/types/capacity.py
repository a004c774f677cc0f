"""What a node or a carrier's service takes of a day, and what is left of it."""

from datetime import date
from typing import NamedTuple


class Cell(NamedTuple):
    """Orders, lines, units or grams of a node or a service on one of its days."""

    scope: str
    id: str
    day: date
    dim: str


class Room(NamedTuple):
    """What is used up; no limit is None, and of 0 nothing is taken."""

    used: int
    limit: int | None

    def left(self, boundless: int) -> int:
        """Return how much more it takes."""
        return boundless if self.limit is None else self.limit - self.used
