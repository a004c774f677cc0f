"""What a channel's adapter takes and tells; a channel-bound key does it for its channel."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from aiohttp import web

from engine.infra.http import items as items_of
from engine.infra.http.auth import Principal, principal_of, require_channel
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.query import word_of
from engine.infra.http.server import body_of, json_response, query_id
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import EngineError, PayloadTooLarge
from engine.kernel.limits import QUANTITY_MAX
from engine.publications.service import telling
from engine.publications.service.telling import Wanted
from engine.publications.types import (
    LAG_SECONDS_DEFAULT,
    SHARE_WHOLE,
    Ack,
    Acks,
    ItemResult,
    ItemResults,
    ListingSettings,
    PublicationPage,
    PublicationView,
    RawItems,
    Settings,
    SettingsIn,
    SettingsView,
    Sight,
    Sights,
)

T = TypeVar("T", Ack, Sight, ListingSettings)

_NOTHING: Final[dict[str, object]] = {"items": [], "next_cursor": None}
_decode: Final = codec.Decoder(RawItems)
_decode_ack: Final = codec.Decoder(Ack)
_decode_sight: Final = codec.Decoder(Sight)
_decode_settings: Final = codec.Decoder(ListingSettings)


async def list_publications(request: web.Request) -> web.Response:
    """List what listings are to show; asked for pending ones, they count as given out."""
    principal = await principal_of(request, "stock:read")
    page = read_page(request.query, str, str, str)
    channel, sku = query_id(request, "channel"), query_id(request, "sku")
    pending, drift = _boolean(request, "pending"), _boolean(request, "drift")
    if principal.channel and channel not in {"", principal.channel}:
        return json_response(_NOTHING)
    wanted = Wanted(
        principal.tenant, principal.channel or channel, sku, pending, drift,
        page.after or ["", "", ""], page.limit + 1,
    )  # fmt: skip
    rows = await telling.page(request.app[RUNTIME], wanted)
    answer = page.answer(rows, lambda row: [row["channel"], row["item_id"], row["sku_id"]], _view)
    return json_response(answer)


async def post_acks(request: web.Request) -> web.Response:
    """Keep what a shop said to numbers, item by item."""
    principal, channel, raw = await _told(request)

    async def keep(good: Sequence[tuple[int, Ack]]) -> dict[int, ItemResult]:
        return await telling.ack(request.app[RUNTIME], principal.tenant, channel, good)

    return await _answer(raw, _ack, keep)


async def post_sights(request: web.Request) -> web.Response:
    """Keep what a shop shows, item by item."""
    principal, channel, raw = await _told(request)

    async def keep(good: Sequence[tuple[int, Sight]]) -> dict[int, ItemResult]:
        return await telling.see(
            request.app[RUNTIME], principal.tenant, channel, good, principal.key_id
        )

    return await _answer(raw, _sight, keep)


async def put_settings(request: web.Request) -> web.Response:
    """Keep how listings are to be published, item by item."""
    principal, channel, raw = await _told(request)

    async def keep(good: Sequence[tuple[int, ListingSettings]]) -> dict[int, ItemResult]:
        rows = [(n, (one.item_id, one.sku_id), _settings(one)) for n, one in good]
        return await telling.keep_settings(request.app[RUNTIME], principal.tenant, channel, rows)

    return await _answer(raw, _listing_settings, keep)


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [
        web.get("/v1/publications", list_publications),
        web.post("/v1/publications:ack", post_acks),
        web.post("/v1/publications:seen", post_sights),
        web.put("/v1/publications:settings", put_settings),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "GET",
        "/v1/publications",
        "List what listings of marketplaces are to show, and what their shops said of it",
        "stock:read",
        responses={200: PublicationPage},
        query=[
            Query("channel", "only this channel"),
            Query("sku", "only listings of this SKU"),
            Query("pending", "only those whose shop has, or has not, to be told", "boolean"),
            Query("drift", "only those that show, or do not show, another number", "boolean"),
            *PAGED,
        ],
    ),
    *(
        operation(
            method,
            f"/v1/publications:{verb}",
            summary,
            "stock:write",
            request=request,
            responses={200: ItemResults},
            problems=[PayloadTooLarge],
        )
        for method, verb, summary, request in (
            ("POST", "ack", "Tell which numbers a shop took, or refused for good", Acks),
            ("POST", "seen", "Tell what a shop shows", Sights),
            ("PUT", "settings", "Say how listings are to be published", SettingsIn),
        )
    ),
]


async def _told(request: web.Request) -> tuple[Principal, str, list[bytes]]:
    """Return who tells, of which channel, and the bytes of each item."""
    principal = await principal_of(request, "stock:write")
    body = await body_of(request, _decode)
    channel = body.channel or principal.channel
    codec.identifier(channel, "/channel")
    require_channel(principal, channel)
    return principal, channel, [bytes(one) for one in body.items]


async def _answer(
    raw: Sequence[bytes],
    decode: Callable[[bytes], T],
    keep: Callable[[Sequence[tuple[int, T]]], Awaitable[dict[int, ItemResult]]],
) -> web.Response:
    """Decode item by item, keep the good ones, and answer all in their order."""

    async def decoded(one: bytes) -> T:
        return decode(one)

    understood = await items_of.decoded(raw, decoded)
    good = [(n, one) for n, one in enumerate(understood) if not isinstance(one, EngineError)]
    kept = await keep(good) if good else {}
    return items_of.answer([kept.get(n, one) for n, one in enumerate(understood)])


def _ack(raw: bytes) -> Ack:
    one = _decode_ack(raw)
    codec.plain_text(one.reason, "/reason", 256)
    return _named(one)


def _sight(raw: bytes) -> Sight:
    one = _decode_sight(raw)
    codec.instant(one.seen_at, "/seen_at")
    return _named(one)


def _listing_settings(raw: bytes) -> ListingSettings:
    return _named(_decode_settings(raw))


def _named(one: T) -> T:
    codec.identifier(one.item_id, "/item_id")
    if one.sku_id:
        codec.identifier(one.sku_id, "/sku_id")
    return one


def _settings(one: ListingSettings) -> Settings:
    share = max(1, round(one.share * SHARE_WHOLE))
    return Settings(one.reducible, min(one.buffer, QUANTITY_MAX), one.lag_seconds, share)


def _boolean(request: web.Request, name: str) -> bool | None:
    text = word_of(request, name, ("true", "false"))
    return text == "true" if text else None


def _view(row: Any) -> PublicationView:
    told, measured = row["lag_told"], row["lag_measured"]
    lag_s = LAG_SECONDS_DEFAULT if measured is None else measured
    return PublicationView(
        row["channel"], row["item_id"], row["sku_id"], row["sku"], row["units_per"],
        row["state"], row["number"], row["published"], _moment(row["published_at"]) or "",
        row["pending"], _moment(row["sent_at"]), row["acked"], row["acked_number"],
        _moment(row["acked_at"]), row["refused"], row["seen"], _moment(row["seen_at"]),
        row["drift"], row["reducible"], row["buffer"], round(lag_s if told is None else told, 3),
        SettingsView(row["reducible"], row["fixed_buffer"], told, row["share"] / SHARE_WHOLE),
    )  # fmt: skip


def _moment(at: Any) -> str | None:
    return None if at is None else rfc3339(to_ms(at))
