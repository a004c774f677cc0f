"""The rule: how much of what is paid at the door each parcel of an order collects.

Each parcel collects the share that its goods have in the goods that nobody was asked to collect for
yet, of the money that nobody was asked to collect yet; the last of them takes what is left over. So
a buyer who takes just one of two parcels pays for that one, and all of them together collect what
is due, to the last minor unit. A parcel that is planned anew carries its own share again: what was
asked with one that is cancelled or rejected counts no more.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import ceil

from engine.wms.types import Due, Sold


def share(one: Due, shipment_id: str, mine: Iterable[tuple[int, int]]) -> int:
    """Return what a shipment of these units collects; freight goes by the worth of the goods."""
    left, rest = one.due, _by_line(one.wanted)
    for name, asked in one.live.items():
        if asked.due is None or name == shipment_id:
            continue
        left -= asked.due
        for n, units in asked.units:
            rest[n] = rest.get(n, 0) - units
    rest = {n: units for n, units in rest.items() if units > 0}
    held = {n: min(units, rest[n]) for n, units in _by_line(mine).items() if n in rest}
    if left <= 0 or not held:
        return 0
    if held == rest:
        return left
    each = _worth(_by_line(one.wanted), one.sold)
    whole = sum(each[n] * units for n, units in rest.items())
    part = sum(each[n] * units for n, units in held.items())
    return int(left * part / whole) if whole else 0


def insured(total: int, one: Due, mine: Iterable[tuple[int, int]]) -> int:
    """Return what of an order's insured sum falls to these units, by worth, as it was quoted.

    Begun minor units are whole ones: parcels together are insured for no less than was asked.
    """
    wanted = _by_line(one.wanted)
    each = _worth(wanted, one.sold)
    whole = sum(each[n] * units for n, units in wanted.items())
    part = sum(each[n] * units for n, units in _by_line(mine).items() if n in each)
    return total if part >= whole else ceil(total * part / whole)


def _by_line(lines: Iterable[tuple[int, int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for n, units in lines:
        found[n] = found.get(n, 0) + units
    return found


def _worth(wanted: Mapping[int, int], sold: Mapping[int, Sold]) -> dict[int, Fraction]:
    """Return what one unit of each line is worth; a bundle is sold, and its parts are sent."""
    parts: dict[int, int] = {}
    for n, units in wanted.items():
        of = _seller(n, sold)
        parts[of] = parts.get(of, 0) + units
    return {n: Fraction(sold[_seller(n, sold)].payable, parts[_seller(n, sold)]) for n in wanted}


def _seller(n: int, sold: Mapping[int, Sold]) -> int:
    """Return the line that a line's units were sold by."""
    return sold[n].part_of if sold[n].part_of > 0 else n
