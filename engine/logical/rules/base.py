"""The chain: from the units on hand of a SKU at a node to those that may be sold.

    on_hand - locked - committed - handed_over        physical, as engine/physical keeps it
            - condition       units in a condition that is not sold
            - quality_hold    units that are held back
            - expiry          units of batches that are past their window
            - safety          units that stay at the node
            - set_aside       units kept for others
            = sellable

Each step looks only at what the steps before it left, so no unit is withheld twice. The order is
fixed, and what it gives does not depend on the order of rules: of `safety` and `expiry` one rule
decides (rules/matching.py), the others are taken by a key of their own.

**A loss stays.** Units below 0 were promised to somebody and are not there. No step withholds more
than there is, and none adds: what is below 0 stays so, and is taken off what other keys have.

**Batches.** An order takes its units without saying of which batch, and they stand below 0 on the
key without one. Within a condition they are first taken to be of batches that may be sold: too
little is for sale for a moment rather than too much. Only where there are none left are they of
those that are held or past their window, and then these withhold so many less.

**Holds of some units** are first of units that would be sold, and those that say more of what they
hold go before those that say less. A percentage is of what all steps before `set_aside` left,
rounded up; what several set-asides ask for together is withheld as far as it is there.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from engine.logical.types.bases import Applied, Held, NodeBase, Place, Rule, Term, WhyNot

_WHOLE: Final = 10_000  # basis points


def node_base(place: Place, held: Sequence[Held], applied: Applied) -> NodeBase:
    """Return the chain of one SKU at one node; `applied` is what the rules for it come to."""
    on_hand = locked = committed = handed_over = shipped = sellable = 0
    plain, needed = not applied.holds, applied.needed
    for condition, _, expires_on, there, lock, commit, hand, ship, left in held:
        on_hand += there
        locked += lock
        committed += commit
        handed_over += hand
        shipped += ship
        sellable += left
        plain &= condition == "good" and (expires_on is None or expires_on >= needed)
    terms: list[Term] = []
    if locked or committed or handed_over:
        terms += _physical(locked, committed, handed_over)
    if not plain:
        terms += (withheld := list(_withheld(held, applied)))
        sellable -= sum(term.units for term in withheld)
    if applied.safety or applied.set_asides:
        terms += (kept := list(_kept(sellable, applied)))
        sellable -= sum(term.units for term in kept)
    why_not = _why_not(place)
    return NodeBase(
        place.node, place.group, not why_not, why_not, on_hand, tuple(terms), sellable,
        committed + handed_over + shipped,
    )  # fmt: skip


def _physical(locked: int, committed: int, handed_over: int) -> Iterator[Term]:
    if locked:
        yield Term("locked", locked)
    if committed:
        yield Term("committed", committed)
    if handed_over:
        yield Term("handed_over", handed_over)


class _Keys:
    """Keys of one condition that are for sale: units left on each, and of all together."""

    def __init__(self, keys: list[Held], needed: date) -> None:
        """Take the keys, and the day until which a batch must be good."""
        fresh = [one.expires_on is None or one.expires_on >= needed for one in keys]
        order = sorted(range(len(keys)), key=lambda n: (not fresh[n], keys[n].batch))
        self.keys = [keys[n] for n in order]
        self.fresh = [fresh[n] for n in order]
        self.left = [max(key.sellable, 0) for key in self.keys]
        self.units = max(sum(key.sellable for key in keys), 0)

    def take(self, n: int, units: int) -> int:
        """Withhold up to so many units of one key, and return how many there were."""
        taken = min(units, self.left[n], self.units)
        self.left[n] -= taken
        self.units -= taken
        return taken

    def take_past(self) -> int:
        """Withhold what is past its window, and return how many units that are."""
        return sum(self.take(n, self.left[n]) for n, fine in enumerate(self.fresh) if not fine)


def _withheld(held: Sequence[Held], applied: Applied) -> Iterator[Term]:
    """Yield what is withheld of keys: by condition, on hold, past their window."""
    sold, unsold = _by_condition(held, applied.conditions)
    for condition in sorted(unsold):
        units = sum(one.sellable for one in unsold[condition])
        if units > 0:
            yield Term("condition", units, detail=condition)
    if not applied.holds and not any(_past(one, applied) for one in held):
        return
    lots = [_Keys(sold[condition], applied.needed) for condition in sorted(sold)]
    for rule in applied.holds:
        if units := _hold(rule, lots):
            yield Term("quality_hold", units, rule.id)
    if past := sum(lot.take_past() for lot in lots):
        yield Term("expiry", past, applied.expiry)


def _by_condition(
    held: Sequence[Held], also: Sequence[Rule]
) -> tuple[dict[str, list[Held]], dict[str, list[Held]]]:
    """Return the keys that are for sale, then the others, by condition."""
    sold: dict[str, list[Held]] = {}
    unsold: dict[str, list[Held]] = {}
    for one in held:
        for_sale = one.condition == "good" or any(_of(rule, one) for rule in also)
        (sold if for_sale else unsold).setdefault(one.condition, []).append(one)
    return sold, unsold


def _hold(rule: Rule, lots: Sequence[_Keys]) -> int:
    wanted = rule.units
    taken = 0
    # what would be sold goes first, in whichever condition it is
    for fresh in (True, False):
        for lot in lots:
            for n, key in enumerate(lot.keys):
                if lot.fresh[n] is fresh and _of(rule, key):
                    left = lot.left[n] if wanted is None else wanted - taken
                    taken += lot.take(n, left)
    return taken


def _kept(left: int, applied: Applied) -> Iterator[Term]:
    """Yield what stays at the node of `left` units: for safety, and for others."""
    rule = applied.safety
    if rule and (units := min(rule.units or 0, max(left, 0))):
        yield Term("safety", units, rule.id)
        left -= units
    whole = max(left, 0)
    for one in applied.set_asides:
        wanted = one.units if one.percent is None else -(-whole * one.percent // _WHOLE)
        if units := min(wanted or 0, max(left, 0)):
            yield Term("set_aside", units, one.id)
            left -= units


def _past(key: Held, applied: Applied) -> bool:
    return key.expires_on is not None and key.expires_on < applied.needed


def _of(rule: Rule, key: Held) -> bool:
    return rule.condition in {"", key.condition} and rule.batch in {"", key.batch}


def _why_not(place: Place) -> WhyNot:
    if not place.enabled:
        return "disabled"
    if place.controlled_by == "us":
        return ""
    return "controlled_by_channel" if place.controlled_by == "channel" else "controlled_by_supplier"
