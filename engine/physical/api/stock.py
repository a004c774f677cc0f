"""Movements, counts and balances over HTTP; they are of no channel, so a bound key is refused."""

from typing import Any, Final

from aiohttp import web

from engine.infra.http.auth import Principal, unbound_of
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import cursor, read_page
from engine.infra.http.query import refuse_query, word_of
from engine.infra.http.server import body_of, json_response, query_id, query_instant
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.errors import IdempotencyConflict, PayloadTooLarge
from engine.physical.service import counts, lists, movements
from engine.physical.service.lists import Wanted
from engine.physical.types.stock import (
    CONDITIONS,
    BalancePage,
    BalanceView,
    CountFields,
    CountView,
    MovedPage,
    MovementFields,
    MovementView,
)

_decode_movement: Final = codec.Decoder(MovementFields)
_decode_count: Final = codec.Decoder(CountFields)
_FOLLOW: Final = "xid"  # cursors of another kind were given before


async def post_movement(request: web.Request) -> web.Response:
    """Record what happened to units."""
    principal = await unbound_of(request, "stock:write")
    fields = await body_of(request, _decode_movement)
    runtime = request.app[RUNTIME]
    return json_response(
        await movements.record(runtime, principal.tenant, fields, principal.key_id)
    )


async def post_count(request: web.Request) -> web.Response:
    """Record a page of a count."""
    principal = await unbound_of(request, "stock:write")
    fields = await body_of(request, _decode_count)
    runtime = request.app[RUNTIME]
    return json_response(await counts.record(runtime, principal.tenant, fields, principal.key_id))


async def list_balances(request: web.Request) -> web.Response:
    """List what is where."""
    principal = await unbound_of(request, "stock:read")
    page = read_page(request.query, str, str, str, str, str)
    named = word_of(request, "condition", CONDITIONS)
    wanted = _wanted(request, principal, page.limit)
    condition = CONDITIONS[named] if named else ""
    rows = await lists.balances(request.app[RUNTIME], wanted, condition, page.after)
    return json_response(page.answer(rows, _key, lambda row: row))


async def list_movements(request: web.Request) -> web.Response:
    """List what changed."""
    principal = await unbound_of(request, "stock:read")
    page = read_page(request.query, str, int, int)
    after = _place(page.after)
    wanted = _wanted(request, principal, page.limit)
    since = query_instant(request, "since")
    found = await lists.movements(request.app[RUNTIME], wanted, since, after)
    answer = page.answer(found.rows, lambda row: [_FOLLOW, *row[0]], lambda row: row[1])
    # one row more was read than is shown
    shown = [place for place, _ in found.rows[: page.limit]]
    settled = min(found.settled, shown[-1]) if found.settled else after
    resume = cursor([_FOLLOW, *settled]) if settled else None
    return json_response({**answer, "resume": resume})


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [
        web.post("/v1/inventory/movements", post_movement),
        web.get("/v1/inventory/movements", list_movements),
        web.post("/v1/inventory/counts", post_count),
        web.get("/v1/inventory/balances", list_balances),
    ]


_NODE: Final = Query("node", "only at this node")
_SKU: Final = Query("sku", "only of this SKU")

OPERATIONS: Final[list[Operation]] = [
    operation(
        "POST",
        "/v1/inventory/movements",
        "Record what happened to units in places, once per reference",
        "stock:write",
        request=MovementFields,
        responses={200: MovementView},
        problems=[IdempotencyConflict, PayloadTooLarge],
    ),
    operation(
        "GET",
        "/v1/inventory/movements",
        "List changes in the order in which their recording began; follow them by `resume`",
        "stock:read",
        responses={200: MovedPage},
        query=[_NODE, _SKU, Query("since", "recorded at or after this instant"), *PAGED],
    ),
    operation(
        "POST",
        "/v1/inventory/counts",
        "Record a page of what a warehouse counted; pages come in any order, and twice",
        "stock:write",
        request=CountFields,
        responses={200: CountView},
        problems=[IdempotencyConflict, PayloadTooLarge],
    ),
    operation(
        "GET",
        "/v1/inventory/balances",
        "List what is where",
        "stock:read",
        responses={200: BalancePage},
        query=[
            _NODE,
            _SKU,
            Query("condition", "only in this condition, by plain name or Qimen code"),
            *PAGED,
        ],
    ),
]


def _wanted(request: web.Request, principal: Principal, limit: int) -> Wanted:
    node, sku = query_id(request, "node"), query_id(request, "sku")
    return Wanted(principal.tenant, node, sku, limit + 1)


def _place(after: list[Any] | None) -> tuple[int, int] | None:
    """Return the place of a cursor, which comes from the outside like everything else."""
    if after is None:
        return None
    mark, xid, movement_id = after
    if mark != _FOLLOW or xid < 0:
        refuse_query("cursor", "must be a next_cursor or resume of this list")
    return xid, movement_id


def _key(row: BalanceView) -> list[object]:
    return [row.node, row.owner, row.sku, row.condition, row.batch]
