"""Channels over HTTP; a channel-bound key sees its own one."""

from typing import Final

from aiohttp import web

from engine.channels import service
from engine.channels.types import ChannelFields, ChannelPage, ChannelView
from engine.infra.http.auth import ADMIN, principal_of, require_channel
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
from engine.kernel.errors import NotFound

_decode: Final = codec.Decoder(ChannelFields)


async def put_channel(request: web.Request) -> web.Response:
    """Create or change a channel; it decides how orders are judged, so only an admin may."""
    principal = await principal_of(request, ADMIN)
    runtime, channel = request.app[RUNTIME], path_id(request, "channel")
    fields = await body_of(request, _decode)
    saved = await service.put(
        runtime, principal.tenant, channel, fields, match_of(request), principal.key_id
    )

    async def ask() -> bool:
        return (await service.get(runtime, principal.tenant, channel)).published

    published = await published_soon(request, runtime.clock, ask)
    return saved_response(saved, _shown(saved.kept, published=published), request.rel_url.raw_path)


async def get_channel(request: web.Request) -> web.Response:
    """Show a channel."""
    principal = await principal_of(request, "stock:read")
    channel = path_id(request, "channel")
    require_channel(principal, channel, reading=True)
    kept = await service.get(request.app[RUNTIME], principal.tenant, channel)
    return kept_response(kept, _shown(kept, published=kept.published))


async def list_channels(request: web.Request) -> web.Response:
    """List channels."""
    principal = await principal_of(request, "stock:read")
    page = read_page(request.query, str)
    after = page.after[0] if page.after else ""
    rows = await service.page(
        request.app[RUNTIME], principal.tenant, after, page.limit + 1, principal.channel
    )
    answer = page.answer(
        rows, lambda kept: [kept.id], lambda kept: _shown(kept, published=kept.published)
    )
    return json_response(answer)


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.put("/v1/channels/{channel}", put_channel),
        web.get("/v1/channels/{channel}", get_channel),
        web.get("/v1/channels", list_channels),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "PUT",
        "/v1/channels/{channel}",
        "Create or change a channel",
        ADMIN,
        request=ChannelFields,
        responses={200: ChannelView, 201: ChannelView},
        headers=["Prefer"],
        etag=True,
    ),
    operation(
        "GET",
        "/v1/channels/{channel}",
        "Show a channel",
        "stock:read",
        responses={200: ChannelView},
        problems=[NotFound],
        etag=True,
    ),
    operation(
        "GET",
        "/v1/channels",
        "List channels",
        "stock:read",
        responses={200: ChannelPage},
        query=PAGED,
    ),
]


def _shown(kept: Kept[ChannelFields], *, published: bool) -> dict[str, object]:
    expires_by = "channel" if kept.value.authority == "external" else "us"
    shown = {**rendered(kept, "channel"), "published": published}
    return shown if kept.value.expires_by else {**shown, "expires_by": expires_by}
