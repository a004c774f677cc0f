"""How fast pools are emptied: units taken a second, from what the ledger tells."""

from collections import deque
from typing import Final

_WINDOW_S: Final = 60
_RECENT_S: Final = 10  # a sale that just opened is not averaged over the minute before it


class Burn:
    """Units taken from each pool in the last minute, by the second of cell time."""

    def __init__(self) -> None:
        """Begin with nothing taken."""
        self._taken: dict[str, deque[tuple[int, int]]] = {}

    def add(self, pool: str, second: int, units: int) -> None:
        """Note units taken in a second; seconds of a pool come in their order."""
        if units > 0:
            self._taken.setdefault(pool, deque()).append((second, units))

    def rate(self, pool: str, now_s: int) -> float:
        """Return units a second: over the last minute or its last ten seconds, whichever is more.

        What is older is forgotten.
        """
        taken = self._taken.get(pool)
        if taken is None:
            return 0.0
        while taken and taken[0][0] <= now_s - _WINDOW_S:
            taken.popleft()
        if not taken:
            del self._taken[pool]
            return 0.0
        recent = sum(units for second, units in taken if second > now_s - _RECENT_S)
        return max(sum(units for _, units in taken) / _WINDOW_S, recent / _RECENT_S)
