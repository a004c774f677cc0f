"""How an order is shown: from Postgres, with what the cell knows that Postgres does not yet."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from engine.infra.postgres import UNAVAILABLE, Pool
from engine.kernel import codec, ids
from engine.kernel.clock import instant, rfc3339, to_ms
from engine.kernel.errors import OutcomeUnknown
from engine.kernel.ids import line_id
from engine.kernel.types import OrderId
from engine.orders import rules
from engine.orders.service import still_to_pay
from engine.orders.store import SQL
from engine.reservation import bundles
from engine.reservation.service import Reservations
from engine.reservation.stages import StageView, due, shown
from engine.reservation.types import HoldRecord
from engine.shipments.service import reading
from engine.shipments.types.views import OrderStop, ShipmentView

_EVENTS_SHOWN_MAX: Final = 500

# How far a marketplace's order has come, as `engine/snapshots/rules.py` numbers it.
_SHIPPED: Final = {2: "partly_shipped", 3: "shipped", 4: "delivered", 5: "shipped"}
_CLOSED: Final = 5

# What a hold's state says of an order whose row has not caught up with it.
_AXES: Final[dict[str, dict[str, str]]] = {
    "P": {"state": "open", "payment_state": "unpaid", "stock_state": "held"},
    "C": {"state": "open", "payment_state": "paid", "stock_state": "committed"},
    "R": {"state": "cancelled", "payment_state": "unpaid", "stock_state": "released"},
    "E": {"state": "closed", "payment_state": "unpaid", "stock_state": "released"},
}


class ComponentView(codec.Answer, frozen=True):
    """A component of a bundle's line: all units of it, `per` of them in each bundle."""

    line_id: str
    sku: str
    per: int
    quantity: int
    open_quantity: int
    short: int


class LineView(codec.Answer, frozen=True):
    """A line: `open_quantity` is what was not cancelled or dropped, `short` what is owed of it.

    The `components` of a bundle are what it stood for when its order came.
    """

    line_id: str
    sku: str
    quantity: int
    open_quantity: int
    payable: codec.Money
    short: int = 0
    components: list[ComponentView] = msgspec.field(default_factory=list)


class PaymentView(codec.Answer, frozen=True):
    """A payment as it was booked."""

    payment_id: str
    state: str
    reason: str
    amount: codec.Money
    method: str
    stage: str
    paid_at: str | None
    recorded_at: str


class BlockView(codec.Answer, frozen=True):
    """A reason why nothing ships yet."""

    code: str
    line_id: str
    reason: str
    since: str
    until: str | None
    by: str


class TimelineEntry(codec.Answer, frozen=True):
    """One thing that happened to an order."""

    at: str
    kind: str
    actor: str
    data: dict[str, Any]


class QueuePlace(codec.Answer, frozen=True):
    """Where an order waits before it is sent, or what is left of it.

    `due_at` null: until a person acts, or stock comes.
    """

    queue: str
    reason: str
    since: str
    due_at: str | None


class OrderView(codec.Answer, frozen=True):
    """An order; `recorded` false means Postgres learns of it, or of a newer snapshot, in a moment.

    `stages` are what is still to be paid of an order that is paid in stages, the first is due.
    `version` and `source_status` are of a marketplace's newest snapshot, "" for other orders.
    `fulfilments` are what nodes were asked to send, by number, also those that are over. `trace` is
    the traceparent of the request that first told of it, "" where there was none.
    """

    order_id: str
    channel: str
    channel_order_id: str | None
    campaign: str
    buyer_id: str
    status: str
    state: str
    payment_state: str
    stock_state: str
    fulfilment_state: str
    payable: codec.Money
    pay_by: str | None
    placed_at: str | None
    attempt: int
    attention: str
    recorded: bool
    lines: list[LineView]
    payments: list[PaymentView]
    stages: list[StageView]
    blocks: list[BlockView]
    timeline: list[TimelineEntry]
    document: dict[str, Any] | None
    version: str = ""
    source_status: str = ""
    fulfilments: list[ShipmentView] = msgspec.field(default_factory=list)
    stops: list[OrderStop] = msgspec.field(default_factory=list)
    queue: QueuePlace | None = None
    trace: str = ""


