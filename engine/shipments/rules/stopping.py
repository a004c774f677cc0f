"""The rule: which answer each shipment, and with the last of them the whole stop, gets.

`stopped` is a promise that no parcel leaves, so it is given for certain only: a shipment that no
node was ever asked for, or one that its node let go of. `not_stopped` is the word that is always
safe. A shipment past its point of no return may still be turned back by the carrier that has it:
`intercept_requested`, and what becomes of that, the carrier's milestones tell.
"""

from collections.abc import Collection, Iterable, Mapping

from engine.shipments.rules.states import is_beyond
from engine.shipments.types.shipments import GONE, LEFT, Shipment, Standing
from engine.shipments.types.stops import Answer, Part


def touched(
    shipments: Iterable[Shipment], lines: Collection[tuple[int, int]]
) -> tuple[Shipment, ...]:
    """Return the live shipments that a stop of these lines is about; without lines, all."""
    asked = {n for n, _ in lines}
    return tuple(
        one
        for one in shipments
        if one.live and (not asked or any(line.line_no in asked for line in one.lines))
    )


def at_ask(one: Shipment, standing: Standing) -> Part:
    """Return the answer that is certain when it is asked for; "" when the node has to say."""
    if one.state == "planned":
        return "stopped"
    return _past(one, standing)


def at_report(one: Shipment, standing: Standing, *, refused: bool) -> Part:
    """Return the answer of an open part after another report; "" while it is still to be given.

    `refused`: the node said that it cannot cancel, after it was asked.
    """
    if standing.state in GONE:
        return "stopped"
    return _past(one, standing) or ("not_stopped" if refused else "")


def sent_too(
    one: Shipment, of_order: Iterable[Shipment], wanted: Mapping[int, int]
) -> tuple[tuple[Shipment, tuple[tuple[int, int], ...]], ...]:
    """Return what has units that `one` sent after all, and (line, units) of it that are too many.

    As many shipments as have them, the latest first: those that no node was asked for before those
    that are with one, and what has left at the end.
    """
    live = [other for other in of_order if other.live]
    given = [units for other in live for units in other.units.items()]
    more = {
        n: sum(units for line, units in given if line == n) - wanted.get(n, 0) for n in one.units
    }
    others = sorted(
        (other for other in live if other.shipment_id != one.shipment_id),
        key=lambda other: (other.state in LEFT, other.state != "planned", -other.number),
    )
    found = []
    for other in others:
        mine = tuple(
            (n, min(units, more[n])) for n, units in other.units.items() if more.get(n, 0) > 0
        )
        lines = tuple((n, units) for n, units in mine if units > 0)
        if lines:
            found.append((other, lines))
            more |= {n: more[n] - units for n, units in lines}
    return tuple(found)


def whole(parts: Collection[Part]) -> Part:
    """Return the one answer of a stop; "" while a part has none. Nothing touched is stopped."""
    if "" in parts:
        return ""
    if "not_stopped" in parts:
        return "not_stopped"
    return "intercept_requested" if "intercept_requested" in parts else "stopped"


def _past(one: Shipment, standing: Standing) -> Part:
    if standing.state not in LEFT and not is_beyond(standing, one.no_return):
        return ""
    answer: Answer = "not_stopped"
    if one.intercepts and standing.waybill and standing.state not in {"lost", "delivered"}:
        answer = "intercept_requested"
    return answer
