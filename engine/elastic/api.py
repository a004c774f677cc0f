"""What a campaign lent, over HTTP; it shows all channels, so a channel-bound key is refused."""

from typing import Final

from aiohttp import web

from engine.elastic.service import showing
from engine.elastic.types import ElasticPage
from engine.infra.http.auth import unbound_of
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.server import json_response, path_id
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.errors import NotFound

_LATEST: Final = 2**62


async def show_elastic(request: web.Request) -> web.Response:
    """Show the last decisions of a campaign and how its shops stand."""
    principal = await unbound_of(request, "stock:read")
    runtime, campaign = request.app[RUNTIME], path_id(request, "campaign")
    page, sku = read_page(request.query, int), request.query.get("sku", "")
    if sku:
        codec.identifier(sku, "/sku")
    kept = await showing.policy(runtime, principal.tenant, campaign)
    before = page.after[0] if page.after else _LATEST
    rows = await showing.decisions(runtime, principal.tenant, campaign, before, page.limit + 1)
    shops = await showing.shops(runtime, principal.tenant, kept, sku, page.limit)
    listed = page.answer(rows, lambda row: [row["id"]], showing.shown)
    return json_response(
        {"campaign": campaign, "elastic": kept.value.elastic, "shops": shops, **listed}
    )


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [web.get("/v1/campaigns/{campaign}/elastic", show_elastic)]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "GET",
        "/v1/campaigns/{campaign}/elastic",
        "Show what shops of a campaign lent each other, why, and how each stands",
        "stock:read",
        responses={200: ElasticPage},
        problems=[NotFound],
        query=[Query("sku", "only the shops of this SKU"), *PAGED],
    ),
]
