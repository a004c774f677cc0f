"""Campaigns over HTTP; they show all channels, so a channel-bound key has no business here."""

from typing import Final

from aiohttp import web

from engine.campaigns import service
from engine.campaigns.types import CampaignFields, CampaignPage, CampaignView
from engine.infra.http.auth import unbound_of
from engine.infra.http.openapi import PAGED, Operation, operation
from engine.infra.http.paging import read_page
from engine.infra.http.resource import (
    kept_response,
    match_of,
    published_soon,
    rendered,
    saved_response,
)
from engine.infra.http.server import body_of, json_response, path_id
from engine.infra.runtime import RUNTIME
from engine.infra.versioned import Kept
from engine.kernel import codec
from engine.kernel.errors import InConflict, NotFound, PreconditionRequired

_decode: Final = codec.Decoder(CampaignFields)


async def put_campaign(request: web.Request) -> web.Response:
    """Create or change a campaign; answers when the cell has it, or after two seconds."""
    principal = await unbound_of(request, "stock:write")
    runtime, campaign = request.app[RUNTIME], path_id(request, "campaign")
    fields = await body_of(request, _decode)
    saved = await service.put(
        runtime, principal.tenant, campaign, fields, match_of(request), principal.key_id
    )

    async def ask() -> bool:
        return (await service.get(runtime, principal.tenant, campaign)).published

    published = await published_soon(request, runtime.clock, ask)
    return saved_response(saved, _shown(saved.kept, published=published), request.rel_url.raw_path)


async def get_campaign(request: web.Request) -> web.Response:
    """Show a campaign."""
    principal = await unbound_of(request, "stock:read")
    campaign = path_id(request, "campaign")
    kept = await service.get(request.app[RUNTIME], principal.tenant, campaign)
    return kept_response(kept, _shown(kept, published=kept.published))


async def list_campaigns(request: web.Request) -> web.Response:
    """List campaigns."""
    principal = await unbound_of(request, "stock:read")
    page = read_page(request.query, str)
    after = page.after[0] if page.after else ""
    rows = await service.page(request.app[RUNTIME], principal.tenant, after, page.limit + 1)
    answer = page.answer(
        rows, lambda kept: [kept.id], lambda kept: _shown(kept, published=kept.published)
    )
    return json_response(answer)


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.put("/v1/campaigns/{campaign}", put_campaign),
        web.get("/v1/campaigns/{campaign}", get_campaign),
        web.get("/v1/campaigns", list_campaigns),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "PUT",
        "/v1/campaigns/{campaign}",
        "Create or change a campaign; a started one needs If-Match",
        "stock:write",
        request=CampaignFields,
        responses={200: CampaignView, 201: CampaignView},
        problems=[InConflict, PreconditionRequired],
        headers=["Prefer"],
        etag=True,
    ),
    operation(
        "GET",
        "/v1/campaigns/{campaign}",
        "Show a campaign",
        "stock:read",
        responses={200: CampaignView},
        problems=[NotFound],
        etag=True,
    ),
    operation(
        "GET",
        "/v1/campaigns",
        "List campaigns",
        "stock:read",
        responses={200: CampaignPage},
        query=PAGED,
    ),
]


def _shown(kept: Kept[CampaignFields], *, published: bool) -> dict[str, object]:
    return {**rendered(kept, "campaign"), "published": published}
