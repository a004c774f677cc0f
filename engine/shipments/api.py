"""Shipments over HTTP: what nodes were asked to ship, and what became of it."""

from typing import Final, get_args

from aiohttp import web

from engine.infra.http.auth import principal_of
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.query import word_of
from engine.infra.http.server import json_response, path_id, query_id, query_instant
from engine.infra.runtime import RUNTIME
from engine.kernel.errors import NotFound
from engine.shipments.service import reading
from engine.shipments.types.shipments import State
from engine.shipments.types.views import ShipmentPage, ShipmentView, Wanted

_READ: Final = "orders:read"
_STATES: Final = get_args(State)


async def list_shipments(request: web.Request) -> web.Response:
    """List shipments; a bound key sees those of its channel."""
    principal = await principal_of(request, _READ)
    page = read_page(request.query, str)
    wanted = Wanted(
        principal.tenant, principal.channel,
        order_id=query_id(request, "order_id"), node=query_id(request, "node"),
        state=word_of(request, "state", _STATES), carrier=query_id(request, "carrier"),
        ship_by_before=query_instant(request, "ship_by_before"),
        after=page.after[0] if page.after else "", limit=page.limit + 1,
    )  # fmt: skip
    rows = await reading.shown(request.app[RUNTIME].pool, wanted)
    return json_response(page.answer(rows, lambda one: [one.shipment_id], lambda one: one))


async def get_shipment(request: web.Request) -> web.Response:
    """Show one shipment."""
    principal = await principal_of(request, _READ)
    wanted = Wanted(
        principal.tenant, principal.channel, shipment_id=path_id(request, "shipment_id")
    )
    rows = await reading.shown(request.app[RUNTIME].pool, wanted)
    if not rows:
        raise NotFound("no such shipment")
    return json_response(rows[0])


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.get("/v1/shipments", list_shipments),
        web.get("/v1/shipments/{shipment_id}", get_shipment),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "GET",
        "/v1/shipments",
        "List shipments",
        _READ,
        responses={200: ShipmentPage},
        query=[
            Query("order_id", "only of this order"),
            Query("node", "only of this node"),
            Query("state", f"one of {', '.join(_STATES)}"),
            Query("carrier", "only with a parcel of this carrier"),
            Query("ship_by_before", "only those that were to leave before, RFC 3339, and have not"),
            *PAGED,
        ],
    ),
    operation(
        "GET",
        "/v1/shipments/{shipment_id}",
        "Show one shipment, with its parcels and stops",
        _READ,
        responses={200: ShipmentView},
        problems=[NotFound],
    ),
]