class OrderSummary(codec.Answer, frozen=True):
    """An order in a list."""

    order_id: str
    channel: str
    channel_order_id: str
    campaign: str
    buyer_id: str
    status: str
    state: str
    payment_state: str
    stock_state: str
    fulfilment_state: str
    payable: codec.Money
    pay_by: str | None
    placed_at: str


class OrderPage(codec.Answer, frozen=True):
    """One page of orders."""

    items: list[OrderSummary]
    next_cursor: str | None


class Filter(NamedTuple):
    """Which orders a list shows; empty values do not filter."""

    tenant: str
    channel: str
    channel_order_id: str
    block: str
    status: str
    placed_from: datetime | None
    placed_to: datetime | None
    after: list[Any] | None
    limit: int
    queue: str = ""
    waybill: str = ""
    ship_by_before: datetime | None = None
    updated_since: datetime | None = None


class Reader:
    """Reads orders: the cell first, then Postgres, so that no moment shows neither."""

    def __init__(self, reservations: Reservations, pool: Pool) -> None:
        """Bind to a process' cell and pool."""
        self._reservations = reservations
        self._pool = pool

    async def order(self, order_id: OrderId) -> dict[str, Any] | None:
        """Return one order with its `tenant`, None when neither side knows it.

        Raises:
            OutcomeUnknown: the cell does not answer and Postgres does not have it yet.
        """
        hold, away = None, None
        try:
            hold = await self._reservations.hold(order_id)
        except OutcomeUnknown as error:
            away = error
        try:
            row = await self._pool.fetchrow(SQL["order"], order_id)
        except UNAVAILABLE:
            if hold is None:
                raise
            return _from_hold(order_id, hold)
        if row is None:
            if away is not None:
                raise away
            return None if hold is None else _from_hold(order_id, hold)
        return await self._from_row(row, hold)

    async def page(self, wanted: Filter) -> list[dict[str, Any]]:
        """Return orders, newest first."""
        placed_at, order_id = (None, None)
        if wanted.after is not None:
            placed_at, order_id = _instant(wanted.after[0]), wanted.after[1]
        named = await self._named(wanted)
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            await connection.execute(SQL["plan_each"])
            rows = await connection.fetch(
                SQL["list_orders"], wanted.tenant, wanted.channel, named, wanted.block,
                wanted.placed_from, wanted.placed_to, wanted.status, placed_at, order_id,
                wanted.limit, wanted.queue, wanted.waybill, wanted.ship_by_before,
                wanted.updated_since,
            )  # fmt: skip
        return [_summary(row) for row in rows]

    async def _named(self, wanted: Filter) -> list[OrderId] | None:
        """Return the orders that a channel_order_id may be, one in each channel; None for all."""
        if not wanted.channel_order_id:
            return None
        channels = [wanted.channel]
        if not wanted.channel:
            found = await self._pool.fetch(SQL["channels_of"], wanted.tenant)
            channels = [row["channel"] for row in found]
        return [ids.order_id(wanted.tenant, one, wanted.channel_order_id) for one in channels]

    async def _from_row(self, row: asyncpg.Record, hold: HoldRecord | None) -> dict[str, Any]:
        order_id = row["order_id"]
        async with self._pool.acquire() as connection:
            lines: list[Any] = await connection.fetch(SQL["order_lines"], order_id)
            payments = await connection.fetch(SQL["order_payments"], order_id)
            blocks = await connection.fetch(SQL["order_blocks"], order_id)
            events = await connection.fetch(SQL["order_events"], order_id, _EVENTS_SHOWN_MAX)
            _, dues = await still_to_pay(connection, row)
            sent, stops = await reading.of_order(connection, row["tenant"], order_id)
            place = await connection.fetchrow(SQL["order_queue"], order_id)
        axes, stages = {**row}, shown(dues, row["currency"])
        if hold is not None and _is_ahead(hold, row):
            axes.update(_axes_of(hold))
        pending = hold if hold is not None and hold.state == "P" and not hold.version else None
        if pending is not None:  # what it asks for is decided there
            axes.update(payable=pending.total, pay_by=_moment(pending.pay_by))
            lines = [{**line, **_left(pending, line["line_no"])} for line in lines]
            stages = _stages(pending)
        view = OrderView(
            order_id=order_id, channel=row["channel"], channel_order_id=row["channel_order_id"],
            campaign=row["campaign"], buyer_id=row["buyer_id"],
            status=rules.status(axes, blocked=bool(blocks)), state=axes["state"],
            payment_state=axes["payment_state"], stock_state=axes["stock_state"],
            fulfilment_state=row["fulfilment_state"],
            payable=codec.Money(axes["payable"], row["currency"]), pay_by=_text(axes["pay_by"]),
            placed_at=_text(row["placed_at"]), attempt=row["attempt"], attention=row["attention"],
            recorded=hold is None or hold.version in {"", row["version"]},
            lines=_lines(order_id, row["currency"], lines),
            payments=[_payment(payment) for payment in payments],
            stages=stages if axes["stock_state"] == "held" else [],
            blocks=[_block(block) for block in blocks],
            timeline=[_entry(event) for event in events],
            document=codec.decode_json(row["document"]),
            version=row["version"], source_status=row["source_status"], trace=row["trace"] or "",
            fulfilments=sorted(sent, key=_number), stops=stops, queue=_place(place),
        )  # fmt: skip
        return {"tenant": row["tenant"], **msgspec.to_builtins(view)}


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        codec.refuse("", "query parameter cursor: must be a next_cursor of this list")
    return codec.instant(moment, "")


