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
those that may not, and then these withhold so many less.

**Holds of some units** are first of units that would be sold, and those that say more of what they
hold go before those that say less. A percentage is of what all steps before `set_aside` left,
rounded up; what several set-asides ask for together is withheld as far as it is there.
"""

from collections.abc import Iterator, Sequence
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
    """Keys of one condition: units left on each, and of all together."""

    def __init__(self, keys: Sequence[Held], applied: Applied) -> None:
        """Take the keys; in `keys` those that would be sold come first."""
        told = [
            (not _sold(one, applied.conditions), _past(one, applied), one.batch, one)
            for one in keys
        ]
        told.sort(key=lambda one: one[:3])
        self.keys = [one for *_, one in told]
        self.unsold = [unsold for unsold, *_ in told]
        self.past = [past for _, past, *_ in told]
        self.left = [max(key.sellable, 0) for key in self.keys]
        self.units = max(sum(key.sellable for key in keys), 0)

    def take(self, n: int, units: int) -> int:
        """Withhold up to so many units of one key, and return how many there were."""
        taken = min(units, self.left[n], self.units)
        self.left[n] -= taken
        self.units -= taken
        return taken

    def take_all(self, which: Sequence[bool]) -> int:
        """Withhold what is left of some keys, and return how many units that are."""
        return sum(self.take(n, self.left[n]) for n, one in enumerate(which) if one)


def _withheld(held: Sequence[Held], applied: Applied) -> Iterator[Term]:
    """Yield what is withheld of keys: by condition, on hold, past their window."""
    lots: list[_Keys] = []
    for condition, keys in _searched(held, applied):
        if condition != "good" and not applied.conditions:  # nothing else can take of these
            units = max(sum(one.sellable for one in keys), 0)
        else:
            lots.append(lot := _Keys(keys, applied))
            units = lot.take_all(lot.unsold)
        if units:
            yield Term("condition", units, detail=condition)
    for rule in applied.holds:
        if units := _hold(rule, lots):
            yield Term("quality_hold", units, rule.id)
    if past := sum(lot.take_all(lot.past) for lot in lots):
        yield Term("expiry", past, applied.expiry)


def _searched(held: Sequence[Held], applied: Applied) -> list[tuple[str, list[Held]]]:
    """Return keys by condition, without good ones of which nothing can be withheld."""
    by_condition: dict[str, list[Held]] = {}
    for one in held:
        by_condition.setdefault(one.condition, []).append(one)
    if not applied.holds and not any(_past(one, applied) for one in held):
        by_condition.pop("good", None)
    return sorted(by_condition.items())


def _hold(rule: Rule, lots: Sequence[_Keys]) -> int:
    wanted = rule.units
    taken = 0
    # what would be sold goes first, in whichever condition it is
    for past in (False, True):
        for lot in lots:
            for n, key in enumerate(lot.keys):
                if lot.past[n] is past and _of(rule, key):
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


def _sold(key: Held, also: Sequence[Rule]) -> bool:
    return key.condition == "good" or any(_of(rule, key) for rule in also)


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
