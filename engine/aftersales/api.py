"""Blocks, refunds and changes of address over HTTP."""

from collections.abc import Sequence
from typing import Final

import asyncpg
import msgspec
from aiohttp import web

from engine.aftersales.addresses import Addresses
from engine.aftersales.service import Aftersales
from engine.aftersales.types import (
    CODES,
    REASON_LENGTH_MAX,
    SETTABLE,
    AddressChange,
    AddressIn,
    AddressView,
    Block,
    BlockIn,
    Refund,
    RefundIn,
    RefundLine,
    RefundView,
)
from engine.infra.http.auth import principal_of
from engine.infra.http.openapi import Operation, Query, operation
from engine.infra.http.server import body_of, json_response, path_id, query_id
from engine.kernel import codec, limits
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import (
    Closed,
    IdempotencyConflict,
    InConflict,
    NotCancellable,
    NotChangeable,
    NotFound,
    OutcomeUnknown,
    WrongAmount,
    WrongCall,
)
from engine.kernel.ids import line_id
from engine.kernel.types import OrderId
from engine.orders.views import BlockView
from engine.reservation.rules import line_number

ADDRESSES: Final = web.AppKey("addresses", Addresses)
AFTERSALES: Final = web.AppKey("aftersales", Aftersales)


class Blocks(codec.Answer, frozen=True):
    """All blocks that stand on an order, the oldest first."""

    items: list[BlockView]


_READ: Final = "orders:read"
_WRITE: Final = "orders:write"
_decode_address: Final = codec.Decoder(AddressIn)
_decode_block: Final = codec.Decoder(BlockIn)
_decode_refund: Final = codec.Decoder(RefundIn)


async def get_blocks(request: web.Request) -> web.Response:
    """Show what keeps an order from shipping."""
    principal = await principal_of(request, _READ)
    order_id = OrderId(path_id(request, "order_id"))
    return json_response(_blocks(await request.app[AFTERSALES].blocks(principal, order_id)))


async def post_block(request: web.Request) -> web.Response:
    """Set a block; the same again changes nothing."""
    principal = await principal_of(request, _WRITE)
    order_id = OrderId(path_id(request, "order_id"))
    wanted = await body_of(request, _decode_block, limits.ORDER_BYTES_MAX)
    if wanted.code not in SETTABLE:
        codec.refuse("/code", f"must be one of {', '.join(SETTABLE)}: the engine sets the others")
    codec.plain_text(wanted.reason, "/reason", REASON_LENGTH_MAX)
    until = None if wanted.until is None else codec.instant(wanted.until, "/until")
    block = Block(wanted.code, wanted.line_id, wanted.reason, until)
    return json_response(_block(await request.app[AFTERSALES].block(principal, order_id, block)))


async def delete_block(request: web.Request) -> web.Response:
    """Lift a block, also one that the engine set: a person decides, and says why."""
    principal = await principal_of(request, _WRITE)
    order_id, code = OrderId(path_id(request, "order_id")), path_id(request, "code")
    if code not in CODES:
        codec.refuse("", f"code in the path: must be one of {', '.join(CODES)}")
    line = query_id(request, "line_id")
    if line and not line_number(order_id, line):
        codec.refuse("", "query parameter line_id: is not a line of this order")
    reason = request.query.get("reason", "")
    if not reason.strip():
        codec.refuse("", "query parameter reason: is required")
    codec.plain_text(reason, "", REASON_LENGTH_MAX)
    lifted = Block(code, line, reason, None)
    return json_response(
        _blocks(await request.app[AFTERSALES].unblock(principal, order_id, lifted))
    )


async def post_refund(request: web.Request) -> web.Response:
    """Book a refund as it stands."""
    principal = await principal_of(request, _WRITE)
    order_id = OrderId(path_id(request, "order_id"))
    told = await body_of(request, _decode_refund, limits.ORDER_BYTES_MAX)
    codec.identifier(told.refund_id, "/refund_id")
    if told.amount.amount < 1:
        codec.refuse("/amount/amount", "must be at least 1")
    asked = Refund(
        order_id, told.refund_id, told.kind, told.state, told.amount.amount,
        told.amount.currency, _lines(order_id, told),
    )  # fmt: skip
    booked = await request.app[AFTERSALES].refund(principal, asked)
    return json_response(_refund(booked))