def _is_ahead(hold: HoldRecord, row: asyncpg.Record) -> bool:
    """Whether the recorder has yet to learn what became of a hold."""
    if hold.version:
        return bool(hold.version != row["version"])
    ended = row["stock_state"] in {"held", "short"} and hold.state != "P"
    deposit = hold.state == "P" and hold.paid > 0 and row["payment_state"] == "unpaid"
    return ended or deposit or hold.attempt > row["attempt"]


def _axes_of(hold: HoldRecord) -> dict[str, str]:
    axes = _AXES[hold.state]
    if hold.state == "C" and not hold.payments and not hold.version:
        return {**axes, "payment_state": "on_delivery"}  # nothing else is confirmed without money
    if hold.version and hold.progress == _CLOSED and hold.state == "C":
        return {**axes, "state": "closed"}  # after some of it was shipped
    if hold.paid:
        return {**axes, "payment_state": "deposit_paid" if hold.state == "P" else "refund_due"}
    return axes


def _from_hold(order_id: OrderId, hold: HoldRecord) -> dict[str, Any]:
    shipped = _SHIPPED.get(hold.progress, "unrouted") if hold.state == "C" else "unrouted"
    axes = {**_axes_of(hold), "fulfilment_state": shipped, "attention": ""}
    blocked = bool(hold.shorts or hold.unmapped or hold.below_floor)
    places = zip(hold.lines, bundles.columns(hold.lines), strict=True)
    rows = [
        {
            "line_no": n, "sku": sku, "quantity": units, "open_quantity": units, "short": 0,
            "payable": payable, "part_of": part_of, "per": per,
        }
        for n, ((sku, units, payable, _), (part_of, per)) in enumerate(places, start=1)
    ]  # fmt: skip
    lines = _lines(order_id, hold.currency, rows)
    view = OrderView(
        order_id=order_id, channel=hold.channel, channel_order_id=None, campaign=hold.campaign,
        buyer_id=hold.buyer, status=rules.status(axes, blocked=blocked), state=axes["state"],
        payment_state=axes["payment_state"], stock_state=axes["stock_state"],
        fulfilment_state=shipped, attention="", payable=codec.Money(hold.total, hold.currency),
        pay_by=rfc3339(hold.pay_by) if hold.pay_by else None, placed_at=None, attempt=hold.attempt,
        recorded=False, lines=lines, payments=[], stages=_stages(hold), blocks=[], timeline=[],
        document=None, version=hold.version,
    )  # fmt: skip
    return {"tenant": hold.tenant, **msgspec.to_builtins(view)}


