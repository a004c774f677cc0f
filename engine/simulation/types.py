"""Nouns of a played sale: what buyers want, what they do after an acceptance, what is on the shelf.

Times are seconds; money is minor units of the demand's one currency.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias


class Line(NamedTuple):
    """One line of an order; a droppable line may be left out when it is sold out."""

    sku: str
    quantity: int
    price: int
    gift: bool = False
    droppable: bool = False


class Pay(NamedTuple):
    """Pay what is asked for at that moment; the same payment_id again is the same payment."""

    after_s: float
    payment_id: str = "p1"


class Cancel(NamedTuple):
    """Cancel the order, or (line number, units) of it."""

    after_s: float
    cancel_id: str = "c1"
    lines: tuple[tuple[int, int], ...] = ()


class Again(NamedTuple):
    """Send the same order once more: it must get the same answer."""

    after_s: float


class Changed(NamedTuple):
    """Send the same id with another quantity: it must be refused."""

    after_s: float


Step: TypeAlias = Pay | Cancel | Again | Changed


class Order(NamedTuple):
    """One order of one buyer: when it comes and what its buyer does once it was accepted.

    It is sent `copies` times at once; with `hangs_up` its buyer first sends it without waiting for
    the answer. Each step's `after_s` counts from the end of the step before.
    """

    order_no: str
    buyer: str
    at_s: float
    lines: tuple[Line, ...]
    steps: tuple[Step, ...] = ()
    copies: int = 1
    hangs_up: bool = False
    placed_at: str = ""
    country: str = ""
    channel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """All orders of a sale by arrival, and the shelf they meet.

    `limits` are units per buyer and SKU. `notes` say what of a file was left out or changed. After
    `lasts_s_max` nobody comes any more, however slow the machine; None: all must come.
    """

    title: str
    currency: str
    orders: Sequence[Order]
    stock: Mapping[str, int]
    names: Mapping[str, str]
    limits: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    hold_seconds: int = 6
    grace_seconds: int = 1
    lasts_s_max: float | None = None

    def wanted(self) -> Counter[str]:
        """Return units asked for by SKU, copies and refusals not counted."""
        units: Counter[str] = Counter()
        for order in self.orders:
            for line in order.lines:
                units[line.sku] += line.quantity
        return units
