"""The rule: what counts, movements and assignments of one key come to, in any order of arrival.

Everything is a fact with an instant of the warehouse's clock, and the balance is a function of the
*set* of facts. When and how often each arrived is no part of it.

**Which count counts.** The one with the greatest (as_of, sequence); `t` is its as_of. What happens
at `t` itself lies before it. A key that was never counted has 0 units on hand at the beginning of
time. A count of everything (`complete`) says 0 for each key that it does not name, also for keys
that are first heard of later. Two counts with the same (as_of, sequence) must say the same: the
second is refused, because nothing could tell which of them is right.

**Assignments.** Units of an order that are to leave are assigned; the warehouse accepts them, then
ships them, or they are cancelled. Of each instant the earliest that was told counts. Who ships has
accepted, at the latest when it shipped. What was shipped is shipped, whatever was cancelled before:
the parcel is gone. An acceptance that is not earlier than the cancel never was one.
An assignment is *committed* until it is accepted, then *handed over*, then *shipped*.

**Parts.** Units may leave in several parcels, or be cancelled apart from the others: each part has
a name, units and an instant, and counts as an assignment of its own. The parcels take their units
first, in the order of (instant, name), then the cancelled parts take what is left, and the rest is
everything else; the stamps of the assignment are those of the rest. Who ships a part has accepted
the whole, at the latest then. So no unit is in two states.

**On hand.** At `t` there lay P units in the place, locked and picked ones included:

    basis on_hand    P = quantity                   the warehouse counted what lies there
    basis available  P = quantity + locked + A      it had taken both off before it told us

    A = units accepted at or before t and neither shipped nor cancelled at or before t

    on_hand  = P - shipped after t + movements after t
    locked   = locked of the count + locks and unlocks after t
    sellable = on_hand - locked - committed - handed_over

The last line is the definition, for both bases. With X the assignments that are not cancelled, it
comes to (`locked` of the count cancels out with basis available, so it is not taken off twice):

    on_hand    quantity - locked - X not shipped by t + M
    available  quantity - X not accepted by t + accepted by t and cancelled after t + M

with M the movements after t less the locks and unlocks after it, because X is shipped by t, shipped
after t, or open, and committed + handed_over is what is open. A shipment takes the same units off
on_hand and handed_over (or committed), so sellable stays.

**While reports are missing.** A count may know of an acceptance or a shipment that we have not been
told of. Then those units are taken off twice until the report comes: too little is for sale for a
moment, never more than there is. With basis available a count may also know of a cancel before we
do: the units it freed are for sale at once, and until the report comes they are shown as on hand
twice. Only of what nobody has told us, a loss, say, is too much shown, as it must be.

Nothing is clamped: less than 0 sellable says that units are gone which somebody was promised.
"""

from collections.abc import Iterable
from datetime import datetime

from engine.physical.types.facts import Assigned, Balance, Count, Delta, Part, Piece, Share


def applies(happened_at: datetime, as_of: datetime | None) -> bool:
    """Tell whether a movement changes what was counted at `as_of` (None: never counted)."""
    return as_of is None or happened_at > as_of


def pieces(one: Assigned) -> list[Piece]:
    """Return an assignment as those it comes to: one for each part of it, then the rest."""
    told = [one.accepted_at, one.shipped_at]
    told += [part.at for part in one.parts if part.verb == "ship"]
    accepted = min((at for at in told if at is not None), default=None)
    left, found = one.units, []
    for part in sorted(one.parts, key=_turn):
        units = min(part.units, left)
        left -= units
        stamps = (part.at, None) if part.verb == "ship" else (None, part.at)
        found.append(Piece(part, Assigned(units, accepted, *stamps)))
    rest = one._replace(units=left, accepted_at=accepted, parts=())
    return [*found, Piece(None, rest)]


def share(one: Assigned, as_of: datetime | None) -> Share:
    """Return what an assignment adds to a balance whose count is of `as_of` (None: never)."""
    found = Share()
    for piece in pieces(one):
        found = found.plus(_share(piece.state, as_of))
    return found


def _share(one: Assigned, as_of: datetime | None) -> Share:
    units, shipped = one.units, one.shipped_at
    cancelled = one.cancelled_at if shipped is None else None
    accepted = _accepted(one, cancelled)
    held_then = (
        as_of is not None
        and accepted is not None
        and accepted <= as_of
        and (shipped is None or shipped > as_of)
        and (cancelled is None or cancelled > as_of)
    )
    return Share(
        committed=units if shipped is cancelled is accepted is None else 0,
        handed_over=units if accepted is not None and shipped is cancelled is None else 0,
        shipped=units if shipped is not None else 0,
        shipped_since=units if shipped is not None and applies(shipped, as_of) else 0,
        accepted_then=units if held_then else 0,
    )


def fold(counts: Iterable[Count], deltas: Iterable[Delta], assigned: Iterable[Assigned]) -> Balance:
    """Return the balance of one key from all that is known of it.

    The database keeps it in parts (`stock_balances`), so that no writer has to read everything;
    tests hold the two against each other.
    """
    last = max(counts, key=lambda count: count.rank, default=None)
    as_of = last.as_of if last else None
    after = [delta for delta in deltas if applies(delta.happened_at, as_of)]
    sold = Share()
    for one in assigned:
        sold = sold.plus(share(one, as_of))
    on_hand = sum(delta.quantity for delta in after) - sold.shipped_since
    locked = sum(delta.locked for delta in after)
    if last:
        on_hand += last.quantity
        locked += last.locked
        if last.basis == "available":
            on_hand += last.locked + sold.accepted_then
    sellable = on_hand - locked - sold.committed - sold.handed_over
    return Balance(on_hand, locked, sold.committed, sold.handed_over, sellable)


def _turn(part: Part) -> tuple[bool, datetime, str]:
    """What left was not cancelled; of parcels the earlier ones have their units."""
    return part.verb != "ship", part.at, part.name


def _accepted(one: Assigned, cancelled: datetime | None) -> datetime | None:
    told = [at for at in (one.accepted_at, one.shipped_at) if at is not None]
    accepted = min(told, default=None)
    if accepted is not None and cancelled is not None and accepted >= cancelled:
        return None
    return accepted
