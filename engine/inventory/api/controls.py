"""Pause a campaign, and look: what an operator does while a sale runs."""

from functools import partial
from typing import Final, Protocol

import msgspec
from aiohttp import web

from engine.infra.http.auth import principal_of, require_channel, unbound_of
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.server import body_of, json_response, path_id, query_id
from engine.infra.runtime import RUNTIME, Runtime
from engine.inventory.service import controls as service
from engine.inventory.service import selling, shortages
from engine.inventory.service.selling import Asked
from engine.inventory.types import PauseFields, PauseView, ShortPage, StockPage
from engine.kernel import codec
from engine.kernel.errors import Closed, NotFound, OutcomeUnknown
from engine.kernel.types import Tenant

_decode_pause: Final = codec.Decoder(PauseFields)


class Act(Protocol):
    """What stops something, or lets it go on, and says how it stands then."""

    async def __call__(  # noqa: D102 - the class says it
        self, runtime: Runtime, tenant: Tenant, name: str, /, *, by: str, reason: str
    ) -> msgspec.Struct: ...


async def pause_campaign(request: web.Request) -> web.Response:
    """Stop a campaign."""
    return await switch(request, "campaign", partial(service.pause, scope="campaign"))


async def resume_campaign(request: web.Request) -> web.Response:
    """Let a campaign go on."""
    return await switch(request, "campaign", partial(service.resume, scope="campaign"))


async def switch(request: web.Request, word: str, act: Act) -> web.Response:
    """Pause or resume what the path names by `word`."""
    principal = await unbound_of(request, "stock:write")
    name, fields = path_id(request, word), await body_of(request, _decode_pause)
    codec.plain_text(fields.reason, "/reason", 256)
    view = await act(
        request.app[RUNTIME], principal.tenant, name, by=principal.key_id, reason=fields.reason
    )
    return json_response(view)


async def get_stock(request: web.Request) -> web.Response:
    """Show what channels may sell; a channel-bound key sees its own."""
    principal = await principal_of(request, "stock:read")
    channel = query_id(request, "channel") or principal.channel
    require_channel(principal, channel, reading=True)
    page = read_page(request.query, str, str, str)
    asked = Asked(channel, query_id(request, "sku"), page.after or ["", "", ""], page.limit + 1)
    items, as_of, log_id = await selling.stock(request.app[RUNTIME], principal.tenant, asked)
    answer = page.answer(items, lambda one: [one.sku, one.channel, one.campaign], lambda one: one)
    return json_response({**answer, "as_of": as_of, "log_id": log_id})


async def list_shorts(request: web.Request) -> web.Response:
    """List shortages; all channels share them, so a channel-bound key is refused."""
    principal = await unbound_of(request, "stock:read")
    page = read_page(request.query, int)
    rows = await shortages.page(
        request.app[RUNTIME],
        principal.tenant,
        query_id(request, "sku"),
        after=page.after[0] if page.after else 0,
        limit=page.limit + 1,
    )
    return json_response(page.answer(rows, lambda row: [row[0]], lambda row: row[1]))


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [
        web.post("/v1/campaigns/{campaign}/pause", pause_campaign),
        web.post("/v1/campaigns/{campaign}/resume", resume_campaign),
        web.get("/v1/stock", get_stock),
        web.get("/v1/stock:short", list_shorts),
    ]


def switches(path: str, what: str, view: type[msgspec.Struct]) -> list[Operation]:
    """Describe the two calls; `what` is the summary without its verb."""
    return [
        operation(
            "POST",
            f"{path}/{verb}",
            f"{verb.capitalize()} {what}",
            "stock:write",
            request=PauseFields,
            responses={200: view},
            problems=[NotFound, Closed, OutcomeUnknown],
        )
        for verb in ("pause", "resume")
    ]


OPERATIONS: Final[list[Operation]] = [
    *switches("/v1/campaigns/{campaign}", "a campaign: effective with the next order", PauseView),
    operation(
        "GET",
        "/v1/stock",
        "Show what channels may sell",
        "stock:read",
        responses={200: StockPage},
        query=[Query("channel", "only this channel"), Query("sku", "only this SKU"), *PAGED],
    ),
    operation(
        "GET",
        "/v1/stock:short",
        "List SKUs of which orders have more units than there are, past shortages among them",
        "stock:read",
        responses={200: ShortPage},
        query=[Query("sku", "only this SKU"), *PAGED],
    ),
]
