"""Orders over HTTP: read, list, pay, cancel."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web

from engine.infra.http import fast
from engine.infra.http.auth import Principal, caller, principal_of, unbound_of
from engine.infra.http.fast import Answer
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.query import refuse_query, word_of
from engine.infra.http.request import Request
from engine.infra.http.server import (
    body_of,
    json_response,
    path_id,
    query_id,
    query_instant,
    raw_body,
)
from engine.infra.runtime import RUNTIME
from engine.kernel import codec, limits
from engine.kernel.clock import to_ms
from engine.kernel.errors import (
    Closed,
    IdempotencyConflict,
    NotCancellable,
    NotFound,
    OutcomeUnknown,
    WrongAmount,
    WrongCall,
)
from engine.kernel.types import OrderId
from engine.orders import fairness, views
from engine.orders.service import REFUND_CANCEL, Orders
from engine.orders.views import Reader
from engine.reservation.rules import line_number
from engine.reservation.types import PaymentClaim, PaymentIn, ReleaseClaim

ORDERS: Final = web.AppKey("orders", Orders)
READER: Final = web.AppKey("order_reader", Reader)

# Of orders that are to be routed (engine/routing/types/queue.py).
QUEUES: Final = (
    "NEW", "HELD_RISK", "HELD_PRESALE", "UNFILLABLE", "BACKORDER", "REJECTED", "MANUAL"
)  # fmt: skip
_DAY_MS: Final = 86_400_000
_UPDATED_MAX_MS: Final = 7 * _DAY_MS  # everything that happened since is looked at
_READ: Final = "orders:read"
_WRITE: Final = "orders:write"


class CancelLine(codec.Wire, frozen=True):
    """Units of one line to cancel."""

    line_id: codec.Identifier
    quantity: Annotated[int, msgspec.Meta(ge=1, le=limits.QUANTITY_MAX)]


class CancelIn(codec.Wire, frozen=True):
    """A cancel; without lines all that is left of the order."""

    cancel_id: codec.Identifier
    reason: Annotated[str, msgspec.Meta(max_length=512)] = ""
    lines: Annotated[list[CancelLine], msgspec.Meta(max_length=limits.LINES_PER_ORDER_MAX)] = (
        msgspec.field(default_factory=list)
    )


class Paid(codec.Answer, frozen=True):
    """What became of a payment: applied, refund_due (with why), or received while closed."""

    order_id: str
    payment_id: str
    state: str
    reason: str


class Cancelled(codec.Answer, frozen=True):
    """What is left of an order after a cancel."""

    order_id: str
    cancel_id: str
    state: str
    payable: codec.Money


class StopRequested(codec.Answer, frozen=True):
    """A cancel of what nodes have: whether they stop it, the event order.stop_answered tells."""

    order_id: str
    cancel_id: str
    state: str
    stop_id: str


_encode: Final = msgspec.json.Encoder().encode
_decode_payment: Final = codec.Decoder(PaymentIn)
_decode_cancel: Final = codec.Decoder(CancelIn)


async def post_payment(request: web.Request) -> web.Response:
    """Answer a payment that came the ordinary way."""
    order_id = OrderId(path_id(request, "order_id"))
    return fast.respond(await pay(request.app, order_id, request))


async def pay(app: web.Application, order_id: OrderId, request: Request) -> Answer:
    """Book a payment; 202 when the cell is closed and it waits for the opening."""
    principal = await caller(app, request, _WRITE, limited=False)
    payment = _decode_payment(await raw_body(request, limits.ORDER_BYTES_MAX))
    codec.identifier(payment.payment_id, "/payment_id")
    codec.plain_text(payment.method, "/method", limits.IDENTIFIER_LENGTH_MAX)
    claim = PaymentClaim(
        order_id, payment.payment_id, payment.amount.amount, payment.amount.currency,
        payment.method, _paid_at(payment), payment.stage, principal.key_id,
    )  # fmt: skip
    result = await app[ORDERS].pay(principal, claim)
    body = _encode(Paid(order_id, payment.payment_id, result.state, result.reason))
    return Answer(202 if result.state == "received" else 200, {}, body)


async def post_cancel(request: web.Request) -> web.Response:
    """Cancel an order, or lines of it; 202 when nodes have to be asked."""
    principal = await principal_of(request, _WRITE)
    order_id = OrderId(path_id(request, "order_id"))
    cancel = await body_of(request, _decode_cancel, limits.ORDER_BYTES_MAX)
    codec.identifier(cancel.cancel_id, "/cancel_id")
    if cancel.cancel_id.startswith(REFUND_CANCEL):
        codec.refuse("/cancel_id", f"must not begin with {REFUND_CANCEL}, which refunds have")
    codec.plain_text(cancel.reason, "/reason", 512)
    claim = ReleaseClaim(
        order_id, cancel.cancel_id, "cancel", cancel.reason, principal.key_id,
        tuple(
            (_line(order_id, line, n), line.quantity) for n, line in enumerate(cancel.lines)
        ),
    )  # fmt: skip
    left = await request.app[ORDERS].cancel(principal, claim)
    if left.stop_id:
        waits = StopRequested(order_id, cancel.cancel_id, left.state, left.stop_id)
        return json_response(waits, status=202)
    payable = codec.Money(left.payable, left.currency)
    return json_response(Cancelled(order_id, cancel.cancel_id, left.state, payable))


async def get_order(request: web.Request) -> web.Response:
    """Show one order, readable at once after its 202."""
    principal = await principal_of(request, _READ)
    order_id = OrderId(path_id(request, "order_id"))
    shown = await request.app[READER].order(order_id)
    if shown is None or not _may_see(principal, shown):
        raise NotFound("no such order")
    shown.pop("tenant")
    return json_response(shown)


async def list_orders(request: web.Request) -> web.Response:
    """List orders, newest first."""
    principal = await principal_of(request, _READ)
    channel = query_id(request, "channel")
    if principal.channel and channel not in {"", principal.channel}:
        return json_response({"items": [], "next_cursor": None})
    page = read_page(request.query, str, str)
    wanted = views.Filter(
        tenant=principal.tenant,
        channel=principal.channel or channel,
        channel_order_id=query_id(request, "channel_order_id"),
        block=query_id(request, "block"),
        status=query_id(request, "status"),
        placed_from=query_instant(request, "placed_from"),
        placed_to=query_instant(request, "placed_to"),
        after=page.after,
        limit=page.limit + 1,
        queue=word_of(request, "queue", QUEUES),
        waybill=query_id(request, "waybill"),
        ship_by_before=query_instant(request, "ship_by_before"),
        updated_since=_since(request),
    )
    rows = await request.app[READER].page(wanted)
    answer = page.answer(rows, lambda row: [row["placed_at"], row["order_id"]], lambda row: row)
    return json_response(answer)


def _since(request: web.Request) -> datetime | None:
    since = query_instant(request, "updated_since")
    if since and to_ms(since) < request.app[RUNTIME].clock.now_ms() - _UPDATED_MAX_MS:
        days = _UPDATED_MAX_MS // _DAY_MS
        refuse_query("updated_since", f"must not be longer ago than {days} days")
    return since


def _line(order_id: OrderId, line: CancelLine, n: int) -> int:
    number = line_number(order_id, line.line_id)
    if not number:
        codec.refuse(f"/lines/{n}/line_id", "is not a line of this order")
    return number


def _paid_at(payment: PaymentIn) -> int:
    if payment.paid_at is None:
        return 0
    return to_ms(codec.instant(payment.paid_at, "/paid_at"))


def _may_see(principal: Principal, shown: Mapping[str, Any]) -> bool:
    return shown["tenant"] == principal.tenant and principal.channel in {"", shown["channel"]}


async def get_fairness(request: web.Request) -> web.Response:
    """Add up who got the units of a campaign, over all its channels."""
    principal = await unbound_of(request, _READ)
    process, campaign = request.app[RUNTIME], path_id(request, "campaign")
    found = await fairness.of_campaign(process.pool, process.clock, principal.tenant, campaign)
    return json_response(found)


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.get("/v1/orders", list_orders),
        web.get("/v1/campaigns/{campaign}/fairness", get_fairness),
        web.get("/v1/orders/{order_id}", get_order),
        web.post("/v1/orders/{order_id}/payments", post_payment),
        web.post("/v1/orders/{order_id}/cancel", post_cancel),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "GET",
        "/v1/campaigns/{campaign}/fairness",
        "Show how evenly the units of a campaign went to buyers",
        _READ,
        responses={200: fairness.Fairness},
    ),
    operation(
        "GET",
        "/v1/orders/{order_id}",
        "Show one order",
        _READ,
        responses={200: views.OrderView},
        problems=[NotFound],
    ),
    operation(
        "GET",
        "/v1/orders",
        "List orders, newest first",
        _READ,
        responses={200: views.OrderPage},
        query=[
            *PAGED,
            Query("channel", "only this channel"),
            Query("channel_order_id", "only this order of a channel"),
            Query("status", "only this status"),
            Query("block", "only orders with this block"),
            Query("queue", f"only orders that wait in this queue: {', '.join(QUEUES)}"),
            Query("waybill", "only orders with a parcel of this number"),
            Query(
                "ship_by_before",
                "only orders of which something has to leave before this instant and has not:"
                " by its node's promise, or by the marketplace's while it waits to be routed",
            ),
            Query("updated_since", "only orders to which something happened since, 7 days at most"),
            Query("placed_from", "placed at or after this instant"),
            Query("placed_to", "placed before this instant"),
        ],
    ),
    operation(
        "POST",
        "/v1/orders/{order_id}/payments",
        "Book a payment",
        _WRITE,
        request=PaymentIn,
        responses={200: Paid, 202: Paid},
        problems=[NotFound, WrongAmount, IdempotencyConflict, WrongCall, Closed, OutcomeUnknown],
    ),
    operation(
        "POST",
        "/v1/orders/{order_id}/cancel",
        "Cancel an order, or lines of it",
        _WRITE,
        request=CancelIn,
        responses={200: Cancelled, 202: StopRequested},
        problems=[NotFound, NotCancellable, WrongCall, Closed, OutcomeUnknown],
    ),
]
