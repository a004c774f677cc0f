"""A shipment, and what its node says of it; instants of reports are by the node's clock."""

from datetime import datetime
from typing import Final, Literal, NamedTuple

Mode = Literal["ship", "pickup", "instant"]
# Until `unknown` they are ours; the others are what was told, and `stopping` lies between.
State = Literal[
    "planned", "sending", "unknown", "sent", "accepted", "picked", "packed", "stopping",
    "rejected", "cancelled", "partly_shipped", "shipped",
    "lost", "delivered", "refused", "returning", "returned",
]  # fmt: skip
# What may be told: `sent` is that the node has it (its answer to our call), `waybill` that a
# carrier's number stands on the parcel. Of `lacking` goods a confirm or a rejection follows.
Kind = Literal[
    "sent", "accepted", "picked", "packed", "waybill", "lacking", "cancel_failed",
    "rejected", "cancelled", "partly_shipped", "shipped",
    "lost", "delivered", "refused", "returning", "returned",
]  # fmt: skip
# Why a node does not send units. Of `mismatch` it has something else than it was asked for; what it
# `cannot_ship` it will not send there at all; `cancelled` is by itself, nobody having asked.
Reason = Literal[
    "out_of_stock", "lost", "damaged", "mismatch", "busy", "closed", "cannot_ship", "cancelled",
    "other",
]  # fmt: skip
NoReturn = Literal["accepted", "picked", "waybill", "shipped"]

BY_HAND: Final = "hand:"  # what ids of reports begin with that a person made, not the node

GONE: Final[frozenset[str]] = frozenset({"cancelled", "rejected"})
LEFT: Final[frozenset[str]] = frozenset(
    {"partly_shipped", "shipped", "lost", "delivered", "refused", "returning", "returned"}
)
# What a node may have or may yet get, and nothing of which has left.
WITH_NODE: Final[frozenset[str]] = frozenset(
    {"sending", "unknown", "sent", "accepted", "picked", "packed", "stopping"}
)


class Line(NamedTuple):
    """Units of an order's line; `bound` 0: of goods that were never counted, not assigned."""

    line_no: int
    sku: str
    units: int
    bound: int = 1


class Slot(NamedTuple):
    """Capacity that was taken; given back once when the shipment is cancelled or rejected."""

    scope: str
    id: str
    day: str
    dim: str
    n: int


class Planned(NamedTuple):
    """A shipment to write down; `n` counts from 1 in its order, and is never used again.

    `quote` is in minor units, by that version of the card. `no_return` and `intercepts` are those
    of its node and its carrier service when it was planned; a later change of theirs holds for
    later shipments.
    """

    tenant: str
    order_id: str
    n: int
    node: str
    attempt: int
    lines: tuple[Line, ...]
    mode: Mode = "ship"
    service: str = ""
    card: str = ""
    quote: int | None = None
    currency: str = ""
    quoted_grams: int = 0
    promised_ship_by: datetime | None = None
    promised_deliver_by: datetime | None = None
    region: str = ""
    no_return: NoReturn = "picked"
    intercepts: bool = False
    merge_hash: str = ""
    release_at: datetime | None = None
    capacity: tuple[Slot, ...] = ()
    card_version: int = 0

    @property
    def shipment_id(self) -> str:
        """The id, derived: no path can give one shipment two of them."""
        return f"{self.order_id}-s{self.n}"


class Shipment(NamedTuple):
    """A shipment as it stands; `cancelling`: a cancel was sent and is not answered yet.

    `consignment_id` is "" of one that was stopped before any node was asked for it. `short` are the
    units by line that did not leave although its node is done with it.
    """

    shipment_id: str
    tenant: str
    order_id: str
    node: str
    attempt: int
    consignment_id: str
    mode: Mode
    lines: tuple[Line, ...]
    service: str
    no_return: NoReturn
    intercepts: bool
    release_at: datetime | None
    capacity: tuple[Slot, ...]
    capacity_back: bool
    state: State
    cancelling: bool
    wms_ref: str
    reason: str
    short: tuple[tuple[int, int], ...] = ()

    @property
    def number(self) -> int:
        """Which of its order's it is, from 1."""
        return int(self.shipment_id.rpartition("-s")[2])

    @property
    def units(self) -> dict[int, int]:
        """Units by line that it has for its order: all of it, less what its node left out."""
        left_out = dict(self.short)
        found: dict[int, int] = {}
        for line in self.lines:
            found[line.line_no] = found.get(line.line_no, 0) + line.units
        return {n: units - left_out.get(n, 0) for n, units in found.items()}

    @property
    def live(self) -> bool:
        """Whether it stands: its node ships it, has shipped it, or will be asked to."""
        return self.state not in GONE


class Package(NamedTuple):
    """A box as a node tells of it; no `items`: it did not say what is in it."""

    carrier: str
    waybill: str
    items: tuple[tuple[int, int], ...] = ()
    grams: int | None = None
    mm: tuple[int, int, int] | None = None
    serials: tuple[str, ...] = ()


class Told(NamedTuple):
    """One report of a shipment; the same (kind, report_id) again is a repeat.

    `reply`: said in answer to a call of ours, by whoever has the consignment's lease. So nobody is
    sending it at that moment. `lacks` are (line_no, units) that it names as the cause.
    """

    kind: Kind
    report_id: str
    at: datetime
    reply: bool = False
    packages: tuple[Package, ...] = ()
    text: str = ""
    wms_ref: str = ""
    reason: Reason | Literal[""] = ""
    lacks: tuple[tuple[int, int], ...] = ()


class Refused(NamedTuple):
    """Units of a shipment that its node will not send, of its own accord, and why.

    `lines` have these units alone. `at` is by the node's clock.
    """

    shipment_id: str
    tenant: str
    order_id: str
    node: str
    attempt: int
    lines: tuple[Line, ...]
    reason: Reason
    at: datetime


class Standing(NamedTuple):
    """What reports come to.

    `state` is "" while none says where it stands. `left` are (line_no, units) that are out of the
    house, `rank` is how far it was seen, cancels aside; `over` are units beyond what was planned.
    """

    state: State | Literal[""]
    rank: int
    left: tuple[tuple[int, int], ...]
    waybill: bool
    final: bool
    over: int
