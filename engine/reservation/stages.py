"""What an order paid in stages asks for next, as `lua/include/stages.lua` decides it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from engine.kernel import codec
from engine.kernel.clock import rfc3339

# As the cell keeps it: name, pay_by, held_until (ms), [(line, minor units for one unit), …].
Stage = Sequence[Any]


class Due(NamedTuple):
    """One stage that is still to be paid: minor units, and by when (ms)."""

    name: str
    amount: int
    pay_by: int


class StageView(codec.Answer, frozen=True):
    """One stage that is still to be paid; the first is due now."""

    stage: str
    amount: codec.Money
    pay_by: str


def due(stages: Sequence[Stage], open_units: Mapping[int, int], unpaid: int) -> list[Due]:
    """Return what is still to be paid, in order; the last stage asks for the rest.

    So does a deposit whose lines were all cancelled.

    `open_units` are by line number, `unpaid` is the order's total less what was paid of it.
    """
    found = []
    for name, pay_by, _, prices in stages:
        if not prices:
            amount = unpaid
        else:
            amount = min(unpaid, sum(open_units.get(n, 0) * price for n, price in prices)) or unpaid
        if amount:
            found.append(Due(name, amount, pay_by))
        unpaid -= amount
    return found


def shown(dues: Sequence[Due], currency: str) -> list[StageView]:
    """Return stages as a client reads them."""
    return [
        StageView(one.name, codec.Money(one.amount, currency), rfc3339(one.pay_by)) for one in dues
    ]
