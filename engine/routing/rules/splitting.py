"""Which sets of nodes have everything together, the smallest first.

**Exactly**, where the search is small: two nodes over all candidates, then three and more over the
`SPLIT_NODES_MAX` that have most lines, until `SPLIT_STEPS_MAX` steps. The branch is on the line
that fewest nodes have; the last node of a set is not searched for: it is whoever has all that is
left, by one AND. A node whose branch is done is left out of those that follow, so that no set
comes twice. **Bounded** beyond: greedily by most lines, then one node for two, and one for
one as long as that is better.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from engine.kernel.limits import SPLIT_NODES_MAX, SPLIT_STEPS_MAX
from engine.routing.rules.candidates import bits


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


def greedy(masks: Sequence[int], cand: int, rank: Callable[[int], tuple[int, ...]]) -> int:
    """Return a set that has every line: most lines first."""
    left, chosen = list(masks), 0
    while left:
        nodes = {no for mask in left for no in bits(mask & cand)}
        best = min(nodes, key=lambda no: (-_had(left, no), rank(no)))
        chosen |= 1 << best
        left = [mask for mask in left if not mask >> best & 1]
    return chosen


def having(masks: Sequence[int], cand: int, chosen: int) -> int:
    """Return the nodes that have every line that a set lacks."""
    for mask in masks:
        if not mask & chosen:
            cand &= mask
    return cand


def shrunk(masks: Sequence[int], cand: int, chosen: int) -> int:
    """Return a set without nodes that it does not need, and with one for two where one has both's.

    It still has every line.
    """
    again = True
    while again:
        again = False
        alone = [1 << no for no in bits(chosen)]
        for out in alone + [a | b for a, b in combinations(alone, 2)]:
            rest = chosen & ~out
            lacks = any(not mask & rest for mask in masks)
            one = having(masks, cand, rest) if lacks else 0
            if not lacks or (one and out not in alone):
                chosen, again = rest | one & -one, True
                break
    return chosen


def _had(masks: Sequence[int], no: int) -> int:
    return sum(mask >> no & 1 for mask in masks)


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
