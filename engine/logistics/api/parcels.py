"""Parcels on their way, scores of who brings them, and goods collected at the counter."""

from datetime import date
from typing import Final

from aiohttp import web

from engine.infra.http import items as items_of
from engine.infra.http.auth import principal_of, unbound_of
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.query import refuse_query
from engine.infra.http.server import body_of, json_response, path_id, query_id
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.clock import instant
from engine.kernel.errors import (
    AlreadyRedeemed,
    EngineError,
    InConflict,
    NotFound,
    PayloadTooLarge,
    WrongCode,
)
from engine.logistics.rules import milestones
from engine.logistics.service import collecting, reading, tracking
from engine.logistics.types import (
    CodeView,
    ParcelsView,
    RawItems,
    RedeemedView,
    RedeemIn,
    ScorePage,
    TrackedIn,
    TrackedResults,
    TrackingIn,
)

_READ: Final = "orders:read"
_WRITE: Final = "orders:write"
_FIRST_DAY: Final = "0001-01-01"
_decode: Final = codec.Decoder(RawItems)
_decode_tracked: Final = codec.Decoder(TrackedIn)
_decode_code: Final = codec.Decoder(RedeemIn)


async def post_tracking(request: web.Request) -> web.Response:
    """Keep milestones, item by item; carriers know nothing of channels, so no bound key tells."""
    principal = await unbound_of(request, _WRITE)
    body = await body_of(request, _decode)
    if body.channel:
        codec.refuse("/channel", "parcels are told by their numbers, whatever their channel")

    runtime = request.app[RUNTIME]
    now = instant(runtime.clock.now_ms())

    async def decoded(one: bytes) -> TrackedIn:
        told = _decode_tracked(one)
        codec.identifier(told.waybill, "/waybill")
        if told.carrier:
            codec.identifier(told.carrier, "/carrier")
        if milestones.is_absurd(codec.instant(told.at, "/at"), now):
            codec.refuse("/at", "must be of the last 400 days, and not more than 60 days ahead")
        for name, text in (("carrier", told.carrier), ("source", told.source), ("raw", told.raw)):
            codec.plain_text(text, f"/{name}", 64)
        codec.plain_text(told.place, "/place", 128)
        return told

    understood = await items_of.decoded([bytes(one) for one in body.items], decoded)
    good = [one for one in understood if not isinstance(one, EngineError)]
    kept = iter(await tracking.record(runtime.pool, principal.tenant, good, now) if good else [])
    return items_of.answer(
        [one if isinstance(one, EngineError) else next(kept) for one in understood]
    )


async def get_parcels(request: web.Request) -> web.Response:
    """Show the parcels of a number; a bound key sees those of its channel."""
    principal = await principal_of(request, _READ)
    waybill = path_id(request, "waybill")
    found = await reading.parcels(
        request.app[RUNTIME].pool, principal.tenant, principal.channel, waybill
    )
    if not found.items:
        raise NotFound("no parcel has this number")
    return json_response(found)


async def list_scores(request: web.Request) -> web.Response:
    """List how services fared; over all channels, so no bound key sees it."""
    principal = await unbound_of(request, _READ)
    page = read_page(request.query, str, str, str)
    after = ("", _FIRST_DAY, "")
    if page.after:
        after = (page.after[0], _day_of(page.after[1], "cursor").isoformat(), page.after[2])
    found = await reading.scores(
        request.app[RUNTIME].pool, principal.tenant, query_id(request, "service"),
        _day(request, "since"), _day(request, "until"), after=after, limit=page.limit + 1,
    )  # fmt: skip
    return json_response(
        page.answer(found, lambda one: [one.service, one.day, one.region], lambda one: one)
    )


async def post_code(request: web.Request) -> web.Response:
    """Make a code for the buyer."""
    principal = await principal_of(request, _WRITE)
    runtime = request.app[RUNTIME]
    made = await collecting.make_code(
        runtime.pool, principal.tenant, principal.channel, path_id(request, "shipment_id"),
        instant(runtime.clock.now_ms()),
    )  # fmt: skip
    return json_response(made, status=201)


async def post_redeem(request: web.Request) -> web.Response:
    """Hand goods out for a code."""
    principal = await principal_of(request, _WRITE)
    shipment_id = path_id(request, "shipment_id")
    body = await body_of(request, _decode_code)
    code = codec.plain_text(body.code, "/code", 32)
    runtime = request.app[RUNTIME]
    done = await collecting.redeem(
        runtime.pool, principal.tenant, principal.channel, shipment_id, code,
        actor=principal.key_id, now=instant(runtime.clock.now_ms()),
    )  # fmt: skip
    return json_response(done)


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [
        web.post("/v1/tracking", post_tracking),
        web.get("/v1/parcels/{waybill}", get_parcels),
        web.get("/v1/carriers/scorecard", list_scores),
        web.post("/v1/shipments/{shipment_id}/code", post_code),
        web.post("/v1/shipments/{shipment_id}/redeem", post_redeem),
    ]


def _day(request: web.Request, name: str) -> date | None:
    text = request.query.get(name, "")
    return _day_of(text, name) if text else None


def _day_of(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        refuse_query(name, "must be a day as 2026-11-11")


OPERATIONS: Final[list[Operation]] = [
    operation(
        "POST",
        "/v1/tracking",
        "Tell where parcels are, in any order",
        _WRITE,
        request=TrackingIn,
        responses={200: TrackedResults},
        problems=[PayloadTooLarge],
    ),
    operation(
        "GET",
        "/v1/parcels/{waybill}",
        "Show a parcel, its way and its clocks",
        _READ,
        responses={200: ParcelsView},
        problems=[NotFound],
    ),
    operation(
        "GET",
        "/v1/carriers/scorecard",
        "List how services of carriers fared, by day and province",
        _READ,
        responses={200: ScorePage},
        query=[
            Query("service", "only this service"),
            Query("since", "only of this day and later"),
            Query("until", "only of this day and earlier"),
            *PAGED,
        ],
    ),
    operation(
        "POST",
        "/v1/shipments/{shipment_id}/code",
        "Make a code with which the buyer collects a shipment; the one before ends",
        _WRITE,
        responses={201: CodeView},
        problems=[NotFound, InConflict, AlreadyRedeemed],
    ),
    operation(
        "POST",
        "/v1/shipments/{shipment_id}/redeem",
        "Hand a shipment out for its code, once",
        _WRITE,
        request=RedeemIn,
        responses={200: RedeemedView},
        problems=[NotFound, InConflict, AlreadyRedeemed, WrongCode],
    ),
]
