"""Listings over HTTP; a channel-bound key sees and changes those of its channel."""

from collections.abc import Sequence
from typing import Final, get_args

import msgspec
from aiohttp import web

from engine.infra.http.auth import Principal, principal_of, require_channel
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import Page, read_page
from engine.infra.http.query import refuse_query, word_of
from engine.infra.http.server import body_of, json_response, query_id
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.errors import NotFound, PayloadTooLarge, ValidationFailed
from engine.kernel.types import Fault
from engine.listings import service
from engine.listings.registry import LISTINGS
from engine.listings.service import Wanted
from engine.listings.types import (
    FAULTS_SHOWN_MAX,
    AlarmPage,
    AlarmView,
    BadRows,
    Kept,
    Listing,
    ListingPage,
    ListingsIn,
    ListingView,
    RawListings,
    Reason,
    Removed,
    RowFault,
)

_decode: Final = codec.Decoder(RawListings)
_decode_row: Final = codec.Decoder(Listing)
_NOTHING: Final[dict[str, object]] = {"items": [], "next_cursor": None}
_REASONS: Final = get_args(Reason)


async def post_listings(request: web.Request) -> web.Response:
    """Keep mappings, all of them or none; the same again changes nothing."""
    principal = await principal_of(request, "stock:write")
    body = await body_of(request, _decode)
    rows, faults = _read(body.listings)
    for _, one in rows:
        require_channel(principal, one.channel)
    try:
        kept = await service.put(
            request.app[RUNTIME], principal.tenant, rows, faults,
            replace=body.replace, actor=principal.key_id,
        )  # fmt: skip
    except BadRows as bad:
        raise _refusal(bad) from bad
    await request.app[LISTINGS].refresh()
    return json_response(kept)


async def delete_listings(request: web.Request) -> web.Response:
    """Remove what a link is mapped to, or only one of its SKUs."""
    principal = await principal_of(request, "stock:write")
    channel, item_id = _required(request, "channel"), _required(request, "item_id")
    require_channel(principal, channel)
    removed = await service.remove(
        request.app[RUNTIME],
        principal.tenant,
        (channel, item_id, query_id(request, "sku_id")),
        query_id(request, "sku"),
        principal.key_id,
    )
    await request.app[LISTINGS].refresh()
    return json_response(Removed(removed))


async def list_listings(request: web.Request) -> web.Response:
    """List mappings."""
    principal = await principal_of(request, "stock:read")
    page = read_page(request.query, str, str, str, str)
    item_id, sku = query_id(request, "item_id"), query_id(request, "sku")
    wanted = _wanted(request, principal, page)
    if wanted is None:
        return json_response(_NOTHING)
    rows = await service.page(request.app[RUNTIME], wanted, item_id, sku)
    return json_response(page.answer(rows, _key, lambda row: row))


async def list_alarms(request: web.Request) -> web.Response:
    """List what orders name, or may name, and no one SKU stands for."""
    principal = await principal_of(request, "stock:read")
    page = read_page(request.query, str, str, str, str)
    reason = word_of(request, "reason", _REASONS)
    wanted = _wanted(request, principal, page)
    if wanted is None:
        return json_response(_NOTHING)
    rows = await service.alarms(request.app[RUNTIME], wanted, reason)
    return json_response(page.answer(rows, _key, lambda row: row))


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.post("/v1/listings", post_listings),
        web.delete("/v1/listings", delete_listings),
        web.get("/v1/listings", list_listings),
        web.get("/v1/listings:alarms", list_alarms),
    ]


_CHANNEL: Final = Query("channel", "only this channel")
_ITEM: Final = Query("item_id", "only this item of a channel")

OPERATIONS: Final[list[Operation]] = [
    operation(
        "POST",
        "/v1/listings",
        "Keep what links of channels stand for; all of it or, when a row is wrong, nothing",
        "stock:write",
        request=ListingsIn,
        responses={200: Kept},
        problems=[PayloadTooLarge],
    ),
    operation(
        "DELETE",
        "/v1/listings",
        "Remove what a link stands for",
        "stock:write",
        responses={200: Removed},
        problems=[NotFound],
        query=[
            Query("channel", "the channel of the link", required=True),
            Query("item_id", "its item", required=True),
            Query("sku_id", "its variant; not given, the link of an item without variants"),
            Query("sku", "only the mapping to this SKU; not given, all of the link"),
        ],
    ),
    operation(
        "GET",
        "/v1/listings",
        "List what links stand for",
        "stock:read",
        responses={200: ListingPage},
        query=[_CHANNEL, _ITEM, Query("sku", "only links that stand for this SKU"), *PAGED],
    ),
    operation(
        "GET",
        "/v1/listings:alarms",
        "List links that stand for no SKU or for several, and unknown SKUs that orders named",
        "stock:read",
        responses={200: AlarmPage},
        query=[_CHANNEL, Query("reason", f"one of {', '.join(_REASONS)}"), *PAGED],
    ),
]


def _read(raw: Sequence[msgspec.Raw]) -> tuple[list[tuple[int, Listing]], list[RowFault]]:
    """Decode row by row, so that one bad row does not hide the others."""
    rows, faults = [], []
    for number, one in enumerate(raw):
        try:
            rows.append((number, _decode_row(bytes(one))))
        except ValidationFailed as refusal:
            faults += [
                RowFault(number, told["pointer"].removeprefix("/"), told["detail"])
                for told in refusal.extra["errors"]  # type: ignore[attr-defined]  # as it is made
            ]
    return rows, faults


def _refusal(bad: BadRows) -> ValidationFailed:
    shown = [
        Fault(f"/listings/{row}/{field}".rstrip("/"), detail)
        for row, field, detail in bad.faults[:FAULTS_SHOWN_MAX]
    ]
    left_out = len(bad.faults) - len(shown)
    more = f"; {left_out} more errors are not shown" if left_out else ""
    return ValidationFailed(shown, f"nothing was changed, because rows are not valid{more}")


def _wanted(request: web.Request, principal: Principal, page: Page) -> Wanted | None:
    """What a list shall hold; None: another channel, which to a bound key does not exist."""
    channel = query_id(request, "channel")
    if principal.channel and channel not in {"", principal.channel}:
        return None
    after = page.after or ("", "", "", "")
    return Wanted(principal.tenant, principal.channel or channel, after, page.limit + 1)


def _key(row: ListingView | AlarmView) -> list[object]:
    return [row.channel, row.item_id, row.sku_id, row.sku]


def _required(request: web.Request, name: str) -> str:
    return query_id(request, name) or refuse_query(name, "is required")