async def post_address(request: web.Request) -> web.Response:
    """Change where an order is to go; 202 when nodes have to be asked."""
    principal = await principal_of(request, _WRITE)
    order_id = OrderId(path_id(request, "order_id"))
    told = await body_of(request, _decode_address, limits.ORDER_BYTES_MAX)
    codec.identifier(told.change_id, "/change_id")
    ship_to = {name: text for name, text in msgspec.structs.asdict(told.ship_to).items() if text}
    for name, text in ship_to.items():
        codec.plain_text(str(text), f"/ship_to/{name}", limits.ORDER_BYTES_MAX)
    change = AddressChange(order_id, told.change_id, ship_to)
    found = await request.app[ADDRESSES].change(principal, change)
    view = AddressView(order_id, told.change_id, found.state, found.revision, found.stop_id)
    return json_response(view, status=202 if found.stop_id else 200)


def _lines(order_id: OrderId, told: RefundIn) -> tuple[tuple[int, int], ...]:
    units: dict[int, int] = {}
    for n, line in enumerate(told.lines):
        number = line_number(order_id, line.line_id)
        if not number:
            codec.refuse(f"/lines/{n}/line_id", "is not a line of this order")
        units[number] = units.get(number, 0) + line.quantity
    return tuple(sorted(units.items()))


def _refund(one: Refund) -> RefundView:
    lines = [RefundLine(line_id(one.order_id, n), units) for n, units in one.lines]
    amount = codec.Money(one.amount, one.currency)
    return RefundView(one.order_id, one.refund_id, one.kind, one.state, amount, lines)


def _block(row: asyncpg.Record) -> BlockView:
    until = None if row["until"] is None else rfc3339(to_ms(row["until"]))
    return BlockView(
        row["code"], row["line_id"], row["reason"], rfc3339(to_ms(row["since"])), until, row["by"]
    )


def _blocks(rows: Sequence[asyncpg.Record]) -> Blocks:
    return Blocks([_block(row) for row in rows])


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.get("/v1/orders/{order_id}/blocks", get_blocks),
        web.post("/v1/orders/{order_id}/blocks", post_block),
        web.delete("/v1/orders/{order_id}/blocks/{code}", delete_block),
        web.post("/v1/orders/{order_id}/refunds", post_refund),
        web.post("/v1/orders/{order_id}/address", post_address),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "GET",
        "/v1/orders/{order_id}/blocks",
        "Show what keeps an order from shipping",
        _READ,
        responses={200: Blocks},
        problems=[NotFound, Closed, OutcomeUnknown],
    ),
    operation(
        "POST",
        "/v1/orders/{order_id}/blocks",
        f"Set a block: {', '.join(SETTABLE)}",
        _WRITE,
        request=BlockIn,
        responses={200: BlockView},
        problems=[NotFound, Closed, OutcomeUnknown],
    ),
    operation(
        "DELETE",
        "/v1/orders/{order_id}/blocks/{code}",
        "Lift the blocks of a code, and say why; answers with those that still stand",
        _WRITE,
        responses={200: Blocks},
        problems=[NotFound, Closed, OutcomeUnknown],
        query=[
            Query("reason", "why it is lifted", required=True),
            Query("line_id", "only the block of this line; all of this code when not given"),
        ],
    ),
    operation(
        "POST",
        "/v1/orders/{order_id}/refunds",
        "Book a refund as it stands: requested, done or rejected",
        _WRITE,
        request=RefundIn,
        responses={200: RefundView},
        problems=[
            NotFound, WrongAmount, IdempotencyConflict, InConflict, NotCancellable, Closed,
            OutcomeUnknown,
        ],
    ),
    operation(
        "POST",
        "/v1/orders/{order_id}/address",
        "Change where an order is to go",
        _WRITE,
        request=AddressIn,
        responses={200: AddressView, 202: AddressView},
        problems=[
            NotFound, IdempotencyConflict, NotChangeable, WrongCall, Closed, OutcomeUnknown,
        ],
    ),
]  # fmt: skip
