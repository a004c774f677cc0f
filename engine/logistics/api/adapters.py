"""What a channel's adapter takes, tells its shop, and tells us of it."""

from typing import Final

from aiohttp import web

from engine.infra.http import items as items_of
from engine.infra.http.auth import principal_of, require_channel
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.query import refuse_query, word_of
from engine.infra.http.server import body_of, json_response, query_id
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.clock import instant
from engine.kernel.errors import EngineError, PayloadTooLarge
from engine.logistics.service import acking
from engine.logistics.service.acking import Wanted
from engine.logistics.types import (
    AckedResults,
    AckPage,
    AckResultIn,
    AckResultsIn,
    RawItems,
)

_SCOPE: Final = "orders:sync"
_NOTHING: Final[dict[str, object]] = {"items": [], "next_cursor": None}
_decode: Final = codec.Decoder(RawItems)
_decode_result: Final = codec.Decoder(AckResultIn)


async def list_acks(request: web.Request) -> web.Response:
    """List what channels are to be told; `due` gives out what one of them is to be told now."""
    principal = await principal_of(request, _SCOPE)
    page = read_page(request.query, str, str)
    runtime = request.app[RUNTIME]
    channel = query_id(request, "channel")
    pending = word_of(request, "pending", ("true", "false"))
    due = word_of(request, "due", ("true", "false")) == "true"
    if principal.channel and channel not in {"", principal.channel}:
        return json_response(_NOTHING)
    channel = principal.channel or channel
    if due:
        if not channel:
            refuse_query("channel", "must be given with due: an adapter takes what is its own")
        now = instant(runtime.clock.now_ms())
        found = await acking.give_out(runtime.pool, principal.tenant, channel, page.limit, now)
        return json_response({"items": found, "next_cursor": None})
    after = (page.after[0], page.after[1]) if page.after else ("", "")
    wanted = Wanted(
        principal.tenant, channel, None if not pending else pending == "true", after,
        page.limit + 1,
    )  # fmt: skip
    rows = await acking.page(runtime.pool, wanted)
    return json_response(
        page.answer(rows, lambda one: [one.parcel_id, one.channel], lambda one: one)
    )


async def post_results(request: web.Request) -> web.Response:
    """Keep what a channel said, item by item."""
    principal = await principal_of(request, _SCOPE)
    body = await body_of(request, _decode)
    channel = body.channel or principal.channel
    codec.identifier(channel, "/channel")
    require_channel(principal, channel)

    async def decoded(one: bytes) -> AckResultIn:
        told = _decode_result(one)
        codec.identifier(told.parcel_id, "/parcel_id")
        codec.plain_text(told.reason, "/reason", 256)
        return told

    understood = await items_of.decoded([bytes(one) for one in body.items], decoded)
    good = [one for one in understood if not isinstance(one, EngineError)]
    runtime = request.app[RUNTIME]
    now = instant(runtime.clock.now_ms())
    kept = iter(
        await acking.answer(runtime.pool, principal.tenant, channel, good, principal.key_id, now)
        if good
        else []
    )
    return items_of.answer(
        [one if isinstance(one, EngineError) else next(kept) for one in understood]
    )


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [web.get("/v1/acks", list_acks), web.post("/v1/acks:result", post_results)]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "GET",
        "/v1/acks",
        "List parcels that marketplaces are to be told of, and what they said to them",
        _SCOPE,
        responses={200: AckPage},
        query=[
            Query("channel", "only this channel; to be given with due"),
            Query("pending", "only those to be told, or only those that were", "boolean"),
            Query(
                "due",
                "give out what this channel is to be told now; without an answer again after a "
                "minute, then after ever longer",
                "boolean",
            ),
            *PAGED,
        ],
    ),
    operation(
        "POST",
        "/v1/acks:result",
        "Tell which parcels a marketplace took, or refused",
        _SCOPE,
        request=AckResultsIn,
        responses={200: AckedResults},
        problems=[PayloadTooLarge],
    ),
]
