"""How a warehouse behaves, and what it keeps; instants are ms since the epoch."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from engine.wms.types import Item, SeenState

Span = tuple[int, int]


class Knobs(NamedTuple):
    """How long steps take (from, to, in ms), and how often something goes wrong (0 to 1).

    Of a consignment: `reject`, some of it `lack`ing, `partial` confirms, `split_parcels`. Of what
    is told: `lost_callback` (sent again after `resend_ms`), `repeat_callback`, `reorder` (held back
    by up to `reorder_ms`), nothing before `silent_until`. Of calls: `reply_lost` (done, and the
    connection is cut), `error_5xx` (done or not), `slow` (answered after `slow_ms`). Of cancels:
    `late_cancel` (taken note of, and answered when it has left), `cancel_unknown` (it says that it
    has no such order, and has it), `recreates` (a cancelled one that is asked for again is sent),
    `lies` (it says cancelled, and sends it): the last one is for controls alone.

    Until `cancel_until` a cancel succeeds. `cancels_later`: it is only taken note of, and a report
    follows after `cancel_ms`. `prefix` begins the numbers of parcels that it makes itself.
    """

    seed: int = 0
    accept_ms: Span = (0, 20)
    pick_ms: Span = (10, 50)
    pack_ms: Span = (10, 50)
    ship_ms: Span = (10, 50)
    cancel_until: Literal["picked", "packed", "shipped"] = "packed"
    cancels_later: bool = False
    cancel_ms: Span = (5, 30)
    reject: float = 0.0
    lack: float = 0.0
    partial: float = 0.0
    split_parcels: float = 0.0
    lost_callback: float = 0.0
    repeat_callback: float = 0.0
    reorder: float = 0.0
    reorder_ms: Span = (20, 200)
    resend_ms: int = 200
    reply_lost: float = 0.0
    error_5xx: float = 0.0
    slow: float = 0.0
    slow_ms: int = 500
    late_cancel: float = 0.0
    cancel_unknown: float = 0.0
    recreates: float = 0.0
    lies: float = 0.0
    silent_until: int = 0
    prefix: str = "SIM"


@dataclass(slots=True)
class Held:
    """A consignment as a warehouse has it.

    `left` are units that went out, each with its instant. `made` counts how often it was begun: 2
    are two consignments. `asked` counts creates, `cancelled_at` is when it was cancelled,
    `said_cancelled_at` when somebody was told so.
    """

    code: str
    wms_ref: str
    lines: tuple[Item, ...]
    carrier: str
    waybill: str
    made: int = 1
    asked: int = 1
    state: Literal["open", "cancelled", "rejected", "partly_shipped", "shipped"] = "open"
    cancelled_at: int | None = None
    said_cancelled_at: int | None = None
    left: list[tuple[int, Item]] = field(default_factory=list)

    @property
    def left_after_said(self) -> int:
        """Units that left after somebody was told that it is cancelled."""
        said = self.said_cancelled_at
        return 0 if said is None else sum(item.units for at, item in self.left if at > said)


class Answered(NamedTuple):
    """What a call is answered; `code` is empty where it was done."""

    code: Literal["", "exists", "no_such_order", "too_late", "cancelled", "busy"] = ""
    pending: bool = False
    wms_ref: str = ""
    state: SeenState = "open"
    statuses: tuple[str, ...] = ()
