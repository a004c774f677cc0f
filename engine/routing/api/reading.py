"""How an order was routed, over HTTP."""

from typing import Final

import msgspec
from aiohttp import web

from engine.infra.http.auth import principal_of
from engine.infra.http.openapi import PAGED, Operation, operation
from engine.infra.http.paging import read_page
from engine.infra.http.server import json_response, path_id
from engine.infra.runtime import RUNTIME
from engine.kernel.errors import NotFound
from engine.routing.service import reading as service
from engine.routing.types.told import RoutingView

_PATH: Final = "/v1/orders/{order_id}/routing"

OPERATIONS: Final[list[Operation]] = [
    operation(
        "GET",
        _PATH,
        "Show why an order is sent from where it is: every decision with its trace",
        "orders:read",
        responses={200: RoutingView},
        problems=[NotFound],
        query=PAGED,
    )
]


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [web.get(_PATH, _get)]


async def _get(request: web.Request) -> web.Response:
    principal = await principal_of(request, "orders:read")
    page = read_page(request.query, int)
    order_id = path_id(request, "order_id")
    found = await service.routing(
        request.app[RUNTIME].pool, principal.tenant, principal.channel, order_id,
        below=page.after[0] if page.after else service.NUMBER_MAX, limit=page.limit + 1,
    )  # fmt: skip
    told = page.answer(found.items, lambda one: [one.n], lambda one: one)
    return json_response(msgspec.structs.asdict(found) | told)
