"""`GET /v1/stock/{sku}`: why as many are for sale as are."""

from typing import Final

from aiohttp import web

from engine.explanations import service
from engine.explanations.types import StockView
from engine.infra.http.auth import principal_of, require_channel
from engine.infra.http.openapi import Operation, Query, operation
from engine.infra.http.server import json_response, path_id, query_id
from engine.infra.runtime import RUNTIME
from engine.kernel.errors import NotFound


async def explain(request: web.Request) -> web.Response:
    """Explain a SKU; a channel-bound key is told what its own channel may sell, and no reasons."""
    principal = await principal_of(request, "stock:read")
    channel = query_id(request, "channel") or principal.channel
    require_channel(principal, channel, reading=True)
    view = await service.explain(
        request.app[RUNTIME], principal.tenant, path_id(request, "sku"), channel,
        whole=not principal.channel,
    )  # fmt: skip
    if principal.channel and not view.channel:
        raise NotFound("there is no such SKU")  # of this channel: what others sell is not told
    return json_response(view)


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [web.get("/v1/stock/{sku}", explain)]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "GET",
        "/v1/stock/{sku}",
        "Explain why channels may sell as many of a SKU as they may, and what would free more",
        "stock:read",
        responses={200: StockView},
        problems=[NotFound],
        query=[Query("channel", "only this channel")],
    ),
]
