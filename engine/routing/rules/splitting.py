"""Which sets of nodes have everything together, the smallest first.

**Exactly**, where the search is small: two nodes over all candidates, then three and more over the
`SPLIT_NODES_MAX` that have most lines, until `SPLIT_STEPS_MAX` steps. The branch is on the line
that fewest nodes have; the last node of a set is not searched for: it is whoever has all that is
left, by one AND. A node whose branch is done is left out of those that follow, so that no set
comes twice. **Bounded** beyond: from two greedy sets and from what was found, fewer nodes for some
as long as there are such, then as many for some as long as that is better.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Final

from engine.kernel.limits import SPLIT_NODES_MAX, SPLIT_STEPS_MAX
from engine.routing.rules.candidates import bits

_EXCHANGED_MAX: Final = 3
_WORTH: Final = 10_000  # of a line that one node has


class Steps:
    """The bound of one search; `over` says that it was met, so that the search was not exact."""

    __slots__ = ("left", "over")

    def __init__(self, left: int = SPLIT_STEPS_MAX) -> None:
        """Begin with so many steps."""
        self.left = left
        self.over = False

    def spend(self) -> bool:
        """Take a step; False when there is none left."""
        self.left -= 1
        self.over |= self.left < 0
        return self.left >= 0


def covers(masks: Sequence[int], cand: int, size: int, steps: Steps) -> Iterator[tuple[int, int]]:
    """Yield sets of `size` nodes that have every line: (all but the last, whoever may be last)."""
    yield from _grow(list(masks), cand, 0, size, steps)


def _grow(
    masks: list[int], cand: int, chosen: int, size: int, steps: Steps
) -> Iterator[tuple[int, int]]:
    """Add nodes to `chosen`; `masks` are the lines that it lacks."""
    if size == 1:
        last = cand & ~chosen
        for mask in masks:
            last &= mask
            if not last:
                return
        yield chosen, last
        return
    fewest, branch = 1 << 30, cand & ~chosen
    for mask in masks:
        here = mask & cand
        count = here.bit_count()
        if count < fewest:
            fewest, branch = count, here
    while branch:
        node = branch & -branch
        branch ^= node
        if not steps.spend():
            return
        left = [mask for mask in masks if not mask & node]
        yield from _grow(left, cand, chosen | node, size - 1, steps)
        cand ^= node


def kept(masks: Sequence[int], cand: int) -> int:
    """Return the candidates that have most lines, some `SPLIT_NODES_MAX` of them.

    Counts all nodes at once, in bit slices. If a line would be left without a node, all are kept.
    """
    if cand.bit_count() <= SPLIT_NODES_MAX:
        return cand
    ones = twos = fours = eights = 0
    for mask in masks:
        carry = ones & mask
        ones ^= mask
        more = twos & carry
        twos ^= carry
        carry = fours & more
        fours ^= more
        eights |= carry
    best = 0
    for level in (eights & fours, eights, fours & twos, fours, twos & ones, twos, ones):
        best |= level & cand
        if best.bit_count() >= SPLIT_NODES_MAX:
            break
    return best if all(mask & best for mask in masks) else cand


def greedy(masks: Sequence[int], cand: int, rank: Callable[[int], tuple[int, ...]]) -> set[int]:
    """Return sets that have every line: by most lines first, and by most of what few others have.

    For the second one a line counts the more, the fewer nodes have it.
    """
    rare = [_WORTH // (mask & cand).bit_count() for mask in masks]
    return {_greedy(masks, cand, rank, worth) for worth in ([1] * len(masks), rare)}


def _greedy(
    masks: Sequence[int], cand: int, rank: Callable[[int], tuple[int, ...]], worth: Sequence[int]
) -> int:
    left, chosen = list(zip(masks, worth, strict=True)), 0
    while left:
        had: dict[int, int] = {}
        for mask, n in left:
            for no in bits(mask & cand):
                had[no] = had.get(no, 0) + n
        best = min(had, key=lambda no: (-had[no], rank(no)))
        chosen |= 1 << best
        left = [one for one in left if not one[0] >> best & 1]
    return chosen


def exchanged(masks: Sequence[int], cand: int, chosen: int, out: int, into: int) -> Iterator[int]:
    """Yield sets with `out` nodes exchanged for `into` others that have what they had alone."""
    steps = Steps()
    for gone in combinations([1 << no for no in bits(chosen)], out):
        rest = chosen & ~sum(gone)
        left = [mask for mask in masks if not mask & rest]
        for some, last in covers(left, cand & ~chosen, into, steps):
            for no in bits(last):
                yield rest | some | 1 << no


def shrunk(masks: Sequence[int], cand: int, chosen: int) -> int:
    """Return a set without nodes that it does not need, and with fewer for some, up to three.

    It still has every line.
    """
    again = True
    while again:
        again = False
        for no in bits(chosen):
            if all(mask & chosen & ~(1 << no) for mask in masks):
                chosen &= ~(1 << no)
        for out in range(2, _EXCHANGED_MAX + 1):
            fewer = next(exchanged(masks, cand, chosen, out, out - 1), 0)
            if fewer:
                chosen, again = fewer, True
                break
    return chosen


def spread(
    lot: Sequence[tuple[int, int]], free: dict[int, int], used: int, *, lines: bool
) -> list[tuple[int, int, int]]:
    """Return (node, line, units) for atoms of one SKU that no node has whole: most stock first.

    So the fewest nodes are used; of equal ones those of `used`. With `lines` a line stays whole.
    What nobody has is left out. `free` is what nodes have, and is taken from.
    """
    nodes = sorted(free, key=lambda no: (-free[no], not used >> no & 1, no))
    found = []
    for index, units in sorted(lot, key=lambda atom: (-atom[1], atom[0])):
        left = units
        for no in nodes:
            n = min(left, free[no])
            if n > 0 and (n == units or not lines):
                free[no] -= n
                left -= n
                found.append((no, index, n))
            if not left:
                break
    return found