def _left(hold: HoldRecord, n: int) -> dict[str, Any]:
    _, units, payable, _ = hold.lines[n - 1]
    return {"open_quantity": units, "payable": payable}


def _moment(ms: int) -> datetime | None:
    return instant(ms) if ms else None


def _stages(hold: HoldRecord) -> list[StageView]:
    if hold.state != "P":
        return []
    open_units = {n: line[1] for n, line in enumerate(hold.lines, start=1)}
    return shown(due(hold.stages, open_units, hold.total - hold.paid), hold.currency)


def _summary(row: asyncpg.Record) -> dict[str, Any]:
    view = OrderSummary(
        order_id=row["order_id"], channel=row["channel"],
        channel_order_id=row["channel_order_id"], campaign=row["campaign"],
        buyer_id=row["buyer_id"], status=rules.status({**row}, blocked=row["blocked"]),
        state=row["state"], payment_state=row["payment_state"], stock_state=row["stock_state"],
        fulfilment_state=row["fulfilment_state"],
        payable=codec.Money(row["payable"], row["currency"]), pay_by=_text(row["pay_by"]),
        placed_at=rfc3339(to_ms(row["placed_at"])),
    )  # fmt: skip
    return dict(msgspec.to_builtins(view))


def _lines(order_id: str, currency: str, rows: Sequence[Mapping[str, Any]]) -> list[LineView]:
    parts: dict[int, list[ComponentView]] = {}
    for row in rows:
        if row["part_of"] not in {0, row["line_no"]}:
            one = ComponentView(
                line_id(order_id, row["line_no"]), row["sku"], row["per"], row["quantity"],
                row["open_quantity"], row["short"],
            )  # fmt: skip
            parts.setdefault(row["part_of"], []).append(one)
    return [
        LineView(
            line_id(order_id, row["line_no"]), row["sku"], row["quantity"], row["open_quantity"],
            codec.Money(row["payable"], currency), row["short"], parts.get(row["line_no"], []),
        )
        for row in rows
        if row["part_of"] in {0, row["line_no"]}
    ]  # fmt: skip


def _payment(row: asyncpg.Record) -> PaymentView:
    return PaymentView(
        row["payment_id"], row["state"], row["reason"],
        codec.Money(row["amount"], row["currency"]), row["method"], row["stage"],
        _text(row["paid_at"]), rfc3339(to_ms(row["recorded_at"])),
    )  # fmt: skip


def _block(row: asyncpg.Record) -> BlockView:
    return BlockView(
        row["code"], row["line_id"], row["reason"], rfc3339(to_ms(row["since"])),
        _text(row["until"]), row["by"],
    )  # fmt: skip


def _number(one: ShipmentView) -> int:
    return int(one.shipment_id.rpartition("-s")[2])


def _place(row: asyncpg.Record | None) -> QueuePlace | None:
    if row is None:
        return None
    since = rfc3339(to_ms(row["since"]))
    return QueuePlace(row["queue"], row["reason"], since, _text(row["due_at"]))


def _entry(row: asyncpg.Record) -> TimelineEntry:
    at = rfc3339(to_ms(row["at"]))
    return TimelineEntry(at, row["kind"], row["actor"], codec.decode_json(row["data"]))


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(to_ms(moment))
