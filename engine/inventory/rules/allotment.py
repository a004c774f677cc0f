"""How the units of a SKU are given out to its pools: quotas, ratios, floors, caps; no I/O.

One pot, of all units of a SKU in one group of nodes: those in the warehouses and those of its
orders that left them already. Nothing that is held or sold is touched; what is free is given out
anew, so that the result depends on what there is and never on how it came about:

1. A marketplace's pool keeps what is free in it. Its buyers see that number, and units are taken
   from it only after the marketplace confirmed a lower one (`Allotment.kept_back`).
2. What is left of quotas, and floors, by priority.
3. Ratios of all that is free beyond quotas. A floor is a part of a ratio's share, not on top of it.
4. The rest is the shared pool's.

Where a step asks for more than there is, each gets its part of it by the method of the largest
remainder (Hamilton's): parts are rounded down, and the units left over go to the largest fractions,
of equal ones to the smaller key. So no unit is lost, none is given twice, and equal claimants in
another order get the same. What a marketplace keeps is a part of its part.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from typing import Final, NamedTuple

RATIO_WHOLE: Final = 10_000  # ratios are ten-thousandths


class Claimant(NamedTuple):
    """A pool that units are given to, and what its policy says; numbers are units.

    `moved` are units that people moved into it, less those moved out: they stay where they were
    moved to. `credit` may be sold although it is not there: presale, backorder. `cap` is of free
    units; None is none. A claimant with neither quota nor ratio has what was moved to it.
    """

    key: str
    used: int = 0  # held and sold, less owed
    free: int = 0  # available in it now
    moved: int = 0
    quota: int = 0  # in all, sold ones included
    ratio: int = 0
    floor: int = 0
    cap: int | None = None
    priority: int = 0  # 0 is served first
    sticky: bool = False
    credit: int = 0
    shared: bool = False  # gets the rest; exactly one does

    @property
    def quota_left(self) -> int:
        """What of its quota is not used; what people moved is a part of a quota, or of a ratio."""
        return max(0, self.quota - self.used + (0 if self.ratio else self.moved))

    @property
    def kept(self) -> int:
        """Free units that are not taken from it; those on credit were never there."""
        return max(0, self.free - self.credit) if self.sticky else 0

    def capped(self, units: int) -> int:
        """Return no more free units than it may have."""
        return units if self.cap is None else min(units, self.cap)


class Allotment(NamedTuple):
    """What each pool should have been granted in all, by key, moves included.

    Its sum is the units there are and all credit or, where that is less than what is held and
    sold, those; `short` says by how much. `kept_back` are units beyond the quota of a marketplace's
    pool that are still in it; of one that shares by ratio none are: its share moves with each sale.
    """

    granted: dict[str, int]
    short: int
    kept_back: dict[str, int]


def allot(units: int, claimants: Iterable[Claimant]) -> Allotment:
    """Give `units` out; they may be less than what is held and sold, or less than none."""
    ordered = sorted(claimants, key=lambda one: one.key)
    assert len({one.key for one in ordered}) == len(ordered), "a key is one pool"
    assert sum(one.shared for one in ordered) == 1, "one pool takes the rest"
    free = units - sum(one.used for one in ordered)
    if free >= 0:
        extra = _given_out(free, ordered)
        policy = {one.key: one.capped(_wanted(one)) for one in ordered}
        kept_back = {
            one.key: over
            for one in ordered
            if one.sticky and not one.ratio and (over := one.kept - policy[one.key]) > 0
        }
        granted = {one.key: one.used + extra[one.key] + one.credit for one in ordered}
        return Allotment(granted, 0, kept_back)
    on_credit = {one.key: one.credit for one in ordered}
    left = sum(on_credit.values()) + free
    extra = parts(max(0, left), on_credit)
    granted = {one.key: one.used + extra.get(one.key, 0) for one in ordered}
    return Allotment(granted, max(0, -left), {})


def parts(units: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Divide units in the proportion of weights, which must not all be 0, without losing one.

    No units, no weights needed.
    """
    whole = sum(weights.values())
    if not units:
        return {}
    shares = {key: divmod(units * weight, whole) for key, weight in weights.items()}
    left = units - sum(share for share, _ in shares.values())
    by_fraction = sorted(shares, key=lambda key: (-shares[key][1], key))
    return {key: shares[key][0] + (n < left) for n, key in enumerate(by_fraction)}


def _given_out(free: int, ordered: Collection[Claimant]) -> dict[str, int]:
    """Return how the free units are given out."""
    kept = {one.key: one.kept for one in ordered}
    if sum(kept.values()) >= free:
        return dict.fromkeys(kept, 0) | parts(free, kept)
    found, pot = dict(kept), free - sum(kept.values())
    others = [one for one in ordered if not one.shared]
    pot = _serve(found, pot, others, {one.key: one.capped(_wanted(one)) for one in others})
    pot = _serve(found, pot, others, _by_ratio(found, pot, others))
    rest = next(one.key for one in ordered if one.shared)
    found[rest] += pot
    return found


def _wanted(one: Claimant) -> int:
    return max(one.quota_left, one.floor)


def _by_ratio(found: Mapping[str, int], pot: int, others: Iterable[Claimant]) -> dict[str, int]:
    """Return what those with a ratio should have; what they were given beyond quotas is shared."""
    sharing = [one for one in others if one.ratio]
    weights = {one.key: one.ratio for one in sharing}
    whole = max(RATIO_WHOLE, sum(weights.values()))
    base = pot + sum(max(0, found[one.key] - one.quota_left) for one in sharing)
    # the part of nobody is one of the parts: what ratios leave over is rounded with them
    shares = parts(base, weights | {"": whole - sum(weights.values())}) if sharing else {}
    return {
        one.key: one.capped(
            max(_wanted(one), one.quota_left + shares.get(one.key, 0) + _shift(one))
        )
        for one in sharing
    }


def _shift(one: Claimant) -> int:
    """What people moved of a ratio's share: never more than it still has."""
    return min(one.moved, one.free)


def _serve(
    found: dict[str, int], pot: int, claimants: Iterable[Claimant], targets: Mapping[str, int]
) -> int:
    """Give each what it lacks of its target, those of one priority together; return the rest."""
    for _, equals in groupby(sorted(claimants, key=_priority), key=_priority):
        lacking = {
            one.key: target
            for one in equals
            if (target := targets.get(one.key, 0)) > found[one.key]
        }
        units = min(pot, sum(lacking.values()) - sum(found[key] for key in lacking))
        found.update(_scarce(units + sum(found[key] for key in lacking), lacking, found))
        pot -= units
    return pot


def _scarce(units: int, targets: Mapping[str, int], had: Mapping[str, int]) -> dict[str, int]:
    """Divide units in the proportion of targets; who had more than that keeps it, and no more.

    What they had is a part of the units. If it came beside, it would grow each time.
    """
    sharing, found = dict(targets), {key: had[key] for key in targets}
    while sharing:
        shares = parts(units, sharing)
        content = [key for key in sharing if shares.get(key, 0) < had[key]]
        if not content:
            return found | shares
        for key in content:
            units -= had[key]
            del sharing[key]
    return found


def _priority(one: Claimant) -> int:
    return one.priority
