"""How fast pools are emptied: units taken a second, from what the ledger tells."""

from collections import deque
from typing import Final

# A sale that has just opened is not averaged over the quiet minute before it, and a single order is
# no storm: the shortest is as long as a few looks and an adapter's round.
_WINDOWS_S: Final = (60, 10, 3)


class Burn:
    """Units taken from each pool in the last minute, by the second of cell time."""

    def __init__(self) -> None:
        """Begin with nothing taken."""
        self._taken: dict[str, deque[tuple[int, int]]] = {}

    def add(self, pool: str, second: int, units: int) -> None:
        """Note units taken in a second; seconds of a pool come in their order."""
        if units <= 0:
            return
        taken = self._taken.setdefault(pool, deque())
        if taken and taken[-1][0] == second:  # a minute has sixty, however much is sold in each
            units += taken.pop()[1]
        taken.append((second, units))

    def rate(self, pool: str, now_s: int) -> float:
        """Return units a second: over the last minute or a shorter time, whichever is more.

        What is older is forgotten.
        """
        taken = self._taken.get(pool)
        if taken is None:
            return 0.0
        while taken and taken[0][0] <= now_s - _WINDOWS_S[0]:
            taken.popleft()
        if not taken:
            del self._taken[pool]
            return 0.0
        return max(
            sum(units for second, units in taken if second > now_s - window_s) / window_s
            for window_s in _WINDOWS_S
        )
