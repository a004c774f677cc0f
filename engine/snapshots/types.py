"""A snapshot as posted, and what the recorder is told of it."""

from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from engine.kernel.codec import Answer, Decoder, Instant
from engine.kernel.events import Payment
from engine.kernel.limits import LINES_PER_ORDER_MAX, ORDERS_PER_BATCH_MAX, QUANTITY_MAX
from engine.reservation.types import LineIn, OrderIn, Snapshot

Units = Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX)]
Version = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
SourceStatus = Literal["unpaid", "paid", "partly_shipped", "shipped", "delivered", "closed"]


class SnapshotLine(LineIn, frozen=True, kw_only=True):
    """A line of a marketplace's order, in the marketplace's own units.

    `refunded_quantity`: refunded or closed before they shipped. `sku` may be "" where `listing`
    says which link was bought.
    """

    sku: Annotated[str, msgspec.Meta(max_length=128)] = ""
    refunded_quantity: Units = 0
    shipped_quantity: Units = 0


class SnapshotIn(OrderIn, frozen=True, kw_only=True):
    """An order as its marketplace has it now, whole.

    A `version` of digits is compared as a number, any other byte by byte. `source_status` is how
    far the order has come, in our words; the marketplace's own word goes into `extensions`. A
    `closed` order wants nothing but what was shipped of it.
    """

    version: Version
    source_status: SourceStatus
    placed_at: Instant
    lines: Annotated[list[SnapshotLine], msgspec.Meta(min_length=1, max_length=LINES_PER_ORDER_MAX)]  # type: ignore[assignment]  # a list that nobody changes


class FactLine(NamedTuple):
    """A line in our units; `why` says why its SKU is not known: "", unmapped or doubled."""

    said: str
    quantity: int
    open: int
    payable: int
    channel_line_id: str
    item_id: str
    sku_id: str
    why: str


class Facts(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What Postgres is to know of a snapshot; the cell only carries it.

    Money in minor units, `total` is what the open units cost; `placed_at` in ms; `trace` is the
    traceparent of the request that told it, or "".
    """

    tenant: str
    channel: str
    channel_order_id: str
    campaign: str
    buyer: str
    kind: str
    currency: str
    total: int
    actor: str
    placed_at: int
    digest: str
    version: str
    progress: int
    source_status: str
    payment_state: str
    fulfilment_state: str
    lines: list[FactLine]
    payments: list[Payment]
    document: bytes
    trace: str = ""


class Understood(NamedTuple):
    """A snapshot for the cell, and the links of it that nobody here knows (item_id, sku_id)."""

    snapshot: Snapshot
    unknown: list[tuple[str, str]]


class Short(Answer, frozen=True):
    """Units of a line that were sold beyond our stock, in our units."""

    line_id: str
    sku: str
    quantity: int


class SyncResult(Answer, frozen=True):
    """What became of one snapshot.

    `version` is the newest that is known of the order. `short` was lacking when that one was
    judged, a part may have been repaid since; `blocks` keep the order from going on. A refused
    snapshot has the members of its problem document instead.
    """

    status: int
    result: Literal["created", "updated", "unchanged", "stale"] | msgspec.UnsetType = msgspec.UNSET
    order_id: str | msgspec.UnsetType = msgspec.UNSET
    version: str | msgspec.UnsetType = msgspec.UNSET
    short: list[Short] | msgspec.UnsetType = msgspec.UNSET
    blocks: list[str] | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    detail: str | msgspec.UnsetType = msgspec.UNSET


class SyncResults(Answer, frozen=True):
    """One result a snapshot, in their order."""

    results: list[SyncResult]


class SnapshotsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Snapshots of one or several external or record channels."""

    orders: Annotated[list[SnapshotIn], msgspec.Meta(min_length=1, max_length=ORDERS_PER_BATCH_MAX)]


decode_snapshot: Final = Decoder(SnapshotIn)
decode_facts: Final = msgspec.msgpack.Decoder(Facts).decode
encode_facts: Final = msgspec.msgpack.Encoder().encode
